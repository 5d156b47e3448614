"""The workflows against rules: what runs of other people's, with which rights, and who comes near the machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITES = {
    ("nightly.yml", "tell"): {"issues", "checks"},
    ("nightly.yml", "keep"): {"contents"},
    ("nightly_watch.yml", "overdue"): {"issues"},
}
"""The jobs that may write, and what."""

FROM_ANYBODY = {"pull_request", "pull_request_target", "issues", "issue_comment", "workflow_run"}
"""What people without rights in the repository can set off."""


def read(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {
        "on" if key is True else key: value for key, value in content.items()
    }  # YAML 1.1 takes the word for a truth


def jobs() -> list[Any]:
    return [pytest.param(file, name, id=f"{file.stem}-{name}") for file in FILES for name in read(file)["jobs"]]


def is_own_machine(job: dict[str, Any]) -> bool:
    return "self-hosted" in str(job["runs-on"]) or "${{" in str(job["runs-on"])


def test_there_are_workflows() -> None:
    assert {file.stem for file in FILES} == {"ci", "image", "nightly", "nightly_watch"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_named_by_commit_and_version(file: Path) -> None:
    used = re.findall(r"uses: *(.*)", file.read_text(encoding="utf-8"))
    assert used
    for line in used:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_one_commit_in_all_files() -> None:
    used = {line for file in FILES for line in re.findall(r"uses: *(.*)", file.read_text(encoding="utf-8"))}
    assert len(used) == len({line.partition("@")[0] for line in used}), used


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_workflow_may_read_and_nothing_else(file: Path) -> None:
    content = read(file)
    assert content["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in content["on"]
    assert "concurrency" in content


@pytest.mark.parametrize(("file", "name"), jobs())
def test_a_job(file: Path, name: str) -> None:
    content = read(file)
    job = content["jobs"][name]
    permissions = job.get("permissions", content["permissions"])
    written = {right for right, kind in permissions.items() if kind != "read"}
    assert written == WRITES.get((file.name, name), set())
    assert job["timeout-minutes"] <= 600
    if is_own_machine(job):
        assert not FROM_ANYBODY & set(content["on"]), "a fork's code on a machine of one's own"
        assert not written
        assert "secrets." not in str(job)
        assert "!github.event.repository.fork" in job["if"]
    for step in job["steps"]:
        if "checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", ""), "values reach a shell by its variables"


def test_sessions_and_options_are_those_that_there_are() -> None:
    from sdbench.history.__main__ import parser

    sessions = re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    text = "\n".join(file.read_text(encoding="utf-8") for file in FILES)
    used = set(re.findall(r"nox (?:-R )?-s (\w+)", text))
    assert used <= {*sessions}
    commands = re.findall(r"-s history -- (.*(?: \\\n.*)?)", text)
    assert len(commands) > 5
    for command in commands:
        words = re.sub(r'"\$\{trouble\[@\]\}"|\\', "", command).replace('"', "").split()
        parser().parse_args(words)
