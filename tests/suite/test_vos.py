"""Cases of video object segmentation with made-up data and small made-up networks in the place of published ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdbench.assets import AssetStore
from sdbench.cases.records import Claim, ExpectedValue, Unpublished
from sdbench.cases.verdicts import Verdict
from sdbench.cli import main
from sdbench.suite import Here, Suite, why_not
from sdbench.zoo import feed_of
from tests.suite.conftest import RECORDS, Small

pytestmark = pytest.mark.slow

FRAMES = 4
"""Frames of the made-up MoCA that are annotated and have flow."""


@pytest.fixture
def few(suite: Suite) -> Suite:
    """The suite, with one frame of each sequence a seed."""
    return Suite(replace(suite.here, pairs=4))


def test_unit_classes_are_held_against_the_published_ones(suite: Suite) -> None:
    record = RECORDS["vos/unitwise/fusionseg/davis/fusion5"]
    assert isinstance(record, ExpectedValue)
    case = suite.run(record)
    assert case.verdict is Verdict.DEVIATES, "made-up weights do not meet the paper"
    assert case.measured is not None
    assert case.measured.keys() == {"dynamic", "static", "joint", "residual"}
    assert case.interval is not None, "eight sequences give intervals"
    assert "means over 4 seeds, which spread by dynamic ±" in case.reason
    (found,) = suite.measurements.values()
    assert found.protocol == "published"
    assert found.seeds == 4
    assert found.clips == 8
    assert "flow pictures as they came with the data" in found.notes
    assert any("styles" in note for note in found.notes)
    # The same measurement serves the other layer and the shares of every layer.
    assert suite.run(RECORDS["vos/unitwise/fusionseg/davis/fusion2"]).measured
    shares = suite.run(RECORDS["vos/layerwise/fusionseg/davis/motion.layer3"])
    assert shares.measured is not None
    assert sum(shares.measured.values()) == pytest.approx(100, abs=0.2)
    assert len(suite.measurements) == 1


def test_backward_flow_is_asked_for_only_where_a_network_sees_it(few: Suite, data: Path) -> None:
    backward = data / "davis2016" / "FlowImages_gap-1"
    next(backward.rglob("*.png")).unlink()
    assert few.run(RECORDS["vos/unitwise/fusionseg/davis/fusion5"]).measured
    rtnet = RECORDS["vos/unitwise/rtnet/models/fusion5"]
    case = few.run(rtnet)
    assert case.verdict is Verdict.ERROR, "it is here, and not whole"
    assert "backward flow pictures" in case.reason
    shutil.rmtree(backward)
    case = Suite(few.here).run(rtnet)
    assert case.verdict is Verdict.NOT_RUN
    assert "has no pictures of backward flow: sdbench flow" in case.reason


def test_a_claim_compares_networks_on_the_same_sequences(few: Suite) -> None:
    claim = RECORDS["claim/vos/taovos-dynamic"]
    assert isinstance(claim, Claim)
    case = few.run(claim)
    assert case.verdict is Verdict.INCONCLUSIVE, "equal networks are not more dynamic than each other, nor less"
    assert case.interval is not None
    assert set(case.interval.values()) == {(0, 0)}, "on the same sequences they differ by nothing"
    assert {key.trained_on for key in few.measurements} == {"davis", "imagenetvid", "taovos"}
    assert {found.samples for found in few.measurements.values()} == {4 * 8}, "one frame of each sequence a seed"


def test_moca_is_held_against_the_published_table(suite: Suite) -> None:
    case = suite.run(RECORDS["vos/moca/fusionseg/th0.2"])
    assert case.verdict is Verdict.DEVIATES, "nothing is drawn at random: made-up weights do not meet the paper"
    assert case.generalisation is None, "too few videos"
    assert case.interval == {name: (value, value) for name, value in (case.measured or {}).items()}
    assert "withdrawn and not judged: msr" in case.reason
    assert case.measured is not None
    assert set(case.measured) == {"miou", "sr_0.5", "sr_0.6", "sr_0.7", "sr_0.8", "sr_0.9", "msr"}


def test_ablation_takes_units_from_davis_and_masks_from_moca(few: Suite) -> None:
    record = RECORDS["vos/ablation/fusionseg/fusion5"]
    assert isinstance(record, Unpublished)
    case = few.run(record)
    assert case.verdict is Verdict.MEASURED
    assert case.measured is not None
    assert set(case.measured) == {"whole", "dynamic", "static", "random"}
    assert [key.dataset for key in few.measurements] == ["stylized_davis"]


def test_no_pass_of_four_ablations_of_matnet_is_made_twice(few: Suite, small: Small) -> None:
    """MoCA's frames are seen by the whole network once, and without three sets of units of each of four layers."""
    for layer in range(2, 6):
        case = few.run(RECORDS[f"vos/ablation/matnet/fusion{layer}"])
        assert case.verdict is Verdict.MEASURED, case.reason
    (found,) = few.measurements.values()
    assert small.units == found.passes, "units are measured once"
    assert small.answers == (1 + 4 * 3) * FRAMES


def test_what_is_lacking_is_named_with_the_command_that_gets_it(data: Path, empty_store: AssetStore) -> None:
    record = RECORDS["vos/unitwise/rtnet/models/fusion5"]
    here = Here(empty_store, data=data)
    assert why_not(record, here) is None
    shutil.rmtree(data / "davis2016" / "FlowImages_gap1")
    reason = why_not(record, here)
    assert reason is not None
    assert f"{data / 'davis2016'} has no flow pictures: sdbench flow {data / 'davis2016'}" in reason
    shutil.rmtree(data / "davis2016")
    shutil.rmtree(data / "stylized_davis")
    reason = why_not(record, here)
    assert reason is not None
    assert f"data set davis2016 is not here: sdbench fetch davis2016 or put it into {data / 'davis2016'}" in reason
    assert "data set stylized_davis is not here: sdbench fetch stylized_davis" in reason
    reason = why_not(record, Here(empty_store))
    assert reason is not None
    assert "or name the folder that holds it with --data" in reason


def test_the_commands_say_what_a_network_of_segmentation_needs(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    davis = str(data / "davis2016")
    assert main(["measure", "fusionseg", davis]) == 1
    assert "--stylised davis --painted STYLISED_DAVIS" in capsys.readouterr().err
    assert main(["measure", "x3d_xs", davis, "--stylised", "davis", "--painted", davis]) == 1
    assert "x3d_xs sees videos without flow" in capsys.readouterr().err
    painted = ["--stylised", "davis", "--painted", str(data / "stylized_davis")]
    assert main(["measure", "fusionseg", davis, *painted, "--pairs", "3"]) == 1
    assert "say with --frames how many" in capsys.readouterr().err
    assert main(["measure", "fusionseg", davis, *painted, "--layers", "fusion.layer3"]) == 1
    assert "unknown layer 'fusion.layer3'" in capsys.readouterr().err


def test_a_network_is_measured_and_ablated_from_the_command_line(
    data: Path, small: Small, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def named(name: str, trained_on: str | None = None, *_given: Any, **_named: Any) -> Any:
        return small.network(name, trained_on, "units")

    fed = replace(feed_of("fusionseg"), size=(32, 48))
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sdbench.zoo.network_named", named)
    monkeypatch.setattr("sdbench.zoo.feed_of", lambda _architecture: fed)
    monkeypatch.setattr("sdbench.answers.segmenting.published_input", lambda _architecture: fed)
    folders = [str(data / "davis2016"), "--painted", str(data / "stylized_davis"), "--frames", "1"]
    assert main(["measure", "fusionseg", *folders, "--stylised", "davis", "--json", str(tmp_path / "m.json")]) == 0
    told = capsys.readouterr().out
    assert "fusion.layer5" in told
    assert "means over seeds 0 to 3" in told
    assert json.loads((tmp_path / "m.json").read_text())["measurement"]["seeds"] == 4
    pictures = ["--json", str(tmp_path / "a.json"), "--picture", str(tmp_path / "a.png")]
    assert main(["ablate", "fusionseg", *folders, "--layer", "fusion.layer5", "--percents", "50", *pictures]) == 0
    assert "mean IoU of the whole network" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "a.json").read_text())["points"]) == 3
    assert (tmp_path / "a.png").stat().st_size > 1000
