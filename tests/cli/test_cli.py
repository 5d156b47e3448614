"""The command line: what it prints, and how it fails. That every command runs: `tests/test_documents.py`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sdbench.answers.masks import measure_masks
from sdbench.answers.segmenting import published_input
from sdbench.assets import AssetStore
from sdbench.cli import main
from sdbench.data import davis as open_davis
from sdbench.zoo import network_named
from tests.conftest import COMMAND
from tests.made.davis import make_davis, make_painted
from tests.made.fork_server import run_python
from tests.made.small_zoo import COMMAND as SMALL

ROOT = Path(__file__).parents[2]
SSV2 = ("measure", "x3d_xs", ".", "--stylised", "ssv2")
ABLATE = ("ablate", "matnet", ".", "--painted", ".", "--layer", "x")
DAVIS = ("measure", "fusionseg", ".", "--stylised", "davis", "--painted", ".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("measure", "i3d_incepton", "."), "unknown network 'i3d_incepton'; did you mean i3d_inception"),
        (("measure", "x3d_xs", ".", "--layers", "stage6"), "unknown layer 'stage6'; did you mean stage5"),
        (("measure", "x3d_xs", ".", "--styles", "style1,stile2"), "unknown style 'stile2'; did you mean style2"),
        (("measure", "x3d_xs", ".", "--device", "cud"), "unknown device 'cud'; did you mean cuda"),
        (("measure", "x3d_xs", ".", "--trained-on", "ucf"), "trained on 'ucf' are known; known: kinetics400"),
        (("measure", "x3d_xs", ".", "--precision", "tf32"), "tf32 is a mode of CUDA devices; cpu has none"),
        (("measure", "x3d_xs", ".", "--slice", "5/4"), "slices are counted from 1 to their number"),
        (("measure", "x3d_xs", ".", "--slice", "1/4", "--json", "a.json"), "--json does not go with --slice"),
        (("measure", "x3d_xs", ".", "--slice", "1/4", "--ray", "auto"), "--ray does not go with --slice"),
        (("measure", "x3d_xs", ".", "--gpus-per-worker", "1"), "--gpus-per-worker goes with --ray"),
        (("merge", "0123"), "no measurement '0123' was done in slices"),
        (("measure", "x3d_xs", "nowhere"), "no folder at nowhere"),
        (SSV2, "no annotation file at something-something-v2-validation.json"),
        ((*SSV2, "--styles", "style1,style2"), "a stylised data set has its own styles: leave out --styles"),
        ((*SSV2, "--painted", "."), "--painted goes with --stylised davis"),
        (("measure", "x3d_xs", ".", "--protocol", "corrected"), "--protocol goes with --stylised"),
        (("measure", "x3d_xs", ".", "--stylised", "davis"), "x3d_xs sees videos without flow"),
        (("measure", "hff:MCG-NJU/videomae-base"), "unknown prefix 'hff'; did you mean hf"),
        (("measure", "hf:"), "expected PREFIX:NAME"),
        (("measure", "x3d_xs", "--pairs", "3"), "--pairs goes with a folder of videos: sdbench measure x3d_xs FOLDER"),
        (("measure", "x3d_xs", "--study", "clips"), "--study clips is made of videos: sdbench measure x3d_xs FOLDER"),
        (("measure", "x3d_xs", ".", "--scenes", "9"), "--scenes goes with rendered scenes: leave out the folder"),
        (("measure", "x3d_xs", "--order", "BCHW"), "unknown order of axes 'BCHW'; did you mean"),
        (("measure", "x3d_xs", "--feed", "nowhere.json"), "no file at nowhere.json"),
        (("measure", "x3d_xs", "--layers", "block*"), "unknown layer 'block*'"),
        (("measure", "fusionseg", "."), "fusionseg sees painted frames with their optical flow"),
        (("measure", "fusionseg", ".", "--stylised", "davis"), "--stylised davis --painted STYLISED_DAVIS"),
        ((*DAVIS, "--pairs", "3"), "of davis every frame gives pairs"),
        ((*DAVIS, "--trained-on", "coco"), "trained on 'coco' are known; known: davis, taovos, imagenetvid"),
        (("masks", "fusionsegg", "."), "unknown network 'fusionsegg'; did you mean fusionseg"),
        (("masks", "x3d_xs", "."), "x3d_xs is no network of video object segmentation"),
        (("masks", "fusionseg", ".", "--threshold", "1"), "a threshold must be at least 0 and below 1"),
        (("masks", "fusionseg", ".", "--trained-on", "coco"), "trained on 'coco' are known"),
        (("ablate", "matnet", ".", "--painted", ".", "--layer", "fusion.layer6"), "did you mean fusion.layer5"),
        (("ablate", "x3d_xs", ".", "--painted", ".", "--layer", "stage5"), "x3d_xs is no network of video object"),
        (("ablate", "matnet", ".", "--painted", ".", "--layer", "x", "--trained-on", "y"), "trained on 'y' are known"),
        (("masks", "fusionseg", "nowhere"), "JPEGImages"),
        (("ablate", "matnet", "nowhere", "--painted", ".", "--layer", "fusion.layer5"), "JPEGImages"),
        (("ablate", "matnet", ".", "--painted", ".", "--layer", "fusion.layer5", "--moca", "nowhere"), "nowhere"),
        (("masks", "fusionseg", ".", "--threshold", "nan"), "threshold must be a finite number"),
        (("measure", "net.py"), "net.py is a file; name the function in it that returns the network, as net.py:build"),
        (("measure", "i3d.pth"), "i3d.pth is a file of weights; name the network that they belong to"),
        (("measure", "torch:convlstm"), "unknown function of torch 'convlstm'"),
        (("stylize", "there", "there", "--styles", "style1,stile2"), "make the copies elsewhere"),
        (("stylize", ".", "there", "--layout", "ssv3"), "unknown layout 'ssv3'; did you mean ssv2"),
        (("flow", "."), "JPEGImages"),
        (("centre-bias", "."), "JPEGImages"),
        (("fetch", "clip_bike"), "unknown asset 'clip_bike'; did you mean clip_bikes"),
        (("fetch", "--from", "x"), "--from takes exactly one asset; got 0"),
        (("fetch", "clip_bikes", "--from", "nowhere"), "nowhere is not a file"),
        (("history", "show"), "no run is in the history"),
    ],
)
def test_mistakes_are_answered_in_one_line_before_anything_is_fetched(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not list((tmp_path / "cache").rglob("*.pth"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("measur",), "invalid choice: 'measur'"),
        ((*SSV2, "--protocol", "correct"), "invalid choice: 'correct'"),
        (("measure", "x3d_xs", ".", "--stylised", "ucf"), "invalid choice: 'ucf'"),
        (("measure", "x3d_xs", ".", "--pairs", "0"), "expected a whole number, 1 or more; got '0'"),
        (("measure", "x3d_xs", ".", "--seed", "-1"), "expected a whole number, 0 or more; got '-1'"),
        (("measure", "x3d_xs", ".", "--workers", "two"), "expected a whole number, 0 or more; got 'two'"),
        (("measure", "x3d_xs", ".", "--json", "."), "expected a file to write; . is a folder"),
        (("masks", "fusionseg", ".", "--frames", "0"), "expected a whole number, 1 or more; got '0'"),
        ((*ABLATE, "--percents", "5,a"), "expected percentages such"),
        (("ablate", "matnet", ".", "--layer", "x"), "required: --painted"),
        ((*ABLATE, "--percents", "nan"), "expected percentages such"),
        (
            ("ablate", "matnet", ".", "--painted", ".", "--layer", "x", "--percents", "5,200"),
            "expected percentages such",
        ),
        ((*ABLATE, "--percents", ""), "expected percentages such"),
        (("measure", "x3d_xs", ".", "--slice", "third"), "expected a slice such as 3/16"),
    ],
)
def test_a_wrong_command_line_is_told_by_the_parser(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.assets
def test_measure_prints_the_table_of_a_folder(
    store: AssetStore, video_file: Callable, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(store.folder))
    folder = video_file("a.mp4", frames=33).parent
    video_file("b.mp4", frames=33, seed=1)
    video_file("short.mp4", frames=5)
    arguments = ["measure", "transnetv2", str(folder), "--json", str(tmp_path / "out.json")]
    assert main(arguments) == 1
    assert "short.mp4 has 5 frames" in capsys.readouterr().err
    assert main([*arguments, "--skip-unusable", "--picture", str(tmp_path / "out.png")]) == 0
    shown = capsys.readouterr().out
    for layer in ("ddcnn1", "ddcnn2", "ddcnn3", "fc1"):
        assert layer in shown
    assert "short.mp4 has 5 frames" in shown, "what was left out is said"
    assert "no intervals: 2 videos" in shown
    content = json.loads((tmp_path / "out.json").read_text())
    assert sum(content["layers"]["fc1"]["shares"].values()) == pytest.approx(100)
    assert (tmp_path / "out.png").stat().st_size > 1000


@pytest.mark.slow
def test_slices_are_merged_to_what_one_run_gives(
    small_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    whole, merged = tmp_path / "whole.json", tmp_path / "merged.json"
    command = ["measure", "x3d_m", "--scenes", "70", "--compile", "off", "--frames", "4", "--size", "32"]
    assert main([*command, "--slice", "2/2"]) == 0
    shown = capsys.readouterr().out
    key = re.search("sdbench merge ([0-9a-f]{16})$", shown)
    assert key is not None, shown
    assert main(["merge", key[1]]) == 1
    assert re.search(
        r"parts of measurement .* are missing .*: do --slice 1/2 \(again\), then merge$", capsys.readouterr().err
    )
    assert main([*command, "--slice", "1/2"]) == 0
    assert "all are done" in capsys.readouterr().out
    assert main(["merge", key[1], "--json", str(merged), "--forget"]) == 0
    assert "stage5" in capsys.readouterr().out
    assert main(["merge", key[1]]) == 1, "its parts are forgotten"
    assert main([*command, "--json", str(whole)]) == 0
    one, other = (json.loads(path.read_text()) for path in (merged, whole))
    assert one["layers"] == other["layers"]
    assert one["measurement"]["weights"] == other["measurement"]["weights"]


@pytest.fixture
def davis(small_cache: Path, tmp_path: Path) -> Path:
    """DAVIS, made up, and the weights of a narrow FusionSeg in the cache, as if they had been fetched."""
    return make_davis(tmp_path / "davis")


def test_masks_prints_the_j_mean_of_each_sequence(davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "masks.json"
    command = ["masks", "fusionseg", str(davis), "--threshold", "0.2", "--flip", "--json", str(out)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    network = replace(network_named("fusionseg"), feed=published_input("fusionseg"))
    direct = measure_masks(network, open_davis(davis), threshold=0.2, flip=True)
    content = json.loads(out.read_text())
    assert content["sequences"] == pytest.approx(direct.sequences)
    assert content["miou"] == pytest.approx(direct.miou)
    assert content["interval"] is None, "three sequences give none"
    for sequence, mean in direct.sequences.items():
        assert re.search(rf"^{sequence} +{mean:.1f}$", shown, re.MULTILINE)
    assert shown.endswith(f"J mean of fusionseg: {direct.miou:.1f} %, 3 sequences, 9 frames\n")
    assert main([*command, "--frames", "1"]) == 0
    assert "3 sequences, 3 frames" in capsys.readouterr().out


def test_another_training_set_is_another_network(davis: Path, capsys: pytest.CaptureFixture) -> None:
    """The zip of the fixture holds the weights of one training set alone: another must be looked for, and missed."""
    assert main(["masks", "fusionseg", str(davis)]) == 0
    capsys.readouterr()
    assert main(["masks", "fusionseg", str(davis), "--trained-on", "taovos"]) == 1
    assert "taovos" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told_in_one_line(
    davis: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "a file").touch()
    assert main(["masks", "fusionseg", str(davis), "--json", str(tmp_path / "a file" / "o.json")]) == 1
    assert "o.json cannot be written (" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "list", "styles"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("sdbench: the disk is full; make room")


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    command = f"{shlex.join(COMMAND)} list | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "NETWORKS\n", "")


def processes_of(group: int) -> list[str]:
    """The command lines of all processes of a process group that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _parent, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("to_all", [True, False], ids=["as a terminal sends it", "to the command alone"])
def test_ctrl_c_keeps_finished_parts_and_leaves_no_worker(to_all: bool, davis: Path, tmp_path: Path) -> None:
    painted, cache = make_painted(tmp_path / "painted", davis), tmp_path / "cache"
    command = [sys.executable, "-c", SMALL, "measure", "fusionseg", str(davis), "--stylised", "davis"]
    command += ["--painted", str(painted), "--workers", "2", "--json", str(tmp_path / "o.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(cache.glob("parts/*/[!.]*.safetensors")) and process.poll() is None:
        time.sleep(0.01)
    assert len(processes_of(process.pid)) == 3, "the command and its two workers"
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "sdbench: interrupted; what was done is kept, run the same command again to go on\n" in said
    assert "KeyboardInterrupt" not in said
    assert processes_of(process.pid) == [], "no worker is left"
    kept = list(cache.glob("parts/*/*.safetensors"))
    assert kept
    assert not [path for path in cache.rglob(".*") if path.is_file()], "nothing half-written is left"
    again = run_python(*command[1:], environment=environment)
    assert again.returncode == 0, again.stderr
    assert "fusion.layer5" in again.stdout
    record = json.loads((tmp_path / "o.json").read_text())["measurement"]
    assert 0 < record["resumed"] < record["samples"]
    assert not list(cache.glob("parts/*")), "parts go when all is done"
