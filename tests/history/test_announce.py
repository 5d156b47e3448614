"""What people are told of a night: a forge and a webhook on this machine stand in for the real ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sdbench.history.__main__ import main
from sdbench.history.announce import MOST_ISSUES, overdue
from sdbench.history.forge import LABEL
from sdbench.history.record import run_of_report
from tests.history.conftest import LOOP, RECORDED, VALUE, case

JUNIT = '<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite></testsuites>'


class Stand(ThreadingHTTPServer):
    """A forge with issues and checks, and a webhook at /hook."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.issues: list[dict[str, Any]] = []
        self.comments: list[tuple[int, str]] = []
        self.checks: list[dict[str, Any]] = []
        self.posts: list[dict[str, Any]] = []
        self.refuses: dict[str, list[int]] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def open_titles(self) -> list[str]:
        return [issue["title"] for issue in self.issues if issue["state"] == "open"]


class Handler(BaseHTTPRequestHandler):
    server: Stand

    def do_GET(self) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        found = [
            each for each in self.server.issues if each["state"] == query["state"] and query["labels"] in each["labels"]
        ]
        start = (int(query["page"]) - 1) * int(query["per_page"])
        self.answer(found[start : start + int(query["per_page"])])

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.removeprefix("/repos/me/mine/")
        if self.server.refuses.get(path):
            self.answer({}, self.server.refuses[path].pop(0))
            return
        if path == "/hook":
            self.server.posts.append(given)
        elif path == "issues":
            given |= {"number": len(self.server.issues) + 1, "state": "open"}
            self.server.issues.append(given)
        elif path == "check-runs":
            self.server.checks.append(given)
        else:
            self.server.comments.append((int(path.split("/")[1]), given["body"]))
        self.answer(given, 201)

    def do_PATCH(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        issue = self.server.issues[int(self.path.rpartition("/")[2]) - 1]
        issue.update(given)
        self.answer(issue)

    def answer(self, content: object, status: int = 200) -> None:
        assert self.path == "/hook" or self.headers["Authorization"] == "Bearer secret-token"
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stand]:
    server = Stand()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    variables = {
        "GITHUB_TOKEN": "secret-token",
        "GITHUB_REPOSITORY": "me/mine",
        "GITHUB_API_URL": server.address,
        "GITHUB_SERVER_URL": "https://forge.test",
        "GITHUB_RUN_ID": "77",
        "GITHUB_SHA": "a" * 40,
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "NIGHTLY_WEBHOOK": f"{server.address}/hook",
        "NO_PROXY": "127.0.0.1",
        "SDBENCH_RETRY_SECONDS": "0",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield server
    server.shutdown()
    server.server_close()


Night = Callable[..., int]


@pytest.fixture
def night(report: Callable[..., Path], tmp_path: Path) -> Night:
    """A night: its report is added to the history, and people are told."""

    def add(day: int, change: Callable[[dict[str, Any]], object] = lambda content: None, *more: str) -> int:
        folder, history = report(day, change), str(tmp_path / "history.jsonl")
        (folder / "junit.xml").write_text(JUNIT)
        (folder / "report.md").write_text("# sdbench report\n\n**4 cases**\n\n## Outcomes\n\n| much |\n")
        assert main(["add", str(folder), "--history", history]) == 0
        return main(["announce", str(folder), "--history", history, *more])

    return add


def bad(content: dict[str, Any]) -> None:
    case(content, VALUE)["verdict"] = "deviates"


def worse(content: dict[str, Any]) -> None:
    case(content, VALUE)["verdict"] = "error"


def slow(content: dict[str, Any]) -> None:
    bad(content)
    for name in content["timings"][LOOP]:
        content["timings"][LOOP][name] *= 10


def test_an_issue_from_its_first_bad_night_to_the_good_one(night: Night, stand: Stand, tmp_path: Path) -> None:
    assert night(1) == 0
    assert stand.issues == stand.posts == [], "a good night is no message"
    assert night(2, bad) == 0
    (issue,) = stand.issues
    assert issue["title"] == f"Regression: {VALUE}"
    assert issue["labels"] == [LABEL]
    assert "reproduced before, now deviates" in issue["body"]
    assert "sdbench history accept" in issue["body"]
    assert "https://forge.test/me/mine/actions/runs/77" in issue["body"]
    assert night(3, bad) == 0
    assert len(stand.issues) == 1
    assert stand.comments == [], "the same again is no comment"
    assert night(4, worse) == 0
    (number, said) = stand.comments.pop()
    assert number == 1
    assert "now error" in said
    assert night(5, slow) == 0
    assert stand.open_titles() == [f"Regression: {VALUE}", f"Regression: {LOOP}"]
    assert night(6) == 0
    assert stand.open_titles() == []
    assert sum("Good again, in run" in said for _, said in stand.comments) == 2
    assert [post["state"] for post in stand.posts] == ["worse"] * 4 + ["good"]
    assert all(post["text"].startswith("pinned nightly: run ") for post in stand.posts)
    told = (tmp_path / "summary.md").read_text()
    assert "## pinned nightly: run" in told
    assert "**4 cases**" in told
    assert "| much |" not in told
    assert "| 2026-01-03 03:00 |" in told


def test_an_accepted_night_closes_its_issue(night: Night, stand: Stand, report: Callable, tmp_path: Path) -> None:
    night(1)
    night(2, bad)
    history = str(tmp_path / "history.jsonl")
    run = run_of_report(report(2, bad)).id
    assert main(["accept", run, "--because", "new weights", "--history", history]) == 0
    assert main(["announce", str(report(2, bad)), "--history", history]) == 0
    assert stand.open_titles() == []
    assert "Accepted: new weights" in stand.comments[-1][1]


def test_a_case_that_was_not_run_keeps_its_issue(night: Night, stand: Stand) -> None:
    def of_others(content: dict[str, Any]) -> None:
        content["environment"]["command"] += " -k recorded"
        content["cases"] = [case(content, RECORDED)]
        content["timings"] = {}

    night(1)
    night(2, bad)
    assert night(3, of_others) == 0
    assert stand.open_titles() == [f"Regression: {VALUE}"]


def test_many_at_once_have_one_issue(night: Night, stand: Stand) -> None:
    def several(content: dict[str, Any], verdict: str) -> None:
        one = case(content, RECORDED)
        content["cases"] += [{**one, "id": f"many/{number}", "verdict": verdict} for number in range(MOST_ISSUES + 1)]

    night(1, lambda content: several(content, "unchanged"))
    night(2, lambda content: several(content, "changed"))
    assert stand.open_titles() == ["Regression: 9 results, many/0 among them"]
    night(3, lambda content: several(content, "unchanged"))
    assert stand.open_titles() == []


def test_a_night_without_a_result_and_the_next(night: Night, stand: Stand, tmp_path: Path) -> None:
    night(1)
    history = ["--history", str(tmp_path / "history.jsonl"), "--job", "newest"]
    assert main(["announce", str(tmp_path / "none"), *history, "--trouble", "the engine did not answer"]) == 0
    assert stand.open_titles() == ["The newest nightly has no result"]
    assert "the engine did not answer" in stand.issues[0]["body"]
    assert stand.posts[-1]["state"] == "no result"
    night(2)
    assert len(stand.open_titles()) == 1, "another job's issue stays"
    assert night(3, lambda content: None, "--job", "newest") == 0
    assert stand.open_titles() == []


def test_a_check_is_made_of_the_junit_file(night: Night, stand: Stand) -> None:
    assert night(1, lambda content: None, "--check") == 0
    (made,) = stand.checks
    assert made["head_sha"] == "a" * 40
    assert (made["conclusion"], made["output"]["title"]) == ("failure", "2 cases, 1 failed, 0 not run; good")


def test_who_cannot_be_told_keeps_nobody_else_from_it(
    night: Night, stand: Stand, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(1)
    stand.refuses = {"issues": [403], "/hook": [503, 503]}
    assert night(2, bad) == 1
    said = capsys.readouterr().err
    assert "needs the permission `issues: write`" in said
    assert len(stand.posts) == 1, "at the third try"
    monkeypatch.setenv("NIGHTLY_WEBHOOK", "http://127.0.0.1:9/the-secret")
    assert night(3, bad) == 1
    said = capsys.readouterr().err
    assert "the webhook at 127.0.0.1 does not answer" in said
    assert "the-secret" not in said
    assert stand.open_titles() == [f"Regression: {VALUE}"]


def test_an_issue_of_somebody_else_is_left_alone(night: Night, stand: Stand) -> None:
    night(1)
    night(2, bad)
    stolen = {"number": 2, "state": "open", "labels": [], "title": "mine", "body": stand.issues[0]["body"]}
    stand.issues.append(stolen)
    night(3)
    assert stand.open_titles() == ["mine"]


def test_nights_that_do_not_come(
    night: Night, stand: Stand, report: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    history = ["--history", str(tmp_path / "history.jsonl")]
    assert main(["overdue", *history]) == 3
    assert stand.open_titles() == ["The pinned nightly is overdue"]
    assert "no night at all" in stand.posts[-1]["text"]
    night(1)
    assert main(["overdue", *history]) == 0
    assert stand.open_titles() == []
    added = run_of_report(report(1)).added
    assert overdue([run_of_report(report(1))], added + timedelta(hours=25), 26) is None
    assert "30 hours ago" in str(overdue([run_of_report(report(1))], added + timedelta(hours=30), 26))
    assert added <= datetime.now(timezone.utc)
    assert main(["overdue", *history, "--hours", "0"]) == 1


def test_nothing_to_tell_with_prints_the_summary(
    night: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name in ("GITHUB_TOKEN", "GITHUB_STEP_SUMMARY", "NIGHTLY_WEBHOOK"):
        monkeypatch.delenv(name, raising=False)
    assert night(1) == 0
    assert "## pinned nightly" in capsys.readouterr().out


def test_a_copy_in_a_folder_brings_back_what_a_disk_lost(night: Night, stand: Stand, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    night(1)
    night(2)
    words = ["sync", "--folder", str(tmp_path / "copy"), "--history", str(history)]
    assert main(words) == 0
    whole = history.read_bytes()
    assert (tmp_path / "copy" / "history.jsonl").read_bytes() == whole
    history.unlink()
    night(3)
    assert main(words) == 0
    assert history.read_bytes().startswith(whole)
    assert history.read_bytes().count(b"\n") == 3
    assert (tmp_path / "copy" / "history.jsonl").read_bytes() == history.read_bytes()
    (tmp_path / "file").write_text("")
    assert main(["sync", "--folder", str(tmp_path / "file" / "below"), "--history", str(history)]) == 1


def test_a_copy_on_a_branch(
    night: Night, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout

    remote, clone, history = tmp_path / "remote.git", tmp_path / "clone", tmp_path / "history.jsonl"
    git("init", "-q", "--bare", str(remote))
    git("init", "-q", str(clone))
    monkeypatch.chdir(clone)
    words = ["sync", "--branch", "nightly-history", "--remote", str(remote), "--history", str(history)]
    for day in (1, 2):
        night(day)
        assert main(words) == 0
    assert git("-C", str(remote), "show", "nightly-history:history.jsonl").encode() == history.read_bytes()
    assert git("-C", str(remote), "rev-list", "--count", "nightly-history").strip() == "2"
    assert main(words) == 0
    assert git("-C", str(remote), "rev-list", "--count", "nightly-history").strip() == "2", "nothing new"
    other = history.with_name("newest.jsonl")
    shutil.copy(history, other)
    assert main([*words[:-1], str(other)]) == 0
    assert git("-C", str(remote), "ls-tree", "--name-only", "nightly-history").split() == ["history.jsonl", other.name]
    whole = history.read_bytes()
    history.unlink()
    assert main([*words, "--pull"]) == 0
    assert history.read_bytes() == whole
    assert not any(path.name != ".git" for path in clone.iterdir()), "the working tree is not touched"
    capsys.readouterr()
    assert main([*words[:4], str(tmp_path / "nowhere"), *words[5:]]) == 1
    assert "the history on this disk is as it was" in capsys.readouterr().err
    assert main(["sync", "--branch=--upload-pack=x", *words[3:]]) == 1
