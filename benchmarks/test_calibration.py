"""Small networks whose training forced what they encode: the method must say so."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.cases.records import Record
from sdbench.suite import group_of


def SELECT(record: Record) -> bool:  # noqa: N802 - read by conftest
    return group_of(record) == "calibration"


def test_calibration(record: Record, settle: Callable[[Record], None]) -> None:
    settle(record)
