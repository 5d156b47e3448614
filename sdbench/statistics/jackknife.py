"""The jackknife: from an estimate and the same with each group left out, its interval, and that of a difference.

A difference of two layers that were shown the same is taken group by group before it is resampled: what a group does to
both alike then takes itself away, and the interval is as narrow as the difference is certain.

A standard error from G groups is Student's with G - 1 degrees of freedom where groups are normal and alike. Where few
of them decide it is itself uncertain, and it is small just where the rare groups that move an estimate most are
lacking. The groups' influences tell both: their kurtosis the degrees of freedom (Satterthwaite), their skewness on
which side an interval must reach further. What that does for coverage is measured in docs/calibration.md.
"""

from __future__ import annotations

from collections.abc import Sequence

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


_SKEWED = 2.0
"""How many times the skewness of the estimate's error an interval reaches further to the side of the long tail: set by
the simulations of docs/calibration.md (heavy tails are covered in 82 to 94 % without it)."""


def freedom_of(influences: FloatArray) -> FloatArray:
    """(K,) degrees of freedom of standard errors, from the G groups' influences (G, K): at most G - 1.

    The sum of squares of G values of kurtosis k is as uncertain as that of 2 G / (k - 1) normal ones.
    """
    count = len(influences)
    second, fourth = (influences**2).mean(axis=0), (influences**4).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = 2 * count / (fourth / second**2 - 1)
    return np.asarray(np.clip(np.where(second > 0, freedom, np.inf), 1, count - 1))


def reaches(influences: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """How many standard errors intervals of K estimates reach below and above them, (K,) each.

    Args:
        influences: (G, K) by how much each group moves the estimates, up to a factor, less their mean. The K estimates
            are of one layer: the least degrees of freedom are taken for all of them.
        level: coverage that is aimed at.
    """
    t = stdtrit(freedom_of(influences).min(), (1 + level) / 2)
    further = _SKEWED * _skewness(influences)
    return t * (1 + np.maximum(-further, 0)), t * (1 + np.maximum(further, 0))


def _skewness(influences: FloatArray) -> FloatArray:
    """(K,): of the estimates' error, which is the influences' over the root of G."""
    second, third = (influences**2).mean(axis=0), (influences**3).mean(axis=0)
    return np.asarray(third / np.where(second > 0, second, 1) ** 1.5 / np.sqrt(len(influences)))


def limits_of(everything: FloatArray, without: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """The ends of the intervals of K estimates of one layer, (K,) each.

    Args:
        everything: (K,) estimates from all groups.
        without: (G, K) the same with each group left out.
        level: coverage that is aimed at.
    """
    centre, error = jackknifed(everything, without)
    below, above = reaches(without.mean(axis=0) - without, level)
    return centre - below * error, centre + above * error


def widening(count: int, level: float = LEVEL, freedom: float | None = None) -> float:
    """How many standard errors an interval of unit classes from G groups reaches to either side.

    Student's t with so many degrees of freedom, G - 1 where nothing else is known, times what the correction of a bias
    costs.
    """
    t = stdtrit(count - 1 if freedom is None else freedom, (1 + level) / 2)
    return float(t * np.sqrt(count / (count - 1)))


def paired_difference(
    one: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray], level: float = LEVEL
) -> list[Interval]:
    """Intervals of the differences of K estimates that rest on the same G groups, in the same order.

    Args:
        one: (K,) estimates from all groups and (G, K) with each left out.
        other: the same of what is subtracted.
        level: coverage that is aimed at.
    """
    return _intervals(*limits_of(one[0] - other[0], one[1] - other[1], level))


def unpaired_difference(
    one: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray], level: float = LEVEL
) -> list[Interval]:
    """The same for estimates that rest on independent groups, as many as there are of each: Welch's interval."""
    (centre, error), (less, other_error) = jackknifed(*one), jackknifed(*other)
    influences = [left.mean(axis=0) - left for left in (one[1], other[1])]
    below, above = unpaired_reaches(np.stack([error, other_error]), influences, level)
    return _intervals(centre - less - below, centre - less + above)


def unpaired_reaches(
    errors: FloatArray, influences: Sequence[FloatArray], level: float = LEVEL
) -> tuple[FloatArray, FloatArray]:
    """How far intervals of K differences of independent estimates reach below and above them, (K,) each.

    Args:
        errors: (2, K) standard errors of both.
        influences: for both (G, K), as for `reaches`.
        level: coverage that is aimed at.
    """
    freedoms = np.array([[freedom_of(each).min()] for each in influences])
    variances = errors**2
    both = variances.sum(axis=0)
    some = np.where(both > 0, both, 1)
    t = stdtrit(
        np.where(both > 0, some**2 / np.maximum((variances**2 / freedoms).sum(axis=0), 1e-300), 1), (1 + level) / 2
    )
    one, other = (_skewness(each) * error**3 for each, error in zip(influences, errors, strict=True))
    further = _SKEWED * (one - other) / some**1.5
    reach = t * np.sqrt(both)
    return reach * (1 + np.maximum(-further, 0)), reach * (1 + np.maximum(further, 0))


def _intervals(low: FloatArray, high: FloatArray) -> list[Interval]:
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]
