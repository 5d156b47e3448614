"""95 % intervals by resampling whole videos.

Clips of one video resemble each other, so rows cannot be resampled as if they were independent: the resampling unit is
a video (or a shot, where videos are few), and all its pairs come or go together. Because the sums of `Moments` are
additive, a replicate is a weighted sum over groups and costs no second look at the data.

- Shares are smooth in the sums: the jackknife over groups gives the standard error and the bias that few videos cause
  (between-video covariance is underestimated by 1/G); the interval is centred on the bias-corrected value, and reaches
  further to the side of the long tail (`sdbench.statistics.jackknife`).
- Counts of units above a threshold are biased by the noise of every unit's score: the interval is centred on the count
  with that bias taken away (`sdbench.statistics.counting`), which is not the estimate, and may leave it outside. What
  is taken away is as uncertain as the noise's estimate, and that is added to the standard error.

Both use Student's t, with fewer degrees of freedom the fewer groups decide: at most G - 1. How often the intervals
cover the truth is measured in docs/calibration.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial

import numpy as np

from sdbench.statistics.counting import MOVES, count_classes
from sdbench.statistics.estimating import CLASS_NAMES, ROUNDING, SHARE_NAMES, Summary, summarise
from sdbench.statistics.jackknife import limits_of, widening
from sdbench.statistics.resampling import Interval, bootstrap_weights
from sdbench.statistics.sums import FloatArray, Moments, Stack, stack

_REPLICATES = 1000

_ROWS_AT_ONCE = 16
"""Replicates summarised together: so many stay in a processor's cache."""

_PRODUCTS_AT_ONCE = 256
"""Replicates whose sums are taken in one product of matrices: bounds the memory."""

_SURELY = 10.0
"""Times `ROUNDING`: a variance above this is one whatever the rounding of weighted sums."""


@dataclass(frozen=True)
class Intervals:
    """The 95 % intervals of one layer and the bootstrap replicates behind comparisons of layers.

    Attributes:
        shares: interval of each share in percent.
        published_percent: interval of each share as the paper prints it.
        classes: interval of the percentage of units in each class.
        groups: number of resampling units G.
        without: (G, 3) the shares in percent with each group left out, in the order of `SHARE_NAMES`: what differences
            of layers are made of, see `sdbench.statistics.jackknife`.
        counted: (5,) percent of the units in each of `CLASS_NAMES` with the noise's bias taken away, not clipped.
        moved: (2 M, 5) by how much these would move with other videos: what differences of unit classes are made of.
            Layers that were given the same draws move together.
        freedom: degrees of freedom of the standard errors of unit classes.
    """

    shares: dict[str, Interval]
    published_percent: dict[str, Interval]
    classes: dict[str, Interval]
    groups: int
    without: FloatArray = field(repr=False, compare=False)
    counted: FloatArray = field(repr=False, compare=False)
    moved: FloatArray = field(repr=False, compare=False)
    freedom: float = field(repr=False, compare=False)
    _resample: Callable[[], dict[str, FloatArray]] = field(repr=False, compare=False)

    @cached_property
    def replicates(self) -> dict[str, FloatArray]:
        """Bootstrap replicates, "share.dynamic" or "units.joint" -> (B,) values.

        Replicate b weights the same groups in every layer that was given the same draws, so differences of layers can
        be formed. They take longer than the intervals and are made when they are first asked for.
        """
        return self._resample()


@dataclass(frozen=True)
class Draws:
    """The random draws behind the intervals of layers with G groups; layers that are given the same compare.

    Attributes:
        weights: (B, G) how often each group is in each bootstrap replicate.
        moves: (M, G) how much each group moves the scores when units are counted.
    """

    weights: FloatArray
    moves: FloatArray


def draw(groups: int, generator: np.random.Generator, replicates: int = _REPLICATES) -> Draws | None:
    """Make the draws for layers of so many groups; None where there are fewer than `FEWEST_GROUPS`."""
    weights = bootstrap_weights(groups, generator, replicates)
    return None if weights is None else Draws(weights, generator.standard_normal((MOVES, groups)))


def intervals(
    groups: Sequence[Moments],
    threshold: float,
    generator: np.random.Generator,
    replicates: int = _REPLICATES,
    level: float = 0.95,
) -> Intervals | None:
    """Intervals of a layer's shares and unit classes from the sums of each resampling unit.

    Args:
        groups: the sums of the pairs of each video (or shot).
        threshold: as for `estimate`.
        generator: source of the bootstrap's random weights and of the moves that unit classes are counted under.
        replicates: number of bootstrap replicates B.
        level: coverage that is aimed at.

    Returns:
        None where there are fewer than `FEWEST_GROUPS` groups, or where leaving one group out leaves fewer than two
        pairs of a factor: a number without an interval is then all that the data give.
    """
    draws = draw(len(groups), generator, replicates)
    return None if draws is None else intervals_by(draws, groups, stack(groups), threshold, level)


def intervals_by(
    draws: Draws, groups: Sequence[Moments], stacked: Stack, threshold: float, level: float = 0.95
) -> Intervals | None:
    """The same from draws that were made, and sums that were stacked, before.

    Args:
        draws: for as many groups.
        groups: their sums; kept for the replicates.
        stacked: the same.
        threshold: as for `estimate`.
        level: coverage that is aimed at.
    """
    count, pairs = len(groups), stacked.pairs
    if (pairs.sum(axis=0) - pairs < 2).any():
        return None
    whole = stacked.merged()
    everything = summarise(whole.pairs, whole.origin, whole.total, whole.square, whole.product, threshold)
    without = without_each(stacked, threshold)
    weights = draws.weights[((draws.weights @ pairs) >= 2).all(axis=1)]

    low, high = limits_of(everything.shares, without.shares, level)
    shares = _named(SHARE_NAMES, low, high)
    # The cut to whole units moves a share by less than two units and is the same in every replicate's neighbourhood:
    # the published percentages take the shares' interval, moved by what the cut does to the estimate itself.
    cut = 100 * everything.dimensions / whole.units - everything.shares
    published = _named(SHARE_NAMES, low + cut, high + cut)
    resample = partial(_replicates, groups, weights, threshold)

    counted, spread = everything.classes.copy(), np.zeros(len(CLASS_NAMES))
    moved = np.zeros((2 * len(draws.moves), len(CLASS_NAMES)))
    freedom = float(count - 1)
    alive = np.isfinite(everything.scores).all(axis=0)
    if alive.any():
        scores, left = everything.scores, without.scores
        if not alive.all():
            scores, left = scores[:, alive], left[:, :, alive]
        found = count_classes(scores, left, pairs, threshold, draws.moves)
        counted[:-1], moved[:, :-1] = alive.mean() * found.percent, alive.mean() * found.moved
        freedom = found.freedom
        # The bias that was taken away goes with the noise's variance, whose estimate has this relative error.
        spread = np.hypot(moved.std(axis=0, ddof=1), (counted - everything.classes) * np.sqrt(2 / freedom))
        spread[-1] = _dead_units(stacked, weights).std(ddof=1) * 100 / whole.units
    else:
        spread = np.nanstd([values for name, values in resample().items() if name.startswith("units.")], axis=1, ddof=1)
    reach = widening(count, level, freedom) * spread
    reach[-1] = widening(count, level) * spread[-1]
    classes = _named(CLASS_NAMES, counted - reach, counted + reach)
    return Intervals(shares, published, classes, count, without.shares, counted, moved, freedom, resample)


def without_each(stacked: Stack, threshold: float) -> Summary:
    """The estimator with each group left out: a stack of G."""
    pairs = stacked.pairs.sum(axis=0) - stacked.pairs
    sums = [_sums_without(values) for values in (stacked.total, stacked.square, stacked.product)]
    return _joined(list(_summaries(pairs, stacked.origin, sums, threshold)))


def _summaries(
    pairs: FloatArray, origin: FloatArray, sums: Sequence[FloatArray], threshold: float
) -> Iterator[Summary]:
    """The estimator on stacked sums, some at once."""
    for start in range(0, len(pairs), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        total, square, product = (values[rows] for values in sums)
        yield summarise(pairs[rows], origin, total, square, product, threshold)


def _sums_without(values: FloatArray) -> FloatArray:
    """(G, ...): the sum over all of `values` (G, ...) but each.

    What comes before is added to what comes after: taking each from the sum of all would leave nothing but rounding
    where one of them is nearly all.
    """
    rest = np.empty_like(values)
    rest[-1] = 0
    for number in range(len(values) - 1, 0, -1):
        np.add(rest[number], values[number], out=rest[number - 1])
    before = np.zeros_like(values[0])
    for number in range(1, len(values)):
        before += values[number - 1]
        rest[number] += before
    return rest


def _replicates(groups: Sequence[Moments], weights: FloatArray, threshold: float) -> dict[str, FloatArray]:
    """The estimator on the groups' sums weighted by each row of `weights` (B, G), by the names of `Intervals`."""
    stacked = stack(groups)
    flat = [values.reshape(len(groups), -1) for values in (stacked.total, stacked.square, stacked.product)]
    pieces = []
    for start in range(0, len(weights), _PRODUCTS_AT_ONCE):
        rows = weights[start : start + _PRODUCTS_AT_ONCE]
        sums = [(rows @ values).reshape(len(rows), *stacked.origin.shape) for values in flat]
        for piece in _summaries(rows @ stacked.pairs, stacked.origin, sums, threshold):
            pieces.append(replace(piece, scores=piece.scores[:0]))
    drawn = _joined(pieces)
    columns = {f"share.{name}": drawn.shares[:, i] for i, name in enumerate(SHARE_NAMES)}
    return columns | {f"units.{name}": drawn.classes[:, i] for i, name in enumerate(CLASS_NAMES)}


def _dead_units(stacked: Stack, weights: FloatArray) -> FloatArray:
    """(B,) how many units are dead when the groups are weighted by each row of `weights` (B, G).

    A unit that varies within every group varies in every replicate, by no less than in the group where it varies least:
    only the others have to be looked at.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        members = 2.0 * stacked.pairs[..., None]
        mean_square = stacked.square / members
        variance = stacked.total / members
        np.square(variance, out=variance)
        np.subtract(mean_square, variance, out=variance)
    # A group without pairs of a factor has NaN there, which fmin and fmax pass over.
    sure = np.fmin.reduce(variance) > _SURELY * ROUNDING * np.fmax.reduce(mean_square)
    looked_at = np.flatnonzero(~sure.all(axis=0))
    dead = np.zeros(len(weights))
    if not looked_at.size:
        return dead
    total, square = (np.ascontiguousarray(v[..., looked_at]) for v in (stacked.total, stacked.square))
    for start in range(0, len(weights), _ROWS_AT_ONCE):
        rows = weights[start : start + _ROWS_AT_ONCE]
        members = 2.0 * (rows @ stacked.pairs)[..., None]
        mean, mean_square = (np.tensordot(rows, values, axes=1) / members for values in (total, square))
        none_varies = mean_square - mean**2 <= ROUNDING * mean_square
        dead[start : start + len(rows)] = np.count_nonzero(none_varies.any(axis=1), axis=1)
    return dead


def _joined(pieces: Sequence[Summary]) -> Summary:
    return Summary(
        **{field.name: np.concatenate([getattr(p, field.name) for p in pieces]) for field in fields(Summary)}
    )


def _named(names: Sequence[str], low: FloatArray, high: FloatArray) -> dict[str, Interval]:
    low, high = np.clip(low, 0, 100), np.clip(high, 0, 100)
    return {name: Interval(float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}
