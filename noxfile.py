"""Sessions: nox -s reproduce, quick, tests, lint, docs and others. Each installs what it needs.

`quick`, `tests`, `lint`, `docs` and `rehearse` share one environment, .nox/development, which is installed anew when
pyproject.toml or constraints.txt change. The others have an environment each.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.needs_version = ">=2024.4.15"

os.environ["PYTHONDONTWRITEBYTECODE"] = ""  # else each process compiles the tests anew: ten seconds of a core

DEVELOPMENT = Path(".nox") / "development"
"""The environment that sessions share."""

_FOR_TESTS = {"OMP_NUM_THREADS": "1"}
"""There are several processes: a thread each."""

_MOST_PROCESSES = "8"
"""Of the tests: each takes up to 2 GB of memory."""


_AS_IMPORTED = "--no-compile"
"""For pip: Python compiles the modules that it imports, a small part of those that are installed."""


def _install(session: nox.Session, extra: str, *options: str) -> None:
    session.install("--editable", f".[{extra}]", "--constraint", "constraints.txt", *options)


def _development(session: nox.Session) -> str:
    """Install the shared environment where it is missing or out of date; the path of its folder of programs."""
    programs = DEVELOPMENT / ("Scripts" if os.name == "nt" else "bin")
    python, stamp = str(programs / "python"), DEVELOPMENT / "installed"
    given = b"".join(Path(name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    wanted = f"{sys.version} {Path.cwd()} {hashlib.sha256(given).hexdigest()}"
    if not stamp.is_file() or stamp.read_text() != wanted:
        session.run_install(sys.executable, "-m", "venv", "--clear", str(DEVELOPMENT), external=True)
        packages = ("--editable", ".[test,lint,docs]", "--constraint", "constraints.txt")
        session.run_install(python, "-m", "pip", "install", "--quiet", _AS_IMPORTED, *packages, external=True)
        stamp.write_text(wanted)
    return str(programs)


def _run_tests(session: nox.Session, *chosen: str) -> None:
    """Run tests with a process for each core: all, or those that arguments name."""
    programs = _development(session)
    session.run(
        *(f"{programs}/python", "-m", "pytest", "--numprocesses", "auto", "--maxprocesses", _MOST_PROCESSES),
        *("--dist", "loadfile", "--no-loadscope-reorder", *chosen, *session.posargs),
        env=_FOR_TESTS,
        external=True,
    )


WHERE = ("auto", "container", "host")

_INSIDE_ONLY = ("av", "onnx", "onnxruntime", "torch")
"""What only the benchmarks themselves need: a machine that runs them in a container can do without these."""

_MINE = Path(os.environ.get("XDG_RUNTIME_DIR", "/run/user/none"))

_SOCKETS = (
    *(Path("/var/run/docker.sock"), _MINE / "docker.sock", Path.home() / ".docker/run/docker.sock"),
    *(_MINE / "podman/podman.sock", Path("/run/podman/podman.sock"), Path.home() / ".docker/contexts"),
)
"""Where a container engine may be in sight, unless DOCKER_HOST says so."""

_UV = "uv==0.13.9"
"""What writes the hashes of packages."""

_PATIENCE = 12.0
"""Seconds after Ctrl-C in which a run writes its report, which takes it ten at most, and its container is removed."""


@nox.session
def reproduce(session: nox.Session) -> None:
    """Run the benchmark suite and write the report; arguments go to pytest (-k vos, --seed 1, --strict, ...).

    --where auto (the default) runs in a container where an engine answers and has or gets the image, else in this
    interpreter, and says which and why; --where container or --where host insists.
    """
    where, arguments = _where(session)
    extra = _extra(arguments)
    likely_here = where == "host" or (where == "auto" and "DOCKER_HOST" not in os.environ and not _in_sight())
    if likely_here:  # all that this takes in one go: the container's command then finds what it needs
        _install(session, extra if where == "host" else f"{extra},container", _AS_IMPORTED)
    if where != "host":
        if not likely_here:
            _install_for_container(session)
        told = _in_container(session, arguments, may_fall_back=where == "auto")
        if told is None:
            return
        session.log(f"running on this machine, not in a container: {told['why']}")
        arguments = told["arguments"]
    if not likely_here:
        _install(session, extra, _AS_IMPORTED)
    session.run(
        *("pytest", "benchmarks", "--benchmark-quiet", "-rfE", *arguments),
        interrupt_timeout=_PATIENCE,
        terminate_timeout=_PATIENCE,
    )


def _in_sight() -> bool:
    return any(path.exists() for path in _SOCKETS)


def _extra(arguments: list[str]) -> str:
    """The extras of the project that a run with these arguments takes."""
    on_cluster = any(argument.partition("=")[0] == "--ray" for argument in arguments)
    return "benchmark,ray" if on_cluster else "benchmark"


def _where(session: nox.Session) -> tuple[str, list[str]]:
    """Where to run, and the other arguments."""
    where, arguments = "auto", []
    given = iter(session.posargs)
    for argument in given:
        if argument == "--where":
            where = next(given, "nothing")
        elif argument.startswith("--where="):
            where = argument.partition("=")[2]
        else:
            arguments.append(argument)
    if where not in WHERE:
        session.error(f"--where takes one of {', '.join(WHERE)}; got {where!r}")
    return where, arguments


def _install_for_container(session: nox.Session) -> None:
    """Install what starts a container: the benchmarks' own dependencies are in its image."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    needed = [name for name in project["dependencies"] if not name.startswith(_INSIDE_ONLY)]
    container = project["optional-dependencies"]["container"]
    session.install(*needed, *container, "--constraint", "constraints.txt", _AS_IMPORTED)


def _in_container(session: nox.Session, arguments: list[str], may_fall_back: bool) -> dict[str, list[str]] | None:
    """Run in a container; where there is none to be had and another place will do, why, and the arguments for there."""
    with tempfile.TemporaryDirectory() as folder:
        fallback = Path(folder) / "fallback.json"
        own = ["--fallback", str(fallback)] if may_fall_back else []
        session.run(
            *("python", "-m", "sdbench.container", *own, *arguments),
            interrupt_timeout=_PATIENCE,
            terminate_timeout=_PATIENCE,
        )
        return json.loads(fallback.read_text()) if fallback.is_file() else None


@nox.session
def newest(session: nox.Session) -> None:
    """Run the benchmark suite with the newest versions that the requirements admit; arguments go to pytest.

    What was installed is written into the report's folder as a file of constraints, newest.txt. --pre also takes a
    torch before its release, from the index that PIP_EXTRA_INDEX_URL names; PIP_CONSTRAINT may hold single packages.
    """
    arguments = [argument for argument in session.posargs if argument != "--pre"]
    early = ["torch>=0.dev0"] if "--pre" in session.posargs else []
    upgrade = ("--upgrade", "--upgrade-strategy", "eager")
    session.install("--editable", f".[{_extra(arguments)}]", *early, *upgrade, _AS_IMPORTED)
    try:
        session.run(
            *("pytest", "benchmarks", "--benchmark-quiet", "-rfE", *arguments),
            interrupt_timeout=_PATIENCE,
            terminate_timeout=_PATIENCE,
        )
    finally:
        listing = ("-m", "pip", "list", "--format", "freeze", "--exclude-editable")
        versions = session.run("python", *listing, silent=True, log=False)
        if isinstance(versions, str):  # nothing runs with --install-only
            written = _report_folder(arguments) / "newest.txt"
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(versions, encoding="utf-8")
            session.log(f"the versions that were installed: {written}")


def _report_folder(arguments: list[str]) -> Path:
    """Where pytest's arguments say that the report goes."""
    folder = Path("reports") / "latest"
    for number, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option == "--report":
            folder = Path(value if equals else arguments[number + 1])
    return folder


@nox.session
def history(session: nox.Session) -> None:
    """Run `sdbench history` (add, compare, announce, overdue, sync, ...) without torch; arguments go to it."""
    _install_for_container(session)
    session.run("python", "-m", "sdbench.history", *session.posargs)


@nox.session
def image(session: nox.Session) -> None:
    """Build the container's image and end; --base IMAGE, --build-network NAME, --pin-base and others."""
    _install_for_container(session)
    session.run("python", "-m", "sdbench.container", "--build-only", *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """Write docker/requirements.lock, hashes of the image's packages; --output-file and others go to uv."""
    session.install(_UV)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.in"
        with wanted.open("w", encoding="utf-8") as file:
            session.run("python", "docker/requirements.py", "print", ".", stdout=file)
        session.run(
            *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.10", "--generate-hashes"),
            *("--no-annotate", "--no-header", "--constraints", "constraints.txt"),
            *(() if "--output-file" in session.posargs else ("--output-file", "docker/requirements.lock")),
            *(*session.posargs, str(wanted)),
        )


@nox.session(name="train-calibration")
def train_calibration(session: nox.Session) -> None:
    """Train the small networks of the calibration from nothing; --processes 2 and others go to the trainer."""
    _install(session, "benchmark")
    session.run("python", "-m", "sdbench.calibration", *session.posargs)


@nox.session
def atlas(session: nox.Session) -> None:
    """Measure a list of published models on rendered scenes; --device cuda, --only 'facebook/*', --small and others."""
    _install(session, "benchmark,transformers")
    session.run("python", "-m", "benchmarks.atlas", *session.posargs)


@nox.session(venv_backend="none")
def rehearse(session: nox.Session) -> None:
    """Walk the way of every published case with stand-ins, from a download to a verdict; -k x3d, --small and others."""
    session.run(f"{_development(session)}/python", "-m", "benchmarks.rehearsal", *session.posargs, external=True)


QUICK = (
    *(f"tests/{name}" for name in ("base", "cases", "cli", "container", "engine", "history", "report", "reports")),
    *("tests/statistics", "tests/video", "tests/networks/test_reading.py", "tests/test_ci_stages.py"),
    *("tests/test_documents.py", "tests/test_docs_site.py", "tests/test_noxfile.py", "tests/test_public.py"),
)
"""Where most of the suite's sense is: statistics, verdicts, decoding, reading of layers, measuring, the public face."""


@nox.session(venv_backend="none")
def quick(session: nox.Session) -> None:
    """Run the tests of `QUICK` that take no longer than two seconds each; arguments go to pytest."""
    _run_tests(session, *QUICK, "-m", "not slow")


_LOWERED = ("benchmark", "container", "ray")
"""Extras whose lowest versions are tried beside those of the package itself."""

_TOOLS = ("hypothesis", "nox", "pytest-xdist")
"""What the tests take beside these, in any version."""


def lowest_versions(requirements: list[str]) -> list[str]:
    """Each requirement at its lower bound: "numpy>=1.26" is "numpy==1.26"."""
    return [re.sub(r">=([^,; ]+)(,[^; ]*)?", r"==\1", requirement) for requirement in requirements]


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests of `quick` with the lowest versions that pyproject.toml admits; arguments go to pytest.

    --torch VERSION takes another torch than the lowest: that one has gigabytes of CUDA, unless PIP_EXTRA_INDEX_URL
    names an index of builds without.
    """
    if sys.hexversion >= 0x030D0000:
        session.error("the lowest versions have wheels for Python 3.10 to 3.12; name one: --force-python 3.10")
    arguments = list(session.posargs)
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = [each for name in _LOWERED for each in project["optional-dependencies"][name]]
    wanted = lowest_versions([*project["dependencies"], *extras])
    if "--torch" in arguments:
        place = arguments.index("--torch")
        (torch,) = arguments[place + 1 : place + 2] or [session.error("--torch takes a version")]
        wanted = [f"torch=={torch}" if each.startswith("torch==") else each for each in wanted]
        del arguments[place : place + 2]
    session.install(*wanted, *_TOOLS, _AS_IMPORTED)
    session.install("--editable", ".", "--no-deps")
    processes = ("--numprocesses", "auto", "--maxprocesses", _MOST_PROCESSES, "--dist", "loadfile")
    session.run("pytest", *processes, *QUICK, "-m", "not slow", *arguments, env=_FOR_TESTS)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run all tests; arguments go to pytest."""
    _run_tests(session)


_ADAPTERS = (
    *("torch==2.14.1", "torchvision==0.29.1"),
    *("accelerate>=1.1", "lightning>=2.4", "timm>=1.0.9", "transformers>=5.18,<6"),
)
"""The libraries whose networks are adapted: torchvision needs the one torch that it was built for."""

ADAPTED = ("tests/zoo/adapters", "tests/tracking")
"""Where the tests are that need them."""

_OF_ANOTHER_TORCH = ("cuda-", "nvidia-", "torch==", "triton==")
"""How lines of constraints.txt begin that go with the torch of the other sessions."""


@nox.session
def adapters(session: nox.Session) -> None:
    """Run the tests that need libraries of other people's networks; arguments go to pytest."""
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        lines = Path("constraints.txt").read_text().splitlines()
        constraints.write_text("\n".join(line for line in lines if not line.startswith(_OF_ANOTHER_TORCH)) + "\n")
        session.install("--editable", ".[test]", *_ADAPTERS, "--constraint", str(constraints))
    # What it asks for beside these, a second OpenCV with windows, its pyramids do without.
    session.install("pymoten>=0.0.7", "--no-deps")
    session.run("pytest", *ADAPTED, "-m", "adapters", *session.posargs)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the pages into docs/_site, with the pictures that their commands draw; arguments go to sphinx-build."""
    if sys.hexversion < 0x030B0000:
        session.error("the pages are built with Python 3.11 or newer, which Sphinx's Markdown reader takes")
    program = f"{_development(session)}/sphinx-build"
    arguments = ("-q", "-W", "--keep-going", "-b", "html", *session.posargs, "docs", "docs/_site")
    session.run(program, *arguments, external=True)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Check style and types."""
    programs = _development(session)
    session.run(f"{programs}/ruff", "check", external=True)
    session.run(f"{programs}/ruff", "format", "--check", external=True)
    session.run(f"{programs}/mypy", external=True)
    session.run(f"{programs}/lint-imports", "--no-cache", external=True)
    workflows = sorted(map(str, Path(".github/workflows").glob("*.yml")))
    checks = ("--builtin-schema", "vendor.github-workflows", *workflows)
    session.run(f"{programs}/check-jsonschema", *checks, external=True)
    session.run(f"{programs}/check-jsonschema", "--builtin-schema", "vendor.renovate", "renovate.json", external=True)
    session.run(f"{programs}/zizmor", "--offline", "--quiet", *workflows, external=True)
