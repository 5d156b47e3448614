"""Reading annotation files: what is missing or of another kind is named, with the entry it is missing from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sdbench.base.errors import InputError

_KINDS: dict[type, str] = {dict: "an object", list: "a list"}

_Read = TypeVar("_Read")


class Entry(BaseModel):
    """An entry of an annotation file: its fields are of exactly their kinds; others that it has are passed over."""

    model_config = ConfigDict(strict=True, frozen=True)


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


def checked(path: Path, content: Any, kind: TypeAdapter[_Read]) -> _Read:
    """What an annotation file holds, as records.

    Args:
        path: the file, for the error.
        content: what was read of it.
        kind: what it should be: usually a list or a mapping of `Entry`.

    Raises:
        InputError: it is something else; the faults of the first entry are named, and how many more entries have some.
    """
    try:
        return kind.validate_python(content)
    except ValidationError as error:
        raise InputError(
            f"the annotation file {path} cannot be used: {first_fault(error)}; is it the published file?"
        ) from None


def first_fault(error: ValidationError) -> str:
    """What is wrong with the first entry that has a fault, and how many more entries have some."""
    by_entry: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for fault in error.errors(include_url=False):
        by_entry.setdefault(fault["loc"][: _entry_depth(fault)], []).append(fault)
    entry, faults = next(iter(by_entry.items()))
    where = f"entry {'.'.join(map(str, entry))}" if entry else "the file"
    more = f" (and {len(by_entry) - 1} more entries have faults)" if len(by_entry) > 1 else ""
    return f"{where} {' and '.join(_described(fault) for fault in faults)}{more}"


def _entry_depth(fault: ErrorDetails) -> int:
    """How many parts of a fault's place name the entry; the rest is the field, and the place in it."""
    if fault["type"] == "model_type":
        return len(fault["loc"])
    named = [depth for depth, part in enumerate(fault["loc"]) if isinstance(part, str)]
    return named[-1] if named else len(fault["loc"])


def _described(fault: ErrorDetails) -> str:
    field = ".".join(map(str, fault["loc"][_entry_depth(fault) :]))
    if fault["type"] == "missing":
        return f"lacks the field {field}"
    if fault["type"] == "model_type":
        return f"is {_short(fault['input'])}: it should be an object"
    message = fault["msg"].replace("Input", "it", 1)
    return f"has {field} = {_short(fault['input'])}: {message[0].lower()}{message[1:]}"


def _short(value: Any, most: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."
