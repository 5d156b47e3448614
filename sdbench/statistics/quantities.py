"""The quantities that expected values speak of, taken from a layer's estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, pstdev

from sdbench.base.errors import unknown_name
from sdbench.statistics.estimating import CLASS_NAMES, Estimate
from sdbench.statistics.resampling import Interval
from sdbench.statistics.uncertainty import Intervals


@dataclass(frozen=True)
class Reading:
    """Values by name, in percent.

    Attributes:
        values: name -> value; a mean over seeds where there were several.
        intervals: their intervals, where there are any.
        spread: 1.96 standard deviations of the seeds' mean, as the paper gives them; None for a single seed.
    """

    values: dict[str, float]
    intervals: dict[str, Interval] | None
    spread: dict[str, float] | None = None


def _shares(estimate: Estimate, found: Intervals | None) -> Reading:
    return Reading(estimate.shares, found.shares if found else None)


def _published_percent(estimate: Estimate, found: Intervals | None) -> Reading:
    return Reading(estimate.published_percent, found.published_percent if found else None)


def _units(estimate: Estimate, found: Intervals | None) -> Reading:
    total = sum(estimate.unit_classes.values())
    return Reading({k: 100 * n / total for k, n in estimate.unit_classes.items()}, found.classes if found else None)


def _published_units(estimate: Estimate, found: Intervals | None) -> Reading:
    """As the published code counts: dead units are in neither the counts nor the total."""
    alive = sum(n for name, n in estimate.unit_classes.items() if name != "dead")
    total = alive + estimate.unit_classes["dead"]
    names = [name for name in CLASS_NAMES if name != "dead"]
    scale = total / alive if alive else float("nan")
    return Reading(
        {name: 100 * estimate.unit_classes[name] / alive if alive else float("nan") for name in names},
        {name: Interval(found.classes[name].low * scale, found.classes[name].high * scale) for name in names}
        if found
        else None,
    )


QUANTITIES: dict[str, Callable[[Estimate, Intervals | None], Reading]] = {
    "shares": _shares,
    "published_percent": _published_percent,
    "units": _units,
    "published_units": _published_units,
}
"""Name of a quantity -> how it is read: layer-wise shares, the same as printed; units by class, the same as
published."""


def read_quantity(quantity: str, estimate: Estimate, found: Intervals | None, runs: Sequence[Estimate] = ()) -> Reading:
    """The values of one of `QUANTITIES` for a layer.

    Args:
        quantity: which.
        estimate: from all pairs.
        found: the intervals of that estimate.
        runs: the estimates of several seeds: values are then their means, and the intervals move there with them.
    """
    if quantity not in QUANTITIES:
        raise unknown_name("quantity", quantity, QUANTITIES)
    together = QUANTITIES[quantity](estimate, found)
    if not runs:
        return together
    given = [QUANTITIES[quantity](run, None).values for run in runs]
    means = {name: fmean(values[name] for values in given) for name in together.values}
    limits = None
    if together.intervals:
        limits = {
            name: interval.moved(means[name] - together.values[name]) for name, interval in together.intervals.items()
        }
    spread = {name: 1.96 * pstdev(values[name] for values in given) / sqrt(len(runs)) for name in means}
    return Reading(means, limits, spread)
