"""Files that are either whole or not there: hashing, atomic writing, safe extraction."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import sys
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

_UNFINISHED = ".sdbench-"
"""Begins the name of a file that is not yet whole."""

_LONGEST_ENDING = 16

PICTURES = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
"""Ending of a picture's name -> its format."""

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
    """A temporary path that takes the place of `target` when the block ends well, and vanishes when it does not.

    Of a symbolic link, that which it leads to is replaced, and what was there keeps its permissions. What has no place
    to be taken, such as a device or a named pipe, is written into, all at once.
    """
    place, ending = Path(os.path.realpath(target)), target.suffix[:_LONGEST_ENDING]
    into = _is_written_into(target)
    if not into:
        place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_UNFINISHED, suffix=ending, dir=None if into else place.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if not into:
            temporary.chmod(place.stat().st_mode & 0o7777 if place.exists() else 0o666 & ~_UMASK)
            try:
                temporary.replace(place)
            except OSError as error:
                if error.errno != errno.EBUSY:  # a file that is mounted, as into a container
                    raise
                into = True
        if into:
            _write_into(target, temporary)
    finally:
        temporary.unlink(missing_ok=True)


def check_place(target: Path) -> None:
    """See that a file can be written, before there is anything to write. Nothing is left of the attempt.

    Raises:
        OSError: it cannot be, and why.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    place = Path(os.path.realpath(target))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    if _is_written_into(target):
        return
    folder = next(parent for parent in place.parents if parent.exists())
    longest = max(len(os.fsencode(part)) for part in place.relative_to(folder).parts)
    if hasattr(os, "pathconf") and longest > os.pathconf(folder, "PC_NAME_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=folder)
    os.close(handle)
    Path(name).unlink()


def _is_written_into(target: Path) -> bool:
    """Whether a file stays where it is: a device, a pipe, the standard output, or one in a folder that is shut."""
    if not target.exists():
        return False
    regular = target.is_file() and not any(_is_stream(target, number) for number in (1, 2))
    return not regular or not os.access(Path(os.path.realpath(target)).parent, os.W_OK)


def is_stdout(target: Path) -> bool:
    """Whether a file is this process's standard output, by whatever name."""
    return _is_stream(target, 1) and not os.path.samestat(target.stat(), Path(os.devnull).stat())


def _is_stream(target: Path, number: int) -> bool:
    """Whether a file is this process's standard output (1) or error (2)."""
    try:
        return os.path.samestat(os.fstat(number), target.stat())
    except OSError:  # it is closed
        return False


def _write_into(target: Path, source: Path) -> None:
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if _is_stream(target, number):  # behind what was printed, and not over it
            if stream is not None:
                stream.flush()
            with source.open("rb") as file, os.fdopen(os.dup(number), "wb") as open_stream:
                shutil.copyfileobj(file, open_stream)
            return
    with source.open("rb") as file, target.open("wb") as written:
        shutil.copyfileobj(file, written)


def write_text(target: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_figure(figure: Any, target: Path) -> None:
    """Write a figure of matplotlib as its file's name ends: PNG, SVG or PDF; PNG where the name has no ending.

    Raises:
        InputError: the name ends otherwise.
    """
    ending = target.suffix.lower() or ".png"
    if ending not in PICTURES:
        raise InputError(f"a picture ends in {', '.join(PICTURES)}; got {target.name}")
    dated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=110, format=PICTURES[ending], metadata=dated.get(ending))


def read_json(path: Path, expected: str) -> dict[str, Any]:
    """The object in a file of JSON that the user named.

    Args:
        path: the file.
        expected: what it should be, for the sentence: "expected a file that ...".

    Raises:
        InputError: there is none, it holds something else, or one key twice.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once_each)
    except FileNotFoundError:
        raise InputError(f"no file at {path}; {expected}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON that can be read ({error}); {expected}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}; {expected}")
    return content


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands in it twice")
    return found


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
