"""Verdicts become something to read: a table, Markdown, HTML, JSON, pictures. No torch."""

from sdbench.base.environment import describe_environment
from sdbench.report.content import Report, Shown, Since
from sdbench.report.html import measurements_page
from sdbench.report.record import write_report
from sdbench.report.table import Totals, case_table, summary_lines

__all__ = [
    "Report",
    "Shown",
    "Since",
    "Totals",
    "case_table",
    "describe_environment",
    "measurements_page",
    "summary_lines",
    "write_report",
]
