"""Networks and studies of one's own, which a file of --expected says how to open."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.cases.records import Record
from sdbench.suite import group_of


def SELECT(record: Record) -> bool:  # noqa: N802 - read by conftest
    return group_of(record) == "own"


def test_own(record: Record, settle: Callable[[Record], None]) -> None:
    settle(record)
