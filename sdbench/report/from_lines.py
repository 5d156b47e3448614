"""The report of a run from the lines that it wrote as its cases ended: see `sdbench.base.journal`. No torch.

An entry says one of: the "run", with its environment; that an item (a test of pytest) "begins", "ends" or "crashed";
the outcome of a "case"; that a network "measures", is "done", and what was "measured"; the "timing" of a loop; that the
run was "interrupted"; that it is "over", its report written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sdbench.base.errors import InputError
from sdbench.base.files import write_text
from sdbench.base.journal import JOURNAL, append_line, is_over, open_items, read_lines, short_name
from sdbench.cases.records import Claim, ExpectedValue, Record, Unpublished
from sdbench.cases.verdicts import Case, failed
from sdbench.report.content import Report, Shown, Since
from sdbench.report.junit import render_junit
from sdbench.report.record import finite, write_report
from sdbench.report.table import Totals

_CASE = TypeAdapter(Case)
_RECORD: TypeAdapter[Record] = TypeAdapter(ExpectedValue | Unpublished | Claim)


@dataclass(frozen=True)
class Item:
    """How a test of pytest ended: its outcome ("passed", "failed", "skipped"), what was said of it, its seconds."""

    outcome: str
    said: str = ""
    seconds: float = 0.0
    case: str = ""


@dataclass
class RunLines:
    """What the lines of a run tell.

    Attributes:
        environment, totals: of its report.
        cases, records: id -> outcome, and what it was held against.
        items: name -> how it ended; of a case its id is known.
        open: names of items that began and did not end.
        measurements: title -> "record", "layers", "intervals" and "trained_on", as in a `Report`.
        timings: name of a timed loop -> its statistics.
        crashes: a sentence each.
        broken: title -> how often the process ended while this was measured.
        interrupted, over: whether it was told to end; whether it came to its end.
    """

    environment: dict[str, Any] = field(default_factory=dict)
    totals: Totals = field(default_factory=lambda: Totals(0, 0))
    cases: dict[str, Case] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    open: tuple[str, ...] = ()
    measurements: dict[str, dict[str, Any]] = field(default_factory=dict)
    timings: dict[str, dict[str, float]] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    over: bool = False


def case_line(case: Case, record: Record) -> dict[str, Any]:
    """The line that says the outcome of a case."""
    fields = finite({**asdict(case), "verdict": case.verdict.value})
    return {"case": fields, "record": record_fields(record)}


def record_fields(record: Record) -> dict[str, Any]:
    """A record as plain values."""
    return record.model_dump(mode="json", exclude_defaults=True)


def run_lines(folder: Path) -> RunLines:
    """What the lines in the folder of a report tell; nothing where there are none.

    Raises:
        InputError: they are no lines of this suite.
    """
    entries = read_lines(folder / JOURNAL)
    try:
        return _told(entries)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder / JOURNAL} was not written by this version ({error}); run the suite again") from None


def _told(entries: list[dict[str, Any]]) -> RunLines:
    told = RunLines(open=tuple(open_items(entries)), over=is_over(entries))
    begun: dict[str, Record | None] = {}
    measuring: str | None = None
    for entry in entries:
        if "run" in entry and not told.environment:
            told.environment, told.totals = entry["run"], Totals(**entry["totals"])
        elif "begins" in entry:
            begun[entry["begins"]] = _RECORD.validate_python(entry["record"]) if entry.get("record") else None
        elif "case" in entry:
            record = _RECORD.validate_python(entry["record"])
            told.records[record.id] = record
            told.cases[record.id] = _CASE.validate_python(_with_nan(entry["case"]))
        elif "measures" in entry:
            measuring = entry["measures"]
        elif "measured" in entry:
            told.measurements.setdefault(entry["measured"], entry)
        elif "timing" in entry:
            told.timings[entry["name"]] = _numbers(entry["timing"])
        elif "ends" in entry:
            one = begun.get(entry["ends"])
            told.items[entry["ends"]] = Item(entry["outcome"], entry["said"], entry["seconds"], one.id if one else "")
        elif "crashed" in entry:
            _take_crash(told, entry, begun.get(entry["crashed"]), measuring)
        if any(word in entry for word in ("done", "case", "ends", "crashed")):
            measuring = None
        told.interrupted = told.interrupted or "interrupted" in entry
    return told


def _take_crash(told: RunLines, entry: dict[str, Any], record: Record | None, measuring: str | None) -> None:
    told.crashes.append(entry["said"])
    if record is not None:
        told.records[record.id], told.cases[record.id] = record, failed(record, entry["said"])
    if entry["crashed"] is not None:
        told.items[entry["crashed"]] = Item("failed", f"error: {entry['said']}", case=record.id if record else "")
    if measuring is not None:
        told.broken[measuring] += 1


def _with_nan(case: dict[str, Any]) -> dict[str, Any]:
    return {name: _numbers(value) if isinstance(value, dict) else value for name, value in case.items()}


def _numbers(tree: Any) -> Any:
    """Numbers that JSON could not hold are none."""
    if isinstance(tree, Mapping):
        return {name: _numbers(value) for name, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return tuple(map(_numbers, tree))
    return math.nan if tree is None else tree


def report_of(told: RunLines, interrupted: bool, shown: Sequence[Shown] = (), since: Since | None = None) -> Report:
    """The report of what the lines of a run tell, which was interrupted or came to its end."""
    measured = told.measurements
    assets = {name: digest for each in measured.values() for name, digest in each["record"]["assets"].items()}
    environment = {**told.environment, "interrupted": interrupted, "assets": assets}
    if told.crashes:
        environment["crashes"] = told.crashes
    return Report(
        environment=environment,
        cases=list(told.cases.values()),
        totals=told.totals,
        measurements=[each["record"] for each in measured.values()],
        layers={title: _numbers(each["layers"]) for title, each in measured.items()},
        timings=told.timings,
        intervals={title: _numbers(each["intervals"]) for title, each in measured.items()},
        trained_on={title: each["trained_on"] for title, each in measured.items()},
        records=told.records,
        shown=shown,
        since=since,
    )


def rescue(folder: Path, why: str = "") -> int | None:
    """Write the report of what a run has finished that ended before it could write one, in the folder of its lines.

    Args:
        folder: of the report.
        why: what ended the run, in the case that was running; "" where it was told to end, which is no case's fault.

    Returns:
        How many cases there are in it; None where there is nothing to do.

    Raises:
        InputError: the lines are not of this version.
    """
    entries = read_lines(folder / JOURNAL)
    if not entries or is_over(entries):
        return None
    if why:
        for name in open_items(entries):
            append_line(folder / JOURNAL, {"crashed": name, "said": f"{why} in {short_name(name)}"})
    told = run_lines(folder)
    if told.cases:
        report = report_of(told, interrupted=True)
        write_report(report, folder)
        write_text(folder / "junit.xml", render_junit(report))
    append_line(folder / JOURNAL, {"over": None})
    return len(told.cases)
