"""What a report consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdbench.cases.records import Record
from sdbench.cases.verdicts import Case
from sdbench.report.table import Totals

Numbers = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Layer -> "variance" or "scores", "shares" and "units" -> name -> value: percent, but for scores."""

Limits = Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]]
"""Layer -> "shares" and "units" -> name -> the ends of its interval, in percent; a layer without has no entry."""


@dataclass(frozen=True)
class Strip:
    """Frames side by side, as a network was shown them.

    Attributes:
        factor: "dynamic" or "static", which they share with the strip before both; "" for that one.
        says: what they are, in a few words.
        jpeg: the picture.
        width, height: of the picture, in pixels.
    """

    factor: str
    says: str
    jpeg: bytes
    width: int
    height: int


@dataclass(frozen=True)
class Shown:
    """What a study shows: one pair of each factor.

    Attributes:
        title: name of what is shown.
        says: what its pairs share, in a sentence.
        strips: the members of the pairs.
        lacking: why there are none; "" where there are some.
    """

    title: str
    says: str
    strips: tuple[Strip, ...] = ()
    lacking: str = ""


@dataclass(frozen=True)
class Since:
    """What became of the results since the last good run of the history.

    Attributes:
        headline: the outcome, in a sentence.
        worse, better: (case or timed loop, what is said of it).
        changed: what else changed: versions, machine, revision; a phrase each.
        notes: what was not compared, and why.
    """

    headline: str
    worse: tuple[tuple[str, str], ...] = ()
    better: tuple[tuple[str, str], ...] = ()
    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that a run found.

    Attributes:
        environment: versions, hardware, seed, revision, command, assets; plain values.
        cases: the outcome of every case.
        totals: how many published results and claims there are.
        measurements: one record for each measurement behind them; plain values.
        layers: (network, dataset) -> layer -> "shares" and "units", for pictures; in the order of `measurements`.
        timings: name of a timed loop -> pytest-benchmark's statistics, in seconds.
        intervals: of the same as `layers`, the 95 % intervals where there are any.
        trained_on: of the same, what the network was trained on; "filled" where its weights are made up.
        records: id of a case -> the record that it was held against.
        shown: what the networks were shown.
        since: what changed since the last run; None where the history has none.
    """

    environment: dict[str, Any]
    cases: Sequence[Case]
    totals: Totals
    measurements: Sequence[dict[str, Any]] = ()
    layers: dict[str, dict[str, dict[str, dict[str, float]]]] = field(default_factory=dict)
    timings: dict[str, dict[str, float]] = field(default_factory=dict)
    intervals: Mapping[str, Limits] = field(default_factory=dict)
    trained_on: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    shown: Sequence[Shown] = ()
    since: Since | None = None
