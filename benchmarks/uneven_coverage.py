"""How often intervals cover the truth where videos are unlike each other: heavy tails, unequal numbers, unequal spread.

    python -m benchmarks.uneven_coverage [--others] [--studies 500] [--processes 2] [--json FILE]

Prints the second table of docs/calibration.md, there of 2,000 studies; 500 of each take 2 minutes of one core. With
`--others` the designs are those that no constant of the intervals was chosen on. A layer's units are linear in latent
variables: some that dynamic pairs share, some that static pairs share, and noise. Each clip gives one pair of either
factor. What is true, of infinitely many videos, is computed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from sdbench.base.outputs import add_output, named_outputs, numbers, write_outputs
from sdbench.statistics import (
    CLASS_NAMES,
    SHARE_NAMES,
    Moments,
    intervals,
    moments,
    stack,
)
from sdbench.statistics.sums import FloatArray
from sdbench.statistics.variance_parts import TOO_LARGE, parts_of_variance

UNITS, LATENTS, CLIPS = 64, 12, 10
NOISE = 0.45
"""Standard deviation of what nothing shares."""

KEPT = 0.2
"""Part of the variance of what a pair does not share that its second member takes from the first all the same."""

VIDEOS = (8, 16, 64)
OTHER_VIDEOS = (16, 32, 64)

_GRID = np.linspace(-9, 9, 721)
"""Of a standard normal variable, fine enough for sums over it to be integrals."""


@dataclass(frozen=True)
class Design:
    """How videos differ.

    Attributes:
        alike: the part of the latents' variance that the clips of a video have in common.
        tails: degrees of freedom of Student's t that the videos' own latents follow; None for the normal distribution.
        lively: of a standard normal number for each video, how lively it is, which multiplies its units.
        counts: of the generator and how lively each video is, the number of its clips. It depends on the one or on the
            other.
        bend: what units pass through.
    """

    alike: float = 0.5
    tails: float | None = None
    lively: Callable[[FloatArray], FloatArray] = np.ones_like
    counts: Callable[[np.random.Generator, FloatArray], FloatArray] | None = None
    bend: Callable[[FloatArray], FloatArray] | None = None


def _few_and_many(generator: np.random.Generator, lively: FloatArray) -> FloatArray:
    return np.minimum(generator.zipf(1.6, len(lively)), 60)


def _more_of_the_lively(_generator: np.random.Generator, lively: FloatArray) -> FloatArray:
    return np.clip(np.round(CLIPS * lively), 1, 80)


def _geometric(generator: np.random.Generator, lively: FloatArray) -> FloatArray:
    return generator.geometric(1 / CLIPS, len(lively)).astype(np.float64)


def _lognormal(normal: FloatArray) -> FloatArray:
    return np.asarray(np.exp(0.8 * normal))


def _one_in_ten(normal: FloatArray) -> FloatArray:
    return np.where(normal > stats.norm.isf(0.1), 3.0, 1.0)


def _exponential(values: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(np.exp(values) - 1.5, 0))


def _squared(values: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(values, 0) ** 2)


DESIGNS = {
    "normal, equal": Design(),
    "heavy tails: t(3)": Design(alike=0.7, tails=3.0),
    "1 to 60 clips a video (Zipf), much alike": Design(alike=0.9, counts=_few_and_many),
    "some videos livelier (lognormal, 0.8)": Design(lively=_lognormal),
    "the same, and lively ones have more clips": Design(lively=_lognormal, counts=_more_of_the_lively),
    "skewed units": Design(bend=_exponential),
}
"""The constants of the intervals were chosen on these."""

OTHERS = {
    "heavy tails: t(5), clips much alike": Design(alike=0.9, tails=5.0),
    "heavy tails: t(3), 1 to many clips (geometric)": Design(alike=0.7, tails=3.0, counts=_geometric),
    "1 to many clips a video (geometric)": Design(alike=0.7, counts=_geometric),
    "one video in ten three times as lively": Design(lively=_one_in_ten),
    "units max(x, 0)²": Design(bend=_squared),
}
"""No constant was chosen on these."""

_EVERY = {**DESIGNS, **OTHERS}


def loadings(seed: int = 0) -> FloatArray:
    """(2, LATENTS, UNITS): how units weigh the dynamic and the static latents."""
    generator = np.random.default_rng(seed)
    of_units = np.sqrt(1.6 * generator.beta(1.2, 1.2, (2, 1, UNITS)))
    return np.asarray(generator.standard_normal((2, LATENTS, UNITS)) / np.sqrt(LATENTS) * of_units)


def study(design: Design, generator: np.random.Generator, videos: int, weights: FloatArray) -> list[Moments]:
    """The sums of each video of one simulated study."""
    lively = design.lively(generator.standard_normal(videos))
    counts = np.full(videos, CLIPS) if design.counts is None else design.counts(generator, lively).astype(int)
    owner = np.repeat(np.arange(videos), counts)
    if design.tails is None:
        own = generator.standard_normal((2, videos, LATENTS))
    else:
        own = generator.standard_t(design.tails, (2, videos, LATENTS)) / np.sqrt(design.tails / (design.tails - 2))

    def normal() -> FloatArray:
        return np.asarray(generator.standard_normal((len(owner), LATENTS)))

    dynamic, static = (np.sqrt(design.alike) * of[owner] + np.sqrt(1 - design.alike) * normal() for of in own)

    def other(latents: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(KEPT) * latents + np.sqrt(1 - KEPT) * normal())

    def units(dynamic: FloatArray, static: FloatArray) -> FloatArray:
        values = lively[owner, None] * (dynamic @ weights[0] + static @ weights[1])
        values = values + NOISE * generator.standard_normal(values.shape)
        return np.asarray(values if design.bend is None else design.bend(values))

    first = units(dynamic, static)
    partners = units(dynamic, other(static)), units(other(dynamic), static)
    ends = np.cumsum(counts)
    found = []
    for start, end in zip(ends - counts, ends, strict=True):
        rows = slice(start, end)
        one, two = np.concatenate([first[rows]] * 2), np.concatenate([partner[rows] for partner in partners])
        found.append(moments(one, two, np.repeat([0, 1], end - start)))
    return found


def true_values(design: Design, weights: FloatArray) -> FloatArray:
    """(7,) shares and unit classes of infinitely many videos, in percent."""
    dynamic, static = (weights**2).sum(axis=1)
    shared = np.stack([dynamic + np.sqrt(KEPT) * static, static + np.sqrt(KEPT) * dynamic])
    if design.bend is None:
        lively = _mean_square(design)
        covariance, variance = lively * shared, lively * (dynamic + static) + NOISE**2
    else:
        covariance, variance = _bent(design.bend, shared, dynamic + static + NOISE**2)
    powers = np.exp([*(covariance.sum(axis=1) / variance.sum()), 1.0])
    above = covariance / variance > 0.5
    classes = np.stack([above[0] & ~above[1], ~above[0] & above[1], above.all(axis=0), ~above.any(axis=0)])
    return np.concatenate([100 * powers / powers.sum(), 100 * classes.mean(axis=1)])


def _mean_square(design: Design) -> float:
    """The mean over clips of how lively their video is, squared."""
    normal = np.linspace(-9, 9, 200_001)
    lively = design.lively(normal)
    weight = np.exp(-(normal**2) / 2)
    if design.counts is not None:
        weight = weight * design.counts(np.random.default_rng(0), lively)
    return float(np.average(lively**2, weights=weight))


def _bent(
    bend: Callable[[FloatArray], FloatArray], shared: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(2, C) covariances and (C,) variance of bent units, from those of the normal variables behind them."""
    weight = np.exp(-(_GRID**2) / 2)
    weight /= weight.sum()
    spread = np.sqrt(variance)[:, None]
    one = bend(spread * _GRID)
    mean = one @ weight
    covariance = np.empty_like(shared)
    for factor, unit in np.ndindex(shared.shape):
        correlation = shared[factor, unit] / variance[unit]
        other = bend(spread[unit] * (correlation * _GRID[:, None] + np.sqrt(1 - correlation**2) * _GRID)) @ weight
        covariance[factor, unit] = one[unit] * weight @ other - mean[unit] ** 2
    return covariance, one**2 @ weight - mean**2


def coverage(name: str, videos: int, studies: int, seed: int = 0) -> dict[str, Any]:
    """How often intervals of one design hold the truth, of all studies and of those that are not warned of.

    Args:
        name: of the design.
        videos: of each study.
        studies: how many.
        seed: of all draws.
    """
    weights = loadings()
    right = true_values(_EVERY[name], weights)
    held = np.zeros((studies, len(right)), dtype=bool)
    below, above, largest = np.zeros(len(right)), np.zeros(len(right)), np.zeros(studies)
    for number in range(studies):
        generator = np.random.default_rng([seed, 2, list(_EVERY).index(name), videos, number])
        groups = study(_EVERY[name], generator, videos, weights)
        limits = intervals(groups, 0.5, generator, replicates=2)
        assert limits is not None
        both = [*limits.shares.values(), *(limits.classes[each] for each in CLASS_NAMES[:-1])]
        low, high = (np.array([getattr(each, end) for each in both]) for end in ("low", "high"))
        held[number] = (low <= right) & (right <= high)
        below, above = below + (right < low), above + (right > high)
        largest[number] = parts_of_variance(stack(groups)).max()
    calm = largest <= TOO_LARGE
    return {
        "design": name,
        "videos": videos,
        "studies": studies,
        "truth": right.tolist(),
        "covered": (100 * held.mean(axis=0)).tolist(),
        "true_below": (100 * below / studies).tolist(),
        "true_above": (100 * above / studies).tolist(),
        "warned": 100 * float(1 - calm.mean()),
        "covered_unwarned": (100 * held[calm].mean(axis=0)).tolist() if calm.any() else None,
        "largest_part": 100 * float(np.median(largest)),
    }


def _cell(values: Sequence[float] | None) -> str:
    return "-" if values is None else " ".join(f"{value:.0f}" for value in values)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: coverage of shares and of unit classes, and how many studies are warned of."""
    shares = len(SHARE_NAMES)
    lines = [
        "| videos differ by | videos | shares | unit classes | warned of, % | shares of the others |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        calm = row["covered_unwarned"]
        cells = [
            row["design"],
            str(row["videos"]),
            _cell(row["covered"][:shares]),
            _cell(row["covered"][shares:]),
            f"{row['warned']:.0f}",
            _cell(calm and calm[:shares]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _coverage_of(task: tuple[str, int], studies: int, seed: int) -> dict[str, Any]:
    return coverage(*task, studies=studies, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--others", action="store_true", help="the designs that no constant was chosen on")
    parser.add_argument("--only", action="append", choices=_EVERY, help="repeatable")
    add_output(parser, "--json", "json", "where the rows go (default: reports/uneven_coverage.json)")
    given = parser.parse_args()
    names = given.only or list(OTHERS if given.others else DESIGNS)
    with ProcessPoolExecutor(given.processes) as pool:
        tasks = [(name, videos) for name in names for videos in (OTHER_VIDEOS if given.others else VIDEOS)]
        rows = list(pool.map(partial(_coverage_of, studies=given.studies, seed=given.seed), tasks))
    with named_outputs(given):
        write_outputs((given.json or Path("reports/uneven_coverage.json"), numbers(rows)))
        print(table(rows))


if __name__ == "__main__":
    main()
