"""Warnings name the user's line, however deep in this package they are made; a command prints their sentence alone."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any


class SdbenchWarning(UserWarning):
    """Something that a reader of the numbers must know; the message is one sentence."""


def warn_caller(message: str) -> None:
    """Warn of something, at the line outside this package that led to it."""
    package = __name__.partition(".")[0]
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, SdbenchWarning, stacklevel=depth)


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Meanwhile warnings of this package are printed as a sentence, without the line that led to them."""
    usual = warnings.showwarning

    def shown(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, SdbenchWarning):
            print(f"sdbench: {message}", file=sys.stderr)
        else:
            usual(message, category, *rest)

    with warnings.catch_warnings():
        warnings.showwarning = shown  # type: ignore[assignment]
        yield
