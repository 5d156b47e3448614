"""What a run's results became since the last good run of the history."""

from __future__ import annotations

import json
from pathlib import Path

from sdbench.history.comparing import Finding
from sdbench.history.file import HistoryFile
from sdbench.history.record import run_of_content
from sdbench.history.standing import standings
from sdbench.history.text import headline, unrecorded_text
from sdbench.history.thresholds import read_thresholds
from sdbench.report import Report, Since
from sdbench.report.record import as_json


def since_last(report: Report, history: Path, thresholds: Path) -> Since | None:
    """A report against the history that it is about to be added to; None where the history has no run.

    Args:
        report: of the run.
        history: the file of the history.
        thresholds: how much slower timed loops may become.

    Raises:
        InputError: the history or the thresholds cannot be read.
    """
    content = HistoryFile(history).read()
    if not content.runs:
        return None
    run = run_of_content(json.dumps(as_json(report), allow_nan=False).encode())
    *_, last = standings([*content.runs, run], content.accepted, read_thresholds(thresholds))
    found = last.comparison
    return Since(
        headline(found) if found.reference else "no run of the history was asked for the same",
        _said(found.worse),
        _said(found.better),
        tuple(found.changed),
        tuple(filter(None, (unrecorded_text(found), *found.notes, *content.damaged))),
    )


def _said(findings: list[Finding]) -> tuple[tuple[str, str], ...]:
    return tuple((finding.name, finding.said) for finding in findings)
