"""The errors that a user can act on, and the sentence that names what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class SdbenchError(Exception):
    """Something that the caller can put right; the message says what was expected, what came, and what to do."""


class InputError(SdbenchError, ValueError):
    """An argument, a file or a video that cannot be used as it is."""


class AssetError(SdbenchError):
    """An asset that is missing, damaged or out of reach."""


class MissingAssetError(AssetError):
    """An asset that is not here and could not be fetched now: nothing that is here is at fault."""


class DiskError(SdbenchError):
    """A disk that is full, or refuses to be read or written; nothing that was kept is lost."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Say that `name` is not a known `kind` and which known names are nearest to it."""
    names, name = sorted(known), str(name)[:200]
    lowered = {candidate.lower(): candidate for candidate in names}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        hint = f"known: {shown}" if names else "none is known"
    return InputError(f"unknown {kind} {name!r}; {hint}")


def counted(number: int, thing: str, things: str = "") -> str:
    """How many there are of a thing: 1 clip, 2 clips."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are: for a sentence about many files."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
