"""How often intervals cover the truth where videos are unlike each other: heavy tails, unequal numbers, unequal spread.

    python -m benchmarks.uneven_coverage [--studies 500] [--processes 2] [--json reports/uneven_coverage.json]

Prints the second table of docs/calibration.md: 500 studies of each design, 2 minutes of one core. A layer's units
are linear in latent variables: some that dynamic pairs share, some that static pairs share, and noise. Each clip gives
one pair of either factor. What is true is taken from one study of 30,000 videos.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sdbench.base.outputs import add_output, named_outputs, numbers, write_outputs
from sdbench.statistics import (
    CLASS_NAMES,
    SHARE_NAMES,
    Moments,
    estimate_from_moments,
    intervals,
    merge,
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
TRUE_VIDEOS = 30_000
_VIDEOS_AT_ONCE = 1000


@dataclass(frozen=True)
class Design:
    """How videos differ.

    Attributes:
        alike: the part of the latents' variance that the clips of a video have in common.
        tails: degrees of freedom of Student's t that the videos' own latents follow; None for the normal distribution.
        spread: standard deviation of the logarithm of how lively a video is, which multiplies its units.
        counts: of the generator and how lively each video is, the number of its clips.
        skewed: whether units pass through max(exp(x) - 1.5, 0).
    """

    alike: float = 0.5
    tails: float | None = None
    spread: float = 0.0
    counts: Callable[[np.random.Generator, FloatArray], FloatArray] | None = None
    skewed: bool = False


def _few_and_many(generator: np.random.Generator, lively: FloatArray) -> FloatArray:
    return np.minimum(generator.zipf(1.6, len(lively)), 60)


def _more_of_the_lively(_generator: np.random.Generator, lively: FloatArray) -> FloatArray:
    return np.clip(np.round(CLIPS * lively), 1, 80)


DESIGNS = {
    "normal, equal": Design(),
    "heavy tails: t(3)": Design(alike=0.7, tails=3.0),
    "1 to 60 clips a video (Zipf), much alike": Design(alike=0.9, counts=_few_and_many),
    "some videos livelier (lognormal, 0.8)": Design(spread=0.8),
    "the same, and lively ones have more clips": Design(spread=0.8, counts=_more_of_the_lively),
    "skewed units": Design(skewed=True),
}


def loadings(seed: int = 0) -> FloatArray:
    """(2, LATENTS, UNITS): how units weigh the dynamic and the static latents."""
    generator = np.random.default_rng(seed)
    of_units = np.sqrt(1.6 * generator.beta(1.2, 1.2, (2, 1, UNITS)))
    return np.asarray(generator.standard_normal((2, LATENTS, UNITS)) / np.sqrt(LATENTS) * of_units)


def study(design: Design, generator: np.random.Generator, videos: int, weights: FloatArray) -> list[Moments]:
    """The sums of each video of one simulated study."""
    lively = np.exp(design.spread * generator.standard_normal(videos))
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
        return np.asarray(np.maximum(np.exp(values) - 1.5, 0) if design.skewed else values)

    first = units(dynamic, static)
    partners = units(dynamic, other(static)), units(other(dynamic), static)
    ends = np.cumsum(counts)
    found = []
    for start, end in zip(ends - counts, ends, strict=True):
        rows = slice(start, end)
        one, two = np.concatenate([first[rows]] * 2), np.concatenate([partner[rows] for partner in partners])
        found.append(moments(one, two, np.repeat([0, 1], end - start)))
    return found


def true_values(design: Design, weights: FloatArray, seed: int, videos: int = TRUE_VIDEOS) -> FloatArray:
    """(7,) shares and unit classes of so many videos, in percent."""
    generator = np.random.default_rng([seed, 1])
    sums = [
        merge(study(design, generator, min(_VIDEOS_AT_ONCE, videos - start), weights))
        for start in range(0, videos, _VIDEOS_AT_ONCE)
    ]
    found = estimate_from_moments(merge(sums), 0.5)
    return np.array([*found.shares.values(), *(100 * found.unit_classes[name] / UNITS for name in CLASS_NAMES[:-1])])


def coverage(name: str, videos: int, right: FloatArray, studies: int, seed: int = 0) -> dict[str, Any]:
    """How often intervals of one design hold the truth, of all studies and of those that are not warned of.

    Args:
        name: of the design.
        videos: of each study.
        right: what is true: see `true_values`.
        studies: how many.
        seed: of all draws.
    """
    weights = loadings()
    held = np.zeros((studies, len(right)), dtype=bool)
    below, above, largest = np.zeros(len(right)), np.zeros(len(right)), np.zeros(studies)
    for number in range(studies):
        generator = np.random.default_rng([seed, 2, list(DESIGNS).index(name), videos, number])
        groups = study(DESIGNS[name], generator, videos, weights)
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


def _truths(names: Sequence[str], pool: ProcessPoolExecutor, seed: int) -> Iterator[FloatArray]:
    return pool.map(partial(_truth_of, seed=seed), names)


def _truth_of(name: str, seed: int) -> FloatArray:
    return true_values(DESIGNS[name], loadings(), seed)


def _coverage_of(task: tuple[str, int, FloatArray], studies: int, seed: int) -> dict[str, Any]:
    return coverage(*task, studies=studies, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=DESIGNS, help="repeatable")
    add_output(parser, "--json", "json", "where the rows go (default: reports/uneven_coverage.json)")
    given = parser.parse_args()
    names = given.only or list(DESIGNS)
    with ProcessPoolExecutor(given.processes) as pool:
        truths = dict(zip(names, _truths(names, pool, given.seed), strict=True))
        tasks = [(name, videos, truths[name]) for name in names for videos in VIDEOS]
        rows = list(pool.map(partial(_coverage_of, studies=given.studies, seed=given.seed), tasks))
    with named_outputs(given):
        write_outputs((given.json or Path("reports/uneven_coverage.json"), numbers(rows)))
        print(table(rows))


if __name__ == "__main__":
    main()
