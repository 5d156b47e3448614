"""Arguments of public functions, seen before anything is made of them: each a sentence where it cannot be meant."""

from __future__ import annotations

import errno
import functools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sdbench.base.errors import DiskError, InputError
from sdbench.base.machine import free_memory

_LARGEST = 2**63 - 1
"""Numbers above are no whole numbers of torch and numpy."""

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def file_errors_said(function: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
    """A public function, in which a file that the system refuses is a sentence: no permission, too long a name."""

    @functools.wraps(function)
    def said(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if not error.filename:
                raise
            kind = DiskError if error.errno in (errno.ENOSPC, errno.EDQUOT) else InputError
            raise kind(f"{error.filename}: {error.strerror or error}; put it right and run the same again") from None

    return said


def whole(name: str, value: Any, least: int = 0, most: int = _LARGEST) -> int:
    """A whole number, numpy's too.

    Args:
        name: of the argument, for the sentence.
        value: what came.
        least: the smallest that it may be.
        most: the largest.

    Raises:
        InputError: it is something else.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        kind = "positive whole number" if least == 1 else "whole number"
        limit = f"from {least}" if most == _LARGEST else f"from {least} to {most}"
        raise InputError(f"{name} must be a {kind} {limit}; got {_shown(value)}")
    return number


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number, numpy's too.

    Args:
        name: of the argument, for the sentence.
        value: what came.
        least: the smallest that it may be.
        most: the largest.

    Raises:
        InputError: it is something else.
    """
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        found = math.nan
    if not (math.isfinite(found) and least <= found <= most):
        limit = f" from {least:g} to {most:g}" if math.isfinite(least) and math.isfinite(most) else ""
        raise InputError(f"{name} must be a finite number{limit}; got {_shown(value)}")
    return found


def listed(name: str, values: Any, of: str = "names") -> tuple[Any, ...]:
    """The members of a list, a tuple or any other iterable, which is gone through once.

    Args:
        name: of the argument, for the sentence.
        values: what came; a text is no list, though Python goes through its letters.
        of: what they are.

    Raises:
        InputError: it is something else.
    """
    if isinstance(values, (str, bytes, Path)) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a list of {of}; got {_shown(values)}")
    return tuple(values)


def text(name: str, value: Any, known: Sequence[str] = ()) -> str:
    """A text that is not empty.

    Args:
        name: of the argument, for the sentence.
        value: what came.
        known: examples.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(value, str) or not value:
        such = f" such as {known[0]!r}" if known else ""
        raise InputError(f"{name} must be a text{such}; got {_shown(value)}")
    return value


def folder(name: str, value: Any) -> Path:
    """A path that was named; the current folder is ".".

    Raises:
        InputError: it is empty, or no path.
    """
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise InputError(f"{name} must be the path of a folder; got {_shown(value)}")
    return Path(value)


def check_fits(what: str, size: float, cure: str) -> None:
    """See that something can be held in memory, before any is taken.

    Args:
        what: it is, for the sentence.
        size: how many bytes it takes, at least.
        cure: what to do where there are not so many.

    Raises:
        InputError: there are not so many.
    """
    free = free_memory()
    if free is not None and size > free:
        raise InputError(f"{what} takes {size / 1e9:.3g} GB of memory, and {free / 1e9:.3g} GB are free: {cure}")


def _shown(value: Any) -> str:
    """A value in a few letters, with its type where that is what is wrong."""
    said = repr(value)
    said = said if len(said) <= 60 else f"{said[:57]}..."
    return said if isinstance(value, (int, float, str, type(None))) else f"{said} ({type(value).__name__})"
