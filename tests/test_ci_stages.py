"""The stages of continuous integration: what they print, how they end."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def stages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stages", ROOT / ".ci" / "stages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stages"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_what_grew_is_named_and_nothing_else(stages: ModuleType) -> None:
    lines = stages.table({"lint": 50.0, "tests": 250.0, "new": 9.0}, {"lint": 10.0, "tests": 100.0}, 3.0).splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["lint", "50", "30"],
        ["tests", "250", "300"],
        ["new", "9", "unknown"],
    ]
    assert not any("took over" in line for line in lines)
    (grown,) = (
        line for line in stages.table({"lint": 61.0}, {"lint": 10.0}, 3.0).splitlines() if "took over 2 times" in line
    )
    assert grown.startswith("lint")


def test_a_failure_ends_its_lane_and_what_comes_later(
    stages: ModuleType, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "timed_work", lambda: 1.0)
    groups = [
        [[stages.Stage("first", "echo one; false | cat; echo never")], [stages.Stage("beside", "echo two; sleep 0.2")]],
        [[stages.Stage("later", "echo three")]],
    ]
    assert stages.main(groups) == 1
    printed = capfd.readouterr().out
    assert "one" in printed
    assert "two" in printed
    assert "never" not in printed.replace("echo never", "")
    assert "<== later" not in printed
    assert re.search(r"^failed: first$", printed, re.MULTILINE)


def test_all_is_well(stages: ModuleType, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "timed_work", lambda: 1.0)
    assert stages.main([[[stages.Stage("alone", "echo seen")]]]) == 0
    printed = capfd.readouterr().out
    assert "\nseen\n" in printed
    assert "failed" not in printed


def test_the_expected_seconds_are_of_the_stages(stages: ModuleType) -> None:
    names = [stage.name for group in stages.GROUPS for lane in group for stage in lane]
    assert len(set(names)) == len(names)
    assert set(json.loads(stages.SECONDS.read_text())["stages"]) <= set(names)
    assert 0 < stages.timed_work() < 60


def test_the_commands_are_those_of_the_readme(stages: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = "\n".join(stage.command for group in stages.GROUPS for lane in group for stage in lane)
    commands += (ROOT / ".ci" / "with-engine").read_text(encoding="utf-8")
    shown = [line for line in readme.splitlines() if line.startswith("python3 -m venv")]
    assert len(shown) == 2
    assert all(line in commands for line in shown)
