"""How much disk and memory the rehearsal takes, at most."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_EVERY = 5.0
"""Seconds between two looks."""


@dataclass
class Peak:
    """The most that was seen, in bytes; None where the system does not tell."""

    disk: int = 0
    memory: int | None = None


def disk_of(folder: Path) -> int:
    """What the files below a folder take on the disk, in bytes."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    total += disk_of(Path(entry.path))
                else:
                    total += 512 * entry.stat(follow_symlinks=False).st_blocks
    return total


def memory_of_tree(root: int) -> int | None:
    """What a process and all below it take of memory, in bytes, what they share counted once; of Linux alone."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(place.name))
    total, waiting, seen = 0, [root], False
    while waiting:
        process = waiting.pop()
        waiting += parents.get(process, [])
        with suppress(OSError):
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total, seen = total + 1024 * int(line.split()[1]), True
    return total if seen else None


@contextmanager
def watching(folder: Path, peak: Peak) -> Iterator[None]:
    """Meanwhile, look at the disk that `folder` takes and at the memory of this process and its children."""
    over = threading.Event()

    def look() -> None:
        while True:
            peak.disk = max(peak.disk, disk_of(folder))
            memory = memory_of_tree(os.getpid())
            if memory is not None:
                peak.memory = max(peak.memory or 0, memory)
            if over.wait(_EVERY):
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
