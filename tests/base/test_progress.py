"""Long work says how far it is, with a terminal and without one."""

from __future__ import annotations

import contextlib
import io
import sys

import pytest

from sdbench.base.progress import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the clock tells, one after the other; then the last for ever."""
    told: list[float] = []
    monkeypatch.setattr("sdbench.base.progress.time.monotonic", lambda: told.pop(0) if len(told) > 1 else told[0])
    return told


def work(doing: str, *done: int, total: int = 100, before: int = 0, quiet: bool = False) -> None:
    with progress(doing, total, before, quiet) as advance:
        for now in done:
            advance(now)


def test_without_a_terminal_a_line_is_said_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    clock += [0.0, 10.0, 31.0, 40.0, 62.0, 70.0, 80.0]
    work("measuring net", 10, 25, 30, 50, 100)
    assert capsys.readouterr().err.splitlines() == [
        "sdbench: measuring net: 25 of 100, 0:31 so far, about 1:33 to go",
        "sdbench: measuring net: 50 of 100, 1:02 so far, about 1:02 to go",
        "sdbench: measuring net: 100 of 100, done in 1:20",
    ]


def test_what_was_done_before_says_nothing_of_the_pace(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    clock += [0.0, 3600.0, 7200.0]
    work("measuring net", 60, before=50)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "sdbench: measuring net: 60 of 100, 1:00:00 so far, about 4:00:00 to go"
    assert last == "sdbench: measuring net: 60 of 100, done in 2:00:00"


def test_short_and_quiet_work_says_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    clock += [0.0, 5.0, 29.0, 29.5]
    work("measuring net", 50, 99, 100)
    clock[:] = [0.0, 50.0, 100.0, 200.0]
    work("measuring net", 50, 99, quiet=True)
    assert capsys.readouterr().err == ""


def test_work_that_fails_is_not_called_done(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    clock += [0.0, 40.0, 50.0]
    with contextlib.suppress(ZeroDivisionError), progress("measuring net", 100, 0, False) as advance:
        advance(20)
        advance(1 // 0)
    assert "done" not in capsys.readouterr().err


def test_on_a_terminal_a_bar_is_drawn_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setattr(sys, "stdout", printed := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    work("measuring net", 100)
    assert "measuring net" in screen.getvalue()
    assert printed.getvalue() == "", "what is printed may go to a file"
