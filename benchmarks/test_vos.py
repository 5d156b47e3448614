"""What the paper publishes of video object segmentation."""

from __future__ import annotations

from collections.abc import Callable

from sdbench.expected import Claim, ExpectedValue


def SELECT(record: ExpectedValue | Claim) -> bool:  # noqa: N802 - read by conftest
    return "vos" in record.id.split("/")


def test_vos(record: ExpectedValue | Claim, settle: Callable[[ExpectedValue | Claim], None]) -> None:
    settle(record)
