"""The quantities that expected values speak of, taken from a layer's estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, pstdev

from sdbench.base.errors import unknown_name
from sdbench.statistics.estimating import CLASS_NAMES, Estimate
from sdbench.statistics.reproduction import DrawError, interval_of_runs
from sdbench.statistics.resampling import Interval
from sdbench.statistics.uncertainty import Intervals


@dataclass(frozen=True)
class Reading:
    """Values by name, in percent.

    Attributes:
        values: name -> value; a mean over seeds where there were several.
        reproduction: where other runs on the same videos would lie, 95 %: what random draws do, see
            `sdbench.statistics.reproduction`. A deterministic result has points. None where it is not known.
        generalisation: where the value of other videos would lie, 95 %, by resampling videos; None where there are too
            few of them.
        spread: 1.96 standard deviations of the seeds' mean, as the paper gives them; None for a single seed.
    """

    values: dict[str, float]
    reproduction: dict[str, Interval] | None = None
    generalisation: dict[str, Interval] | None = None
    spread: dict[str, float] | None = None


def _shares(estimate: Estimate, found: Intervals | None, error: DrawError | None) -> Reading:
    about = _about(estimate.shares, error.shares) if error else None
    return Reading(estimate.shares, about, found.shares if found else None)


def _published_percent(estimate: Estimate, found: Intervals | None, error: DrawError | None) -> Reading:
    about = _about(estimate.published_percent, error.shares) if error else None
    return Reading(estimate.published_percent, about, found.published_percent if found else None)


def _units(estimate: Estimate, found: Intervals | None, error: DrawError | None) -> Reading:
    total = sum(estimate.unit_classes.values())
    values = {name: 100 * count / total for name, count in estimate.unit_classes.items()}
    return Reading(values, _about(values, error.classes) if error else None, found.classes if found else None)


def _published_units(estimate: Estimate, found: Intervals | None, error: DrawError | None) -> Reading:
    """As the published code counts: dead units are in neither the counts nor the total."""
    alive = sum(n for name, n in estimate.unit_classes.items() if name != "dead")
    total = alive + estimate.unit_classes["dead"]
    names = [name for name in CLASS_NAMES if name != "dead"]
    scale = total / alive if alive else float("nan")
    values = {name: 100 * estimate.unit_classes[name] / alive if alive else float("nan") for name in names}
    return Reading(
        values,
        _about(values, {name: scale * error.classes[name] for name in names}) if error else None,
        {name: found.classes[name].scaled(scale) for name in names} if found else None,
    )


def _about(values: Mapping[str, float], reach: Mapping[str, float]) -> dict[str, Interval]:
    """Intervals about values, within 0 to 100."""
    return {name: Interval(value - reach[name], value + reach[name]).moved(0) for name, value in values.items()}


QUANTITIES: dict[str, Callable[[Estimate, Intervals | None, DrawError | None], Reading]] = {
    "shares": _shares,
    "published_percent": _published_percent,
    "units": _units,
    "published_units": _published_units,
}
"""Name of a quantity -> how it is read: layer-wise shares, the same as printed; units by class, the same as
published."""


def read_quantity(
    quantity: str,
    estimate: Estimate,
    found: Intervals | None,
    error: DrawError | None,
    runs: Sequence[Estimate] = (),
    networks: bool = False,
) -> Reading:
    """The values of one of `QUANTITIES` for a layer.

    Args:
        quantity: which.
        estimate: from all pairs.
        found: the intervals of that estimate.
        error: what random draws do to it.
        runs: the estimates of several seeds: values are then their means, and the intervals move there with them.
        networks: whether each of them is of another network: where other runs would lie is then told by their spread.
    """
    if quantity not in QUANTITIES:
        raise unknown_name("quantity", quantity, QUANTITIES)
    together = QUANTITIES[quantity](estimate, found, error)
    if not runs:
        return together
    given = [QUANTITIES[quantity](run, None, None).values for run in runs]
    means = {name: fmean(values[name] for values in given) for name in together.values}

    def moved(limits: dict[str, Interval] | None) -> dict[str, Interval] | None:
        if limits is None:
            return None
        return {name: limit.moved(means[name] - together.values[name]) for name, limit in limits.items()}

    reproduction = moved(together.reproduction)
    if networks:
        reproduction = {name: interval_of_runs([values[name] for values in given]).moved(0) for name in means}
    spread = {name: 1.96 * pstdev(values[name] for values in given) / sqrt(len(runs)) for name in means}
    return Reading(means, reproduction, moved(together.generalisation), spread)
