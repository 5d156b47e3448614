"""Published against measured, a line a value: the band about the published number, and where the measured one lies.

A line of a table holds these pictures, so that name, picture and numbers stay together at every width; a rectangle, a
line and a dot at percentages of a width need no library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sdbench.cases.verdicts import Case
from sdbench.report.table import short
from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES

_OF_HUNDRED = {*SHARE_NAMES, *CLASS_NAMES, "miou", "msr"}
_RATES = "sr_"
_ROOM = 1.6
"""Where a value has no natural axis, so many half-widths of the band are shown at least on both sides."""


@dataclass(frozen=True)
class Span:
    """A part of an axis: where it begins and how long it is, in percent of the axis."""

    start: float
    length: float


@dataclass(frozen=True)
class Lane:
    """One value.

    Attributes:
        name: of the value.
        band: where the published number and its tolerance lie.
        published: the published number on the axis.
        interval: of the measured number, where there is one.
        measured: the measured number on the axis; None where there is none.
        says: all of it in words.
    """

    name: str
    band: Span
    published: float
    interval: Span | None
    measured: float | None
    says: str


def lanes(case: Case) -> list[Lane]:
    """A lane for each published value of a case."""
    published = {name: float(value) for name, value in case.expected.items() if isinstance(value, (int, float))}
    return [_lane(case, name, value) for name, value in published.items()]


def _lane(case: Case, name: str, published: float) -> Lane:
    half = (case.tolerance or {}).get(name, 0.0)
    measured = (case.measured or {}).get(name)
    limits = (case.interval or {}).get(name) if measured is not None else None
    points = [published - half, published + half, *([measured] if measured is not None else []), *(limits or ())]
    low, high = _ends(name, published, half, points)

    def place(value: float) -> float:
        return round(min(max(100 * (value - low) / (high - low), 0.0), 100.0), 2)

    def span(start: float, end: float) -> Span:
        return Span(place(start), round(place(end) - place(start), 2))

    digits = 3 if 0 < half < 0.02 else 2 if 0 < half < 0.5 else 1
    says = f"published {published:.{digits}f} ± {half:.{max(digits, 2)}f}"
    if measured is not None:
        says += f", measured {measured:.{digits}f}"
        if limits and limits[1] > limits[0]:
            says += f" [{limits[0]:.{digits}f}, {limits[1]:.{digits}f}]"
    return Lane(
        name,
        span(published - half, published + half),
        place(published),
        span(*limits) if limits else None,
        None if measured is None or not math.isfinite(measured) else place(measured),
        says,
    )


def _ends(name: str, published: float, half: float, points: Sequence[float]) -> tuple[float, float]:
    """The axis: 0 to 100 where the value is a part of a whole, else as wide as what is shown needs."""
    if _is_part(name):
        return 0.0, 100.0
    finite = [point for point in points if math.isfinite(point)]
    reach = max(max(abs(point - published) for point in finite) * 1.1, half * _ROOM, 1e-9)
    return published - reach, published + reach


def _is_part(name: str) -> bool:
    """Whether a value is a part of a whole, in percent."""
    return name in _OF_HUNDRED or name.startswith(_RATES)


def together(case: Case) -> list[tuple[str, Lane]]:
    """The published values of a case that did not run, for one axis from 0 to 100: the letter of each, and its lane.

    Empty where they are no parts of a whole.
    """
    found = lanes(case)
    if not all(_is_part(lane.name) for lane in found):
        return []
    return [(short(lane.name) if len(short(lane.name)) == 1 else "", lane) for lane in found]
