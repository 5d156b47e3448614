"""A second copy of a history, in a folder or on a branch of the repository: what one of both lost comes back."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from pathlib import Path

from sdbench.base.errors import InputError
from sdbench.base.files import atomic_path
from sdbench.history.file import HistoryFile

_TRIES = 3
"""Of a push: another job may push meanwhile."""

_AUTHOR = {"GIT_AUTHOR_NAME": "nightly", "GIT_AUTHOR_EMAIL": "nightly@localhost"}
_COMMITTER = {"GIT_COMMITTER_NAME": "nightly", "GIT_COMMITTER_EMAIL": "nightly@localhost"}


def sync_folder(history: Path, folder: Path, pull: bool = False) -> str:
    """Bring a history and its copy in a folder to the union of their lines.

    Args:
        history: the file.
        folder: of the copy, which has the same name there.
        pull: leave the copy as it is.

    Raises:
        InputError: a file cannot be read or written.
    """
    copy = folder / history.name
    try:
        theirs = copy.read_bytes() if copy.is_file() else b""
        joined, came = _join(history, theirs)
        if not pull and joined != theirs:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(copy) as place:
                place.write_bytes(joined)
    except OSError as error:
        raise InputError(f"the copy {copy} cannot be used ({error.strerror or error}); name another folder") from None
    return f"{came} lines came from {copy}" + ("" if pull else ", which holds all of the history")


def sync_branch(history: Path, branch: str, root: Path, remote: str = "origin", pull: bool = False) -> str:
    """Bring a history and its copy on a branch of the repository to the union of their lines.

    The working tree is not touched; the branch has nothing but the histories in it. A token in `GITHUB_TOKEN` is given
    to git by a variable, so that no list of processes shows it.

    Args:
        history: the file.
        branch: where the copy is, or is to be made.
        root: the checkout.
        remote: the name or address of the repository.
        pull: leave the branch as it is.

    Raises:
        InputError: git or the remote does not do it.
    """
    for last in (*[False] * (_TRIES - 1), True):
        tip = _fetched(root, remote, branch)
        there = tip and _git(root, "ls-tree", "--full-tree", "--name-only", tip, "--", history.name)
        theirs = _git(root, "cat-file", "blob", f"{tip}:{history.name}") if there else b""
        joined, came = _join(history, theirs)
        if pull or joined == theirs:
            return f"{came} lines came from the branch {branch}"
        try:
            _push(root, remote, branch, tip, history.name, joined)
        except InputError:
            if last:
                raise
        else:
            break
    return f"{came} lines came from the branch {branch}, which holds all of the history"


def _join(history: Path, theirs: bytes) -> tuple[bytes, int]:
    """The lines of both, those of the copy first, written into the history; and how many of them came."""
    with HistoryFile(history).locked():
        ours = history.read_bytes() if history.is_file() else b""
        known = set(ours.split(b"\n"))
        came = [line for line in theirs.split(b"\n") if line and line not in known]
        if came:
            seen = set(theirs.split(b"\n"))
            mine = [line for line in ours.split(b"\n") if line and line not in seen]
            kept = [line for line in theirs.split(b"\n") if line]
            ours = b"".join(line + b"\n" for line in (*kept, *mine))
            with atomic_path(history) as place:
                place.write_bytes(ours)
    return ours, len(came)


def _fetched(root: Path, remote: str, branch: str) -> str | None:
    """The tip of the branch, fetched; None where there is no such branch."""
    _git(root, "check-ref-format", "--branch", branch)
    listed = _git(root, "ls-remote", "--heads", remote, f"refs/heads/{branch}").decode()
    if not listed.strip():
        return None
    _git(root, "fetch", "--quiet", "--depth", "1", "--no-tags", remote, f"refs/heads/{branch}")
    return _git(root, "rev-parse", "FETCH_HEAD").decode().strip()


def _push(root: Path, remote: str, branch: str, tip: str | None, name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        if tip is not None:
            _git(root, "read-tree", tip, more=index)
        blob = _git(root, "hash-object", "-w", "--stdin", given=content).decode().strip()
        _git(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", more=index)
        tree = _git(root, "write-tree", more=index).decode().strip()
    parents = ["-p", tip] if tip else []
    commit = _git(root, "commit-tree", tree, *parents, "-m", f"{name}: a night", more=_AUTHOR | _COMMITTER)
    _git(root, "push", "--quiet", remote, f"{commit.decode().strip()}:refs/heads/{branch}")


def _git(root: Path, *words: str, given: bytes = b"", more: dict[str, str] | None = None) -> bytes:
    """What git prints.

    Args:
        root: the checkout.
        words: of the command.
        given: its standard input.
        more: variables.
    """
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **_credentials(), **(more or {})}
    try:
        run = subprocess.run(
            ["git", "-C", str(root), *words],
            input=given,
            capture_output=True,
            check=False,
            timeout=120,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"git {words[0]} does not run ({error}); the history on this disk is as it was") from None
    if run.returncode == 0:
        return run.stdout
    said = " ".join(run.stderr.decode(errors="replace").split())[-300:]
    raise InputError(
        f"git {words[0]} says no: {said}; pushing needs the permission `contents: write` and a branch that is not "
        "protected; the history on this disk is as it was"
    )


def _credentials() -> dict[str, str]:
    token, server = os.environ.get("GITHUB_TOKEN"), os.environ.get("GITHUB_SERVER_URL")
    if not token or not server:
        return {}
    secret = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{server}/.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {secret}",
    }
