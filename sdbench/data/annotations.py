"""Reading annotation files: what is missing or of another kind is named, with the entry it is missing from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sdbench.base.errors import InputError

_KINDS: Mapping[type | tuple[type, ...], str] = {
    str: "text",
    dict: "an object",
    list: "a list",
    int: "a whole number",
    (int, float): "a number",
    (int, str): "a number or text",
}

Fields = Mapping[str, type | tuple[type, ...]]


def read_json(path: Path, kind: type, digest: Any = None) -> Any:
    """The content of an annotation file.

    Args:
        path: the file.
        kind: `dict` or `list`, whichever the file must hold.
        digest: a hash of `hashlib` that the file's bytes are added to.

    Raises:
        InputError: there is no such file, it is not JSON, or it holds something else.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"no annotation file at {path}; it comes with the data set: put it beside the style folders"
        ) from None
    except OSError as error:
        raise InputError(f"the annotation file {path} cannot be read: {error.strerror}") from None
    (digest or hashlib.sha256()).update(content)
    try:
        parsed = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"the annotation file {path} is not valid JSON ({error}); copy it again") from None
    if not isinstance(parsed, kind) or not parsed:
        raise InputError(
            f"the annotation file {path} must hold {_KINDS[kind]} with at least one entry; "
            f"got {'an empty one' if isinstance(parsed, kind) else type(parsed).__name__}"
        )
    return parsed


def check_fields(path: Path, entries: Iterable[tuple[str, Any]], fields: Fields) -> None:
    """Check that every entry is an object with these fields.

    Args:
        path: the annotation file, for the error.
        entries: (how to name the entry, the entry).
        fields: name of each field -> its type or types.

    Raises:
        InputError: one is not; all faults of the first such entry are named, and how many more entries have some.
    """
    first, more = "", 0
    for name, entry in entries:
        if not (faults := _faults(entry, fields)):
            continue
        if first:
            more += 1
        else:
            first = f"{name} {faults}"
    if first:
        raise InputError(
            f"the annotation file {path} cannot be used: {first}"
            + (f" (and {more} more entries have faults)" if more else "")
            + "; is it the published file?"
        )


def _faults(entry: Any, fields: Fields) -> str:
    if not isinstance(entry, dict):
        return f"is not an object with the fields {', '.join(fields)}"
    missing = [name for name in fields if name not in entry]
    wrong = [name for name in fields if name in entry and not _is_a(entry[name], fields[name])]
    parts = []
    if missing:
        parts.append(f"lacks the field{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    parts += [f"has {name} = {entry[name]!r}, expected {_KINDS[fields[name]]}" for name in wrong]
    return " and ".join(parts)


def _is_a(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
