"""What several commands take."""

from __future__ import annotations

from pathlib import Path

from sdbench.base.errors import InputError


def names(text: str) -> tuple[str, ...]:
    """What a comma-separated argument names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def expected_folder() -> Path:
    """The folder `expected/` of the checkout that this runs from, or of the current folder.

    Raises:
        InputError: there is none.
    """
    for root in (Path(__file__).parents[2], Path.cwd()):
        if (root / "expected").is_dir():
            return root / "expected"
    raise InputError("no folder expected/ beside the package or here; run this in a checkout of sdbench")
