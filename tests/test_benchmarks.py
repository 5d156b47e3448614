"""The benchmark run itself, as a user starts it: options, report, exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from sdbench.assets import AssetStore
from sdbench.base.cache_folders import Cache
from sdbench.base.supervisor import SUPERVISED
from sdbench.cases.records import read_all
from sdbench.history.__main__ import main as history
from sdbench.report.terminal import SCREEN
from tests.made.fork_server import run_python

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXPECTED = ROOT / "expected"

BREAKS = """
import sdbench.suite.quantities

def broken(*given):
    return 1 // 0

sdbench.suite.quantities.complexity_of = broken
"""
"""A plugin with which counting goes wrong."""

MOVES = """
import sdbench.statistics.estimating as estimating

softmax = estimating._softmax
estimating._softmax = lambda values: softmax(values / 2)
"""
"""A plugin with which shares go wrong."""

COUNTS = """
import functools, pathlib, sdbench.suite.claims, sdbench.suite.datasets, sdbench.suite.quantities, sdbench.suite.running

def counted(place, name):
    work = getattr(place, name)

    @functools.wraps(work)
    def wrapped(*given, **options):
        with pathlib.Path("FILE").open("a") as file:
            print(name, file=file)
        return work(*given, **options)

    setattr(place, name, wrapped)

counted(sdbench.suite.running.Suite, "measure")
counted(sdbench.suite.quantities.Outcome, "judged")
counted(sdbench.suite.quantities, "complexity_of")
counted(sdbench.suite.datasets, "measure_trained")
counted(sdbench.suite.claims, "judge")
"""
"""A plugin that notes in FILE what is done."""


COUNTED, NAME = "action and complexity and x3d_xs", "action/complexity/x3d_xs"


WORDS = ("benchmarks", "-p", "no:cacheprovider", "--report")


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run whose report lies in `folder`, in one process: what watches over it is tested by itself."""
    environment = {**os.environ, SUPERVISED: "", **environment}
    return run_python("-m", "pytest", *WORDS, str(folder), *arguments, environment=environment)


def cases_of(folder: Path) -> dict[str, dict]:
    return {case["id"]: case for case in json.loads((folder / "report.json").read_text())["cases"]}


def test_what_cannot_run_is_skipped_counted_and_explained(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "(vos or action) and not pipeline and not calibration")
    assert done.returncode == 0, done.stdout
    assert "4 of 44 published results and 0 of 7 published claims were measured." in done.stdout
    assert "SKIPPED" not in done.stdout
    assert len(done.stdout.partition(" sdbench ")[2].splitlines()) <= SCREEN
    cases = cases_of(tmp_path)
    wanted = {record.id for record in read_all(EXPECTED) if {"vos", "action"} & set(record.id.split("/"))}
    assert set(cases) == {name for name in wanted if "pipeline" not in name and "calibration" not in name}
    for name in ("xs", "s", "m", "l"):
        assert cases.pop(f"action/complexity/x3d_{name}")["verdict"] == "reproduced", "counted without weights"
    for name in ("fusionseg", "matnet", "rtnet", "rtnet34"):
        counted = cases.pop(f"vos/complexity/{name}")
        assert counted["verdict"] == "measured", "no number was published"
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
    testsuite = suite.find(".//testsuite")
    assert testsuite is not None
    assert testsuite.get("skipped") == str(len(cases))
    properties = {item.get("name") for item in suite.iterfind(".//testsuite/properties/property")}
    assert {"packages", "processor", "revision", "command"} <= properties


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pairs", "-1"), "--pairs must be a positive whole number"),
        (("--seed", "-1"), "--seed must be a whole number"),
        (("--device", "nonsense"), "unknown device 'nonsense'"),
        (("--device", "meta"), "nothing can be computed on a device meta"),
    ],
)
def test_an_option_that_cannot_be_is_told_before_any_case(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = run(tmp_path, *words, "-k", COUNTED)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr


def test_a_report_that_cannot_be_written_is_told_before_any_case(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path / "file" / "report", "-k", COUNTED)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "cannot be written (Not a directory)" in done.stderr


def test_a_run_with_v_prints_every_case(tmp_path: Path) -> None:
    done = run(tmp_path, "-v", "-k", "complexity and x3d")
    assert done.returncode == 0, done.stdout
    ending = done.stdout.partition(" sdbench ")[2]
    assert "tolerance" in ending
    assert all(f"action/complexity/x3d_{size} " in ending for size in ("xs", "s", "m", "l"))
    assert "action/complexity" not in run(tmp_path, "-k", "complexity and x3d").stdout.partition(" sdbench ")[2]


def test_strict_turns_what_is_open_into_failures(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "moca and rtnet", "--strict")
    assert done.returncode == 1
    assert "1 failed" in done.stdout


def test_selection_by_kind(tmp_path: Path) -> None:
    """In a fresh process, as a user starts it."""
    command = [sys.executable, "-m", "pytest", *WORDS, str(tmp_path), "-m", "claim and published"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert len(cases_of(tmp_path)) == 7


def test_without_assets_and_network_recorded_cases_are_not_run(tmp_path: Path) -> None:
    done = run(
        tmp_path / "r",
        "-k",
        "fc1 and not seed1 and not seed2",
        SDBENCH_CACHE=str(tmp_path / "empty"),
        SDBENCH_OFFLINE="1",
    )
    assert done.returncode == 0, done.stdout
    for case in cases_of(tmp_path / "r").values():
        assert case["verdict"] == "not run"
        assert "offline, and not in" in case["reason"]
        assert "sdbench fetch" in case["reason"]


@pytest.mark.assets
def test_a_recorded_value_that_moved_ends_the_run_with_an_error(tmp_path: Path, store: AssetStore) -> None:
    """The run must notice, name the case, and say by how much."""
    timing = str(tmp_path / "timing.json")
    words = ("-k", "calibration_slowfast and pipeline and shares", "--benchmark-json", timing)
    done = with_plugin(tmp_path, MOVES, *words, SDBENCH_CACHE=str(store.folder))
    assert done.returncode == 1, done.stdout
    cases = cases_of(tmp_path / "report")
    verdicts = {(name.rpartition("/")[2], case["verdict"]) for name, case in cases.items()}
    assert verdicts == {("seed0", "changed"), ("seed1", "not run"), ("seed2", "not run")}
    moved = cases["pipeline/calibration_slowfast/fast.stage5/shares/seed0"]
    assert "residual moved by -" in moved["reason"]
    assert "It takes a run with --seed 1" in cases["pipeline/calibration_slowfast/fast.stage5/shares/seed1"]["reason"]
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["measurements"][0]["pairs"] == 13
    assert set(report["environment"]["assets"]) >= {"transnetv2", "styles26", "clip_bikes"}
    extra = json.loads((tmp_path / "timing.json").read_text())["benchmarks"][0]["extra_info"]
    assert extra["measured"].keys() == extra["expected"].keys()


def with_plugin(folder: Path, content: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run with a plugin of this content; its report is below `folder`."""
    (folder / "added_plugin.py").write_text(content)
    return run(folder / "report", "-p", "added_plugin", *arguments, PYTHONPATH=str(folder), **environment)


def test_a_case_that_crashes_fails_the_run_and_is_in_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "good", "-k", COUNTED).returncode == 0
    done = with_plugin(tmp_path, BREAKS, "-k", COUNTED)
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout
    ending = done.stdout.partition(" sdbench ")[2]
    assert f"{NAME}: ZeroDivisionError: integer division or modulo by zero" in ending
    (case,) = cases_of(tmp_path / "report").values()
    assert (case["id"], case["verdict"], case["measured"]) == (NAME, "error", None)
    assert "ZeroDivisionError" in case["reason"]
    kept = ["--history", str(tmp_path / "history.jsonl")]
    for report in ("good", "report"):
        assert history(["add", str(tmp_path / report), *kept]) == 0
    assert history(["compare", *kept]) == 3
    assert NAME in capsys.readouterr().out


CRASHES = """
import ctypes

def pytest_runtest_call(item):
    if "x3d_s]" in item.name:
        ctypes.string_at(0)
"""
"""A plugin with which the process ends in the second case."""


def test_a_case_that_ends_the_process_costs_no_other(tmp_path: Path) -> None:
    """In fresh processes, as a user starts them; an older report lies in the folder."""
    (tmp_path / "added_plugin.py").write_text(CRASHES)
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.json").write_text("old")
    command = [sys.executable, "-m", "pytest", *WORDS, str(folder), "-p", "added_plugin", "-k", "complexity and x3d"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    said = "ended by signal 11 (SIGSEGV) in action/complexity/x3d_s"
    assert f"{said}; going on behind it in a fresh process (1 of at most 10)" in done.stderr
    assert "1 failed, 3 passed" in done.stdout
    verdicts = {name[-2:].strip("_"): case["verdict"] for name, case in cases_of(folder).items()}
    assert verdicts == {"xs": "reproduced", "s": "error", "m": "reproduced", "l": "reproduced"}
    report = json.loads((folder / "report.json").read_text())
    assert (report["environment"]["crashes"], report["environment"]["interrupted"]) == ([said], False)
    assert ET.parse(folder / "junit.xml").find(".//testsuite").get("tests") == "4"  # type: ignore[union-attr]
    assert (folder / "previous" / "report.json").read_text() == "old"


def test_a_selection_of_nothing_is_said_and_leaves_no_old_report(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("old")
    done = run(tmp_path, "-k", "nothing_has_this_name")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "sdbench: no case is selected" in done.stdout
    assert not (tmp_path / "report.json").exists()


def test_a_case_whose_test_ends_otherwise_is_in_the_report(tmp_path: Path) -> None:
    """By something that no case catches."""
    breaks = BREAKS.replace("return 1 // 0", "raise SystemExit(3)")
    done = with_plugin(tmp_path, breaks, "-k", COUNTED)
    assert done.returncode == 1, done.stdout
    (case,) = cases_of(tmp_path / "report").values()
    assert (case["verdict"], case["reason"]) == ("error", "SystemExit: 3")


def test_a_case_is_run_once(tmp_path: Path) -> None:
    done = with_plugin(tmp_path, COUNTS.replace("FILE", str(tmp_path / "done.txt")), "-k", COUNTED)
    assert done.returncode == 0, done.stdout
    assert sorted((tmp_path / "done.txt").read_text().split()) == ["complexity_of", "judged", "measure"]


def test_cases_of_one_network_share_its_measurement(tmp_path: Path) -> None:
    claims = ("-k", "training-decides and resnet3d", "--pairs", "40")
    done = with_plugin(tmp_path, COUNTS.replace("FILE", str(tmp_path / "done.txt")), *claims)
    assert done.returncode == 0, done.stdout
    noted = Counter((tmp_path / "done.txt").read_text().split())
    assert noted == {"measure": 2, "judge": 2, "measure_trained": 2}, "two claims about the same two networks"
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["environment"]["pairs"] == 40
    assert {found["pairs"] for found in report["measurements"]} == {40}


def test_an_interrupted_run_reports_what_it_finished_and_keeps_its_parts(tmp_path: Path) -> None:
    """Ctrl-C in the second case, when its measurement is over."""
    (tmp_path / "added_plugin.py").write_text(
        "import sdbench.suite.claims\n\ndef judge(*given):\n    raise KeyboardInterrupt\n\n"
        "sdbench.suite.claims.judge = judge\n"
    )
    cases = f"{COUNTED} or bias and resnet3d and texture"
    done = run(
        *(tmp_path / "report", "-p", "added_plugin", "-k", cases, "--pairs", "40"),
        PYTHONPATH=str(tmp_path),
        SDBENCH_CACHE=str(tmp_path / "cache"),
    )
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout
    assert list(cases_of(tmp_path / "report")) == [NAME]
    assert json.loads((tmp_path / "report" / "report.json").read_text())["environment"]["interrupted"] is True
    assert list(Cache(tmp_path / "cache").parts.rglob("*.safetensors"))
