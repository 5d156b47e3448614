"""An expected value and a measurement become a verdict.

A published value is met by an equivalence test: being close is something to be shown, not assumed. Only an interval
that lies inside the tolerance band says *reproduced*; one outside it says *deviates*; one across its edge, or no
interval at all, decides nothing. The interval is that of *reproduction*: where other runs on the same videos would lie.
A published number is of the same videos, so what these do is common to both; where the value of other videos would lie,
*generalisation*, is another question: it is reported and decides nothing. With 95 % intervals each number is tested at
2.5 %; a value of three or four numbers is reproduced only where all of them are (an intersection of tests, which does
not raise the level).

A claim is an inequality, and is judged by the interval of its margin: above 0 it *holds*, below it *fails*, across it
is *inconclusive*.

Where no number was published there is nothing to decide, and a measurement is *measured*. A case that could not be
measured is *not run* where something it needs is not here, and an *error* where all is here and it broke: the first is
somebody's choice, the second is a fault, and no case is left out for either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from sdbench.base.errors import InputError
from sdbench.cases.records import Claim, ExpectedValue, Record, Unpublished
from sdbench.statistics.quantities import Reading
from sdbench.statistics.resampling import Interval

NEEDS = ". It takes "
"""Stands in a reason between why a case did not run and what would change that."""

PAIRS = "pairs of each factor"
"""What is counted behind shares and unit classes of one seed."""

_ROUNDING = 1e-9
"""Points: a deterministic value that lies on the band's edge to the last bit is inside."""

_WRITTEN = 1e-3
"""Points: recorded values and tolerances are written to so many, so that one unit of 24 is 4.167 give or take this."""


class Verdict(str, Enum):
    """What became of a case.

    A published value is *reproduced*, *deviates*, or stays *inconclusive*; one that was never published is *measured*;
    a claim *holds*, *fails*, or stays *inconclusive*; a recorded value is *unchanged* or *changed*. Any may be *not
    run*, or an *error*.
    """

    REPRODUCED = "reproduced"
    DEVIATES = "deviates"
    INCONCLUSIVE = "inconclusive"
    MEASURED = "measured"
    HOLDS = "holds"
    FAILS = "fails"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    NOT_RUN = "not run"
    ERROR = "error"

    @property
    def is_bad(self) -> bool:
        """Whether the run must end with an error."""
        return self in (Verdict.DEVIATES, Verdict.FAILS, Verdict.CHANGED, Verdict.ERROR)

    @property
    def is_open(self) -> bool:
        """Whether what was to be decided was not; an error only where the user asks for strictness."""
        return self in (Verdict.INCONCLUSIVE, Verdict.NOT_RUN)


@dataclass(frozen=True)
class Case:
    """The outcome of one case.

    Attributes:
        id: of the record.
        kind: the record's kind, and whether it is a value or a claim: "published value", "recorded claim", ...
        verdict: the outcome.
        measured: name -> measured number; None where nothing was measured.
        expected: name -> expected number; for a claim the inequality in words; empty where no number was published.
        tolerance: name -> half-width of the band around the expected number, reading uncertainty included.
        interval: name -> (low, high): of a value that of its reproduction, of a claim that of its margin; None where
            there is none.
        reason: one sentence: what decided, why it did not run and what would change that, or what broke.
        seconds: how long the case took.
        generalisation: name -> (low, high): where the value would lie for other videos; None where that is not known.
            It decides nothing.
    """

    id: str
    kind: str
    verdict: Verdict
    measured: dict[str, float] | None
    expected: dict[str, float | str]
    tolerance: dict[str, float] | None
    interval: dict[str, tuple[float, float]] | None
    reason: str
    seconds: float = 0.0
    generalisation: dict[str, tuple[float, float]] | None = None


@dataclass(frozen=True)
class Evidence:
    """What stands behind a measured value, and what more of it would narrow its interval.

    Attributes:
        count: how many there are of what is `counted`.
        counted: in words.
        most: how many there can be; None where there is no end to them.
        beyond: what to say where more are needed than there can be, or where it is not known how many there are.
    """

    count: int
    counted: str = PAIRS
    most: int | None = None
    beyond: str = ""


def judge_value(expected: ExpectedValue, reading: Reading, evidence: Evidence) -> Case:
    """Hold measured values against expected ones.

    Args:
        expected: what was published or recorded.
        reading: what was measured, with intervals where there are any.
        evidence: what stands behind it.

    Raises:
        InputError: the measurement lacks one of the expected names, or is not a number.
    """
    for name in expected.values:
        if name not in reading.values or not math.isfinite(reading.values[name]):
            raise InputError(
                f"{expected.id} expects {name}; measured: {', '.join(f'{k} {v}' for k, v in reading.values.items())}"
            )
    if expected.is_published:
        verdict, reason = _judge_published(expected, reading, evidence)
    else:
        verdict, reason = _judge_recorded(expected, reading)
    if expected.withdrawn:
        told = "; ".join(f"{name}: {why}" for name, why in expected.withdrawn.items())
        reason = f"{reason}; withdrawn and not judged: {told}"
    return Case(
        id=expected.id,
        kind=_kind(expected),
        verdict=verdict,
        measured={name: reading.values[name] for name in expected.values},
        expected=dict(expected.values),
        tolerance=_band(expected),
        interval=_limits(reading.reproduction, expected.values),
        reason=reason,
        generalisation=_limits(reading.generalisation, expected.values),
    )


def _limits(intervals: Mapping[str, Interval] | None, names: Iterable[str]) -> dict[str, tuple[float, float]] | None:
    return {name: (intervals[name].low, intervals[name].high) for name in names} if intervals else None


def _kind(record: Record) -> str:
    return f"{record.kind} {'claim' if isinstance(record, Claim) else 'value'}"


def _band(expected: ExpectedValue) -> dict[str, float]:
    return {name: width + expected.uncertainty for name, width in expected.tolerance.items()}


def _judge_recorded(expected: ExpectedValue, reading: Reading) -> tuple[Verdict, str]:
    band = _band(expected)
    moved = [
        f"{name} moved by {reading.values[name] - value:+.2f} (at most {band[name]:.2f})"
        for name, value in expected.judged.items()
        if abs(reading.values[name] - value) > band[name] + _WRITTEN
    ]
    if moved:
        return Verdict.CHANGED, f"{'; '.join(moved)}: {expected.tolerance_reason}"
    furthest = max(expected.judged, key=lambda name: abs(reading.values[name] - expected.values[name]) / band[name])
    moved_by = reading.values[furthest] - expected.values[furthest]
    return Verdict.UNCHANGED, f"furthest: {furthest} by {moved_by:+.2f} of {band[furthest]:.2f} points"


def _judge_published(expected: ExpectedValue, reading: Reading, evidence: Evidence) -> tuple[Verdict, str]:
    intervals = reading.reproduction
    if intervals is None:
        return Verdict.INCONCLUSIVE, "measured without an interval (too few videos or shots), so nothing can be decided"
    band = _band(expected)
    outside, across = [], []
    for name, value in expected.judged.items():
        low, high = value - band[name] - _ROUNDING, value + band[name] + _ROUNDING
        interval = intervals[name]
        if interval.high < low or interval.low > high:
            outside.append(f"{name} {reading.values[name]:.1f} in [{interval.low:.1f}, {interval.high:.1f}]")
        elif interval.low < low or interval.high > high:
            across.append(name)
    if outside:
        return Verdict.DEVIATES, f"outside the band: {'; '.join(outside)}"
    if across:
        needed = [
            enough_to_decide(reading.values[name], intervals[name], expected.values[name], band[name], evidence.count)
            for name in across
        ]
        return (
            Verdict.INCONCLUSIVE,
            f"the interval of {', '.join(across)} crosses the band's edge: {_enough(needed, evidence)}",
        )
    return Verdict.REPRODUCED, "every interval lies inside its band"


def enough_to_decide(measured: float, interval: Interval, expected: float, band: float, count: int) -> int | None:
    """How many pairs of each factor (or seeds, ...) would narrow the interval until it no longer crosses the edge.

    A half-width falls with the square root of their number, which is `count` now. None where the measured value lies on
    the edge itself. It is not looked at whether there are so many: see `Evidence.most`.
    """
    distance = min(abs(measured - (expected - band)), abs(measured - (expected + band)))
    if distance < 1e-9:
        return None
    return max(count + 1, math.ceil(count * (interval.half_width / distance) ** 2))


def _enough(needed: Sequence[int | None], evidence: Evidence) -> str:
    known = [count for count in needed if count is not None]
    if len(known) < len(needed):
        return f"the value lies on the edge, more {evidence.counted} may not decide it"
    if evidence.most is not None and max(known) > evidence.most:
        return f"there are no more than {evidence.most} {evidence.counted}; {evidence.beyond}"
    # More pairs of the same videos are no more evidence.
    videos = ", from as many more videos," if evidence.counted == PAIRS else ""
    condition = f"; {evidence.beyond}" if evidence.most is None and evidence.beyond else ""
    return f"about {max(known)} {evidence.counted}{videos} would decide{condition}"


@dataclass(frozen=True)
class Compared:
    """A measured inequality of a claim.

    Attributes:
        words: what is compared.
        greater: should exceed `lesser`.
        lesser: should not reach `greater`.
        margin: 95 % interval of their difference; None where there are too few videos for one.
    """

    words: str
    greater: float
    lesser: float
    margin: Interval | None = None

    def verdict(self, published: bool) -> Verdict:
        """Whether it is as it should be.

        Args:
            published: whether others claim it. Without an interval nothing is then decided. What this suite recorded is
                a check that the same draws give the same answer: without an interval its points are compared.
        """
        if self.margin is not None:
            if self.margin.low > 0:
                return Verdict.HOLDS
            return Verdict.FAILS if self.margin.high < 0 else Verdict.INCONCLUSIVE
        if published:
            return Verdict.INCONCLUSIVE
        return Verdict.HOLDS if self.greater > self.lesser else Verdict.FAILS

    def __str__(self) -> str:
        """What does not hold, in words."""
        if self.margin is not None:
            where = "lies below 0" if self.margin.high < 0 else "does not lie above 0"
            return f"{self.words}: the margin {self._points} [{self.margin.low:+.1f}, {self.margin.high:+.1f}] {where}"
        if self.greater > self.lesser:
            return f"{self.words}: the margin {self._points} has no interval (too few videos or shots)"
        return f"{self.words}: {self.greater:.1f} is not above {self.lesser:.1f}"

    @property
    def _points(self) -> str:
        return f"{self.greater - self.lesser:+.1f}"


def judge_claim(claim: Claim, compared: Sequence[Compared]) -> Case:
    """Whether every inequality of a claim holds for what was measured.

    It *holds* where all do, *fails* where one does, and is else *inconclusive*.
    """
    if not compared or len(compared) % len(claim.comparisons):
        raise InputError(f"{claim.id} makes {len(claim.comparisons)} comparisons; {len(compared)} were measured")
    found = [(each, each.verdict(claim.published)) for each in compared]
    verdicts = {verdict for _, verdict in found}
    verdict = next((v for v in (Verdict.FAILS, Verdict.INCONCLUSIVE) if v in verdicts), Verdict.HOLDS)
    if verdict is Verdict.HOLDS:
        narrowest = min(compared, key=lambda c: c.greater - c.lesser)
        reason = f"narrowest: {narrowest.words} by {narrowest.greater - narrowest.lesser:.1f} points"
        if any(each.margin is None for each in compared):
            reason += "; too few videos or shots for an interval, so points were compared"
    else:
        reason = "; ".join(str(each) for each, of in found if of is verdict)
    margins = {c.words: (c.margin.low, c.margin.high) for c in compared if c.margin}
    return Case(
        id=claim.id,
        kind=_kind(claim),
        verdict=verdict,
        measured={c.words: c.greater - c.lesser for c in compared},
        expected={c.words: "> 0" for c in compared},
        tolerance=None,
        interval=margins or None,
        reason=reason,
    )


def measured_only(record: Unpublished, reading: Reading) -> Case:
    """A measured result for which no number was published: there is nothing to decide, and the report says so."""
    return Case(
        id=record.id,
        kind=_kind(record),
        verdict=Verdict.MEASURED,
        measured=dict(reading.values),
        expected={},
        tolerance=None,
        interval=_limits(reading.reproduction, reading.values),
        generalisation=_limits(reading.generalisation, reading.values),
        reason="no value was published: what was measured is recorded in this report"
        + (f"; {record.note}" if record.note else ""),
    )


def not_run(record: Record, reason: str) -> Case:
    """A case that could not be measured here; `reason` says why, and what would get what it needs."""
    return _unmeasured(record, Verdict.NOT_RUN, reason)


def failed(record: Record, reason: str) -> Case:
    """A case that broke although what it needs is here; `reason` says how, in one sentence.

    Weights that do not fit, a damaged archive, a data set that cannot be read, an exception of any kind.
    """
    return _unmeasured(record, Verdict.ERROR, reason)


def _unmeasured(record: Record, verdict: Verdict, reason: str) -> Case:
    expected: dict[str, float | str]
    if isinstance(record, Claim):
        expected, band = {"claim": record.statement}, None
    elif isinstance(record, Unpublished):
        expected, band = {}, None
    else:
        expected, band = dict(record.values), _band(record)
    return Case(record.id, _kind(record), verdict, None, expected, band, None, reason)
