"""The standard streams of a command: what is printed never costs what was measured, whoever reads it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from sdbench.base.errors import DiskError, InputError

_OWN: list[TextIO | None] = []
"""The standard output of the command that runs now, wherever what it prints goes."""


class _Kept:
    """A stream that no longer takes anything once it is broken, and raises nothing."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.error = stream, cast("OSError | None", None)

    def write(self, text: str) -> int:
        self._do(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._do(self.stream.flush)

    def _do(self, work: Callable[[], object]) -> None:
        if self.error is not None:
            return
        try:
            work()
        except OSError as error:
            self.error = error
            with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())  # what is still in its buffer troubles nobody at exit

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Meanwhile no standard stream can end the work: not one that is closed, broken, full or without the letters.

    Raises:
        DiskError: at the end, that what was printed on the standard output is lost; a reader who has seen enough is no
            error.
    """
    _open_all()
    before = sys.stdout, sys.stderr
    _OWN.append(before[0])
    out, err = (_Kept(stream or Path(os.devnull).open("w")) for stream in before)  # noqa: SIM115 - until the process ends
    for stream in (out, err):
        if isinstance(stream.stream, io.TextIOWrapper) and stream.stream.errors == "strict":
            stream.stream.reconfigure(errors="replace")
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before
        _OWN.pop()
    if out.error is not None and out.error.errno != errno.EPIPE:
        full = out.error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full; make room" if full else f"the standard output fails ({out.error.strerror})"
        raise DiskError(f"{why}: what was to be printed is lost, but files that were named are written")


def is_printed() -> bool:
    """Whether all that was printed so far has reached the standard output."""
    sys.stdout.flush()
    return getattr(sys.stdout, "error", None) is None


@contextlib.contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Meanwhile what is printed goes to the standard error: the standard output takes a file."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def check_stdout() -> None:
    """See that there is a standard output to write a file to.

    Raises:
        InputError: it is closed.
    """
    if _OWN and _OWN[-1] is None:
        raise InputError("the standard output is closed; name a file")


def write_to_stdout(content: bytes) -> None:
    """Write a file to the standard output.

    Raises:
        OSError: it is full, or its reader has gone.
    """
    stream = (_OWN[-1] if _OWN else None) or sys.stdout
    stream.flush()
    if hasattr(stream, "buffer"):
        stream.buffer.write(content)
    else:
        stream.write(content.decode())
    stream.flush()


def _open_all() -> None:
    """Open the standard streams that are closed on nothing: else the next file that is opened would be one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
