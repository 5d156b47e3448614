"""Python commands in processes of their own that need not import torch: they are forked from one that has.

A new interpreter takes five seconds of CPU to import what nearly every command needs. The server imports that once,
nothing of sdbench among it, and forks a process for each command, which then has its own modules, folder, environment,
standard streams and warnings, and ends as an interpreter ends. What only a really fresh interpreter shows (what is
imported in which order, the console script, signals, pipes) is tested with one.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import io
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

ROOT = Path(__file__).parents[2]

IMPORTED = (
    *("numpy", "scipy.stats", "torch", "torch.utils.data", "torch.utils.flop_counter", "torch._dynamo"),
    *("av", "safetensors.torch", "onnx", "onnxruntime", "cv2", "pydantic.main", "requests", "pooch", "jinja2"),
    *("rich.progress", "tabulate", "filelock", "platformdirs", "PIL.Image", "PIL.PngImagePlugin"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "multiprocessing.pool", "pytest", "cProfile"),
)
"""What takes seconds to import, and is none of ours."""

CAN_FORK = hasattr(os, "fork")
"""Where processes cannot be forked, each command gets a fresh interpreter."""


class ForkServer:
    """A process that has imported `IMPORTED`, from which others are forked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from tests.made.fork_server import serve; serve()"],
            cwd=ROOT,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, arguments: Sequence[str], cwd: Path, given: str, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """What `python ARGUMENTS` does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "in").write_text(given, encoding="utf-8")
            words = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment), "folder": folder}
            print(json.dumps(words), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            assert answer, "the process that others are forked from has ended"
            said = [(Path(folder) / name).read_text(encoding="utf-8") for name in ("out", "err")]
        return subprocess.CompletedProcess(list(arguments), int(answer), *said)

    def close(self) -> None:
        """End the process that others are forked from."""
        self._process.communicate()


@functools.cache
def _server() -> ForkServer:
    server = ForkServer()
    atexit.register(server.close)
    return server


def run_python(
    *arguments: str, cwd: Path = ROOT, given: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What `python ARGUMENTS` does in a process of its own, which has imported nothing of sdbench yet.

    Args:
        arguments: [-W FILTER] and then one of -c CODE, -m MODULE or a script, with its own arguments.
        cwd: the folder that it runs in.
        given: what it reads from its standard input.
        environment: all of its environment variables; by default those of this process.
    """
    environment = os.environ if environment is None else environment
    if CAN_FORK:
        return _server().run(arguments, cwd, given, environment)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        input=given,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def serve() -> None:
    """Fork a process for each line of the standard input, and answer each with its exit status."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert not [name for name in sys.modules if name.partition(".")[0] == "sdbench"]
    gc.freeze()  # no process that is forked looks at it again
    while line := sys.stdin.readline():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of threads that a library may have started
            child = os.fork()
        if child == 0:
            _become(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(arguments: list[str], cwd: str, environment: dict[str, str], folder: str) -> NoReturn:
    """Do what an interpreter with these arguments does, and end as it ends."""
    streams = (("in", os.O_RDONLY), ("out", os.O_WRONLY | os.O_CREAT), ("err", os.O_WRONLY | os.O_CREAT))
    for number, (name, flags) in enumerate(streams):
        opened = os.open(Path(folder) / name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    own = str(ROOT)
    given = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*given, *(path for path in sys.path if path not in ("", own, *given))]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    # What it read from the environment when it was imported.
    sys.modules["torch._dynamo"].config.disable = environment.get("TORCH_COMPILE_DISABLE", "0") == "1"
    status = 1
    try:
        _execute(arguments, cwd)
        status = 0
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            status = ended.code or 0
        else:
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    # As an interpreter begins to end, but no further: C++ libraries would wait for threads that a fork does not copy.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _execute(arguments: list[str], cwd: str) -> None:
    if arguments[0] == "-W":
        warnings.simplefilter(arguments[1])  # type: ignore[arg-type]
        sys.warnoptions.append(arguments[1])
        arguments = arguments[2:]
    if arguments[0] == "-m":
        sys.path.insert(0, cwd)
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *arguments[2:]]
        main = ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
    else:
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")
