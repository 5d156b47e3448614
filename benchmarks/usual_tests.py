"""The usual tests of whether a network sees motion, and this suite's own measures, on one of the small networks.

Every test gives a number that is the larger the more of motion, and the less of appearance, the network is said to see.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.ordering import Scored
from sdbench.answers.otherwise import SHOWN, scores_when_shown, sided_with
from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.calibration.altered import draw_noise_pairs
from sdbench.calibration.measuring import BLOCKS, SceneStudy
from sdbench.calibration.probing import probed_right
from sdbench.calibration.tasks import draw_batch, feed_of, training_textures
from sdbench.calibration.trained import Kind, kind_named, load_trained
from sdbench.calibration.training import one_thread
from sdbench.engine import LayerMeasurement, Measurement, measure
from sdbench.networks import Network, VideoNetwork, units
from sdbench.statistics import (
    FACTORS,
    FEWEST_GROUPS,
    Interval,
    bootstrap_means,
    draw,
    estimate_from_moments,
    intervals_by,
    moments,
    percentiles,
    stack,
)

UNTRAINED = "untrained"
"""In the place of a task: random weights."""

ANSWER = "answer"
"""In the place of a layer, for tests of what a network answers."""

THRESHOLDS = (0.3, 0.7)
"""Of unit scores, beside the suite's 0.5."""

_SETTLING = 20  # batches that the batch norms of an untrained network see

Floats = npt.NDArray[np.float64]
Means = Mapping[str, Floats]
Found = dict[str, dict[str, Scored]]
"""Test -> layer -> what it says."""


@dataclass(frozen=True)
class Sizes:
    """How much the tests are shown.

    Attributes:
        shown: videos or scenes that are answered, in every way of showing.
        fitted: those that probes are fitted on.
        tested: those that they are tested on.
        noises: noise pairs of each factor.
        blocks: blocks of two appearances and two motions, for shares and units.
    """

    shown: int
    fitted: int
    tested: int
    noises: int
    blocks: int


SIZES = {False: Sizes(512, 1024, 512, 512, BLOCKS), True: Sizes(192, 512, 256, 256, BLOCKS)}
"""Of action and of segmentation networks."""


def _lost(way: str) -> Callable[[Means], Floats]:
    return lambda mean: 100 * (mean["filmed"] - mean[way])


def _part_lost(way: str) -> Callable[[Means], Floats]:
    return lambda mean: 100 * (mean["filmed"] - mean[way]) / mean["filmed"]


def _right(way: str) -> Callable[[Means], Floats]:
    return lambda mean: 100 * mean[way]


OF_ANSWERS: dict[str, Callable[[Means], Floats]] = {
    "as filmed: right": _right("filmed"),
    "shuffled: points lost": _lost("shuffled"),
    "shuffled: part lost": _part_lost("shuffled"),
    "frozen: points lost": _lost("frozen"),
    "frozen: part lost": _part_lost("frozen"),
    "noise: right": _right("noise"),
}
"""Tests by mean scores in the ways of showing; the first is no test of motion, but what a number may come from."""

OF_SCENES: dict[str, Callable[[Means], Floats]] = {"other picture: points kept": lambda mean: -_lost("elsewhere")(mean)}
"""Those of segmentation networks alone."""

CONFLICT = "conflict: motion less texture"
"""Of action networks: answers that go by the motion less those that go by the texture, where the two disagree."""

OF_PROBES: dict[str, Callable[[Means], Floats]] = {
    "probe: motion": lambda right: 100 * right["motion"],
    "probe: appearance missed": lambda right: 100 * (1 - right["appearance"]),
    "probe: motion less appearance": lambda right: 100 * (right["motion"] - right["appearance"]),
}

NOISE_SHARE = "noise: dynamic share"
OF_SHARES = ("shares: dynamic", "shares: dynamic less static")
OF_UNITS = ("units: dynamic", "units: dynamic less static")
AT_THRESHOLDS = tuple(f"units: dynamic, above {threshold:g}" for threshold in THRESHOLDS)

LAYERED = (*OF_PROBES, NOISE_SHARE, *OF_SHARES, *OF_UNITS, *AT_THRESHOLDS)
"""Tests that look at a layer."""


def layers_of(module: VideoNetwork) -> list[str]:
    """The layers that are looked at: those that the answer depends on, but the answer itself."""
    return [layer for layer in module.layers[:-1] if layer not in module.dead_ends]


@cache
def layers_named(name: str) -> tuple[str, ...]:
    """The same of a small network by its name."""
    return tuple(layers_of(kind_named(name).build()))


def tell(name: str, task: str, number: int, seed: int, sizes: Sizes) -> Found:
    """All tests of one small network.

    Every network of a kind is shown the same, drawn from the seed.

    Args:
        name: one of `sdbench.calibration.trained.KINDS`.
        task: one of its tasks, or `UNTRAINED`: then what its answers are asked is left out.
        number: which of its trainings.
        seed: of all that is shown, and of the intervals.
        sizes: how much is shown.

    Raises:
        InputError: the network or the task is unknown.
    """
    kind = kind_named(name)
    if task not in (*kind.tasks, UNTRAINED):
        raise unknown_name(f"task of {name}", task, (*kind.tasks, UNTRAINED))
    module = untrained(kind, number) if task == UNTRAINED else load_trained(name, task, number)
    found: Found = {}
    if task != UNTRAINED:
        found.update(_answers(kind, module, task, seed, sizes))
    for layer, right in probed_right(
        kind, module, layers_of(module), sizes.fitted, sizes.tested, generator_for(seed, "probes")
    ).items():
        for test, scored in _scored(OF_PROBES, right, seed).items():
            found.setdefault(test, {})[layer] = scored
    for layer, said in noise_layers(kind, module, sizes.noises, seed).items():
        found.setdefault(NOISE_SHARE, {})[layer] = _of(said, "shares", "dynamic")
    for test, layer, scored in _measured(name, kind, module, seed, sizes.blocks):
        found.setdefault(test, {})[layer] = scored
    return found


def untrained(kind: Kind, number: int) -> VideoNetwork:
    """A network with random weights, in eval mode; its batch norms have seen as many batches as make them settle."""
    with one_thread(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(number)
        module = kind.build()
        generator = generator_for(number, "settling")
        for part in module.modules():
            if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
                part.momentum = None  # the plain mean over batches
                part.train()
        for _ in range(_SETTLING):
            module(**draw_batch(kind, kind.tasks[0], training_textures(), kind.batch, generator)[0])
    return module.eval()


def noise_layers(kind: Kind, module: VideoNetwork, count: int, seed: int) -> dict[str, LayerMeasurement]:
    """The suite's estimate from pairs of noise, by layer; each noise is a block."""
    generator, step = generator_for(seed, "noise pairs"), 64
    read: dict[str, list[npt.NDArray[np.float32]]] = {}
    with one_thread():
        for start in range(0, count, step):
            views = draw_noise_pairs(kind, min(step, count - start), generator)
            values = [units(module, inputs, layers_of(module)) for inputs in views]
            for layer, first in values[0].items():
                shape = (len(views), min(step, count - start), -1, first.shape[1])  # some answer for each of two frames
                read.setdefault(layer, []).append(np.stack([view[layer].numpy() for view in values]).reshape(shape))
    draws = draw(count, generator_for(seed, "bootstrap"))
    found = {}
    for layer, parts in read.items():
        one, alike, again = np.concatenate(parts, axis=1)
        factors = np.repeat(np.arange(len(FACTORS)), one.shape[1])
        groups = [
            moments(np.concatenate([one[i], one[i]]), np.concatenate([alike[i], again[i]]), factors)
            for i in range(count)
        ]
        stacked = stack(groups)
        limits = None if draws is None else intervals_by(draws, groups, stacked, 0.5)
        found[layer] = LayerMeasurement(layer, estimate_from_moments(stacked.merged()), limits)
    return found


def _answers(
    kind: Kind, module: VideoNetwork, task: str, seed: int, sizes: Sizes
) -> Iterator[tuple[str, dict[str, Scored]]]:
    scores = scores_when_shown(kind, module, task, sizes.shown, generator_for(seed, SHOWN))
    for test, scored in _scored({**OF_ANSWERS, **(OF_SCENES if kind.segments else {})}, scores, seed).items():
        yield test, {ANSWER: scored}
    if not kind.segments:
        sides = sided_with(kind, module, sizes.shown, generator_for(seed, "conflict"))
        went = {CONFLICT: lambda mean: 100 * (mean["motion"] - mean["texture"])}
        yield CONFLICT, {ANSWER: _scored(went, sides, seed)[CONFLICT]}


def _scored(tests: Mapping[str, Callable[[Means], Floats]], scores: Means, seed: int) -> dict[str, Scored]:
    """What tests make of mean scores, with intervals by resampling what was shown."""
    names, columns = list(scores), np.stack(list(scores.values()), axis=1)
    replicates = bootstrap_means(columns, generator_for(seed, "shown"))
    if replicates is None:
        raise InputError(f"intervals take at least {FEWEST_GROUPS} videos or scenes; got {len(columns)}: show more")
    found = {}
    for test, read in tests.items():
        value = float(read(dict(zip(names, columns.mean(axis=0), strict=True))))
        limits = percentiles(read(dict(zip(names, replicates.T, strict=True))))
        found[test] = _with(value, limits)
    return found


def _measured(name: str, kind: Kind, module: VideoNetwork, seed: int, blocks: int) -> Iterator[tuple[str, str, Scored]]:
    """The suite's shares and unit classes of every layer."""
    network = Network(module, feed_of(kind), name, layers_of(module))
    with tempfile.TemporaryDirectory() as folder, one_thread():
        store = AssetStore(Path(folder), quiet=True)
        found = measure(network, SceneStudy(kind, blocks), seed=seed, store=store, workers=0)
    for layer in found.layers:
        said = found.layer(layer)
        for tests, quantity, drawn in ((OF_SHARES, "shares", "share"), (OF_UNITS, "units", "units")):
            yield tests[0], layer, _of(said, quantity, "dynamic")
            yield tests[1], layer, _less(said, quantity, drawn)
        for test, threshold in zip(AT_THRESHOLDS, THRESHOLDS, strict=True):
            yield test, layer, _of(_above(found, threshold).layer(layer), "units", "dynamic")


def _above(found: Measurement, threshold: float) -> Measurement:
    return replace(found, threshold=threshold)


def _of(said: LayerMeasurement, quantity: str, which: str) -> Scored:
    reading = said.read(quantity)
    return _with(reading.values[which], reading.generalisation[which] if reading.generalisation else None)


def _less(said: LayerMeasurement, quantity: str, drawn: str) -> Scored:
    """Dynamic less static."""
    values = said.read(quantity).values
    assert said.intervals is not None
    replicates = said.intervals.replicates
    limits = percentiles(replicates[f"{drawn}.dynamic"] - replicates[f"{drawn}.static"])
    return _with(values["dynamic"] - values["static"], limits)


def _with(value: float, limits: Interval | None) -> Scored:
    if limits is None:
        raise InputError("a test has no interval of what it says; show at least 8 videos, scenes, noises and blocks")
    return Scored(value, limits.low, limits.high)
