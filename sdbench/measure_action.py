"""Measuring action networks on stylised data sets, with the paper's protocol or the corrected one."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from sdbench.ahead import ahead
from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.base.progress import progress
from sdbench.data.stylised import StylisedDataset, StylisedVideo
from sdbench.measure import MOST_GROUPS, Measurement, key_of, versions
from sdbench.passes import Passes, Sample, device_named, layer_names, one_right_answer, weights_digest
from sdbench.statistics.sums import FACTORS
from sdbench.studies.stylised import FEWEST_PAIRS, QUIRKS, VideoPlan, plan_pairs
from sdbench.unfinished import Unfinished
from sdbench.zoo import load, model
from sdbench.zoo.action_preparation import ActionPreparation, preparation_for

_BATCH = 4
"""Views in a batch: two pairs, as published."""

_AHEAD = 4
"""Samples that are read while the network works: enough that one slow video does not stop it."""


def measure_action(
    network: str | nn.Module,
    dataset: StylisedDataset,
    *,
    protocol: str = "published",
    seed: int = 0,
    pairs: int | None = None,
    layers: Sequence[str] | None = None,
    threshold: float = 0.5,
    device: str = "cpu",
    store: AssetStore | None = None,
    preparation: ActionPreparation | None = None,
    name: str | None = None,
) -> Measurement:
    """Measure how static and how dynamic the layers of an action network are, on a stylised data set.

    Frames are read and transformed in the background while the network works; every distinct view goes through it once.

    Args:
        network: a name of the zoo, or a module that takes {"video"} or {"slow", "fast"}.
        dataset: the videos, in at least two styles.
        protocol: "published" or "corrected": see `sdbench.studies.stylised.plan_pairs`.
        seed: of every random draw.
        pairs: how many, both factors together; by default one of each video, at most 3,000. Below 32 it warns.
        layers: the layers to read; all by default.
        threshold: score above which a unit counts as encoding a factor.
        device: "cpu", "cuda" or any other device of torch.
        store: where weights and unfinished measurements lie.
        preparation: what the network is fed; by default what `preparation_for` gives for its name.
        name: how to call a module of your own in reports; the name of a network of the paper gives it the preparation.

    Returns:
        The measurement; `samples` and `clips` count videos, and `notes` say what the protocol does.

    Raises:
        InputError: a name is unknown, there are too few pairs, a frame cannot be read, or the device is not there.
        AssetError: weights cannot be had.
    """
    started = time.perf_counter()
    store = store or AssetStore()
    where = device_named(device)
    assets = list(dataset.assets)
    if isinstance(network, str):
        preparation = preparation or preparation_for(network)
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
        preparation = preparation or preparation_for(str(name))
        name = name or type(network).__name__
    names = layer_names(module, layers)
    module = module.to(where).eval()

    plans = plan_pairs(protocol, dataset.videos, dataset.styles, preparation, generator_for(seed, "pairs"), pairs)
    notes = _notes(protocol, len(plans))
    sources = list(dict.fromkeys(dataset.source_of(plan.video) for plan in plans))
    block = {source: str(i % MOST_GROUPS) for i, source in enumerate(sources)}
    blocks = {plan.video: block[dataset.source_of(plan.video)] for plan in plans}
    weights = weights_digest(module)
    key = key_of(name, weights, dataset.identity, protocol, seed, pairs, names, device, preparation, versions())
    unfinished = Unfinished.resume(store.folder / "unfinished", key)
    already = unfinished.done
    seconds = {"reading": 0.0, "network": 0.0}
    passes = Passes(module, where, names, unfinished, seconds, _BATCH, channels_last=False)
    samples = _samples(dataset, islice(plans, already, None), preparation, blocks, seconds)
    with (
        one_right_answer(),
        progress(f"measuring {name}", len(plans), already, store.quiet) as advance,
        ahead(samples, _AHEAD) as coming,
    ):
        passes.through(coming, advance)
    seconds["total"] = time.perf_counter() - started
    factors = [factor for plan in plans for *_, factor in plan.pairs]
    return Measurement(
        network=name,
        dataset=dataset.name,
        protocol=protocol,
        device=device,
        seed=seed,
        styles=dataset.styles,
        threshold=threshold,
        sums=unfinished.sums,
        resampling_unit="video",
        resampling_units=len(sources),
        clips=len(plans),
        samples=len(plans),
        pairs=min(factors.count(factor) for factor in range(len(FACTORS))),
        passes=sum(len(plan.views) for plan in plans),
        skipped=dataset.skipped,
        assets=store.hashes(assets),
        weights=weights,
        seconds=seconds,
        frames_painted=0,
        resumed=already,
        notes=notes,
    )


def _notes(protocol: str, pairs: int) -> tuple[str, ...]:
    """What a reader must know; few pairs are warned of at once, before hours are spent on them."""
    notes = list(QUIRKS) if protocol == "published" else []
    if pairs < FEWEST_PAIRS:
        notes.append(f"{pairs} pairs are fewer than {FEWEST_PAIRS}: the intervals will be wide")
        warnings.warn(notes[-1], stacklevel=3)
    return tuple(notes)


def _samples(
    dataset: StylisedDataset,
    plans: Iterator[VideoPlan],
    preparation: ActionPreparation,
    blocks: Mapping[StylisedVideo, str],
    seconds: dict[str, float],
) -> Iterator[Sample]:
    """Each plan's views; a frame of a style is read and transformed once for all views that show it."""
    for plan in plans:
        started = time.perf_counter()
        inputs: dict[str, list[Tensor]] = {name: [] for name in preparation.inputs}
        for style in dict.fromkeys(view.style for view in plan.views):
            shown = {p for view in plan.views if view.style == style for p in view.positions}
            positions = sorted(shown)
            row = {position: i for i, position in enumerate(positions)}
            prepared = preparation(dataset.read(plan.video, style, positions))
            for view in plan.views:
                if view.style == style:
                    for name, order in view.frames:
                        inputs[name].append(prepared[:, [row[position] for position in order]])
        seconds["reading"] += time.perf_counter() - started
        stacked = {name: torch.stack(views) for name, views in inputs.items()}
        yield Sample(plan.video.name, blocks[plan.video], stacked, plan.pairs)
