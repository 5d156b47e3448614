"""The margin of an inequality between two measured numbers, with its interval: shares by jackknife, units as counted.

What a video does to both sides alike takes itself away where both rest on the same videos. Shares are left out one
video at a time (`sdbench.statistics.jackknife`); counts of units are moved as other videos would have moved the scores,
all units and all layers together (`sdbench.statistics.counting`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from sdbench.base.errors import InputError
from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES
from sdbench.statistics.jackknife import LEVEL, jackknifed, reaches, unpaired_reaches, widening
from sdbench.statistics.quantities import Reading
from sdbench.statistics.resampling import Interval
from sdbench.statistics.sums import FloatArray
from sdbench.statistics.uncertainty import Intervals

IMBALANCE = "imbalance"
"""How unlike the numbers of static and dynamic units are: |static - dynamic| / (static + dynamic), in percent."""


@dataclass(frozen=True)
class Side:
    """One side of an inequality.

    Attributes:
        centre: the value with its bias taken away.
        deviations: (N,) how other videos would move it; those of two sides on the same videos go together.
        scale: the standard error is so many times the root of the sum of their squares.
        groups: the number of videos G.
        freedom: degrees of freedom of the standard error; None where the deviations are each video's own and tell it.
    """

    centre: float
    deviations: FloatArray
    scale: float
    groups: int
    freedom: float | None = None

    @property
    def error(self) -> float:
        """The standard error."""
        return self.scale * float(np.sqrt((self.deviations**2).sum()))


def value_of(name: str, reading: Reading) -> float:
    """A value of a reading of shares or units, or the `IMBALANCE` of its units."""
    if name == IMBALANCE:
        return _imbalance(np.array([reading.values["static"]]), np.array([reading.values["dynamic"]])).item()
    return reading.values[name]


def side(kind: str, name: str, found: Intervals, value: float, together: float) -> Side:
    """One side of an inequality.

    Args:
        kind: "shares" or "units".
        name: one of `SHARE_NAMES`, of `CLASS_NAMES` but "dead", or `IMBALANCE` of units.
        found: the layer's intervals.
        value: the measured value: a mean over seeds where there were several.
        together: the same from the pairs of all seeds together, which the intervals are of.

    Raises:
        InputError: there is no such quantity.
    """
    groups, shift = found.groups, value - together
    if kind == "shares" and name in SHARE_NAMES:
        without = found.without[:, SHARE_NAMES.index(name)]
        centre, _ = jackknifed(np.array([together]), without[:, None])
        return Side(float(centre[0]) + shift, without - without.mean(), np.sqrt((groups - 1) / groups), groups)
    scale = float(np.sqrt(1 / (len(found.moved) - 1)))
    if kind == "units" and name in CLASS_NAMES[:-1]:
        place = CLASS_NAMES.index(name)
        return Side(float(found.counted[place]) + shift, found.moved[:, place], scale, groups, found.freedom)
    if kind == "units" and name == IMBALANCE:
        static, dynamic = (CLASS_NAMES.index(each) for each in ("static", "dynamic"))
        counted = np.concatenate([found.counted[None], found.counted + found.moved])
        unlike = _imbalance(counted[:, static], counted[:, dynamic])
        # Not less their mean: where both counts are few, the moved ones lie on one side of the measured one.
        return Side(float(unlike[0]) + shift, unlike[1:] - unlike[0], scale, groups, found.freedom)
    raise InputError(f"unknown side of a claim: {kind}.{name}")


def margin(greater: Side, lesser: Side, paired: bool, level: float = LEVEL) -> Interval:
    """The interval of the difference of two sides.

    Args:
        greater: one side.
        lesser: the other, which is subtracted.
        paired: whether both rest on the same videos, in the same order; else they are taken for independent (Welch).
        level: coverage that is aimed at.
    """
    centre = greater.centre - lesser.centre
    if greater.freedom is None or lesser.freedom is None:
        influences = [-each.deviations[:, None] for each in (greater, lesser)]
        if paired:
            both = replace(greater, deviations=greater.deviations - lesser.deviations)
            below, above = (both.error * reach for reach in reaches(influences[0] - influences[1], level))
        else:
            below, above = unpaired_reaches(np.array([[greater.error], [lesser.error]]), influences, level)
        return Interval(centre - below.item(), centre + above.item())
    freedoms = np.array([greater.freedom, lesser.freedom])
    if paired:
        both = replace(greater, deviations=greater.deviations - lesser.deviations)
        reach = widening(both.groups, level, freedoms.min()) * both.error
    else:
        groups = np.array([greater.groups, lesser.groups])
        variances = np.array([greater.error, lesser.error]) ** 2 * groups / (groups - 1)
        total = variances.sum()
        freedom = total**2 / (variances**2 / freedoms).sum() if total else freedoms.min()
        reach = float(stdtrit(freedom, (1 + level) / 2) * np.sqrt(total))
    return Interval(centre - reach, centre + reach)


def _imbalance(static: FloatArray, dynamic: FloatArray) -> FloatArray:
    """In percent; 0 where there are neither."""
    static, dynamic = np.maximum(static, 0), np.maximum(dynamic, 0)
    both = static + dynamic
    return np.asarray(100 * np.abs(static - dynamic) / np.where(both > 0, both, 1))
