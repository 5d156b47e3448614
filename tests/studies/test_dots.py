"""Measuring on cinematograms and stereograms of DAVIS, by the command and in plain code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import sdbench
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.cli import main
from sdbench.studies import davis_dots
from tests.made.dots import make_dots
from tests.made.small_zoo import COMMAND, bring_weights, make_small
from tests.studies.test_davis import PAIRED, SMALL, Means

ROOT = Path(__file__).parents[2]
CINEMATOGRAMS, STEREOGRAMS = "davis_cinematograms", "davis_stereograms"


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", quiet=True)


@pytest.mark.parametrize(("layout", "rows"), [(CINEMATOGRAMS, 8), (STEREOGRAMS, 9)])
def test_every_picture_but_the_last_that_is_used_gives_a_row(
    layout: str, rows: int, tmp_path: Path, store: AssetStore
) -> None:
    folder = make_dots(tmp_path / "dots", frames=1)
    network = sdbench.Network(Means(), SMALL, "means")
    found = sdbench.measure(network, davis_dots(layout, folder, seeds=1, store=store), store=store, workers=0)
    assert found.samples == 3 * rows
    assert found.pairs == 7 * rows, "of 15 draws, 8 are static and 7 dynamic"
    record = found.as_record()
    assert record["dataset"] == layout
    assert record["protocol"] == "published"
    few = davis_dots(layout, folder, seeds=1, frames=2, protocol="corrected", store=store)
    assert sdbench.measure(network, few, store=store, workers=0).samples == 3 * 2


def test_a_network_that_sees_flow_both_ways_is_told(tmp_path: Path, store: AssetStore) -> None:
    network = sdbench.Network(Means(), PAIRED, "means")
    with pytest.raises(InputError, match="stereograms have no backward flow"):
        sdbench.measure(network, davis_dots(STEREOGRAMS, make_dots(tmp_path / "dots"), store=store), store=store)
    with pytest.raises(InputError, match="unknown layout 'davis'"):
        davis_dots("davis", tmp_path)


@pytest.mark.parametrize("layout", [pytest.param(CINEMATOGRAMS, marks=pytest.mark.slow), STEREOGRAMS])
def test_the_command_measures_them(layout: str, tmp_path: Path, monkeypatch, capsys) -> None:
    make_small(monkeypatch.setattr)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    bring_weights(AssetStore(quiet=True), tmp_path)
    apart = layout == STEREOGRAMS
    folder = make_dots(tmp_path / "dots", tmp_path / "painted" if apart else None, frames=1)
    out = tmp_path / "out.json"
    command = ["measure", "fusionseg", str(folder), "--stylised", layout, "--frames", "2", "--workers", "0"]
    command += [*(("--painted", str(tmp_path / "painted")) if apart else ()), "--json", str(out)]
    if apart:
        assert main(command) == 0
        shown = capsys.readouterr().out
    else:
        environment = {"SDBENCH_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(
            [sys.executable, "-c", COMMAND, *command], env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        shown = ended.stdout
    assert "fusion.layer5" in shown
    measured = json.loads(out.read_text())["measurement"]
    assert measured["dataset"] == layout
    assert measured["styles"] == ["Lynx", "Maruska640", "Zuzka1", *(["Zuzka2"] if apart else [])]
    assert any("left out as published" in sentence for sentence in measured["skipped"]) is not apart


def test_what_does_not_go_together_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    for network, options, said in (
        ("x3d_xs", (), "x3d_xs sees videos without flow"),
        ("fusionseg", ("--pairs", "3"), "of davis every frame gives pairs"),
        ("fusionseg", ("--styles", "style1,style2"), "a stylised data set has its own styles"),
    ):
        assert main(["measure", network, str(tmp_path), "--stylised", CINEMATOGRAMS, *options]) == 1
        assert said in capsys.readouterr().err
