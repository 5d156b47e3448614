"""Run a program in a process of its own, and go on behind it in a fresh one where a crash ends it.

The program writes lines (`sdbench.base.journal`) as it goes: what begins and ends, and that it is over. From these is
known what it was doing when it ended, and the fresh process takes what has ended from them. Signals are passed on. The
program ends where its supervisor does: it holds one end of a pipe that nobody writes into.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from sdbench.base.journal import append_line, is_over, open_items, read_lines, short_name

SUPERVISED = "SDBENCH_SUPERVISED"
"""Variable that tells a process of its supervisor, as JSON; one that finds it set needs none."""

LIFELINE = "SDBENCH_LIFELINE"
"""Variable with the number of an open file: at its end a supervisor ends, since who started it is gone."""

INTERRUPTED = 2
"""Exit status of a run that was told to end; it is pytest's."""

_HEARS_WITHIN = 4.0
"""Seconds in which a program that is told to end must begin to: what stops a container or a job waits ten in all."""

_ENDS_WITHIN = 20.0
"""Seconds after which it is killed where nobody is left who waits for it."""

_ONCE = 2.0
"""Seconds in which a second signal is the same wish: a terminal and a supervisor may both send it."""


@dataclass(frozen=True)
class Supervision:
    """What a process is told of its supervisor.

    Attributes:
        command: the command line of the supervisor.
        attempt: how many processes were there before.
        given_up: why nothing more is to be tried; "" where all is.
        lifeline: open file that ends when the supervisor does; None where there is none.
    """

    command: tuple[str, ...] = ()
    attempt: int | None = None
    given_up: str = ""
    lifeline: int | None = None


@functools.cache
def supervision() -> Supervision | None:
    """What this process is told of its supervisor; None where it has none. What it starts is told nothing."""
    told = os.environ.pop(SUPERVISED, None)
    if told is None:
        return None
    return Supervision(**json.loads(told or "{}"))


def supervise(command: Sequence[str], journal: Path, restarts: int, rescue: Callable[[str], object]) -> int:
    """Run a program to its end, behind at most `restarts` crashes; returns its exit status.

    Args:
        command: the program and its arguments.
        journal: the file of its lines.
        restarts: how often a fresh process goes on behind a crash.
        rescue: called with what ended the program, or "" where it was told to end, where it ended for good before it
            was over: what is known then is in its lines.
    """
    told_command = (Path(sys.argv[0]).name, *sys.argv[1:])
    with _Signals() as signals:
        given_up = ""
        for attempt in range(restarts + 2):
            before = len(read_lines(journal))
            kills = _kills_for_memory()
            status, stopped = _run(command, Supervision(told_command, attempt, given_up), journal, before, signals)
            entries = read_lines(journal)
            new = entries[before:]
            if is_over(new):
                return _after_the_end(status)
            if stopped:
                _say("it did not end by itself in time; its report is made of what it had finished")
                rescue("")
                return INTERRUPTED
            why = _explained(status, kills)
            if not any(word in entry for entry in new for word in ("run", "begins")):  # it did not come so far
                if status < 0 or attempt:
                    _say(f"{why} before the first case")
                    rescue("")
                return status if status >= 0 else 128 - status
            running = open_items(entries)
            for name in running:
                append_line(journal, {"crashed": name, "said": f"{why} in {short_name(name)}"})
            fell = [entry["said"] for entry in read_lines(journal)[before:] if "crashed" in entry]
            said = fell[-1] if fell else why
            if given_up or not fell:
                break
            if attempt >= restarts:
                given_up = f"the run was ended {attempt + 1} times, and goes on {restarts} times (--restarts)"
                _say(f"{said}; {given_up}")
            else:
                _say(f"{said}; going on behind it in a fresh process ({attempt + 1} of at most {restarts})")
        _say(f"{said}; its report is made of what it had finished")
        rescue(why)
        return 1


def _run(command: Sequence[str], told: Supervision, journal: Path, before: int, signals: _Signals) -> tuple[int, bool]:
    """Run one process; its exit status (negative: a signal), and whether it had to be killed once told to end."""
    ours, theirs = os.pipe()
    posix = os.name == "posix"
    given: dict[str, Any] = {**vars(told), "lifeline": ours if posix else None}
    process = subprocess.Popen(
        command,
        env={**os.environ, SUPERVISED: json.dumps(given)},
        stdin=subprocess.DEVNULL,
        pass_fds=(ours,) if posix else (),
        start_new_session=posix,  # what a terminal sends comes once, from here, and all its processes end together
    )
    os.close(ours)
    signals.process = process
    told_at = math.inf
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(0.1), False
            now = time.monotonic()
            if signals.take():
                told_at = min(told_at, now)
                _send(process, signal.SIGINT)
            late = now - told_at > _HEARS_WITHIN
            if late and not any("interrupted" in entry for entry in read_lines(journal)[before:]):
                return _kill(process), True
            if signals.alone and now - told_at > _ENDS_WITHIN:
                return _kill(process), True
    finally:
        signals.process = None
        _kill(process)
        os.close(theirs)


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _kill(process: subprocess.Popen[bytes]) -> int:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    return process.wait()


class _Signals:
    """Hears what tells this process to end, while the block runs, in place of ending.

    Attributes:
        process: what stops and continues with this one where a terminal says so.
        alone: whether the lifeline of this process has ended.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.alone = False
        self._heard = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            for number in ending_signals():
                self._before[number] = signal.signal(number, self._hear)
            if hasattr(signal, "SIGTSTP"):
                self._before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._rest)
        if lifeline := os.environ.pop(LIFELINE, None):
            threading.Thread(target=self._watch, args=(int(lifeline),), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take(self) -> bool:
        """Whether something was heard since this was asked for last."""
        heard, self._heard = self._heard, False
        return heard

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._heard = True

    def _watch(self, lifeline: int) -> None:
        _wait_for_end(lifeline)
        self.alone = self._heard = True

    def _rest(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: the program, which the terminal does not know of, rests too."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGCONT)


def ending_signals() -> list[signal.Signals]:
    """What tells a process to end: Ctrl-C, SIGTERM, and that its terminal is gone, unless nohup has that ignored."""
    found = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        found.append(signal.SIGHUP)
    return found


def end_as_ctrl_c_does(lifeline: int | None) -> None:
    """Let all that tells this process to end do what Ctrl-C does, once; and so the end of its lifeline."""
    own, last = os.getpid(), -_ONCE

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != own:  # a forked process that loads samples is ended by SIGTERM, as it would be
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        now = time.monotonic()
        again, last = now - last < _ONCE, now
        if not again:
            raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in ending_signals():
            signal.signal(number, interrupt)
    if lifeline is not None:

        def watch() -> None:
            _wait_for_end(lifeline)
            os.kill(own, signal.SIGTERM)
            time.sleep(_ENDS_WITHIN)
            os.killpg(own, signal.SIGKILL)

        threading.Thread(target=watch, daemon=True).start()


def _wait_for_end(lifeline: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(lifeline, 1):
            pass


def _after_the_end(status: int) -> int:
    """The exit status of a program that was over when it ended."""
    if status >= 0:
        return status
    _say(f"{_explained(status, None)} when its report was written; nothing of it is lost")
    return 128 - status


def _explained(status: int, kills: int | None) -> str:
    """How a process ended, in words: by an exit status, or by a signal."""
    if status >= 0:
        return f"ended with exit status {status}"
    said = f"ended by {named_signal(-status)}"
    if status == -signal.SIGKILL:
        now = _kills_for_memory()
        sure = kills is not None and now is not None and now > kills
        said += ", since memory ran out," if sure else ", perhaps since memory ran out,"
    return said


def named_signal(number: int) -> str:
    """A signal as people know it: signal 11 (SIGSEGV)."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _kills_for_memory() -> int | None:
    """How many processes the system has killed since memory ran out; None where it does not say."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/vmstat").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return None


def _say(words: str) -> None:
    print(f"sdbench: {words}", file=sys.stderr, flush=True)
