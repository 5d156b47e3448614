"""Measuring the small networks on drawn pairs that share exactly one factor."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.base.progress import progress
from sdbench.calibration.drawing import HEADINGS, KINDS, draw_appearances, draw_motions
from sdbench.calibration.scenes import draw_looks, draw_moves
from sdbench.calibration.tasks import scene_inputs, unseen_textures, video_inputs
from sdbench.calibration.trained import FOLDER, SEEDS, Kind, kind_named, load_trained
from sdbench.calibration.training import one_thread
from sdbench.measure import Measurement, key_of, versions
from sdbench.passes import Passes, Sample, device_named, layer_names, one_right_answer, weights_digest
from sdbench.statistics import FACTORS, Moments
from sdbench.unfinished import Unfinished

DATASETS = ("rendered", "rendered_vos")
"""What action networks and what segmentation networks are measured on."""

BLOCKS = 256
"""Independent blocks by default: two appearances crossed with two motions, two pairs of each factor."""

_AT_ONCE = 16  # blocks that are drawn together
_BATCH = 64  # views
_DYNAMIC, _STATIC = (FACTORS.index(factor) for factor in ("dynamic", "static"))

_VIEWS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""(appearance, motion) of the four views of a block."""

_PAIRS = ((0, 1, _DYNAMIC), (2, 3, _DYNAMIC), (0, 2, _STATIC), (1, 3, _STATIC))


def measure_trained(
    name: str,
    task: str,
    dataset: str,
    *,
    seed: int = 0,
    pairs: int | None = None,
    device: str = "cpu",
    store: AssetStore | None = None,
    folder: Path = FOLDER,
) -> Measurement:
    """Measure all trainings of a small network on one task.

    A block is two appearances crossed with two motions, all four drawn independently, and is what is resampled. Every
    network and every training sees the same blocks, in textures that none was trained on.

    Args:
        name: one of `sdbench.calibration.trained.KINDS`.
        task: one of its tasks.
        dataset: "rendered" for an action network, "rendered_vos" for a segmentation network.
        seed: of the blocks and the intervals.
        pairs: pairs of each factor, two a block; by default those of `BLOCKS` blocks.
        device: where the network runs.
        store: where unfinished measurements lie.
        folder: where the weights lie.

    Returns:
        The measurement; values are means over the trainings (`Measurement.networks`), all layers but the answer and
        those that it does not depend on are read.

    Raises:
        InputError: a name is unknown, there are too few pairs, or the device is not there.
        AssetError: the weights are missing or damaged.
    """
    started = time.perf_counter()
    kind = kind_named(name)
    fitting = DATASETS[kind.segments]
    if dataset != fitting:
        raise InputError(f"{name} is measured on the data set {fitting}; got {dataset}")
    if task not in kind.tasks:
        raise unknown_name(f"task of {name}", task, kind.tasks)
    blocks = BLOCKS if pairs is None else -(-pairs // 2)
    if blocks < 2:
        raise InputError(f"at least 3 pairs of each factor are needed, two come from a block; got {pairs}")
    store = store or AssetStore()
    where = device_named(device)
    sums: dict[str, list[Moments]] = {}
    digest = hashlib.sha256()
    seconds = {"drawing": 0.0, "network": 0.0}
    resumed = 0
    for training in range(SEEDS):
        module = load_trained(name, task, training, folder).to(where)
        names = tuple(n for n in layer_names(module, None)[:-1] if n not in module.dead_ends)
        weights = weights_digest(module)
        digest.update(weights.encode())
        key = key_of(name, task, weights, dataset, seed, blocks, names, device, versions())
        unfinished = Unfinished.resume(store.folder / "unfinished", key)
        resumed += unfinished.done
        passes = Passes(module, where, names, unfinished, seconds, _BATCH, channels_last=False)
        # More threads than one wait for each other longer than networks as small as these take.
        with (
            one_thread(),
            one_right_answer(),
            progress(f"measuring {name} ({task}, {training})", blocks, unfinished.done, store.quiet) as advance,
        ):
            passes.through(_samples(kind, blocks, seed, unfinished.done, seconds), advance)
        for layer, parts in unfinished.sums.items():
            sums.setdefault(layer, []).extend(parts)
    seconds["total"] = time.perf_counter() - started
    return Measurement(
        network=name,
        dataset=dataset,
        protocol="crossed",
        device=device,
        seed=seed,
        styles=(),
        threshold=0.5,
        sums=sums,
        resampling_unit="block",
        resampling_units=blocks,
        clips=4 * blocks,
        samples=blocks,
        pairs=2 * blocks,
        passes=4 * blocks * SEEDS,
        skipped=(),
        assets={},
        weights=digest.hexdigest(),
        seconds=seconds,
        frames_painted=0,
        resumed=resumed,
        notes=(
            "appearance and motion are drawn independently: dynamic pairs share the motion exactly, static pairs the "
            "appearance",
            f"values are means over {SEEDS} networks that were trained alike from other seeds",
        ),
        seeds=SEEDS,
        networks=True,
    )


def _samples(kind: Kind, blocks: int, seed: int, start: int, seconds: dict[str, float]) -> Iterator[Sample]:
    for first in range(0, blocks, _AT_ONCE):
        count = min(_AT_ONCE, blocks - first)
        if first + count <= start:
            continue
        began = time.perf_counter()
        views = _views(kind, count, generator_for(seed, f"blocks {first}"))
        seconds["drawing"] += time.perf_counter() - began
        for number in range(max(first, start), first + count):
            inputs = {name: values[number - first] for name, values in views.items()}
            yield Sample(f"block {number}", str(number), inputs, _PAIRS)


def _views(kind: Kind, count: int, generator: np.random.Generator) -> dict[str, Tensor]:
    """Inputs of `count` blocks: (count, 4, ...) each, views in the order of `_VIEWS`."""
    textures = unseen_textures()
    if kind.segments:
        looks = [draw_looks(textures, count, generator) for _ in range(2)]
        moves = [draw_moves(count, generator) for _ in range(2)]
        drawn = [scene_inputs(kind, textures, looks[a], moves[m]) for a, m in _VIEWS]
    else:
        shown = [draw_appearances(textures, generator.integers(0, len(KINDS), count), generator) for _ in range(2)]
        moved = [draw_motions(generator.integers(0, len(HEADINGS), count), generator) for _ in range(2)]
        drawn = [video_inputs(kind, textures, shown[a], moved[m]) for a, m in _VIEWS]
    return {name: torch.stack([inputs[name] for inputs in drawn], dim=1) for name in drawn[0]}
