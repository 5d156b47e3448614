"""What the paper publishes of video object segmentation."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.cases.records import Record


def SELECT(record: Record) -> bool:  # noqa: N802 - read by conftest
    return "vos" in record.id.split("/") and "calibration" not in record.id.split("/")


def test_vos(record: Record, settle: Callable[[Record], None]) -> None:
    settle(record)
