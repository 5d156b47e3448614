"""A program that crashes is gone on behind in a fresh process, and ends where its supervisor does; small programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdbench.base.journal import read_lines
from sdbench.base.supervisor import INTERRUPTED, named_signal, supervise

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

PROGRAM = """
import json, os, signal, sys, time
sys.path.insert(0, ROOT)
from sdbench.base.journal import append_line, read_lines
from sdbench.base.supervisor import end_as_ctrl_c_does, supervision
from pathlib import Path
path, told = Path(sys.argv[1]), supervision()
ended = {name for line in read_lines(path) for word in ("ends", "crashed") if (name := line.get(word))}
end_as_ctrl_c_does(told.lifeline)
append_line(path, {"run": os.getpid()})
def work(name):
    BODY
try:
    for name in "abcd":
        if name not in ended and not told.given_up:
            append_line(path, {"begins": name})
            work(name)
            append_line(path, {"ends": name})
except KeyboardInterrupt:
    append_line(path, {"interrupted": True})
append_line(path, {"over": 0, "given_up": told.given_up})
sys.exit(STATUS)
"""


def command(journal: Path, body: str, status: int = 0) -> list[str]:
    code = PROGRAM.replace("ROOT", repr(str(ROOT))).replace("BODY", body).replace("STATUS", str(status))
    return [sys.executable, "-c", code, str(journal)]


def crashes_of(journal: Path) -> list[str]:
    return [line["said"] for line in read_lines(journal) if "crashed" in line]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "lines"


def nothing_to_rescue(why: str) -> None:
    raise AssertionError(why)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("name == 'b' and os.kill(os.getpid(), signal.SIGSEGV)", "ended by signal 11 (SIGSEGV) in b"),
        ("name == 'b' and os._exit(0)", "ended with exit status 0 in b"),
        ("name == 'b' and os.kill(os.getpid(), signal.SIGKILL)", "ended by signal 9 (SIGKILL), .*memory ran out, in b"),
    ],
)
def test_a_crash_costs_one_item(body: str, said: str, journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert supervise(command(journal, body, 1), journal, 3, nothing_to_rescue) == 1
    (crash,) = crashes_of(journal)
    assert re.fullmatch(said.replace("(", r"\(").replace(")", r"\)"), crash)
    assert [line["ends"] for line in read_lines(journal) if "ends" in line] == ["a", "c", "d"]
    assert "going on behind it in a fresh process (1 of at most 3)" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_more_often_than_told(journal: Path) -> None:
    assert supervise(command(journal, "os.kill(os.getpid(), signal.SIGSEGV)"), journal, 1, nothing_to_rescue) == 0
    assert [crash[-4:] for crash in crashes_of(journal)] == ["in a", "in b"]
    assert read_lines(journal)[-1]["given_up"] == "the run was ended 2 times, and goes on 1 times (--restarts)"


def test_what_ends_before_anything_began_is_not_tried_again(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rescued: list[str] = []
    assert supervise([sys.executable, "-c", "raise SystemExit(4)"], journal, 3, nothing_to_rescue) == 4
    kill = "import os; os.kill(os.getpid(), 11)"
    assert supervise([sys.executable, "-c", kill], journal, 3, rescued.append) == 139
    assert "ended by signal 11 (SIGSEGV) before the first case" in capsys.readouterr().err
    assert rescued == [""]


def test_a_crash_behind_the_last_item_leaves_the_report_to_its_supervisor(journal: Path) -> None:
    rescued: list[str] = []
    body = "append_line(path, {'ends': name}) or os._exit(5)"
    assert supervise(command(journal, body), journal, 3, rescued.append) == 1
    assert rescued == ["ended with exit status 5"]


SUPERVISOR = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from sdbench.base.supervisor import supervise
sys.exit(supervise({command!r}, Path({journal!r}), 3, lambda why: print("rescued", why)))
"""


def supervisor(journal: Path, body: str, **environment: str) -> subprocess.Popen[str]:
    """A supervisor in a process of its own, when its program is in its first item."""
    code = SUPERVISOR.format(root=str(ROOT), command=command(journal, body), journal=str(journal))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: any("begins" in line for line in read_lines(journal)))
    return process


def wait_until(true: object, seconds: float = 20) -> None:
    assert callable(true)
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_passed_on_as_one_ctrl_c(number: signal.Signals, journal: Path) -> None:
    process = supervisor(journal, "time.sleep(60)")
    process.send_signal(number)
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")
    assert {"interrupted": True} in read_lines(journal)


@pytest.mark.slow
def test_what_does_not_hear_is_killed_and_its_report_made(journal: Path) -> None:
    process = supervisor(journal, "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}); time.sleep(60)")
    started = time.monotonic()
    process.terminate()
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (INTERRUPTED, "rescued \n")
    assert time.monotonic() - started < 8, "what stops a container waits ten seconds"


def test_the_program_ends_where_its_supervisor_is_killed(journal: Path) -> None:
    process = supervisor(journal, "time.sleep(60)")
    process.kill()
    process.communicate()
    wait_until(lambda: any("over" in line for line in read_lines(journal)))


def test_the_supervisor_ends_at_the_end_of_its_lifeline(journal: Path) -> None:
    process = supervisor(journal, "time.sleep(60)", SDBENCH_LIFELINE="0")
    process.communicate(timeout=20)
    assert {"interrupted": True} in read_lines(journal)


def test_signals_have_names() -> None:
    assert named_signal(11) == "signal 11 (SIGSEGV)"
    assert named_signal(99) == "signal 99"
