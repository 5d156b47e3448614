"""Files that are either whole or not there: hashing, atomic writing, safe extraction."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sdbench.base.errors import AssetError, InputError

_BLOCK = 1 << 20

_ROW = re.compile(r"\[\n([^][{}]*)\n *\]")
"""A list of JSON with neither lists nor mappings in it: a text of JSON holds no line break."""

_UMASK = os.umask(0)
os.umask(_UMASK)  # it can only be asked for by setting it, for the whole process: once, before there are threads


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def is_web_page(path: Path) -> bool:
    """Whether a file begins as HTML does: what servers send instead of a file that a browser has to ask for."""
    with path.open("rb") as file:
        start = file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that takes its place when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """The object in a file of JSON that the user named.

    Args:
        path: the file.
        expected: what it should be, for the sentence: "expected a file that ...".

    Raises:
        InputError: there is none, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no file at {path}; {expected}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no JSON that can be read ({error}); {expected}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}; {expected}")
    return content


def json_text(content: Any) -> str:
    """Plain values as JSON that a person can read: a row of numbers or names takes one line.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, indent=1, allow_nan=False)
    return _ROW.sub(lambda row: "[" + " ".join(part.strip() for part in row[1].splitlines()) + "]", text) + "\n"


def extract_member(archive: Path, member: str, target: Path, most_bytes: int) -> None:
    """Copy one regular file of a zip, wheel or tar archive to `target`, nothing else of it.

    Raises:
        AssetError: the archive is unreadable, has no such regular file, or the file is larger than `most_bytes`.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped, zipped.open(member) as source:
                _copy_bounded(source, target, most_bytes, f"{member} in {archive.name}")
        else:
            with tarfile.open(archive) as tar:
                opened = tar.extractfile(tar.getmember(member))
                if opened is None:
                    raise AssetError(f"{member} in {archive.name} is not a regular file; expected the asset itself")
                with opened as source:
                    _copy_bounded(source, target, most_bytes, f"{member} in {archive.name}")
    except KeyError:
        raise AssetError(f"{archive.name} holds no file {member}; is it the right archive?") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise AssetError(f"{archive} cannot be read as a zip or tar archive ({error}); delete it and retry") from None


def _copy_bounded(source: IO[bytes], target: Path, most_bytes: int, what: str) -> None:
    copied = 0
    with target.open("wb") as file:
        while block := source.read(_BLOCK):
            copied += len(block)
            if copied > most_bytes:
                raise AssetError(f"{what} is larger than the {most_bytes} bytes it should have; refused")
            file.write(block)


def remove_tree(folder: Path) -> None:
    """Delete a folder of ours, whatever is left of it."""
    shutil.rmtree(folder, ignore_errors=True)
