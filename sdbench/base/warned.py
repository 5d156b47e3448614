"""Warnings name the user's line, however deep in this package they are made."""

from __future__ import annotations

import sys
import warnings


def warn_caller(message: str) -> None:
    """Warn of something, at the line outside this package that led to it."""
    package = __name__.partition(".")[0]
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        depth, frame = depth + 1, frame.f_back
    warnings.warn(message, stacklevel=depth)
