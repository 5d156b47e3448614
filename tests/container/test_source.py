"""The state of the source: everything that goes into an image counts, and nothing else."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from sdbench.base.errors import InputError
from sdbench.container.image import default_base
from sdbench.container.source import DOCKERFILE, source_state

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
    steps = [line for line in text.splitlines() if not line.startswith("#")]
    assert not any(word in line for line in steps for word in ("--mount", "<<", "--link", "--chmod"))
    assert "# syntax" not in text
    base = default_base(text)
    assert base.partition(":")[2].count(".") == 2, "the base is pinned to one release"
    installing = next(number for number, line in enumerate(steps) if "-r /tmp/requirements.txt" in line)
    code = next(number for number, line in enumerate(steps) if line.startswith("COPY sdbench"))
    labels = next(number for number, line in enumerate(steps) if line.startswith("LABEL"))
    assert installing < code < labels
    before = "\n".join(steps[:installing])
    assert "COPY sdbench" not in before
    assert "REVISION" not in before


def test_the_image_of_this_repository_has_all_that_a_run_needs() -> None:
    files = source_state(ROOT, ARGUMENTS).files
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "sdbench" / "report" / "page").iterdir()}
    assert "sdbench/report/page/report.html.jinja" in page
    assert page | {"benchmarks/conftest.py", "expected/packaged/transnetv2.json"} <= set(files)
    assert not any(name.startswith(("tests/", "docs/", "reports/", ".git")) for name in files)
