"""The command line: what it prints, and how it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdbench.assets import AssetStore
from sdbench.cli import main
from tests.conftest import COMMAND


def test_list_shows_networks_layers_styles_assets_and_cases(capsys: pytest.CaptureFixture) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "i3d_inception",
        "Mixed_5c",
        "matnet_recip_gated",
        "2 frames, flow both ways, 480 x 854",
        "fusion.layer5",
        "stylized_davis",
        "vos/complexity/rtnet34",
        "style14",
        "clip_bikes",
        "action/layerwise/slow_r50_8x8/kinetics400/stage5",
    ):
        assert part in shown
    assert main(["list", "layers"]) == 0
    assert "clip_bikes" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["measure", "i3d_incepton", "x"], "unknown network 'i3d_incepton'; did you mean i3d_inception"),
        (["measure", "i3d_inception", "x", "--layers", "Mixed_5d"], "unknown layer 'Mixed_5d'; did you mean Mixed_5c"),
        (["measure", "i3d_inception", "nowhere"], "no folder at nowhere"),
        (["measure", "x3d_xs", "x"], "x3d_xs is measured on stylised data sets: make one with sdbench stylize"),
        (["measure", "x3d_xs", "nowhere", "--stylised", "ssv2"], "expected a stylised data set"),
        (["measure", "slow_r50_8x8", "x", "--trained-on", "ucf"], "trained on 'ucf' are known; known: kinetics400"),
        (["fetch", "clip_bike"], "unknown asset 'clip_bike'; did you mean clip_bikes"),
        (["fetch", "--from", "x"], "--from takes exactly one asset; got 0"),
        (["fetch", "clip_bikes", "--from", "nowhere"], "nowhere is not a file"),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


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


@pytest.mark.assets
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_keeps_what_was_done_and_the_next_run_goes_on(
    store: AssetStore, video_file: Callable, tmp_path: Path
) -> None:
    for number in range(3):
        folder = video_file(f"{number}.mp4", frames=81, seed=number).parent
    cache = tmp_path / "cache"
    own = AssetStore(cache, quiet=True)
    for name in ("styles26", "transnetv2"):
        own.add(name, store.path(name))
    command = [*COMMAND, "measure", "transnetv2", str(folder)]
    environment = {**os.environ, "SDBENCH_CACHE": str(cache)}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    painted = cache / "painted"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(painted.rglob("[!.]*.npy"))) < 4 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "interrupted; what was done is kept" in said
    before = len(list(painted.rglob("[!.]*.npy")))
    assert before >= 4
    assert not [path for path in cache.rglob(".*") if path.is_file()], "nothing half-written is left"
    again = subprocess.run(
        [*command, "--json", str(tmp_path / "o.json")], env=environment, capture_output=True, check=True
    )
    assert b"ddcnn1" in again.stdout
    record = json.loads((tmp_path / "o.json").read_text())["measurement"]
    assert record["frames_painted"] < record["clips"] * 2 * 16, "clips painted before are taken from the cache"


def test_the_command_is_installed() -> None:
    shown = subprocess.run([sys.executable, "-m", "sdbench", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("sdbench ")
