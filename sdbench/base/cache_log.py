"""What a run takes from a cache: things that were computed before it began, when, and by which software."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

LOG_VARIABLE = "SDBENCH_CACHE_LOG"
"""A file; every process of a run adds a line to it for each thing that it takes."""


class CacheLog:
    """What was taken since it was begun.

    Args:
        path: the file of lines.

    Attributes:
        begun: when, in UTC; what was made later is this run's own.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, now()

    def taken(self) -> dict[str, str]:
        """Kind of what was taken -> how many, when made, and by which software; empty where nothing was."""
        found: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
        for line in self.path.read_text(encoding="utf-8").splitlines():
            place, kind, made, software = json.loads(line)
            if made < self.begun:
                found[kind][place] = (made, software)
        return {kind: _in_words(list(places.values())) for kind, places in sorted(found.items())}


@contextlib.contextmanager
def cache_log() -> Iterator[CacheLog]:
    """Meanwhile this process and its children note what they take."""
    before = os.environ.get(LOG_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="sdbench-cache-log-") as folder:
        path = Path(folder) / "taken"
        path.touch()
        os.environ[LOG_VARIABLE] = str(path)
        try:
            yield CacheLog(path)
        finally:
            os.environ.pop(LOG_VARIABLE)
            if before is not None:
                os.environ[LOG_VARIABLE] = before


def note_taken(place: Path, kind: str, made: str, software: str) -> None:
    """Note that something was taken from a cache, where a run asks for that.

    Args:
        place: where it lies.
        kind: what it is.
        made: when.
        software: by which libraries and code.
    """
    if log := os.environ.get(LOG_VARIABLE):
        _note(log, json.dumps([str(place), kind, made, software]))


def now() -> str:
    """The time in UTC, to the microsecond, so that times sort as words do."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


@functools.cache
def _note(log: str, line: str) -> None:
    """Add a line, once: a clip is read for every network."""
    # A worker on another machine has no such file: what it takes is not seen.
    with contextlib.suppress(FileNotFoundError):
        handle = os.open(log, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)


def _in_words(things: list[tuple[str, str]]) -> str:
    made = sorted(when[:19] for when, _ in things)
    when = made[0] if made[0] == made[-1] else f"{made[0]} to {made[-1]}"
    return f"{len(things)}, made {when} UTC by {'; or by '.join(sorted({software for _, software in things}))}"
