"""Verdicts become something to read: a table, Markdown, HTML, JSON, pictures. No torch."""

from sdbench.report.environment import describe_environment
from sdbench.report.record import Report, write_report
from sdbench.report.table import case_table, summary_lines

__all__ = ["Report", "case_table", "describe_environment", "summary_lines", "write_report"]
