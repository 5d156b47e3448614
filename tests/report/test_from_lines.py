"""A report made of the lines that cases left: as the run would have made it, and whatever ended the run."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from sdbench.base.errors import InputError
from sdbench.base.journal import JOURNAL, append_line
from sdbench.cases.records import Record, read_all
from sdbench.cases.verdicts import Case, Verdict, not_run
from sdbench.report.__main__ import main
from sdbench.report.from_lines import case_line, record_fields, rescue, run_lines
from sdbench.report.record import finite

RECORDS = read_all(Path(__file__).parents[2] / "expected")[:3]
CASE = Case(
    "x", "published value", Verdict.DEVIATES, {"a": 1.5}, {"a": 1.0}, {"a": 0.1}, {"a": (1.4, 1.6)}, "too far \x1b"
)


def name_of(record: Record) -> str:
    return f"benchmarks/test_action.py::test_action[{record.id}]"


def write(folder: Path, *, ended: int) -> None:
    """The lines of a run of three cases that ended in the one behind those that did."""
    path = folder / JOURNAL
    append_line(path, {"run": {"seed": 0, "strict": False}, "totals": {"values": 44, "claims": 7}})
    for number, record in enumerate(RECORDS[: ended + 1]):
        append_line(path, {"begins": name_of(record), "record": record_fields(record)})
        if number == ended:
            break
        append_line(path, case_line(replace(CASE, id=record.id), record))
        append_line(path, {"ends": name_of(record), "outcome": "failed", "said": "deviates", "seconds": 1.0})


def test_what_ended_is_reported_and_what_ran_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, ended=2)
    assert rescue(tmp_path, "the engine stopped") == 3
    report = json.loads((tmp_path / "report.json").read_text())
    assert [case["verdict"] for case in report["cases"]] == ["deviates", "deviates", "error"]
    assert report["cases"][2]["reason"] == f"the engine stopped in {RECORDS[2].id}"
    assert report["cases"][0]["about"]["asked"], "what it was held against is known"
    assert report["environment"]["interrupted"] is True
    assert {"report.md", "report.html"} < {path.name for path in tmp_path.iterdir()}
    suite = ET.parse(tmp_path / "junit.xml").find(".//testsuite")
    assert suite is not None
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors")}
    assert counts == {"tests": "3", "failures": "2", "errors": "1"}
    assert rescue(tmp_path, "again") is None, "it has its report"


def test_what_was_told_to_end_is_nobodys_fault(tmp_path: Path) -> None:
    write(tmp_path, ended=1)
    assert rescue(tmp_path) == 1
    assert run_lines(tmp_path).open == (name_of(RECORDS[1]),)


def test_without_lines_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert rescue(tmp_path, "x") is None
    write(tmp_path, ended=0)
    assert rescue(tmp_path) == 0
    assert not (tmp_path / "report.json").exists()


def test_a_case_comes_back_as_it_was(tmp_path: Path) -> None:
    for record, case in zip(
        RECORDS, (CASE, replace(CASE, measured={"a": math.inf}), not_run(RECORDS[2], "no")), strict=True
    ):
        append_line(tmp_path / JOURNAL, case_line(replace(case, id=record.id), record))
    first, second, third = run_lines(tmp_path).cases.values()
    assert first == replace(CASE, id=RECORDS[0].id)
    assert second.measured is not None
    assert math.isnan(second.measured["a"]), "JSON has neither"
    assert third == not_run(RECORDS[2], "no")
    assert run_lines(tmp_path).records == {record.id: record for record in RECORDS}


def test_a_measurement_that_ends_the_process_is_counted(tmp_path: Path) -> None:
    for word in ("begins", "measures"):
        append_line(tmp_path / JOURNAL, {word: "n"})
    append_line(tmp_path / JOURNAL, {"crashed": "n", "said": "ended"})
    append_line(tmp_path / JOURNAL, {"measures": "other"})
    append_line(tmp_path / JOURNAL, {"done": "other"})
    append_line(tmp_path / JOURNAL, {"crashed": None, "said": "ended"})
    assert run_lines(tmp_path).broken == {"n": 1}


def test_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, ended=1)
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"2 cases: {tmp_path / 'report.html'}\n"
    assert main([str(tmp_path)]) == 1
    assert main([]) == 2


def test_lines_of_something_else_are_refused(tmp_path: Path) -> None:
    append_line(tmp_path / JOURNAL, finite({"case": {"id": 1}, "record": {}}))
    with pytest.raises(InputError, match="was not written by this version"):
        rescue(tmp_path)
