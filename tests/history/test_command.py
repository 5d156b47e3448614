"""`sdbench history`: what it prints, and its exit status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor

from sdbench.cli import main
from sdbench.history.__main__ import main as alone
from sdbench.history.command import REGRESSION
from tests.history.conftest import CLAIM, LOOP, VALUE, case

LINE = ImageColor.getrgb("#D55E00")
"""What the first value of a case is drawn in."""


def bad(content: dict[str, Any]) -> None:
    case(content, VALUE)["verdict"] = "deviates"


@pytest.fixture
def history(tmp_path: Path) -> Callable[..., int]:
    """The command, on a history of the test's own."""

    def command(part: str, *arguments: object) -> int:
        return main(["history", part, *map(str, arguments), "--history", str(tmp_path / "history.jsonl")])

    return command


def test_a_good_night_a_bad_night_and_its_acceptance(
    history: Callable, report: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert history("add", report(1)) == 0
    assert "4 cases, 1 times, added to" in capsys.readouterr().out
    assert history("compare") == 0
    assert "nothing to compare with yet" in capsys.readouterr().out
    history("add", report(2))
    issue = tmp_path / "issue.md"
    assert history("compare", "--issue", issue) == 0
    assert not issue.exists(), "no issue where nothing is worse"
    history("add", report(3, bad))
    capsys.readouterr()
    assert history("compare", "--issue", issue) == REGRESSION == 3
    shown = capsys.readouterr().out
    assert "worse in 1 of its results than run" in shown
    assert f"worse: {VALUE}: reproduced before, now deviates" in shown
    assert issue.read_text().startswith("# Regression: ")
    name = shown.split()[1]
    assert history("accept", name[:8], "--because", "an erratum") == 0
    assert history("compare", "--issue", issue) == 0
    assert "accepted: an erratum" in capsys.readouterr().out
    assert history("compare", "--against", name) == 0
    history("add", report(3, bad))
    assert "already" in capsys.readouterr().out


def test_show_lists_runs_and_one_case_and_draws_it(
    history: Callable, report: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for day in (1, 2, 3, 4, 5):
        history("add", report(day, bad if day == 3 else lambda content: None))
    assert history("show") == 0
    shown = capsys.readouterr().out
    assert shown.count("1 reproduced") == 4
    assert "worse in 1 of its results" in shown
    for name in (VALUE, CLAIM, LOOP):
        picture = tmp_path / "over-time.png"
        assert history("show", name, "--picture", picture) == 0
        with Image.open(picture) as opened:
            drawn = {colour for _, colour in opened.convert("RGB").getcolors(1 << 24)}
        assert LINE in drawn, f"nothing is drawn of {name}"
        picture.unlink()
    shown = capsys.readouterr().out
    assert "dynamic 20.00 [19.00, 21.00]" in shown
    assert "median 1 s [0.95, 1.1], 5 rounds" in shown


def test_a_damaged_line_is_named_and_the_rest_shown(
    history: Callable, report: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    history("add", report(1))
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"schema": 1, "sha256"')
    history("add", report(2))
    capsys.readouterr()
    assert history("compare") == 0
    captured = capsys.readouterr()
    assert "line 2 of" in captured.err
    assert "was skipped" in captured.err
    assert "not worse than" in captured.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare",), "no run is in the history"),
        (("show",), "sdbench history add REPORT"),
        (("add", "nowhere"), "no report at nowhere"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    history: Callable, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture
) -> None:
    assert history(*arguments) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_names_that_are_not_known(history: Callable, report: Callable, capsys: pytest.CaptureFixture) -> None:
    history("add", report(1))
    assert history("show", "claim/to") == 1
    assert "did you mean claim/toy?" in capsys.readouterr().err
    assert history("show", "--picture", "x.png") == 1
    assert "name it: sdbench history show CASE" in capsys.readouterr().err
    assert history("compare", "ffff") == 1
    assert history("compare", "--thresholds", "nowhere.json") == 1
    assert history("accept", "", "--because", "no") == 1
    assert "takes a reason" in capsys.readouterr().err


def test_the_history_needs_no_torch() -> None:
    inside = {"av", "onnxruntime", "safetensors", "torch"}
    modules = ", ".join(f"sdbench.history.{name}" for name in ("__main__", "text", "file", "picture"))
    code = f"import sys, {modules}; sys.exit(bool({inside} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_can_be_run_by_itself(report: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    history = ["--history", str(tmp_path / "history.jsonl")]
    assert alone(["add", str(report(1)), *history]) == 0
    assert alone(["add", str(report(2, bad)), *history]) == 0
    assert alone(["compare", *history]) == REGRESSION
    assert alone(["compare", "ffff", *history]) == 1
    assert "no run begins with 'ffff'" in capsys.readouterr().err
