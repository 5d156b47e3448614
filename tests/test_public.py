"""What the package offers, each in a process of its own: modules, public names, and commands.

In a process that has imported other parts of sdbench before, a circular import and a name that turns into a module do
not show.
"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import sdbench
from tests.made.fork_server import run_python

ROOT = Path(__file__).parents[1]
NOT_OURS = "sdbench.assets.inert_backend"
"""What stands in for a build backend when a source distribution is fetched: it is never imported."""


def run(*arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """What a fresh Python does."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


def all_modules() -> list[str]:
    found = pkgutil.walk_packages(sdbench.__path__, "sdbench.")
    names = [module.name for module in found if not module.name.startswith(NOT_OURS)]
    return ["sdbench", *(name for name in names if not name.endswith("__main__"))]


def rooms() -> list[str]:
    """The package and every package in it."""
    found = [module.name for module in pkgutil.walk_packages(sdbench.__path__, "sdbench.") if module.ispkg]
    return ["sdbench", *(name for name in found if not name.startswith(NOT_OURS))]


ALONE = """
import gc, json, sys, traceback, warnings
gc.disable()
names, code = json.load(sys.stdin)
for name in names:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            exec(code, {"name": name})
        except BaseException as error:
            print(f"{name}: {traceback.format_exception_only(error)[-1].strip()}", flush=True)
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "sdbench"]:
        del sys.modules[loaded]
"""


def wrong(names: Sequence[str], code: str) -> Iterator[str]:
    """What goes wrong when `code` runs for each name, every time as if nothing of sdbench had been imported.

    All run in one process, which forgets this package's modules in between: to import torch takes two seconds, and to
    fork a process that has it a tenth of one.
    """
    done = run("-c", ALONE, given=json.dumps([names, code]))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    yield from done.stdout.splitlines()


def test_what_goes_wrong_in_one_import_is_told() -> None:
    told = list(wrong(["sdbench", "sdbench.nowhere", "sdbench"], "import importlib; importlib.import_module(name)"))
    assert told == ["sdbench.nowhere: ModuleNotFoundError: No module named 'sdbench.nowhere'"]


@pytest.mark.slow
def test_every_module_can_be_imported_alone() -> None:
    modules = all_modules()
    assert {"sdbench.studies", "sdbench.engine.measuring", "sdbench.cli"} <= set(modules)
    assert not list(wrong(modules, "import importlib; importlib.import_module(name)"))


TWICE = """
import importlib, types
room = importlib.import_module(name)
for public in getattr(room, "__all__", ()):
    first = getattr(room, public)
    try:
        importlib.import_module(f"{name}.{public}")  # a submodule of that name would now take its place
    except ModuleNotFoundError:
        pass
    assert getattr(room, public) is first, f"{public} was {first!r}, then {getattr(room, public)!r}"
    allowed = (name, public) in {("sdbench", "runners"), ("sdbench", "studies")}
    assert isinstance(first, types.ModuleType) == allowed, f"{public} is {first!r}"
    assert public in dir(room), f"{public} is not in dir({name})"
"""


@pytest.mark.slow
def test_a_public_name_is_the_same_thing_at_its_second_use() -> None:
    assert not list(wrong(rooms(), TWICE))


@pytest.mark.slow
def test_using_every_public_name_in_one_process_changes_none() -> None:
    """The use of one name imports modules that others may be called like: `sdbench.measure` was the victim."""
    code = """
import types, sdbench
first = {name: getattr(sdbench, name) for name in sdbench.__all__}
sdbench.estimate([[0.0, 1.0]] * 4 + [[1.0, 0.0]] * 4, [[0.0, 1.0]] * 4 + [[1.0, 0.0]] * 4, [0, 1] * 4)
try:
    sdbench.measure("no such network", sdbench.studies.rendered(2))
except sdbench.InputError as error:
    assert "unknown network" in str(error)
for name, value in first.items():
    assert getattr(sdbench, name) is value, name
assert [name for name, value in first.items() if isinstance(value, types.ModuleType)] == ["runners", "studies"]
"""
    done = run("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", rooms())
def test_no_public_name_is_that_of_a_module_beside_it(room: str) -> None:
    module = __import__(room, fromlist=["__path__"])
    beside = {found.name for found in pkgutil.iter_modules(module.__path__)}
    allowed = {"runners", "studies"} if room == "sdbench" else set()
    assert not (set(getattr(module, "__all__", ())) & beside) - allowed


def commands(words: Sequence[str] = ()) -> Iterator[tuple[str, ...]]:
    """Every subcommand that the help of the commands before it names."""
    shown = run_python("-m", "sdbench", *words, "--help").stdout
    for line in shown.splitlines():
        name = line.strip().split(" ")[0]
        if line.startswith("    ") and not line.startswith("     ") and name.replace("-", "").isalpha():
            yield (*words, name)


def test_the_command_in_a_fresh_interpreter() -> None:
    done = run("-m", "sdbench", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout == run_python("-m", "sdbench", "--help").stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_every_command_has_help() -> None:
    found = list(commands())
    found += list(commands(("history",)))
    assert {("measure",), ("masks",), ("list",), ("history", "compare")} <= set(found)
    for words in found:
        one = run_python("-m", "sdbench", *words, "--help")
        assert one.returncode == 0, one.stderr
        assert one.stdout.startswith(f"usage: sdbench {' '.join(words)}")
        assert one.stderr == ""


LISTED = {
    "networks": "2 frames, flow both ways, 480 x 854",
    "layers": "fusionseg: appearance.layer1, ",
    "styles": "by default: ",
    "assets": "clip_bikes  ",
    "cases": "action/layerwise/slow_r50_8x8/kinetics400/stage5  ",
}


@pytest.mark.slow
def test_list_and_each_of_its_kinds(tmp_path: Path) -> None:
    """`sdbench list` once died of a circular import, where nothing of sdbench was imported before."""
    environment = {**os.environ, "SDBENCH_CACHE": str(tmp_path)}
    for words in [("list",), *(("list", kind) for kind in LISTED)]:
        one = run_python("-m", "sdbench", *words, environment=environment)
        assert one.returncode == 0, one.stderr
        for kind, line in LISTED.items():
            assert (line in one.stdout) == (kind in words or len(words) == 1), (words, kind)
