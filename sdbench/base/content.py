"""What files hold, as a hash that is taken once: it is kept by the file's number, size and times.

A file is hashed anew when its inode, its size, its time of writing or its time of change differs. The time of change is
set by the system whenever content is written, and programs that keep the time of writing (tar, rsync -t, cp -p) cannot
set it. A file that changed within two seconds before it was hashed is hashed again next time, since times may be that
coarse. What remains: content that is written past the file system (to the raw disk), a clock that is set back, and
systems without a time of change (Windows, some network shares), where only size and time of writing speak.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sdbench.base.errors import InputError
from sdbench.base.files import sha256_of, write_text
from sdbench.base.kept import disk_error, key_of
from sdbench.base.machine import available_cores

_Stamp = tuple[int, int, int, int]
"""Inode, size, time of writing and time of change, in nanoseconds."""

_Known = dict[str, tuple[int, int, int, int, str]]
"""Name of a file -> its stamp, and its SHA-256."""

_COARSEST = 2_000_000_000
"""Nanoseconds: so coarse may the times of a file system be (FAT's are)."""


class Contents:
    """Remembers the hashes of files.

    Args:
        folder: where they are kept, one file for each folder that was looked into.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, _Known] = {}

    def of(self, files: Iterable[Path], names: bool = True) -> str:
        """One hash for the names and contents of some files, in their order.

        Files that are as they were when they were last hashed are not read: see the module's text.

        Args:
            files: the files.
            names: whether their names count.

        Raises:
            InputError: one of them is not there, or cannot be read.
            DiskError: what is kept cannot be written.
        """
        listed = list(files)
        by_parent: dict[Path, list[Path]] = defaultdict(list)
        for path in listed:
            by_parent[path.parent].append(path)
        hashes: dict[Path, str] = {}
        for parent, inside in by_parent.items():
            hashes |= self._hashed(parent, list(dict.fromkeys(inside)))
        return key_of([(path.name, hashes[path]) if names else hashes[path] for path in listed])

    def _hashed(self, parent: Path, files: list[Path]) -> dict[Path, str]:
        known = self._recall(parent)
        found: dict[Path, str] = {}
        missing: dict[Path, _Stamp] = {}
        for path in files:
            stamp = _stamp(path)
            if path.name in known and tuple(known[path.name][:-1]) == stamp:
                found[path] = known[path.name][-1]
            else:
                missing[path] = stamp
        if missing:
            settled = time.time_ns() - _COARSEST
            with ThreadPoolExecutor(available_cores()) as pool:
                for path, digest in zip(missing, pool.map(_sha256, missing), strict=True):
                    found[path] = digest
                    known.pop(path.name, None)
                    if max(missing[path][2:]) < settled:
                        known[path.name] = (*missing[path], digest)
            try:
                write_text(self._place(parent), json.dumps(known))
            except OSError as error:
                raise disk_error(self._place(parent), "written", error) from None
        return found

    def _recall(self, parent: Path) -> _Known:
        if parent not in self._known:
            try:
                self._known[parent] = dict(json.loads(self._place(parent).read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                self._known[parent] = {}  # nothing is lost: the files are hashed again
        return self._known[parent]

    def _place(self, parent: Path) -> Path:
        return self.folder / f"{key_of(str(parent.resolve()))[:32]}.json"


def _stamp(path: Path) -> _Stamp:
    """Of the file itself, wherever links lead."""
    with _read(path):
        status = path.stat()
    changed = status.st_ctime_ns if os.name == "posix" else 0
    return status.st_ino, status.st_size, status.st_mtime_ns, changed


def _sha256(path: Path) -> str:
    with _read(path):
        return sha256_of(path)


@contextlib.contextmanager
def _read(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is no longer there; was the data set changed meanwhile?") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); see that its disk is there and that it may be read, "
            "or leave it out"
        ) from None
