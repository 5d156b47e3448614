"""Parts of a layer's variance: what appearance alone explains, what motion alone, and what only both together.

Where two appearances A, A' are crossed with two motions M, M', all four drawn independently, a unit's variance has
three parts and no more (the analysis of variance of a function of two independent inputs):

    V = V_appearance + V_motion + V_both

with V_appearance = Var(E[f | A]), V_motion = Var(E[f | M]), and V_both the rest, which no sum of a function of A and
one of M can give. The first two over V are Sobol' indices of the first order (Sobol' 1993). From the four values of a
scene, f11 = f(A, M), f21 = f(A', M), f12 = f(A, M'), f22 = f(A', M'), each part is estimated by one product of
differences:

    motion      (f11 - f12) (f21 - f22) / 2
    appearance  (f11 - f21) (f12 - f22) / 2
    both        (f11 - f21 - f12 + f22)**2 / 4

- *Each is unbiased.* Two values of one appearance or of one motion have the covariance of that part, two of neither
  have none: E[f11 f21] = V_motion + m**2, E[f11 f12] = V_appearance + m**2, E[f11 f22] = m**2, E[f11**2] = V + m**2.
  The expectation of the first product is then (2 (V_motion + m**2) - 2 m**2) / 2 = V_motion, that of the second
  likewise, and that of the third (4 (V + m**2) - 4 (V_motion + m**2) - 4 (V_appearance + m**2) + 4 m**2) / 4 = V_both.
  No mean over scenes is subtracted, so that few scenes bias nothing.
- *They add up exactly, not only on average.* Multiplied out, the three have the sum ((f11 - f22)**2 + (f21 - f12)**2) /
  4 whatever the four values are: the coefficient of each square is 0 + 0 + 1/4, that of f11 f21 is 1/2 + 0 - 1/2 = 0,
  that of f11 f12 is 0 + 1/2 - 1/2 = 0, that of f11 f22 is -1/2 - 1/2 + 1/2 = -1/2; the others follow by exchanging A
  with A'. Its expectation is V, and V is estimated by it. So the parts over it add up to 1 in any data.
- *What is not there is 0.* A unit to which motion does nothing has f11 = f12 and f21 = f22: its part of motion is 0 to
  the last bit. That is why products of differences are taken, and not of deviations from a mean (see Owen, "Better
  Estimation of Small Sobol' Sensitivity Indices", 2013).

A layer's parts are the sums of its units' parts over the sum of their variances (for vectors: Lamboni et al. 2011,
Gamboa et al. 2014). Channels that are rescaled count more there; so the mean of the units' own parts stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sdbench.base.errors import InputError
from sdbench.statistics.jackknife import jackknifed, limits_of, reaches
from sdbench.statistics.resampling import FEWEST_GROUPS, Interval
from sdbench.statistics.sums import Crossed, FloatArray, merge_crossed

PART_NAMES = ("appearance", "motion", "both")
"""The parts of variance, in the order of all arrays of them."""

FACTOR_PARTS = PART_NAMES[:2]
"""Those that one factor alone explains: chance levels are theirs."""

_ROUNDING = 1e-13
"""A unit whose variance is below this fraction of its mean square is dead: float32 itself is as uneven as 1e-14 of it.
What is left of a unit's variance without a block is nothing where it is below this fraction of the whole."""


@dataclass(frozen=True)
class Variance:
    """The parts of a layer's variance, in percent.

    Attributes:
        parts: what "appearance" alone explains, what "motion" alone, and what only "both" together; they add up to 100.
            An estimate of a part that is 0 may lie a little below 0.
        intervals: their 95 % intervals; None where there are fewer than `FEWEST_GROUPS` resampling blocks.
        by_unit: the same three with every unit counted alike: means of the units' own parts.
        by_unit_intervals: of these.
        chance: what "appearance" and "motion" come to where partners are exchanged between scenes, so that pairs share
            nothing: 0, but for chance. None where no part had two scenes.
        chance_intervals: of these.
        unit_parts: for each of the three names the (C,) parts of each unit, in percent; NaN where a unit is dead.
        without: (G, 3) `parts` with each block left out; None where there are no intervals.
    """

    parts: dict[str, float]
    intervals: dict[str, Interval] | None
    by_unit: dict[str, float]
    by_unit_intervals: dict[str, Interval] | None
    chance: dict[str, float] | None
    chance_intervals: dict[str, Interval] | None
    unit_parts: dict[str, FloatArray] = field(repr=False, compare=False)
    without: FloatArray | None = field(default=None, repr=False, compare=False)

    @property
    def disagreeing(self) -> tuple[str, ...]:
        """The parts whose interval has nothing in common with that of every unit counted alike."""
        if self.intervals is None or self.by_unit_intervals is None:
            return ()
        return tuple(
            name
            for name in PART_NAMES
            if self.intervals[name].low > self.by_unit_intervals[name].high
            or self.intervals[name].high < self.by_unit_intervals[name].low
        )


def variance_of(runs: Sequence[Sequence[Crossed]]) -> Variance:
    """The parts of variance of a layer from the sums of each resampling block.

    Args:
        runs: the blocks of each run, of which there are several where several networks were shown the same: values are
            then means over them, and a block is left out of all at once.

    Raises:
        InputError: no unit changes from clip to clip, or the runs have different numbers of blocks.
    """
    counts = {len(run) for run in runs}
    if len(counts) != 1:
        raise InputError(f"runs that were shown the same have as many blocks; got {sorted(counts)}")
    found = [_Ratios(run) for run in runs]
    everything = np.mean([ratios.everything for ratios in found], axis=0)
    units = np.concatenate([ratios.units for ratios in found], axis=1)
    plain = dict(zip(_COLUMNS, everything.tolist(), strict=True))
    limits, without = None, None
    if counts.pop() >= FEWEST_GROUPS:
        left = np.mean([ratios.without() for ratios in found], axis=0)
        if np.isfinite(left[:, : 2 * len(PART_NAMES)]).all():
            ends = [limits_of(everything[kind], left[:, kind]) for kind in _KINDS]
            limits = {
                name: Interval(float(low), float(high))
                for name, low, high in zip(_COLUMNS, *np.concatenate(ends, axis=1), strict=True)
            }
            without = left[:, : len(PART_NAMES)]
    has_chance = np.isfinite(everything[-len(FACTOR_PARTS) :]).all()

    def named(kind: str, names: Sequence[str], values: dict[str, Interval]) -> dict[str, Interval]:
        return {name: values[f"{kind}.{name}"] for name in names}

    chance_limits = None if limits is None or not has_chance else named("chance", FACTOR_PARTS, limits)
    if chance_limits is not None and not all(np.isfinite([i.low, i.high]).all() for i in chance_limits.values()):
        chance_limits = None
    return Variance(
        parts={name: plain[f"layer.{name}"] for name in PART_NAMES},
        intervals=None if limits is None else named("layer", PART_NAMES, limits),
        by_unit={name: plain[f"unit.{name}"] for name in PART_NAMES},
        by_unit_intervals=None if limits is None else named("unit", PART_NAMES, limits),
        chance={name: plain[f"chance.{name}"] for name in FACTOR_PARTS} if has_chance else None,
        chance_intervals=chance_limits,
        unit_parts=dict(zip(PART_NAMES, units, strict=True)),
        without=without,
    )


_COLUMNS = (
    *(f"layer.{name}" for name in PART_NAMES),
    *(f"unit.{name}" for name in PART_NAMES),
    *(f"chance.{name}" for name in FACTOR_PARTS),
)


_KINDS = (slice(0, 3), slice(3, 6), slice(6, 8))
"""Of the columns: of the layer, of its units counted alike, of chance."""


class _Ratios:
    """All percentages of one run: from all of its blocks, and with each left out."""

    def __init__(self, blocks: Sequence[Crossed]) -> None:
        self.blocks = blocks
        self.whole = merge_crossed(blocks)
        variance = self.whole.parts.sum(axis=0)
        self.alive = variance > _ROUNDING * self.whole.square
        self.least = _ROUNDING * variance[self.alive]
        if not self.alive.any():
            raise InputError(
                f"none of the {len(variance)} units changes from clip to clip, so nothing can be measured; check that "
                "the clips differ and that the network's weights are loaded"
            )
        self.everything = self._percent(self.whole.parts, self.whole.swapped, self.whole.quads, self.whole.swaps)
        self.units = np.full(self.whole.parts.shape, np.nan)
        self.units[:, self.alive] = 100 * self.whole.parts[:, self.alive] / variance[self.alive]

    def without(self) -> FloatArray:
        """(G, K): the same as `everything` with each block left out."""
        return np.stack(
            [
                self._percent(
                    self.whole.parts - block.parts,
                    self.whole.swapped - block.swapped,
                    self.whole.quads - block.quads,
                    self.whole.swaps - block.swaps,
                )
                for block in self.blocks
            ]
        )

    def _percent(self, parts: FloatArray, swapped: FloatArray, quads: int, swaps: int) -> FloatArray:
        """In the order of `_COLUMNS`, from sums (3, C) and (2, C) over so many."""
        with np.errstate(divide="ignore", invalid="ignore"):
            alive = parts[:, self.alive]
            variance = alive.sum(axis=0)
            layer = alive.sum(axis=1) / variance.sum()
            varies = variance > self.least
            units = (alive[:, varies] / variance[varies]).sum(axis=1) / np.count_nonzero(varies)
            chance = swapped[:, self.alive].sum(axis=1) / np.float64(swaps) / (variance.sum() / quads)
        return 100 * np.concatenate([layer, units, chance])


def simultaneous(centres: FloatArray, withouts: Sequence[FloatArray], level: float = 0.95) -> FloatArray:
    """Half widths of intervals of many estimates that all hold at once, with probability `level`.

    The largest of the studentised errors of all estimates is looked at (max-t). How they come and go together is known
    from the jackknife: each block's influences on all estimates, in random proportions, are errors as another sample of
    blocks would have them. The quantile is widened for few blocks as that of a single interval is, to both sides as to
    its wider one.

    Args:
        centres: (K,) the estimates.
        withouts: for some of the estimates at a time, in their order, (G, k) with each block left out.
        level: coverage that is aimed at.
    """
    left = np.concatenate(withouts, axis=1)
    count = len(left)
    _, error = jackknifed(centres, left)
    influence = left - left.mean(axis=0)
    size = np.sqrt(np.square(influence).sum(axis=0))
    sure = size > 0
    if not sure.any():
        return np.zeros_like(centres)
    generator = np.random.Generator(np.random.PCG64(0))
    largest = np.empty(_DRAWS)
    scaled = influence[:, sure] / size[sure]
    for start in range(0, _DRAWS, _DRAWS_AT_ONCE):
        draws = generator.standard_normal((_DRAWS_AT_ONCE, count)) @ scaled
        largest[start : start + _DRAWS_AT_ONCE] = np.abs(draws).max(axis=1)
    single = float(np.quantile(np.abs(generator.standard_normal(_DRAWS)), level))
    factor = max(1.0, float(np.quantile(largest, level)) / single)
    reach = np.concatenate([np.maximum(*reaches(each.mean(axis=0) - each, level)) for each in withouts])
    return np.asarray(factor * reach * error)


_DRAWS = 20_000
_DRAWS_AT_ONCE = 1_000
"""Random proportions behind a quantile: its own error is below 1 %."""
