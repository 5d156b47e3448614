"""The one place where a network, a data set and a protocol meet.

`measure` shows every distinct view of every clip to the network once, reads all layers in that pass, and keeps nothing
of it but sums: memory does not grow with the number of clips. An interrupted measurement goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.base.progress import progress
from sdbench.data.clip import Clip, Dataset
from sdbench.passes import Passes, Sample, check_layers, device_named, layer_names, one_right_answer, weights_digest
from sdbench.statistics import (
    FEWEST_GROUPS,
    Estimate,
    Intervals,
    Moments,
    beside,
    estimate_from_moments,
    intervals,
    merge,
)
from sdbench.statistics.quantities import Reading, read_quantity
from sdbench.studies.clips import ClipPlan, plan_balanced
from sdbench.unfinished import Unfinished
from sdbench.video.paint import DEFAULT_STYLES, Painter, check_styles
from sdbench.zoo import load, model
from sdbench.zoo.preparation import Preparation

PROTOCOL = "balanced"
"""One pair of each factor a sample, styles balanced, first members shared: `sdbench.studies.clips.plan_balanced`."""

_BATCH = 6
MOST_GROUPS = 256
"""Beyond this many videos several share one resampling block, so that the sums stay small."""

Prepare = Callable[[Any, int], Tensor]


@dataclass(frozen=True)
class LayerMeasurement:
    """What was measured of one layer.

    Attributes:
        layer: its name.
        estimate: from all pairs, those of all seeds together.
        intervals: of that estimate, where the data give them.
        runs: one estimate for each seed, where there were several.
    """

    layer: str
    estimate: Estimate
    intervals: Intervals | None
    runs: tuple[Estimate, ...] = ()

    def read(self, quantity: str) -> Reading:
        """The values of a quantity, see `sdbench.statistics.quantities`: those of the estimate, or means over seeds."""
        return read_quantity(quantity, self.estimate, self.intervals, self.runs)


@dataclass(frozen=True)
class Measurement:
    """What one network encodes on one data set.

    Attributes:
        network, dataset, protocol, device: by name.
        seed: of every random draw; the first one where there were several.
        styles: the styles that clips were painted in.
        sums: layer -> the sums of each resampling block; with several seeds, those of all blocks seed by seed.
        resampling_unit: "video", "shot", "sequence", "scene" or "block": what comes and goes together when intervals
            are made.
        resampling_units: how many there were; no interval is given below `FEWEST_GROUPS`.
        clips, samples: number of clips, and of clips times crops, that were used.
        pairs: number of pairs of each factor; where factors were drawn at random, of the rarer one.
        passes: number of views that went through the network.
        skipped: what was left out, and why.
        assets: SHA-256 of every asset that was used.
        weights: SHA-256 of the network's parameters and buffers.
        seconds: "painting", "network" and "total".
        frames_painted: number of frames that were painted, those from the cache not counted.
        resumed: number of samples that an interrupted run had already done.
        notes: what a reader of the numbers must know about the protocol and the data; one sentence each.
        seeds: how many seeds there were; values are means over them.
        networks: whether each seed is a network of its own, trained from it, shown the same blocks. A unit of one then
            has nothing to do with that of the same number of another: estimate and intervals are those of all units
            of all networks side by side.
    """

    network: str
    dataset: str
    protocol: str
    device: str
    seed: int
    styles: tuple[str, ...]
    threshold: float
    sums: Mapping[str, Sequence[Moments]] = field(repr=False)
    resampling_unit: str
    resampling_units: int
    clips: int
    samples: int
    pairs: int
    passes: int
    skipped: tuple[str, ...]
    assets: dict[str, str]
    weights: str
    seconds: dict[str, float]
    frames_painted: int
    resumed: int
    notes: tuple[str, ...] = ()
    seeds: int = 1
    networks: bool = False

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that were read, in order."""
        return tuple(self.sums)

    @cached_property
    def _known(self) -> dict[str, LayerMeasurement]:
        return {}

    def layer(self, name: str) -> LayerMeasurement:
        """Estimate and intervals of one layer.

        Raises:
            InputError: the layer was not read, or nothing in it varies.
        """
        if name not in self.sums:
            raise unknown_name("layer", name, self.sums)
        if name not in self._known:
            generator = generator_for(self.seed, "bootstrap")  # the same draws for every layer, so that layers compare
            blocks, runs = self._by_block(name)
            try:
                found = estimate_from_moments(merge(blocks), self.threshold)
                of_runs = tuple(estimate_from_moments(merge(run), self.threshold) for run in runs)
            except InputError as error:
                raise InputError(f"layer {name} of {self.network}: {error}") from None
            limits = intervals(blocks, self.threshold, generator)
            self._known[name] = LayerMeasurement(name, found, limits, of_runs)
        return self._known[name]

    def _by_block(self, name: str) -> tuple[Sequence[Moments], list[Sequence[Moments]]]:
        """The sums of each block over all seeds, and, where there are several, those of each seed."""
        parts = self.sums[name]
        if self.seeds == 1:
            return parts, []
        count = len(parts) // self.seeds
        runs = [parts[start : start + count] for start in range(0, len(parts), count)]
        join = beside if self.networks else merge
        return [join(of_block) for of_block in zip(*runs, strict=True)], runs

    def run(self, name: str, number: int) -> LayerMeasurement:
        """Estimate and intervals of one layer from one of several seeds alone.

        Raises:
            InputError: the layer was not read, or nothing in it varies.
        """
        if name not in self.sums:
            raise unknown_name("layer", name, self.sums)
        runs = self._by_block(name)[1]
        if not 0 <= number < len(runs):
            raise InputError(f"{self.network} was measured with {self.seeds} seeds; there is no number {number}")
        limits = intervals(runs[number], self.threshold, generator_for(self.seed, "bootstrap"))
        return LayerMeasurement(name, estimate_from_moments(merge(runs[number]), self.threshold), limits)

    @property
    def resampling(self) -> str:
        """In words: what the intervals rest on."""
        counted = f"{self.resampling_units} {self.resampling_unit}{'s' if self.resampling_units != 1 else ''}"
        if self.resampling_units < FEWEST_GROUPS:
            return f"no intervals: {counted}, at least {FEWEST_GROUPS} needed"
        return f"95 % intervals by resampling {counted}"

    def as_record(self) -> dict[str, Any]:
        """Plain values for a report; sums and statistics are left out."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "sums"}
        return {**plain, "resampling": self.resampling, "layers": list(self.layers)}


def measure(
    network: str | nn.Module,
    dataset: Dataset,
    *,
    seed: int = 0,
    pairs: int | None = None,
    styles: Sequence[str] = DEFAULT_STYLES,
    layers: Sequence[str] | None = None,
    threshold: float = 0.5,
    device: str = "cpu",
    store: AssetStore | None = None,
    preparation: Preparation | None = None,
    name: str | None = None,
) -> Measurement:
    """Measure how static and how dynamic the layers of a network are.

    Args:
        network: a name of the zoo, or any module that takes a video (then `preparation` and, unless it lists its own,
            `layers` are needed).
        dataset: the clips; they must have been cut for the network's preparation.
        seed: of every random draw.
        pairs: number of pairs of each factor; one a sample by default.
        styles: at least two of `sdbench.video.paint.STYLES`.
        layers: the layers to read; all by default.
        threshold: score above which a unit counts as encoding a factor.
        device: "cpu", "cuda" or any other device of torch.
        store: where assets, painted clips and unfinished measurements lie.
        preparation: how frames become the network's input, for a module of your own.
        name: how to call a module of your own in reports.

    Raises:
        InputError: a name is unknown, a clip cannot be used, there are too few pairs, or the device is not there.
        AssetError: weights or styles cannot be had.
    """
    started = time.perf_counter()
    store = store or AssetStore()
    styles = check_styles(styles)
    where = device_named(device)
    assets: list[str] = [*dataset.assets, "styles26"]
    if isinstance(network, str):
        known = model(network)
        preparation = preparation or known.known_preparation()
        module: nn.Module = load(network, store=store)
        name = name or network
        assets.append(known.asset)
    else:
        module = network
        name = name or type(network).__name__
        if preparation is None:
            raise InputError(f"{name} is not of the zoo: say with preparation= how frames become its input")
    names = layer_names(module, layers)
    module = module.to(where).eval()
    if preparation.layout == "signed":
        module = module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    samples = [(clip, crop) for clip in dataset.clips for crop in range(preparation.crops(clip.height, clip.width))]
    plans = plan_balanced(samples, styles, generator_for(seed, "pairs"), pairs)
    unit, group_of = _grouping(plans)
    painter = Painter(store.path("styles26"), store.folder / "painted")
    weights = weights_digest(module)
    key = key_of(name, weights, dataset.identity, seed, pairs, styles, names, device, preparation, versions())
    unfinished = Unfinished.resume(store.folder / "unfinished", key)
    already = unfinished.done
    seconds = {"painting": 0.0, "network": 0.0}

    passes = Passes(module, where, names, unfinished, seconds, _BATCH, channels_last=True)
    with one_right_answer(), progress(f"measuring {name}", len(plans), already, store.quiet) as advance:
        passes.through(_painted(dataset, plans[already:], preparation, painter, group_of, seconds), advance)
    seconds["total"] = time.perf_counter() - started
    return Measurement(
        network=name,
        dataset=dataset.name,
        protocol=PROTOCOL,
        device=device,
        seed=seed,
        styles=styles,
        threshold=threshold,
        sums=unfinished.sums,
        resampling_unit=unit,
        resampling_units=len({group_of[plan.clip] for plan in plans}),
        clips=len({plan.clip for plan in plans}),
        samples=len(plans),
        pairs=sum(factor == 0 for plan in plans for _, _, factor in plan.pairs),
        passes=sum(len(plan.views) for plan in plans),
        skipped=dataset.skipped,
        assets=store.hashes(list(dict.fromkeys(assets))),
        weights=weights,
        seconds=seconds,
        frames_painted=painter.painted,
        resumed=already,
    )


def _painted(
    dataset: Dataset,
    plans: Sequence[ClipPlan],
    preparation: Preparation,
    painter: Painter,
    block_of: Mapping[Clip, str],
    seconds: dict[str, float],
) -> Iterator[Sample]:
    """Each plan's views, painted, cropped and in their order."""
    by_clip = [(clip, list(of_clip)) for clip, of_clip in groupby(plans, key=lambda plan: plan.clip)]
    for (clip, of_clip), frames in zip(by_clip, dataset.read(clip for clip, _ in by_clip), strict=True):
        painted: dict[str, Any] = {}
        started = time.perf_counter()
        for style in dict.fromkeys(view.style for plan in of_clip for view in plan.views):
            painted[style] = painter.paint(frames, style, str(clip))
        seconds["painting"] += time.perf_counter() - started
        for plan in of_clip:
            prepared: dict[str, Tensor] = {}
            views = []
            for view in plan.views:
                if view.style not in prepared:
                    prepared[view.style] = preparation(painted[view.style], plan.crop)
                views.append(_in_order(prepared[view.style], view.order, preparation))
            yield Sample(str(clip), block_of[clip], {"video": torch.stack(views)}, plan.pairs)


def _in_order(sample: Tensor, order: tuple[int, ...] | None, preparation: Preparation) -> Tensor:
    if order is None:
        return sample
    return sample.index_select(0 if preparation.layout == "bytes" else 1, torch.tensor(order))


def _grouping(plans: Sequence[ClipPlan]) -> tuple[str, dict[Clip, str]]:
    """What is resampled, and to which resampling block each clip belongs."""
    videos = list(dict.fromkeys(plan.clip.video for plan in plans))
    shots = list(dict.fromkeys((plan.clip.video, plan.clip.shot) for plan in plans))
    if len(videos) >= FEWEST_GROUPS or len(shots) == len(videos):
        block = {video: str(i % MOST_GROUPS) for i, video in enumerate(videos)}
        return "video", {plan.clip: block[plan.clip.video] for plan in plans}
    shot_block = {shot: str(i % MOST_GROUPS) for i, shot in enumerate(shots)}
    return "shot", {plan.clip: shot_block[plan.clip.video, plan.clip.shot] for plan in plans}


def key_of(*decisive: Any) -> str:
    return hashlib.sha256(repr(decisive).encode()).hexdigest()


def versions() -> dict[str, str]:
    """What may move a number from one run to the next: libraries, and this package's own code."""
    versions = {name: metadata.version(name) for name in ("torch", "numpy", "onnxruntime", "av", "pillow")}
    own = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        own.update(path.read_bytes())
    return {**versions, "sdbench": own.hexdigest()}


__all__ = ["PROTOCOL", "LayerMeasurement", "Measurement", "check_layers", "measure", "weights_digest"]
