"""A file into which a run writes a line of JSON as each thing ends: what ended is kept, whatever ends the run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

JOURNAL = "cases.jsonl"
"""Its name in the folder of a report."""

BEFORE = "previous"
"""Folder below that of a report where that of the run before is moved to."""

_OF_A_REPORT = ("report.json", "report.md", "report.html", "junit.xml", JOURNAL, "layers-*.png")


def append_line(path: Path, entry: dict[str, Any], wait: bool = True) -> None:
    """Write one entry behind all others; a torn line, of a writer that was killed, stays apart.

    Args:
        path: the file.
        entry: plain values.
        wait: until it is on the disk, whatever becomes of the machine. What becomes of the process costs no line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(entry, allow_nan=False).encode() + b"\n"
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line)
        file.flush()
        if wait:
            os.fsync(file.fileno())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole entries in their order; none where there is no file. A torn line is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def set_aside(folder: Path) -> Path | None:
    """Move what lies in the folder of a report into the folder `previous` below, so that nobody takes it for a new one.

    Returns:
        Where it lies now; None where there was nothing.

    Raises:
        OSError: it cannot be moved.
    """
    found = [path for pattern in _OF_A_REPORT for path in folder.glob(pattern)]
    if not found:
        return None
    before = folder / BEFORE
    before.mkdir(exist_ok=True)
    for pattern in _OF_A_REPORT:
        for path in before.glob(pattern):
            path.unlink()
    for path in found:
        path.replace(before / path.name)
    return before


def open_items(entries: list[dict[str, Any]]) -> list[str]:
    """What began and did not end, by name."""
    found: dict[str, None] = {}
    for entry in entries:
        if "begins" in entry:
            found[entry["begins"]] = None
        for word in ("ends", "crashed"):
            found.pop(str(entry.get(word)), None)
    return list(found)


def is_over(entries: list[dict[str, Any]]) -> bool:
    """Whether the run came to its end and wrote its report."""
    return any("over" in entry for entry in entries)


def short_name(item: str) -> str:
    """The name of a case in that of its test: benchmarks/test_vos.py::test_vos[vos/x] is vos/x."""
    _, bracket, name = item.partition("[")
    return name.removesuffix("]") if bracket else item
