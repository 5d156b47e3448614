"""The state of the source: everything that goes into an image counts, and nothing else."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from sdbench.base.errors import InputError
from sdbench.container.base import default_base
from sdbench.container.image import with_mounts
from sdbench.container.source import DOCKERFILE, LOCK, NO_LOCK, source_state

ROOT = Path(__file__).parents[2]
ARGUMENTS = {"BASE": "base:1"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small copy of the repository's shape, in git."""
    root = tmp_path / "checkout"
    for name, content in {
        ".dockerignore": (ROOT / ".dockerignore").read_text(),
        ".gitignore": "__pycache__/\nsdbench/private.py\n",
        DOCKERFILE: "ARG BASE=python:3\nFROM ${BASE}\n",
        "docker/requirements.py": "",
        "docker/certificates/README.md": "",
        "pyproject.toml": "",
        "constraints.txt": "torch==2.13.0\n",
        "sdbench/__init__.py": "",
        "sdbench/__pycache__/x.pyc": "",
        "sdbench/private.py": "",
        "tests/test_x.py": "",
        "README.md": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    git(root, "init", "-q")
    git(root, "add", ".")
    return root


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True)


def test_what_is_ignored_stays_out(checkout: Path) -> None:
    assert source_state(checkout, ARGUMENTS).files == [
        "README.md",
        "constraints.txt",
        DOCKERFILE,
        "docker/certificates/README.md",
        "docker/requirements.py",
        "pyproject.toml",
        "sdbench/__init__.py",
    ]


def test_a_copy_without_git_is_the_same_state(checkout: Path) -> None:
    (checkout / "sdbench" / "private.py").unlink()
    digest = source_state(checkout, ARGUMENTS).digest
    (checkout / ".git").rename(checkout.parent / "elsewhere")
    assert source_state(checkout, ARGUMENTS).digest == digest


def test_the_state_changes_with_what_goes_in_and_with_nothing_else(checkout: Path) -> None:
    def state() -> str:
        return source_state(checkout, ARGUMENTS).tag

    tag = state()
    assert tag == state()
    for name in ("tests/test_x.py", "sdbench/private.py", "sdbench/__pycache__/x.pyc"):
        (checkout / name).write_text("changed")
    assert state() == tag
    git(checkout, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "one")
    (checkout / "sdbench" / "__init__.py").chmod(0o600)
    assert state() == tag, "a commit and a mode change nothing"
    seen = {tag}
    for change in (
        lambda: (checkout / "sdbench" / "__init__.py").write_text("x = 1"),
        lambda: (checkout / "sdbench" / "untracked.py").write_text(""),
        lambda: (checkout / "sdbench" / "untracked.py").rename(checkout / "sdbench" / "renamed.py"),
        lambda: (checkout / "docker" / "certificates" / "proxy.crt").write_text("certificate"),
        (checkout / "sdbench" / "renamed.py").unlink,
    ):
        change()
        seen.add(state())
    assert len(seen) == 6
    assert source_state(checkout, {"BASE": "base:2"}).tag not in seen
    assert source_state(checkout, {**ARGUMENTS, "PIP_INDEX_URL": "x"}).tag not in seen


def test_the_context_holds_these_files_and_says_nothing_of_this_machine(checkout: Path) -> None:
    state = source_state(checkout, ARGUMENTS)
    with state.context() as first, state.context() as second:
        assert first.read() == second.read()
        first.seek(0)
        with tarfile.open(fileobj=first) as tar:
            members = tar.getmembers()
    assert [member.name for member in members] == list(state.files)
    assert {(member.uid, member.mtime, member.mode) for member in members} == {(0, 0, 0o644)}


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a checkout of sdbench, or run on this machine: --where host"):
        source_state(tmp_path, ARGUMENTS)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("echo fatal: detected dubious ownership in repository at X >&2; exit 128", "git config --global --add safe"),
        (
            "echo fatal: index file corrupt >&2; exit 128",
            r"\(fatal: index file corrupt\); see what it says, or use --wh",
        ),
        (None, "git is needed to list the files"),
    ],
)
def test_what_git_says_is_said(
    checkout: Path, program: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    if program is not None:
        (programs / "git").write_text(f"#!/bin/sh\n{program}\n")
        (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    (checkout / ".git").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=said):
        source_state(checkout, ARGUMENTS)


def test_the_dockerfile_of_this_repository_needs_the_classic_builder_only() -> None:
    text = (ROOT / DOCKERFILE).read_text()
    (run,) = [line for line in with_mounts(text).splitlines() if line.startswith("RUN --mount=type=cache")]
    assert run.partition(" if test ")[2] in text, "BuildKit's mount is for the step that installs packages"
    assert with_mounts(text).count("\n") == text.count("\n")
    steps = [line for line in text.splitlines() if not line.startswith("#")]
    assert not any(word in line for line in steps for word in ("--mount", "<<", "--link", "--chmod"))
    assert "# syntax" not in text
    base = default_base(text)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", base), "one release, by its digest"
    installing = next(number for number, line in enumerate(steps) if "requirements.py install" in line)
    code = next(number for number, line in enumerate(steps) if line.startswith("COPY sdbench"))
    labels = next(number for number, line in enumerate(steps) if line.startswith("LABEL org."))
    assert installing < code < labels
    last_stage = max(number for number, line in enumerate(steps[:installing]) if line.startswith("FROM"))
    copied = [line.split()[1] for line in steps[last_stage:installing] if line.startswith("COPY")]
    assert copied == ["docker/certificates/", "--from=requirements"], "no file that changes with anything else"
    before = "\n".join(steps[:installing])
    assert "COPY sdbench" not in before
    assert "REVISION" not in before


@pytest.fixture(scope="module")
def requirements() -> ModuleType:
    spec = importlib.util.spec_from_file_location("requirements_of_the_image", ROOT / "docker" / "requirements.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_packages_depend_on_what_names_them_and_on_nothing_else(requirements: ModuleType, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()

    def selected() -> dict[str, str]:
        folder = tmp_path / "selected"
        shutil.rmtree(folder, ignore_errors=True)
        requirements.select(given, folder)
        return {file.name: file.read_text() for file in folder.iterdir()}

    def change(name: str, old: str, new: str) -> None:
        text = (given / name).read_text()
        assert old in text
        (given / name).write_text(text.replace(old, new))

    for name in ("pyproject.toml", "constraints.txt", "docker/requirements.py", "docker/requirements.lock"):
        shutil.copy(ROOT / name, given)
    first = selected()
    assert set(first) == {"constraints.txt", "requirements.lock", "requirements.py", "wanted.txt"}
    assert "torch==2" in first["constraints.txt"]
    change("pyproject.toml", '"N812"', '"N813"')
    change("pyproject.toml", 'description = "', 'description = "Also: ')
    change("pyproject.toml", '"mypy>=', '"mypy>')
    change("constraints.txt", "ruff==", "ruff==9")
    assert selected() == first
    change("pyproject.toml", '"tabulate>=', '"tabulate>')
    change("constraints.txt", "torch==2", "torch==3")
    changed = selected()
    assert {name for name in first if first[name] != changed[name]} == {"wanted.txt", "constraints.txt"}
    (given / "requirements.lock").unlink()
    assert "ruff==9" in selected()["constraints.txt"], "without a lock nobody knows which of them it takes"


def test_the_lock_has_the_versions_of_the_constraints(requirements: ModuleType) -> None:
    """Written anew by nox -s lock where one of them changes."""
    lines = set((ROOT / "constraints.txt").read_text().splitlines())
    lock = (ROOT / "docker" / "requirements.lock").read_text()
    pins = [line.removesuffix("\\").strip() for line in lock.splitlines() if "==" in line and "--hash" not in line]
    assert len(pins) > 60
    assert [pin for pin in pins if pin not in lines] == []
    hashes = requirements.read_hashes(lock)
    assert len(hashes) == len(pins)
    assert all(hashes.values())
    names = {name for name, _ in hashes}
    wanted = [re.split(r"[<>=\[ ;]", line)[0] for line in requirements.wanted((ROOT / "pyproject.toml").read_text())]
    assert [name for name in wanted if name not in names] == []


def test_a_package_is_installed_by_its_hashes_only(requirements: ModuleType) -> None:
    one, other = "1" * 64, "2" * 64
    hashes = {("torch", "2.13.0"): {one, other}}

    def plan(version: str, found: str, name: str = "Torch") -> dict:
        archive = {"hashes": {"sha256": found}} if found else {}
        return {"metadata": {"name": name, "version": version}, "download_info": {"archive_info": archive}}

    line = f"torch==2.13.0 --hash=sha256:{one} --hash=sha256:{other}\n"
    assert requirements.locked(plan("2.13.0", one), hashes) == line
    assert requirements.locked(plan("2.13.0", ""), hashes) == line, "pip looks at the file then"
    with pytest.raises(SystemExit, match=r"torch==2.14.0 has no hash in docker/requirements.lock; .*nox -s lock"):
        requirements.locked(plan("2.14.0", one), hashes)
    with pytest.raises(SystemExit, match=r"this package index has a file of SHA-256 3{64}, .*--lock FILE"):
        requirements.locked(plan("2.13.0+cpu", "3" * 64), hashes)


def test_another_lock_or_none_takes_the_place_of_the_checkouts(checkout: Path, tmp_path: Path) -> None:
    (checkout / LOCK).write_text("ours")
    (tmp_path / "theirs").write_text("theirs")
    ours, theirs, none = (source_state(checkout, ARGUMENTS, lock) for lock in (None, tmp_path / "theirs", NO_LOCK))
    assert len({state.tag for state in (ours, theirs, none)}) == 3
    assert LOCK not in none.files
    with theirs.context({"README.md": b"instead"}) as context, tarfile.open(fileobj=context) as tar:
        contents = {name: tar.extractfile(name) for name in (LOCK, "README.md")}
        assert {name: file.read() for name, file in contents.items() if file} == {
            LOCK: b"theirs",
            "README.md": b"instead",
        }


def test_files_that_git_does_not_track_are_named(checkout: Path) -> None:
    assert source_state(checkout, ARGUMENTS).untracked == []
    for name in ("sdbench/new.py", "sdbench/private.py", "notes.txt"):
        (checkout / name).write_text("")
    assert source_state(checkout, ARGUMENTS).untracked == ["sdbench/new.py"]


def test_what_git_says_is_passed_on(checkout: Path) -> None:
    (checkout / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(InputError, match=r"git cannot list .* \(fatal: not a git repository.*--where host"):
        source_state(checkout, ARGUMENTS)


def test_the_image_of_this_repository_has_all_that_a_run_needs() -> None:
    files = source_state(ROOT, ARGUMENTS).files
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "sdbench" / "report" / "page").iterdir()}
    assert "sdbench/report/page/report.html.jinja" in page
    assert page | {"benchmarks/conftest.py", "expected/packaged/transnetv2.json"} <= set(files)
    assert not any(name.startswith(("tests/", "docs/", "reports/", ".git")) for name in files)
