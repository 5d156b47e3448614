"""Verdicts become something to read: a table, Markdown, HTML, JSON, pictures. No torch."""

from sdbench.base.environment import describe_environment
from sdbench.report.content import Report
from sdbench.report.record import write_report
from sdbench.report.table import Totals, case_table, summary_lines

__all__ = ["Report", "Totals", "case_table", "describe_environment", "summary_lines", "write_report"]
