"""How often intervals cover the truth, how wide and how biased they are: studies simulated by the hundred."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.known_layers import PARTS, Population, simulated_study, truth
from sdbench.statistics import CLASS_NAMES, FACTORS, SHARE_NAMES, estimate_from_moments, intervals, merge
from sdbench.statistics.sums import FloatArray

QUANTITIES = (*(f"share.{name}" for name in SHARE_NAMES), *(f"units.{name}" for name in CLASS_NAMES if name != "dead"))
"""What intervals are held against the truth: "share.static", "units.joint", ..."""


@dataclass(frozen=True)
class Coverage:
    """What many studies of one population came to; dictionaries are by `QUANTITIES`, in percent or points.

    Attributes:
        truth: the true value.
        covered: percent of the studies whose interval holds it.
        half_width: mean half width of the interval.
        bias: mean of the estimate less the truth; `error` is this mean's own standard error.
        score_bias: mean over studies and units of score less true score, in points, by factor.
    """

    truth: dict[str, float]
    covered: dict[str, float]
    half_width: dict[str, float]
    bias: dict[str, float]
    error: dict[str, float]
    score_bias: dict[str, float]


def coverage_of(
    population: Population, generator: np.random.Generator, videos: int, clips: int, studies: int, replicates: int = 2
) -> Coverage:
    """Simulate studies of a population and hold their intervals against the truth.

    Args:
        population: the layer.
        generator: source of every draw.
        videos: number of videos of each study, at least 8.
        clips: number of clips of each video.
        studies: how many.
        replicates: bootstrap replicates; the intervals themselves need none, so two are enough.
    """
    known = truth(population)
    right = np.array([*known.shares.values(), *(known.classes[name] for name in CLASS_NAMES[:-1])])
    values, low, high = np.empty((3, studies, len(QUANTITIES)))
    scores = np.zeros(len(FACTORS))
    for number in range(studies):
        groups = simulated_study(population, generator, videos, clips)
        found = estimate_from_moments(merge(groups))
        limits = intervals(groups, found.threshold, generator, replicates)
        assert limits is not None
        both = [*limits.shares.values(), *(limits.classes[name] for name in CLASS_NAMES[:-1])]
        low[number], high[number] = [i.low for i in both], [i.high for i in both]
        counts = [100 * found.unit_classes[name] / population.units for name in CLASS_NAMES[:-1]]
        values[number] = [*found.shares.values(), *counts]
        scores += [100 * float(np.mean(found.unit_scores[f] - t)) for f, t in zip(FACTORS, known.scores, strict=True)]

    def named(column: FloatArray) -> dict[str, float]:
        return dict(zip(QUANTITIES, column.tolist(), strict=True))

    return Coverage(
        truth=named(right),
        covered=named(100 * ((low <= right) & (right <= high)).mean(axis=0)),
        half_width=named((high - low).mean(axis=0) / 2),
        bias=named(values.mean(axis=0) - right),
        error=named(values.std(axis=0, ddof=1) / np.sqrt(studies)),
        score_bias=dict(zip(FACTORS, (scores / studies).tolist(), strict=True)),
    )


def mixed(
    generator: np.random.Generator,
    units: int,
    sources: int | None,
    weights: Sequence[float] = (1.2, 2.0, 1.0, 1.5),
    spread: float = 0.5,
    between: float = 0.5,
    skewed: bool = False,
) -> Population:
    """A layer whose units divide their variance over the four parts at random.

    Args:
        generator: source of the draws.
        units: C.
        sources: independent sources Q of each part; None for C of them, one a unit.
        weights: of Dirichlet's distribution over dynamic, static, joint, residual; below 1 units specialise.
        spread: standard deviation of the logarithm of the units' total variances.
        between: as for `Population`.
        skewed: as for `Population`.
    """
    variances = generator.dirichlet(weights, size=units).T
    return _population(generator, variances, sources, spread, between, skewed)


def near_the_threshold(generator: np.random.Generator, units: int, sources: int | None, distance: float) -> Population:
    """A layer whose units have one score within about `distance` of the threshold 0.5, the other anywhere below."""
    score = np.clip(generator.normal(0.5, distance, units), 0.02, 0.98)
    other = (1 - score) * generator.uniform(0.2, 1.0, units)
    swapped = generator.random(units) < 0.5
    dynamic, static = np.where(swapped, other, score), np.where(swapped, score, other)
    variances = np.stack([dynamic, static, np.zeros(units), 1 - dynamic - static])
    return _population(generator, variances, sources, 0.5, 0.5, skewed=False)


def _population(
    generator: np.random.Generator,
    variances: FloatArray,
    sources: int | None,
    spread: float,
    between: float,
    skewed: bool,
) -> Population:
    units = variances.shape[1]
    scaled = variances * np.exp(spread * generator.standard_normal(units))
    mixing = None
    if sources is not None:
        mixing = generator.standard_normal((len(PARTS), units, sources))
        mixing = mixing / np.linalg.norm(mixing, axis=2, keepdims=True)
    return Population(scaled, between, mixing, skewed)


LAYERS: dict[str, Callable[[np.random.Generator], Population]] = {
    "mixed, 64 units": lambda g: mixed(g, 64, 16),
    "mixed, 256 units": lambda g: mixed(g, 256, 48),
    "mixed, 512 units": lambda g: mixed(g, 512, 128),
    "mostly static": lambda g: mixed(g, 256, 32, (0.8, 3.0, 0.8, 1.5)),
    "few residual": lambda g: mixed(g, 256, 32, (0.5, 1.0, 2.0, 0.5)),
    "many near the threshold": lambda g: near_the_threshold(g, 256, 32, 0.12),
    "all near the threshold": lambda g: near_the_threshold(g, 256, 32, 0.05),
    "specialised units": lambda g: mixed(g, 256, 32, (0.5, 0.9, 0.3, 0.6)),
    "specialised, 512 units": lambda g: mixed(g, 512, 128, (0.5, 0.9, 0.3, 0.6)),
    "unlike scales": lambda g: mixed(g, 256, 32, spread=1.5),
    "long tails": lambda g: mixed(g, 256, 32, skewed=True),
    "clips of a video little alike": lambda g: mixed(g, 256, 32, between=0.2),
    "clips of a video much alike": lambda g: mixed(g, 256, 32, between=0.8),
    "few sources": lambda g: mixed(g, 256, 8),
    "independent units": lambda g: mixed(g, 256, None),
}
"""The layers that intervals are tried on, from the easy to the hard."""
