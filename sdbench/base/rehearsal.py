"""Folders of stand-ins: what is measured with them is marked, wherever it is shown, and kept nowhere.

A folder of made-up weights or data says so itself, by a file in it: no option can be forgotten that would say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdbench.base.files import write_text

MARK = "REHEARSAL"
"""The file that marks a folder, and the word that marks what comes of it."""

SENTENCE = f"{MARK}: weights and data are stand-ins, and no number here says anything of a published network"


def mark_rehearsal(folder: Path) -> None:
    """Mark a folder of stand-ins: a cache or a folder of data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / MARK, f"{SENTENCE}.\n")


def is_rehearsal(*folders: Path | None) -> bool:
    """Whether any of the folders is marked."""
    return any(folder is not None and (folder / MARK).is_file() for folder in folders)


def marks_of(environment: Mapping[str, Any]) -> str:
    """The word that stands before a report's title, with a blank; "" where all was real."""
    return f"{MARK} " if environment.get("rehearsal") else ""
