"""`sdbench measure --draws`: how many pairs of each sequence of DAVIS."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdbench.assets import AssetStore
from sdbench.cli import _parser, main
from sdbench.cli.measuring import _study
from sdbench.studies import DavisStudy


@pytest.mark.parametrize("layout", ["davis", "davis_stereograms"])
@pytest.mark.parametrize(("given", "expected"), [((), 5), (("--draws", "12"), 12)])
def test_draws_reach_the_study(
    layout: str, given: tuple[str, ...], expected: int, tmp_path: Path, store: AssetStore
) -> None:
    words = ["measure", "fusionseg", str(tmp_path), "--stylised", layout, "--painted", str(tmp_path), *given]
    study = _study(_parser().parse_args(words), store)
    assert isinstance(study, DavisStudy)
    assert study.draws == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((".", "--stylised", "ssv2"), "--draws goes with --stylised davis"),
        ((".",), "--draws goes with --stylised davis"),
        ((), "--draws goes with a folder of videos"),
    ],
)
def test_draws_go_with_davis_alone(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "x3d_xs", *words, "--draws", "3"]) == 1
    assert said in capsys.readouterr().err
