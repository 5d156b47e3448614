"""The jackknife: from an estimate and the same with each group left out, its interval, and that of a difference.

A difference of two layers that were shown the same is taken group by group before it is resampled: what a group does to
both alike then takes itself away, and the interval is as narrow as the difference is certain.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from sdbench.statistics.resampling import Interval
from sdbench.statistics.sums import FloatArray

LEVEL = 0.95
"""Coverage that is aimed at."""


def jackknifed(everything: FloatArray, without: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The bias-corrected estimates and their standard errors.

    Args:
        everything: (K,) estimates from all groups.
        without: (G, K) the same with each group left out.
    """
    count = len(without)
    mean_without = without.mean(axis=0)
    centre = count * everything - (count - 1) * mean_without
    error = np.sqrt((count - 1) / count * ((without - mean_without) ** 2).sum(axis=0))
    return centre, error


def widening(count: int, level: float = LEVEL) -> float:
    """How many standard errors an interval from G groups reaches to either side; see `sdbench.statistics.uncertainty`.

    Student's t with G - 1 degrees of freedom, times what the correction of a bias costs.
    """
    return float(stdtrit(count - 1, (1 + level) / 2) * np.sqrt(count / (count - 1)))


def paired_difference(
    one: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray], level: float = LEVEL
) -> list[Interval]:
    """Intervals of the differences of K estimates that rest on the same G groups, in the same order.

    Args:
        one: (K,) estimates from all groups and (G, K) with each left out.
        other: the same of what is subtracted.
        level: coverage that is aimed at.
    """
    centre, error = jackknifed(one[0] - other[0], one[1] - other[1])
    return _intervals(centre, widening(len(one[1]), level) * error)


def unpaired_difference(
    one: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray], level: float = LEVEL
) -> list[Interval]:
    """The same for estimates that rest on independent groups, as many as there are of each: Welch's interval."""
    (centre, error), (less, other_error) = jackknifed(*one), jackknifed(*other)
    groups = np.array([len(one[1]), len(other[1])])[:, None]
    variances = np.stack([error**2, other_error**2]) * groups / (groups - 1)
    both = variances.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = both**2 / (variances**2 / (groups - 1)).sum(axis=0)
    t = stdtrit(np.where(both > 0, freedom, groups.min() - 1), (1 + level) / 2)
    return _intervals(centre - less, t * np.sqrt(both))


def _intervals(centre: FloatArray, reach: FloatArray) -> list[Interval]:
    return [Interval(float(low), float(high)) for low, high in zip(centre - reach, centre + reach, strict=True)]
