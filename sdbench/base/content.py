"""What files hold, as a hash that is taken once: it is kept by the file's size and time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sdbench.base.errors import InputError
from sdbench.base.files import sha256_of, write_text
from sdbench.base.kept import disk_error, key_of
from sdbench.base.machine import available_cores

_Known = dict[str, tuple[int, int, str]]
"""Name of a file -> its size, its time of change in nanoseconds, and its SHA-256."""


class Contents:
    """Remembers the hashes of files.

    Args:
        folder: where they are kept, one file for each folder that was looked into.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, _Known] = {}

    def of(self, files: Iterable[Path]) -> str:
        """One hash for the names and contents of some files, in their order.

        Files that have the size and time that they had when they were last hashed are not read.

        Raises:
            InputError: one of them is not there.
            DiskError: one cannot be read.
        """
        listed = list(files)
        by_parent: dict[Path, list[Path]] = defaultdict(list)
        for path in listed:
            by_parent[path.parent].append(path)
        hashes: dict[Path, str] = {}
        for parent, inside in by_parent.items():
            hashes |= self._hashed(parent, list(dict.fromkeys(inside)))
        return key_of([(path.name, hashes[path]) for path in listed])

    def _hashed(self, parent: Path, files: list[Path]) -> dict[Path, str]:
        known = self._recall(parent)
        found: dict[Path, str] = {}
        missing: dict[Path, tuple[int, int]] = {}
        for path in files:
            try:
                status = path.stat()
            except FileNotFoundError:
                raise InputError(f"{path} is no longer there; was the data set changed meanwhile?") from None
            except OSError as error:
                raise disk_error(path, "read", error) from None
            stamp = (status.st_size, status.st_mtime_ns)
            if path.name in known and tuple(known[path.name][:2]) == stamp:
                found[path] = known[path.name][2]
            else:
                missing[path] = stamp
        if missing:
            with ThreadPoolExecutor(available_cores()) as pool:
                for path, digest in zip(missing, pool.map(_sha256, missing), strict=True):
                    found[path] = digest
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


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except FileNotFoundError:
        raise InputError(f"{path} is no longer there; was the data set changed meanwhile?") from None
    except OSError as error:
        raise disk_error(path, "read", error) from None
