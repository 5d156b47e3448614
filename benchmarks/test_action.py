"""What the paper publishes of action recognition."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.cases.records import Record
from sdbench.suite import group_of


def SELECT(record: Record) -> bool:  # noqa: N802 - read by conftest
    return group_of(record) == "action"


def test_action(record: Record, settle: Callable[[Record], None]) -> None:
    settle(record)
