"""A run against the history that it is about to be added to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sdbench.base.errors import InputError
from sdbench.history.file import HistoryFile
from sdbench.history.record import run_of_report
from sdbench.report import Report, write_report
from sdbench.suite.since import since_last
from tests.report import pages


@pytest.fixture
def thresholds(tmp_path: Path) -> Path:
    path = tmp_path / "thresholds.json"
    path.write_text((Path(__file__).parents[2] / "benchmarks" / "thresholds.json").read_text())
    return path


def kept(report: Report, folder: Path) -> Path:
    """A history that holds the run of a report."""
    write_report(report, folder)
    history = folder / "history.jsonl"
    HistoryFile(history).add(run_of_report(folder))
    return history


def good() -> Report:
    report = pages.full()
    return replace(report, cases=[case for case in report.cases if not case.verdict.is_bad], timings={})


def test_without_a_history_nothing_is_said(tmp_path: Path, thresholds: Path) -> None:
    assert since_last(good(), tmp_path / "none.jsonl", thresholds) is None


def test_what_became_worse_and_what_else_changed_is_said(tmp_path: Path, thresholds: Path) -> None:
    earlier = good()
    history = kept(earlier, tmp_path / "earlier")
    cases = [replace(case, measured={"dynamic": 50.0, "static": 40.06}, interval=None) for case in earlier.cases[-3:-2]]
    later = replace(
        earlier,
        cases=[*earlier.cases[:-3], *cases, *earlier.cases[-2:]],
        environment={**earlier.environment, "packages": {"torch": "3"}},
    )
    found = since_last(later, history, thresholds)
    assert found is not None
    assert "worse in 1 of its results" in found.headline
    ((name, said),) = found.worse
    assert name == cases[0].id
    assert "moved by" in said
    assert found.changed == ("torch: 2 -> 3",)
    assert json.loads(history.read_text().splitlines()[0])["run"]["id"] in found.headline


def test_a_run_that_was_asked_for_something_else_is_compared_with_none(tmp_path: Path, thresholds: Path) -> None:
    earlier = good()
    history = kept(earlier, tmp_path / "earlier")
    found = since_last(replace(earlier, environment={**earlier.environment, "seed": 7}), history, thresholds)
    assert found is not None
    assert found.headline == "no run of the history was asked for the same"


def test_a_history_that_cannot_be_read_is_an_error(tmp_path: Path, thresholds: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        since_last(good(), tmp_path, thresholds)
