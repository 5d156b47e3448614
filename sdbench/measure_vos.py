"""Measuring networks of video object segmentation on painted sequences with optical flow."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sdbench.ahead import ahead
from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.base.progress import progress
from sdbench.data.segmentation import SegmentationDataset
from sdbench.measure import MOST_GROUPS, Measurement, key_of, versions
from sdbench.networks.vos.rtnet import RTNet
from sdbench.passes import Passes, Sample, device_named, layer_names, one_right_answer, weights_digest
from sdbench.statistics.sums import FACTORS
from sdbench.studies.davis import (
    PAIRED_QUIRKS,
    PUBLISHED_BATCH,
    QUIRKS,
    SEEDS,
    SequencePlan,
    SequenceView,
    plan_sequences,
)
from sdbench.unfinished import Unfinished
from sdbench.video.frames import Frames
from sdbench.video.jitter import draw_jitters
from sdbench.zoo import load, model
from sdbench.zoo.vos_preparation import VosPreparation, vos_preparation_for

_BATCH = 4
"""Inputs in a batch: more make a CPU no faster and need more memory."""

_AHEAD = 12
"""So many inputs are made ready while the network works: one slow frame does not stop it."""


def measure_vos(
    network: str | nn.Module,
    dataset: SegmentationDataset,
    *,
    protocol: str = "published",
    seed: int = 0,
    seeds: int = SEEDS,
    frames: int | None = None,
    layers: Sequence[str] | None = None,
    threshold: float = 0.5,
    device: str = "cpu",
    store: AssetStore | None = None,
    preparation: VosPreparation | None = None,
    name: str | None = None,
) -> Measurement:
    """Measure how static and how dynamic the layers of a segmentation network are, on painted sequences.

    Frames are read, transformed and jittered in the background while the network works. Every distinct view of a frame
    goes through the network once for each seed, all layers are read in that pass, and nothing of it is kept but sums.

    Args:
        network: a name of the zoo, or a module that takes {"image", "flow"}.
        dataset: the sequences, in at least two styles, with optical flow.
        protocol: "published" or "corrected": see `sdbench.studies.davis.plan_sequences`.
        seed: the first of the seeds.
        seeds: how many: values are means over them.
        frames: use at most so many frames of each sequence, evenly spaced; all by default.
        layers: the layers to read; by default all but the mask, whose units are no channels.
        threshold: score above which a unit counts as encoding a factor.
        device: "cpu", "cuda" or any other device of torch.
        store: where weights and unfinished measurements lie.
        preparation: what the network is fed; by default what `vos_preparation_for` gives for its name.
        name: how to call a module of your own in reports; the name of a network of the paper gives it the preparation.

    Returns:
        The measurement; `clips` counts sequences, `samples` frames, and `notes` say what protocol and data are like.

    Raises:
        InputError: a name is unknown, a sequence is too short or cannot be read, or the device is not there.
        AssetError: weights cannot be had.
    """
    started = time.perf_counter()
    store = store or AssetStore()
    where = device_named(device)
    if seeds < 1:
        raise InputError(f"at least 1 seed is needed; got {seeds}")
    assets = list(dataset.assets)
    if isinstance(network, str):
        preparation = preparation or vos_preparation_for(model(network).architecture)
        assets.append(model(network).asset)
        module: nn.Module = load(network, store=store)
        name = name or network
    else:
        module = network
        if preparation is None and name is None:
            raise InputError(
                f"{type(network).__name__} is not of the zoo: say with name= which network of the paper it is, "
                "or with preparation= how frames become its input"
            )
        preparation = preparation or vos_preparation_for(str(name))
        name = name or type(network).__name__
    names = tuple(layer for layer in layer_names(module, layers) if layers is not None or layer != "mask")
    module = module.to(where).eval()

    mixed = protocol == "published" and isinstance(module, RTNet)
    plans: list[tuple[int, SequencePlan]] = []
    for run in range(seed, seed + seeds):
        drawing = generator_for(run, "pairs")
        of_run = plan_sequences(protocol, dataset.sequences, dataset.styles, preparation.paired, drawing, frames=frames)
        plans += [(run, plan) for plan in of_run]
    together = PUBLISHED_BATCH if mixed else 1
    parts = [part for run, plan in plans for part in _parts(run, plan, together)]
    sources = list(dict.fromkeys(dataset.source_of(sequence) for sequence in dataset.sequences))
    number = {source: i % MOST_GROUPS for i, source in enumerate(sources)}
    block = {sequence.name: str(number[dataset.source_of(sequence)]) for sequence in dataset.sequences}
    weights = weights_digest(module)
    key = key_of(name, weights, dataset.identity, protocol, seed, seeds, frames, names, device, preparation, versions())
    unfinished = Unfinished.resume(store.folder / "unfinished", key)
    already = unfinished.done
    seconds = {"reading": 0.0, "network": 0.0}
    passes = Passes(module, where, names, unfinished, seconds, _BATCH, channels_last=False)
    samples = _samples(dataset, islice(parts, already, None), preparation, protocol, mixed, block, seconds)
    widest = max(len(plan.views) for _, plan in plans) * together
    with (
        one_right_answer(),
        _mixing(module, mixed),
        progress(f"measuring {name}", len(parts), already, store.quiet) as advance,
        ahead(samples, max(1, _AHEAD // widest)) as coming,
    ):
        passes.through(coming, advance)
    seconds["total"] = time.perf_counter() - started
    rows = [sum(len(plan.rows) for _, plan in plans for *_, f in plan.pairs if f == factor) for factor in range(2)]
    return Measurement(
        network=name,
        dataset=dataset.name,
        protocol=protocol,
        device=device,
        seed=seed,
        styles=dataset.styles,
        threshold=threshold,
        sums=unfinished.sums,
        resampling_unit="sequence" if len(sources) == len(dataset.sequences) else "shot",
        resampling_units=len(sources),
        clips=len(dataset.sequences),
        samples=sum(len(plan.rows) for _, plan in plans),
        pairs=min(rows[factor] for factor in range(len(FACTORS))),
        passes=sum(len(plan.rows) * len(plan.views) for _, plan in plans),
        skipped=dataset.skipped,
        assets=store.hashes(assets),
        weights=weights,
        seconds=seconds,
        frames_painted=0,
        resumed=already,
        notes=(*dataset.notes, *_notes(protocol, preparation.paired, mixed)),
        seeds=seeds,
    )


def _notes(protocol: str, paired: bool, mixed: bool) -> tuple[str, ...]:
    if protocol != "published":
        return ()
    return (*QUIRKS, *(PAIRED_QUIRKS[:1] if paired else ()), *(PAIRED_QUIRKS[1:] if mixed else ()))


_Part = tuple[int, SequencePlan, tuple[int, ...]]
"""Seed, plan, and positions of the frames that form one sample."""


def _parts(run: int, plan: SequencePlan, together: int) -> Iterator[_Part]:
    for start in range(0, len(plan.rows), together):
        yield run, plan, plan.rows[start : start + together]


@contextlib.contextmanager
def _mixing(module: nn.Module, mixed: bool) -> Iterator[None]:
    """Let RTNet mix the frames of a batch as its published code does, and stop it afterwards."""
    if not isinstance(module, RTNet):
        yield
        return
    before, module.mixed_batch = module.mixed_batch, mixed
    try:
        yield
    finally:
        module.mixed_batch = before


def _samples(
    dataset: SegmentationDataset,
    parts: Iterable[_Part],
    preparation: VosPreparation,
    protocol: str,
    mixed: bool,
    block: Mapping[str, str],
    seconds: dict[str, float],
) -> Iterator[Sample]:
    """Each part's views; a picture is read, transformed and jittered once for all views that show it."""
    for run, plan, positions in parts:
        started = time.perf_counter()
        images: list[Tensor] = []
        flows: list[Tensor] = []
        shown = _Shown(dataset, plan, preparation, protocol, run)
        for view in plan.views:
            for position in positions:
                image, flow = shown.sample(view, position)
                images.append(image)
                flows.append(flow)
        seconds["reading"] += time.perf_counter() - started
        name = plan.sequence.name
        yield Sample(
            name=f"{name}, frame {plan.sequence.frames[positions[0]]}",
            block=f"{run} {block[name]}",
            inputs={"image": torch.stack(images), "flow": torch.stack(flows)},
            pairs=plan.pairs,
            together=len(positions) if mixed else None,
        )


class _Shown:
    """The pictures of a few frames of one sequence, each read and transformed once."""

    def __init__(
        self, dataset: SegmentationDataset, plan: SequencePlan, preparation: VosPreparation, protocol: str, run: int
    ) -> None:
        self.dataset, self.plan, self.preparation, self.run = dataset, plan, preparation, run
        self.as_image = protocol == "published" and not preparation.paired
        self._images: dict[tuple[str, int], Tensor] = {}
        self._pictures: dict[tuple[int, bool, tuple[int, int] | None], Frames] = {}
        self._flows: dict[tuple[int, tuple[int, int] | None], Tensor] = {}
        self._sizes: dict[tuple[str, int], tuple[int, int]] = {}

    def sample(self, view: SequenceView, position: int) -> tuple[Tensor, Tensor]:
        """Image and flow of one input: (3, H, W) each, or of two frames (2, 3, H, W) and (2, 6, H, W)."""
        if view.offset is None:
            return self._image(view.style, position), self._flow(view, position, position, 0)
        other = self.plan.partner(position, view.offset)
        return (
            torch.stack([self._image(view.style, position), self._image(view.style, other)]),
            torch.stack([self._flow(view, position, position, 0), self._flow(view, other, position, 1)]),
        )

    def _image(self, style: str, position: int) -> Tensor:
        key = (style, position)
        if key not in self._images:
            picture = self.dataset.image(self.plan.sequence, position, style)
            self._sizes[key] = (picture.shape[0], picture.shape[1])
            self._images[key] = self.preparation(picture)
        return self._images[key]

    def _flow(self, view: SequenceView, position: int, row: int, member: int) -> Tensor:
        """Flow pictures of a frame, one above the other where there are two directions; jittered where the view is."""
        # As published, the flow picture of a network that takes one frame is first brought to the painted image's size.
        size = self._sizes[view.style, position] if self.as_image else None
        directions = (False, True) if self.preparation.paired else (False,)
        if view.jitter is None:
            key = (position, size)
            if key not in self._flows:
                plain = [self.preparation.normalise(self._picture(position, back, size)) for back in directions]
                self._flows[key] = torch.cat(plain)
            return self._flows[key]
        purpose = f"jitter {self.plan.sequence.name} {view.jitter} {row} {member}"
        jitters = draw_jitters(len(directions), generator_for(self.run, purpose))
        moved = [jitter(self._picture(position, back, size)) for jitter, back in zip(jitters, directions, strict=True)]
        return torch.cat([self.preparation.normalise(picture) for picture in moved])

    def _picture(self, position: int, backward: bool, size: tuple[int, int] | None) -> Frames:
        key = (position, backward, size)
        if key not in self._pictures:
            picture = self.dataset.flow(self.plan.sequence, position, backward)
            if size is not None and picture.shape[:2] != size:
                picture = np.asarray(Image.fromarray(picture).resize((size[1], size[0])))
            self._pictures[key] = self.preparation.resize(picture)
        return self._pictures[key]


__all__ = ["measure_vos"]
