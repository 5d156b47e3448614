"""Cases of one's own: recorded, carried elsewhere, run beside the packaged ones, and refused with other weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.cases.records import ExpectedValue, read_all, read_expected
from sdbench.cases.subject import Subject
from sdbench.cases.verdicts import Case
from sdbench.cli import main
from sdbench.suite import Here, Suite, assets_of, group_of, why_not
from tests.made.stylised import make, names

ROOT = Path(__file__).parents[2]

MODEL = """
import torch
from torch import nn

def build():
    torch.manual_seed(SEED)
    first, second = nn.Conv3d(3, 8, 3, stride=2, padding=1), nn.Conv3d(8, 8, 3, stride=2, padding=1)
    return nn.Sequential(first, nn.ReLU(), second)
"""

FED = ("--seeds", "3", "--workers", "0", "--layers", "0,2", "--frames", "4", "--size", "32")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no checkout, with a network of one's own; the command runs in it."""
    folder = tmp_path / "lab"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "my_model.py").write_text(MODEL.replace("SEED", "0"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    monkeypatch.delenv("SDBENCH_DATA", raising=False)
    return folder


def record(study: str, *more: str, network: str = "code/my_model.py:build") -> dict[str, Any]:
    assert main(["record", network, study, "mine/first.json", *FED, *more]) == 0
    return json.loads(Path("mine/first.json").read_text())


def run(folder: Path, data: Path | None = None) -> dict[str, Case]:
    """Every case of a folder, run with nothing at hand."""
    suite = Suite(Here(AssetStore(folder.parent / "none", offline=True, quiet=True), data=data, workers=0))
    return {each.id: suite.run(each) for each in read_all(folder)}


def test_a_record_says_how_its_network_and_study_open_and_is_unchanged_elsewhere(lab: Path, tmp_path: Path) -> None:
    content = record("rendered-2:6", "--axes", "2=BCTHW")
    subject = content["subject"]
    assert subject["axes"] == {"2": "BCTHW"}
    assert (subject["network"], subject["study"]) == ("../code/my_model.py:build", "rendered-2:6")
    assert (subject["layers"], subject["feed"]) == (["0", "2"], {"frames": 4, "size": 32})
    value = content["values"][0]
    assert value["id"].startswith("own/first/0/variance")
    assert value["trained_on"] == f"weights {subject['sha256'][:12]}"
    assert value["source"]["command"] == (
        "sdbench record ../code/my_model.py:build rendered-2:6 first.json --seeds 3 --layers 0,2 --frames 4 --size 32 "
        "--axes 2=BCTHW"
    )
    assert value["source"]["commit"].startswith("sdbench 0.")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(lab, elsewhere)
    shutil.rmtree(lab / "code")
    cases = run(elsewhere / "mine")
    assert {name for name in cases if name.endswith("shares/seed0")} == {
        f"own/first/{layer}/shares/seed0" for layer in "02"
    }
    assert verdicts(cases) == {"seed0": {"unchanged"}, "seed1": {"not run"}, "seed2": {"not run"}}


def verdicts(cases: Mapping[str, Case]) -> dict[str, set[str]]:
    """Of the values of each seed, which verdicts there were; a run has one seed."""
    found: dict[str, set[str]] = {}
    for name, case in cases.items():
        found.setdefault(name.rpartition("/")[2], set()).add(case.verdict.value)
    return found


def of_seed0(cases: Mapping[str, Case]) -> list[Case]:
    found = [case for name, case in cases.items() if name.endswith("/seed0")]
    assert found
    return found


def test_the_command_of_a_record_makes_the_same_record(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = record("rendered-2:4")
    command = content["values"][0]["source"]["command"].split()
    monkeypatch.chdir(lab / "mine")
    assert main(command[1:]) == 0
    assert json.loads(Path("first.json").read_text()) == content


def test_what_is_not_sound_is_recorded_where_that_is_said(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_batch = MODEL.replace("nn.ReLU()", "nn.BatchNorm3d(8, track_running_stats=False)").replace("SEED", "0")
    (lab / "code" / "my_model.py").write_text(of_batch)
    assert main(["record", "code/my_model.py:build", "rendered-2:4", "mine/first.json", *FED]) == 1
    assert "depends on the other clips of its batch" in capsys.readouterr().err
    content = record("rendered-2:4", "--unchecked")
    assert content["subject"]["unchecked"] is True
    assert content["values"][0]["source"]["command"].endswith(" --unchecked")
    assert verdicts(run(lab / "mine"))["seed0"] == {"unchanged"}


def test_other_weights_are_never_called_the_same(lab: Path) -> None:
    record("rendered-2:4")
    (lab / "code" / "my_model.py").write_text(MODEL.replace("SEED", "1"))
    for case in of_seed0(run(lab / "mine")):
        assert case.verdict.value == "error"
        assert case.measured is None
        assert "has other weights than those that were recorded" in case.reason
        assert "sdbench record" in case.reason


def test_what_is_gone_is_not_run_and_said(lab: Path) -> None:
    record("rendered-2:4")
    (lab / "code" / "my_model.py").unlink()
    for case in of_seed0(run(lab / "mine")):
        assert case.verdict.value == "not run"
        assert f"{lab / 'code' / 'my_model.py'} is not there" in case.reason


@pytest.mark.slow
def test_data_of_ones_own_is_found_where_it_lies_on_that_machine(lab: Path, tmp_path: Path) -> None:
    layout = "ssv2"
    make(tmp_path / "data" / "painted", layout, dict.fromkeys(names(24, layout), 9), height=32, width=32)
    content = record(f"stylised:{layout}:{tmp_path / 'data' / 'painted'}", "--data", str(tmp_path / "data"))
    assert content["subject"]["study"] == f"stylised:{layout}:SDBENCH_DATA/painted"
    (tmp_path / "data").rename(tmp_path / "moved")
    cases = run(lab / "mine", tmp_path / "moved")
    assert verdicts(cases) == {"seed0": {"unchanged"}, "seed1": {"not run"}, "seed2": {"not run"}}
    for data, said in ((None, "is not here (name the folder"), (tmp_path / "data", "is not in ")):
        reasons = {case.reason for case in of_seed0(run(lab / "mine", data))}
        assert len(reasons) == 1
        assert reasons.pop().startswith(f"data set painted {said}")


def test_a_network_of_the_suite_with_weights_of_ones_own_is_of_its_task(lab: Path) -> None:
    content = record("rendered-2:4", "--untrained", "3", "--layers", "stage1", network="x3d_xs")
    assert content["subject"]["untrained"] == 3
    assert {value["task"] for value in content["values"]} == {"action recognition"}
    assert verdicts(run(lab / "mine")) == {"seed0": {"unchanged"}, "seed1": {"not run"}, "seed2": {"not run"}}


def test_a_folder_of_videos_is_clips_and_says_which_assets_it_takes(lab: Path) -> None:
    (lab / "videos").mkdir()
    subject = Subject(network="../code/my_model.py:build", study="clips:../videos", sha256="0" * 64)
    records = [record.about(subject.read_from(lab / "mine")) for record in _values()]
    here = Here(AssetStore(lab / "none", offline=True, quiet=True))
    assert [why_not(record, here) for record in records] == [None]
    assert sorted(assets_of(records, here)) == ["styles26", "transnetv2"]
    assert [group_of(record) for record in records] == ["own"]


def _values() -> list[ExpectedValue]:
    found = read_all(ROOT / "expected" / "pipeline")[:1]
    return [each for each in found if isinstance(each, ExpectedValue)]


def test_what_cannot_be_recorded_is_said_in_one_sentence(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for network, study, more, said in (
        ("code/my_model.py:build", "rendered", FED, "'rendered' is no study to record on; expected one of packaged,"),
        ("code/my_model.py:build", "rendered-2:many", FED, "is no study to record on"),
        ("code/my_model.py:build", "stylised:paper:videos", FED, "is no study to record on"),
        ("code/my_model.py:build", "clips:videos", FED, "no folder at videos"),
        ("code/my_model.py:made", "rendered-2:4", FED, "made"),
        ("x4d", "rendered-2", (), "x4d"),
    ):
        assert main(["record", network, study, "mine/first.json", *more]) == 1
        told = capsys.readouterr().err.strip().splitlines()
        assert said in told[-1]
    assert not Path("mine/first.json").exists()


def test_a_file_holds_what_its_subject_says_and_nothing_else(lab: Path) -> None:
    content = record("rendered-2:4")
    path = Path("mine/first.json")
    claim = json.loads((ROOT / "expected" / "packaged" / "claims.json").read_text())["claims"][0]
    first, *_ = content["values"]
    for change, said in (
        ({"claims": [claim]}, "a file with a subject holds values only"),
        ({"values": [{**first, "network": "another"}]}, "is of another on rendered-2:4; the file's subject is"),
        ({"values": [{**first, "quantity": "moca"}]}, "is of moca; of a subject, "),
        ({"subject": {**content["subject"], "sha256": "12"}}, "subject.sha256"),
        ({"subject": {**content["subject"], "frames": 8}}, "subject.frames"),
    ):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(InputError, match=said):
            read_expected(path)


def test_ids_of_two_folders_do_not_clash(lab: Path) -> None:
    record("rendered-2:4")
    shutil.copytree("mine", "other")
    with pytest.raises(InputError, match=r"own/first/0/variance.* stands in .*mine.* and in .*other.*must be unique"):
        read_all(Path("mine"), Path("other"))


def suite_run(folder: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "benchmarks", "-p", "no:cacheprovider", "--report", str(folder), *more]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_suite_runs_a_folder_of_ones_own_beside_its_own(lab: Path, tmp_path: Path) -> None:
    count = len(record("rendered-2:4")["values"])
    mine = ("--expected", str(lab / "mine"))
    done = suite_run(tmp_path / "report", "-m", "own", *mine)
    assert done.returncode == 0, done.stdout
    cases = json.loads((tmp_path / "report" / "report.json").read_text())["cases"]
    assert len(cases) == count
    assert {case["verdict"] for case in cases if case["id"].endswith("seed0")} == {"unchanged"}
    assert cases[0]["about"]["asked"][0]["network"] == "../code/my_model.py:build"
    both = suite_run(tmp_path / "report", "-m", "recorded", "--collect-only", "-q", SDBENCH_EXPECTED=str(lab / "mine"))
    assert "test_own[own/first/0/shares/seed0]" in both.stdout
    assert "packaged/transnetv2" in both.stdout
    (lab / "mine" / "broken.json").write_text("{}")
    refused = suite_run(tmp_path / "report", *mine)
    assert refused.returncode == 4
    assert "broken.json is not a file of expected values" in refused.stderr
