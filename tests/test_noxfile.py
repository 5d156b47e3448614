"""Where `nox -s reproduce` runs, decided with a session that runs nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(importlib.util.find_spec("nox") is None, reason="nox is not installed")


class RefusedError(Exception):
    pass


class FakeSession:
    """Notes what would be installed and run; `why` is what a run in a container writes where it cannot be."""

    def __init__(self, *posargs: str, why: str | None = None) -> None:
        self.posargs = list(posargs)
        self.why = why
        self.installed: list[tuple[str, ...]] = []
        self.developed: list[tuple[str, ...]] = []
        self.runs: list[tuple[str, ...]] = []
        self.logged: list[str] = []

    def install(self, *names: str) -> None:
        self.installed.append(names)

    def run_install(self, *command: str, **_: Any) -> None:
        self.developed.append(command)
        if command[1:3] == ("-m", "venv"):
            Path(command[-1]).mkdir(parents=True, exist_ok=True)

    def run(self, *command: str, **_: Any) -> None:
        self.runs.append(command)
        if "--fallback" in command and self.why is not None:
            fallback = {"why": self.why, "arguments": ["-k", "x", "--device", "cpu"]}
            Path(command[command.index("--fallback") + 1]).write_text(json.dumps(fallback))

    def log(self, words: str) -> None:
        self.logged.append(words)

    def error(self, words: str) -> None:
        raise RefusedError(words)


@pytest.fixture(scope="module")
def noxfile() -> ModuleType:
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_on_this_machine(noxfile: ModuleType) -> None:
    session = FakeSession("--where", "host", "-k", "vos")
    noxfile.reproduce.func(session)
    (command,) = session.runs
    assert command == ("pytest", "benchmarks", "--benchmark-quiet", "-rfE", "-k", "vos")


@pytest.mark.parametrize("address", [("--ray", "auto"), ("--ray=ray://head:10001",)])
def test_on_a_cluster_with_what_that_takes(noxfile: ModuleType, address: tuple[str, ...]) -> None:
    session = FakeSession("--where", "host", *address, "--workers", "4")
    noxfile.reproduce.func(session)
    assert session.installed[-1][1] == ".[benchmark,ray]"
    assert session.runs[-1][-len(address) - 2 :] == (*address, "--workers", "4")


def test_in_a_container_and_nowhere_else(noxfile: ModuleType) -> None:
    session = FakeSession("-k", "vos", "--where=container")
    noxfile.reproduce.func(session)
    (command,) = session.runs
    assert command == ("python", "-m", "sdbench.container", "-k", "vos")
    (installed,) = session.installed
    assert any(name.startswith("docker") for name in installed)
    assert any(name.startswith("numpy") for name in installed)
    assert not any(name.startswith(("torch", "onnxruntime", "av")) for name in installed)


def test_by_itself_in_a_container_where_one_can_be_had(noxfile: ModuleType) -> None:
    session = FakeSession("-k", "vos")
    noxfile.reproduce.func(session)
    (command,) = session.runs
    assert command[:4] == ("python", "-m", "sdbench.container", "--fallback")
    assert session.logged == []


def test_by_itself_on_this_machine_where_not_and_says_why(noxfile: ModuleType) -> None:
    session = FakeSession("--base", "x", "-k", "x", why="no engine")
    noxfile.reproduce.func(session)
    assert session.runs[1] == ("pytest", "benchmarks", "--benchmark-quiet", "-rfE", "-k", "x", "--device", "cpu")
    assert session.logged == ["running on this machine, not in a container: no engine"]


@pytest.mark.parametrize("engine", [True, False])
def test_this_machine_is_set_up_in_one_go_where_no_engine_is_in_sight(
    noxfile: ModuleType, engine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(noxfile, "_SOCKETS", (tmp_path / "nothing", tmp_path if engine else tmp_path / "none"))
    session = FakeSession(why="no engine")
    noxfile.reproduce.func(session)
    assert len(session.runs) == 2
    assert all("--no-compile" in names for names in session.installed)
    if engine:
        assert [".[benchmark]" in names for names in session.installed] == [False, True]
    else:
        assert [names[1] for names in session.installed] == [".[benchmark,container]"]


def test_an_image_is_built_and_no_more(noxfile: ModuleType) -> None:
    session = FakeSession("--base", "x")
    noxfile.image.func(session)
    assert session.runs == [("python", "-m", "sdbench.container", "--build-only", "--base", "x")]


def test_the_lock_is_written_from_what_is_wanted(noxfile: ModuleType) -> None:
    session = FakeSession("--output-file", "mine.lock", "--index-url", "https://example.org/simple")
    noxfile.lock.func(session)
    printing, compiling = session.runs
    assert printing == ("python", "docker/requirements.py", "print", ".")
    assert {"--generate-hashes", "--universal"} < set(compiling)
    assert compiling[compiling.index("--constraints") + 1] == "constraints.txt"
    assert compiling[-5:-1] == tuple(session.posargs)
    assert compiling.count("--output-file") == 1
    session = FakeSession()
    noxfile.lock.func(session)
    assert session.runs[1][-3:-1] == ("--output-file", "docker/requirements.lock")


@pytest.mark.parametrize("given", [("--where", "moon"), ("--where",), ("--where=",)])
def test_another_place_is_refused(noxfile: ModuleType, given: tuple[str, ...]) -> None:
    with pytest.raises(RefusedError, match="--where takes one of auto, container, host"):
        noxfile.reproduce.func(FakeSession(*given))


def test_the_command_needs_nothing_that_runs_inside_only() -> None:
    inside = {"av", "onnxruntime", "safetensors", "torch"}
    code = f"import sys, sdbench.container.command; sys.exit(bool({inside} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.fixture
def elsewhere(noxfile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what decides the shared environment, and none yet."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sessions_share_one_environment(noxfile: ModuleType, elsewhere: Path) -> None:
    first, second, third = FakeSession("-k", "x"), FakeSession(), FakeSession()
    noxfile.tests.func(first)
    assert [command[1:3] for command in first.developed] == [("-m", "venv"), ("-m", "pip")]
    assert first.developed[1][-4:] == ("--editable", ".[test,lint,docs]", "--constraint", "constraints.txt")
    noxfile.lint.func(second)
    assert second.developed == [], "nothing changed"
    (elsewhere / "constraints.txt").write_text("other")
    noxfile.quick.func(third)
    assert len(third.developed) == 2


def test_tests_run_in_several_processes(noxfile: ModuleType, elsewhere: Path) -> None:
    everything, quick = FakeSession("tests/video"), FakeSession("-x")
    noxfile.tests.func(everything)
    noxfile.quick.func(quick)
    for session in (everything, quick):
        (command,) = session.runs
        assert Path(command[0]).parents[1] == noxfile.DEVELOPMENT
        assert command[3:5] == ("--numprocesses", "auto")
        assert command[-1] == session.posargs[-1]
    assert "not slow" not in everything.runs[0]
    assert "not slow" in quick.runs[0]


def test_pages(noxfile: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "hexversion", 0x030B00F0)
    session = FakeSession("-b", "linkcheck")
    noxfile.docs.func(session)
    (command,) = session.runs
    assert Path(command[0]).name == "sphinx-build"
    assert "-W" in command
    assert command[-4:] == ("-b", "linkcheck", "docs", "docs/_site")


def test_pages_are_refused_where_their_reader_does_not_run(
    noxfile: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "hexversion", 0x030A14F0)
    with pytest.raises(RefusedError, match=r"Python 3\.11 or newer"):
        noxfile.docs.func(FakeSession())


def test_the_adapters_have_a_torch_of_their_own(noxfile: ModuleType) -> None:
    held: list[str] = []

    class Session(FakeSession):
        def install(self, *names: str) -> None:
            super().install(*names)
            if "--constraint" in names:
                held.extend(Path(names[names.index("--constraint") + 1]).read_text().splitlines())

    session = Session("-x")
    noxfile.adapters.func(session)
    assert {"torch==2.14.1", "torchvision==0.29.1"} < set(session.installed[0])
    assert session.installed[1] == ("pymoten>=0.0.7", "--no-deps")
    assert any(line.startswith("numpy==") for line in held)
    assert not any(line.startswith(("torch==", "nvidia-", "triton==", "cuda-")) for line in held)
    ((*command, last),) = session.runs
    assert command[0] == "pytest"
    assert command[-2:] == ["-m", "adapters"]
    assert last == "-x"


def test_the_adapters_session_looks_where_such_tests_are(noxfile: ModuleType) -> None:
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if "mark.adapters" in path.read_text("utf-8")]
    folders = [ROOT / folder for folder in noxfile.ADAPTED]
    assert len(marked) > 2
    assert [path for path in marked if not any(folder in path.parents for folder in folders)] == [Path(__file__)]


@pytest.mark.parametrize("fails", [False, True])
def test_newest_versions_are_kept_in_the_report_whatever_the_cases_say(
    noxfile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    cases = ("pytest", "benchmarks", "--benchmark-quiet", "-rfE", "-k", "vos", "--report=here")

    class Session(FakeSession):
        def run(self, *command: str, **_: Any) -> Any:
            super().run(*command)
            if fails and command == cases:
                raise RefusedError("a case failed")
            return "numpy==2.0\n" if "pip" in command else True

    session = Session("--pre", "-k", "vos", "--report=here")
    with pytest.raises(RefusedError) if fails else contextlib.nullcontext():
        noxfile.newest.func(session)
    (installed,) = session.installed
    assert "--constraint" not in installed
    assert {"--upgrade", "torch>=0.dev0"} < set(installed)
    assert session.runs[0] == cases
    assert (tmp_path / "here" / "newest.txt").read_text() == "numpy==2.0\n"


def test_lowest_versions_are_the_bounds_of_the_project(noxfile: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "hexversion", 0x030A00F0)
    session = FakeSession("--torch", "2.13.0", "-x")
    noxfile.lowest.func(session)
    project = noxfile.nox.project.load_toml("pyproject.toml")["project"]
    names = {requirement.partition(">=")[0] for requirement in project["dependencies"]}
    installed = [name for name in session.installed[0] if "==" in name]
    assert names < {name.partition("==")[0] for name in installed}
    assert "torch==2.13.0" in installed
    assert session.runs[0][-1] == "-x"
    assert "--torch" not in session.runs[0]
    assert noxfile.lowest_versions(["a>=1.2,<3 ; python_version < '4'", "b"]) == ["a==1.2 ; python_version < '4'", "b"]
    monkeypatch.setattr(sys, "hexversion", 0x030D00F0)
    with pytest.raises(RefusedError, match=r"3\.10 to 3\.12"):
        noxfile.lowest.func(session)
