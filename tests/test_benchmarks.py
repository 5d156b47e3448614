"""The benchmark run itself, as a user starts it: options, report, exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from sdbench.suite.at_hand import why_not

from sdbench.assets import AssetStore
from sdbench.cases.verdicts import Verdict
from sdbench.suite.running import Suite
from tests.cases.test_records import EXPECTED, read_all

ROOT = Path(__file__).parents[1]


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "benchmarks",
        "-p",
        "no:cacheprovider",
        "--report",
        str(folder),
        *arguments,
    ]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def cases_of(folder: Path) -> dict[str, dict]:
    return {case["id"]: case for case in json.loads((folder / "report.json").read_text())["cases"]}


def test_what_cannot_run_is_skipped_counted_and_explained(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "(vos or action) and not pipeline and not calibration")
    assert done.returncode == 0, done.stdout
    assert "4 of 44 published results and 0 of 7 published claims were measured." in done.stdout
    cases = cases_of(tmp_path)
    wanted = {record.id for record in read_all(EXPECTED) if {"vos", "action"} & set(record.id.split("/"))}
    assert set(cases) == {name for name in wanted if "pipeline" not in name and "calibration" not in name}
    for name in ("xs", "s", "m", "l"):
        assert cases.pop(f"action/complexity/x3d_{name}")["verdict"] == "reproduced", "counted without weights"
    for name in ("fusionseg", "matnet", "rtnet", "rtnet34"):
        counted = cases.pop(f"vos/complexity/{name}")
        assert counted["verdict"] == "inconclusive", "no number was published"
        assert counted["measured"].keys() == {"parameters_m", "gflops"}
    for case in cases.values():
        assert case["verdict"] == "not run"
        assert case["measured"] is None
        assert "It takes" in case["reason"]
    assert (
        "sdbench fetch slow_r50_8x8_kinetics400" in cases["action/layerwise/slow_r50_8x8/kinetics400/stage5"]["reason"]
    )
    assert "never published" in cases["action/layerwise/fast_r50_8x8/ssv2/stage5"]["reason"]
    suite = ET.parse(tmp_path / "junit.xml").getroot()
    assert suite.find(".//testsuite").get("skipped") == str(len(cases))
    properties = {item.get("name") for item in suite.iterfind(".//testsuite/properties/property")}
    assert {"packages", "processor", "revision", "command"} <= properties


def test_strict_turns_what_is_open_into_failures(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "moca and rtnet", "--strict")
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_selection_by_kind(tmp_path: Path) -> None:
    assert run(tmp_path, "-m", "claim and published").returncode == 0
    assert len(cases_of(tmp_path)) == 7


def test_without_assets_and_network_recorded_cases_are_not_run(tmp_path: Path) -> None:
    done = run(tmp_path / "r", "-k", "fc1", SDBENCH_CACHE=str(tmp_path / "empty"), SDBENCH_OFFLINE="1")
    assert done.returncode == 0, done.stdout
    for case in cases_of(tmp_path / "r").values():
        assert case["verdict"] == "not run"
        assert "offline, and not in" in case["reason"]
        assert "sdbench fetch" in case["reason"]


@pytest.mark.assets
def test_a_recorded_value_that_moved_ends_the_run_with_an_error(tmp_path: Path, store: AssetStore) -> None:
    """Few pairs give other numbers: the run must notice, name the case, and say by how much."""
    done = run(
        tmp_path,
        "-k",
        "transnetv2 and shares",
        "--pairs",
        "4",
        "--benchmark-json",
        str(tmp_path / "timing.json"),
        SDBENCH_CACHE=str(store.folder),
    )
    assert done.returncode == 1, done.stdout
    cases = cases_of(tmp_path)
    moved = [case for case in cases.values() if case["verdict"] == "changed"]
    assert moved
    assert "moved by" in moved[0]["reason"]
    assert cases["packaged/transnetv2/fc1/shares/seed0"]["verdict"] == "not run", "recorded for other draws"
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["environment"]["pairs"] == 4
    assert report["measurements"][0]["passes"] == 12
    assert set(report["environment"]["assets"]) >= {"transnetv2", "styles26", "clip_bikes"}
    timing = json.loads((tmp_path / "timing.json").read_text())
    extra = timing["benchmarks"][0]["extra_info"]
    assert extra["measured"].keys() == extra["expected"].keys()


def test_a_network_is_measured_once_for_all_its_cases(monkeypatch: pytest.MonkeyPatch, store: AssetStore) -> None:
    calls = []
    monkeypatch.setattr("sdbench.suite.running.measure", lambda *given, **options: calls.append(given) or "measured")
    monkeypatch.setattr("sdbench.suite.running.packaged_videos", lambda preparation, store: "clips")
    suite = Suite(store)
    for _ in range(3):
        suite.measurement("i3d_inception", "kinetics400", "packaged")
    assert calls == [("i3d_inception", "clips")]


def test_a_case_runs_if_and_only_if_everything_is_there() -> None:
    runnable = {record.id for record in read_all(EXPECTED) if why_not(record) is None}
    assert runnable
    assert all({"packaged", "pipeline", "complexity", "calibration"} & set(name.split("/")) for name in runnable)
    assert Verdict.NOT_RUN.is_open
