"""Runs of pytest in processes of their own, forked from one that has imported what they need."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_IMPORTED = ("torch", "scipy.stats", "matplotlib.figure", "sdbench.suite", "sdbench.report", "sdbench.calibration")
"""What takes most of the seconds before the first case."""


class Forked:
    """Runs `pytest` with other arguments and another environment each time, in the root of the checkout."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.made.forked import serve; serve()"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What `python -m pytest` with these arguments comes to where the environment has these variables too."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            words = {"arguments": arguments, "environment": {**os.environ, **environment}, "folder": folder}
            print(json.dumps(words), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            assert answer, "the process that others are forked from has ended"
            said = [(Path(folder) / name).read_text() for name in ("out", "err")]
        return subprocess.CompletedProcess(["pytest", *arguments], int(answer), *said)

    def close(self) -> None:
        """End the process that others are forked from."""
        self._process.communicate()


def serve() -> None:
    """Fork a process for each line of stdin, and answer each with an exit status."""
    for name in _IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    code = 70  # of an error of this function's own
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(Path(folder) / name, os.O_WRONLY | os.O_CREAT), number)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[1:1] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.argv = ["pytest", *arguments]
        code = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
