"""Errors that a user's own code raises, as one sentence with the file and line of theirs."""

from __future__ import annotations

import contextlib
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import torch

from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.memory import is_out_of_memory

_EXPECTED = (RuntimeError, TypeError, ValueError, LookupError, AssertionError)
"""What functions raise that are given something else than they expect."""

_GENERATED = ("<frozen", "<eval_with_key")
_OWN = str(Path(__file__).parents[1])
_TORCH = str(Path(torch.__file__).parent)
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})
_PYTHON = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})

_MOST = 400
"""Letters of what an error says."""


@contextlib.contextmanager
def users_code(what: str, cure: str = "", otherwise: str = "") -> Iterator[None]:
    """Meanwhile a user's code runs; whatever it raises is a sentence.

    Args:
        what: does not work, then.
        cure: what to do about it.
        otherwise: what does not work where the error is none that other inputs would cause; there is no cure then.

    Raises:
        InputError: it raised; not where it was interrupted, or where there was no memory left.
    """
    try:
        yield
    except (SdbenchError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if is_out_of_memory(error) or not is_users(error):
            raise
        if otherwise and not is_expected(error):
            what, cure = otherwise, ""
        raise InputError(f"{what} ({said_by(error)})" + (f": {cure}" if cure else "")) from error


def said_by(error: BaseException) -> str:
    """What was raised, what it says, and where: "ZeroDivisionError: division by zero; my_model.py, line 12"."""
    said = " ".join(str(error).split())[:_MOST] or "it says no more"
    place = place_of(error)
    return f"{type(error).__name__}: {said}" + (f"; {place}" if place else "")


def place_of(error: BaseException) -> str:
    """The last line of the user's that led to an error, else of a library's: "my_model.py, line 12"; "" for neither."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith((_OWN, _TORCH, *_GENERATED))]
    own = [frame for frame in theirs if not frame.filename.startswith((*_INSTALLED, *_PYTHON))]
    for frame in reversed(own or theirs):
        path = Path(frame.filename)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}, line {frame.lineno}"
    return ""


def is_expected(error: BaseException) -> bool:
    """Whether an error is one that inputs of another kind than a network takes would cause."""
    return isinstance(error, _EXPECTED) and not isinstance(error, (NotImplementedError, RecursionError))


def is_users(error: BaseException) -> bool:
    """Whether a network raised an error, and not this package around it."""
    frames = traceback.extract_tb(error.__traceback__)
    return is_expected(error) or not frames or not frames[-1].filename.startswith(_OWN)
