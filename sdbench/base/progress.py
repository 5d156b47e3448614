"""Long work shows what it does, how far it is and how long it will take."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

EVERY = 30.0
"""Seconds between two lines where no terminal is: a log wants few."""


@contextlib.contextmanager
def progress(doing: str, total: int, done: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, and a line now and then elsewhere; gives a function that is called with what is done.

    Args:
        doing: what is done, in words.
        total: how many steps there are.
        done: how many were done before.
        quiet: show nothing.
    """
    quiet = quiet or sys.stderr is None  # it was closed
    if quiet:  # no bar at all: one that is switched off still ends in a blank line
        yield lambda _: None
        return
    if sys.stderr.isatty():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(doing, total=total, completed=done)
            yield lambda now: bar.update(task, completed=now)
        return
    lines = _Lines(doing, total, done)
    yield lines
    lines.end()


class _Lines:
    """Says on stderr how far the work is, at most once in `EVERY` seconds; of work that is shorter, nothing."""

    def __init__(self, doing: str, total: int, done: int) -> None:
        self._doing, self._total, self._before, self._now = doing, total, done, done
        self._started = self._said = time.monotonic()
        self._spoke = False

    def __call__(self, now: int) -> None:
        self._now = now
        moment = time.monotonic()
        if moment - self._said < EVERY or now >= self._total:
            return
        self._said, self._spoke = moment, True
        spent = moment - self._started
        steps = now - self._before
        left = f", about {_clock(spent * (self._total - now) / steps)} to go" if steps > 0 else ""
        self._say(f"{now} of {self._total}, {_clock(spent)} so far{left}")

    def end(self) -> None:
        """All is done; said where something was said before."""
        if self._spoke:
            self._say(f"{self._now} of {self._total}, done in {_clock(time.monotonic() - self._started)}")

    def _say(self, text: str) -> None:
        print(f"sdbench: {self._doing}: {text}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are some: 0:07, 12:30, 3:00:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
