"""The page of a user's own measurements, and of a comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import sdbench
from sdbench.cli import main
from sdbench.engine import Measurement
from sdbench.report import measurements_page
from tests.report import pages
from tests.report.test_page import Elements

FEED = sdbench.Feed(frames=4, size=16)


def measured(name: str = "mine", **changes: Any) -> Measurement:
    module = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 5, 3, padding=1))
    network = sdbench.Network(module, FEED, name=name, layers=["0", "2"])
    return replace(sdbench.measure(network, sdbench.studies.rendered(9), workers=0), **changes)


@pytest.fixture(scope="module")
def found() -> Measurement:
    return measured()


def page_of(path: Path) -> Elements:
    return Elements(path.read_text(encoding="utf-8"))


def test_one_s_own_network_has_the_same_picture_and_sentence(found: Measurement, tmp_path: Path) -> None:
    measurements_page([found], tmp_path / "page.html", [pages.full().shown[0]])
    page = page_of(tmp_path / "page.html")
    assert [section["id"] for section in page.of("section")] == ["answer", "shown", "how", "environment"]
    static = found.layer("2").estimate.shares["static"]
    assert f"At its last layer (2) mine holds {static:.0f}\N{NO-BREAK SPACE}% static and " in page.text
    intervals = found.layer("2").intervals
    assert intervals is not None
    limit = intervals.shares["static"]
    assert f"{static:.1f} [{limit.low:.1f}, {limit.high:.1f}]" in page.text
    assert "95 % intervals by resampling 9 scenes." in page.text
    assert len(page.of("img")) == 3
    assert page.of("script") == []


def test_an_untrained_network_and_a_control_stand_behind_what_was_shown_the_same(
    found: Measurement, tmp_path: Path
) -> None:
    untrained = replace(found, notes=("untrained: the architecture with fresh weights of seed 0",))
    control = replace(found, network="control:pixels")
    measurements_page([found, untrained, control], tmp_path / "page.html")
    page = page_of(tmp_path / "page.html")
    assert len([svg for svg in page.of("svg") if svg["class"] == "curves"]) == 1
    assert "Behind, pale: mine (untrained) on rendered-2: untrained: the architecture with fresh weights" in page.text
    assert "Behind, pale: control:pixels on rendered-2: a control: it has learned nothing." in page.text
    measurements_page([found, replace(untrained, study="another")], tmp_path / "page.html")
    assert len([svg for svg in page_of(tmp_path / "page.html").of("svg") if svg["class"] == "curves"]) == 2


@pytest.mark.parametrize("name", pages.HOSTILE)
def test_a_hostile_name_stays_text(found: Measurement, tmp_path: Path, name: str) -> None:
    measurements_page([replace(found, network=name, dataset=name)], tmp_path / "page.html")
    page = page_of(tmp_path / "page.html")
    assert page.of("script") == []
    assert page.text.count(name) > 5


def test_the_commands_write_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other, compared = (str(tmp_path / name) for name in ("one.json", "other.json", "page.html"))
    words = ["--scenes", "9", "--size", "32", "--frames", "4", "--layers", "stage1,stage2", "--workers", "0"]
    for seed, file in enumerate((one, other)):
        options = ["--untrained", str(seed), "--json", file, "--html", str(tmp_path / "measured.html")]
        assert main(["measure", "x3d_xs", *words, *options]) == 0
    page = page_of(tmp_path / "measured.html")
    assert "At its last layer (stage2) x3d_xs holds" in page.text
    assert "A dynamic pair is one motion in two appearances" in page.text
    assert len(page.of("img")) == 3
    capsys.readouterr()
    assert main(["compare", one, other, "--html", compared]) == 0
    page = page_of(Path(compared))
    assert "At stage2, x3d_xs (one.json) less x3d_xs (other.json): static " in page.text
    assert [section["id"] for section in page.of("section")] == ["answer", "differences", "environment"]
    *_, last = [line for line in capsys.readouterr().out.splitlines() if line.startswith("stage2")]
    assert all(word in page.text for word in last.split()), "what the terminal says"
    assert main(["compare", one, other, one, "--html", compared]) == 0
    assert "differences" not in {section["id"] for section in page_of(Path(compared)).of("section")}


def test_a_page_that_cannot_be_written_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--untrained", "0", "--scenes", "9", "--size", "32", "--frames", "4", "--layers", "stage1"]
    assert main(["measure", "x3d_xs", *words, "--slice", "1/2", "--html", str(tmp_path / "page.html")]) != 0
    assert "--html does not go with --slice" in capsys.readouterr().err
