"""The append-only file of runs: one JSON line each, safe against two writers and a crash.

A line is written with one call, under a lock, and is on the disk before the call returns. What a crash leaves of a line
stays in the file, ends at the next line's beginning, and is named and skipped by every reader; so is a line that was
damaged later, which its hash shows.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from sdbench.base.errors import InputError
from sdbench.cases.records import faults
from sdbench.history.record import Acceptance, Line, Run


@dataclass(frozen=True)
class Content:
    """What a history file holds, in its order.

    Attributes:
        runs: the runs.
        accepted: id of a run -> why somebody accepted it.
        damaged: one sentence for each line that could not be used.
    """

    runs: list[Run] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def run(self, name: str) -> Run:
        """The run whose id begins with `name`.

        Raises:
            InputError: there is none, or more than one.
        """
        found = [run for run in self.runs if run.id.startswith(name)]
        if len(found) != 1:
            known = ", ".join(run.id for run in self.runs[-8:]) or "none"
            raise InputError(f"{'several runs begin' if found else 'no run begins'} with {name!r}; the latest: {known}")
        return found[0]


class HistoryFile:
    """The history in one file; a missing file holds no runs.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Content:
        """All that can be read.

        Raises:
            InputError: the file cannot be read at all.
        """
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return Content()
        except OSError as error:
            raise InputError(f"the history {self.path} cannot be read ({error.strerror}); name a file") from None
        content = Content()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            whole = number < len(lines)
            try:
                self._take(line, content)
            except ValueError as error:  # pydantic's and json's errors are such
                why = _why(error) if whole else "it has no end: its writer was stopped, or is at work"
                content.damaged.append(f"line {number} of {self.path} is damaged and was skipped: {why}")
        return content

    def add(self, run: Run) -> bool:
        """Append a run; False where the same report is there already.

        Raises:
            InputError: the file cannot be written.
        """
        with self.locked():
            if any(known.id == run.id for known in self.read().runs):
                return False
            self._append("run", run)
        return True

    def accept(self, acceptance: Acceptance) -> None:
        """Append somebody's word that a run is good.

        Raises:
            InputError: the file cannot be written.
        """
        with self.locked():
            self._append("accept", acceptance)

    def locked(self) -> FileLock:
        """The lock that writers of the file hold.

        Raises:
            InputError: it cannot be made.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return FileLock(self.path.with_name(f"{self.path.name}.lock"))
        except OSError as error:
            raise self._unwritable(error) from None

    def _append(self, kind: str, record: Run | Acceptance) -> None:
        content = record.model_dump(mode="json")
        line = json.dumps({"schema": 1, "sha256": _hash(content), kind: content}, allow_nan=False) + "\n"
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                unfinished = False
                if os.fstat(handle).st_size:
                    os.lseek(handle, -1, os.SEEK_END)
                    unfinished = os.read(handle, 1) != b"\n"
                left = memoryview(("\n" * unfinished + line).encode())
                while left:  # a call may write less than it was given
                    left = left[os.write(handle, left) :]
                os.fsync(handle)
            finally:
                os.close(handle)
            if os.name == "posix":
                folder = os.open(self.path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)  # else a new file may be lost with the power
                finally:
                    os.close(folder)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"the history {self.path} cannot be written ({error.strerror}); what it holds is kept: make it writable "
            "(and see that the disk is not full), or name another file with --history"
        )

    @staticmethod
    def _take(line: bytes, content: Content) -> None:
        fields = json.loads(line)
        read = Line.model_validate(fields)
        kept = fields.get("run") or fields.get("accept")
        if kept is None or _hash(kept) != read.sha256:
            raise ValueError("its hash does not fit what it says")
        if read.run is not None:
            content.runs.append(read.run)
        if read.accept is not None:
            content.accepted[read.accept.run] = read.accept.because


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _why(error: ValueError) -> str:
    return faults(error)[0] if isinstance(error, ValidationError) else str(error)
