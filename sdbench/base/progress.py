"""Long work shows how far it is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def progress(doing: str, total: int, done: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; gives a function that is called with the number of samples that are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=quiet or not sys.stderr.isatty()) as bar:
        task = bar.add_task(doing, total=total, completed=done)
        yield lambda now: bar.update(task, completed=now)
