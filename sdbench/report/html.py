"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from sdbench.cases.verdicts import Case, Verdict
from sdbench.report.content import Report
from sdbench.report.markdown import measurement_sentence
from sdbench.report.table import (
    LEGEND,
    expected_lines,
    in_order,
    measured_lines,
    reasons,
    summary_lines,
    tolerance_lines,
)


def render_html(report: Report, pictures: Sequence[Path]) -> str:
    """The report as an HTML page with its pictures inside; what went wrong comes first."""
    text = resources.files("sdbench.report").joinpath("report.html.jinja").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in pictures]
    listed = in_order(report.cases)
    apart = (Verdict.MEASURED, Verdict.NOT_RUN)
    return template.render(
        summary=summary_lines(report.cases, report.totals),
        wrong=reasons(listed, [v for v in Verdict if v.is_bad]),
        decided=[_row(case) for case in listed if case.verdict not in apart],
        measured=[_row(case) for case in listed if case.verdict is Verdict.MEASURED],
        idle=[_row(case) for case in listed if case.verdict is Verdict.NOT_RUN],
        legend=LEGEND,
        measurements=[measurement_sentence(record) for record in report.measurements],
        pictures=encoded,
        environment=report.environment,
    )


def _row(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "measured": measured_lines(case),
        "expected": expected_lines(case),
        "tolerance": tolerance_lines(case),
        "verdict": case.verdict.value,
        "bad": case.verdict.is_bad,
        "reason": case.reason,
        "seconds": f"{case.seconds:.1f}" if case.measured is not None else "",
    }
