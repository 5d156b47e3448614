"""What was first seen of files whose publisher does not tell their hashes: the lock file.

A lock file is a small JSON that a project can commit: every later download, here or elsewhere, is held to it.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdbench.assets.manifest import Sha256
from sdbench.base.errors import AssetError
from sdbench.base.files import write_text

LOCK_VARIABLE = "SDBENCH_LOCK"


class Seen(BaseModel):
    """One file as it first came: from where, when (UTC), by a download or by hand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None
    sha256: Sha256
    bytes: int = Field(gt=0)
    first_seen: datetime.date
    by: Literal["download", "hand"]


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    assets: dict[str, Seen] = {}


class LockFile:
    """The records of one lock file, by the names of assets; a missing file holds none.

    Args:
        path: the file.
        mutex: what processes that write it lock; not beside the file, which may lie in a project.
    """

    def __init__(self, path: Path, mutex: Path) -> None:
        self.path = path
        self._mutex = mutex

    def get(self, name: str) -> Seen | None:
        """What is recorded of asset `name`.

        Raises:
            AssetError: the file is not a lock file.
        """
        return self._read().assets.get(name)

    def record(self, name: str, seen: Seen, replace: bool = False) -> Seen:
        """Record `seen`, unless something else is recorded that it does not `replace`; returns what is recorded now.

        Raises:
            AssetError: the file is not a lock file, or cannot be written.
        """
        known = self.get(name)
        if known == seen or (known and not replace):  # then a file that may only be read will do
            return known
        try:
            self._mutex.parent.mkdir(parents=True, exist_ok=True)
            # Several processes may add to it at once: each reads what the other wrote.
            with FileLock(self._mutex):
                assets = self._read().assets
                if name in assets and not replace:
                    return assets[name]
                content = _Content(assets=dict(sorted({**assets, name: seen}.items())))
                write_text(self.path, content.model_dump_json(by_alias=True, indent=1) + "\n")
        except OSError as error:
            raise AssetError(
                f"the lock file {self.path} cannot be written ({error.strerror or error}); make it writable, or name "
                f"another one in {LOCK_VARIABLE}"
            ) from error
        return seen

    def _read(self) -> _Content:
        try:
            return _Content.model_validate_json(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return _Content()
        except (ValidationError, UnicodeDecodeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise AssetError(
                f"{self.path} is not a lock file of sdbench ({reason}); put back the one that was there, or delete it "
                "to have hashes recorded anew"
            ) from None


def lock_path(cache: Path) -> Path:
    """Where the lock file lies: `SDBENCH_LOCK`, or in the cache folder."""
    named = os.environ.get(LOCK_VARIABLE)
    return Path(named).expanduser() if named else cache / "lock.json"


def today() -> datetime.date:
    """The date in UTC, so that a committed lock reads the same everywhere."""
    return datetime.datetime.now(datetime.timezone.utc).date()
