"""Cases of video object segmentation with made-up data and small made-up networks in the place of published ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sdbench.suite.at_hand import why_not
from sdbench.zoo.vos_preparation import VosPreparation

from sdbench import build
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.cases.records import Claim, ExpectedValue, Unpublished, read_all
from sdbench.cases.verdicts import Verdict
from sdbench.cli import main
from sdbench.data.davis_here import davis_at_hand, lacking_davis
from sdbench.data.segmentation import SegmentationDataset
from sdbench.networks.filled import fill_state_dict
from sdbench.suite.running import Suite
from tests.cases.test_records import EXPECTED
from tests.made.davis import make_davis, make_painted
from tests.made.moca import make_moca

RECORDS = {record.id: record for record in read_all(EXPECTED)}
SEQUENCES = tuple(f"sequence{i}" for i in range(8))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of data sets that holds a small DAVIS with flow, its painted copies, and MoCA."""
    davis = make_davis(tmp_path / "data" / "davis2016", SEQUENCES, frames=4)
    make_painted(tmp_path / "data" / "stylized_davis", davis)
    make_moca(tmp_path / "data" / "moca")
    return tmp_path / "data"


@pytest.fixture
def suite(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A suite whose networks are narrow and filled, and are fed small frames."""

    def network(name: str, _trained_on: str) -> tuple[Any, str, dict[str, str]]:
        module = build(name.split("_", maxsplit=1)[0], width=16 if name == "rtnet" else 4)
        fill_state_dict(module, 0)
        return module, name.split("_", maxsplit=1)[0], {}

    small = {name: VosPreparation((32, 48), paired=name == "rtnet") for name in ("fusionseg", "matnet", "rtnet")}
    monkeypatch.setattr("sdbench.suite.running.vos_preparation_for", lambda name, _size: small[name])
    monkeypatch.setattr("sdbench.suite.running.published_input", lambda name: small[name])
    suite = Suite(AssetStore(tmp_path / "cache", offline=True, quiet=True), data=data)
    monkeypatch.setattr(suite, "_network", network)
    return suite


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


def test_backward_flow_is_asked_for_only_where_a_network_sees_it(suite: Suite, data: Path) -> None:
    suite.pairs = 4
    shutil.rmtree(data / "davis2016" / "FlowImages_gap-1")
    assert suite.run(RECORDS["vos/unitwise/fusionseg/davis/fusion5"]).measured
    with pytest.raises(InputError, match=r"backward flow pictures.*sdbench flow"):
        suite.run(RECORDS["vos/unitwise/rtnet/models/fusion5"])


def test_a_claim_compares_networks_on_the_same_sequences(suite: Suite) -> None:
    suite.pairs = 4
    claim = RECORDS["claim/vos/taovos-dynamic"]
    assert isinstance(claim, Claim)
    case = suite.run(claim)
    assert case.verdict is Verdict.FAILS, "equal networks are not more dynamic than each other"
    assert {key[1] for key in suite.measurements} == {"davis", "imagenetvid", "taovos"}
    assert {found.samples for found in suite.measurements.values()} == {4 * 8}, "one frame of each sequence a seed"


def test_moca_is_held_against_the_published_table(suite: Suite) -> None:
    case = suite.run(RECORDS["vos/moca/fusionseg/th0.2"])
    assert case.verdict is Verdict.INCONCLUSIVE
    assert "too few videos" in case.reason
    assert case.measured is not None
    assert set(case.measured) == {"miou", "sr_0.5", "sr_0.6", "sr_0.7", "sr_0.8", "sr_0.9", "msr"}


def test_ablation_takes_units_from_davis_and_masks_from_moca(suite: Suite) -> None:
    suite.pairs = 4
    record = RECORDS["vos/ablation/fusionseg/fusion5"]
    assert isinstance(record, Unpublished)
    case = suite.run(record)
    assert case.measured is not None
    assert set(case.measured) == {"whole", "dynamic", "static", "random"}
    assert [key[2] for key in suite.measurements] == ["stylized_davis"]


def test_what_is_lacking_is_named_with_the_command_that_gets_it(data: Path, tmp_path: Path) -> None:
    record = RECORDS["vos/unitwise/rtnet/models/fusion5"]
    store = AssetStore(tmp_path / "cache", offline=True, quiet=True)
    assert why_not(record, data, store) is None
    shutil.rmtree(data / "davis2016" / "FlowImages_gap1")
    reason = why_not(record, data, store)
    assert reason is not None
    assert f"{data / 'davis2016'} has no flow pictures: sdbench flow {data / 'davis2016'}" in reason
    shutil.rmtree(data / "davis2016")
    shutil.rmtree(data / "stylized_davis")
    reason = why_not(record, data, store)
    assert reason is not None
    assert f"data set davis2016 is not here: sdbench fetch davis2016 or put it into {data / 'davis2016'}" in reason
    assert "data set stylized_davis is not here: sdbench fetch stylized_davis" in reason
    reason = why_not(record, None, store)
    assert reason is not None
    assert "or name the folder that holds it with --data" in reason


def test_fetched_archives_are_used_and_flow_is_made_once(tmp_path: Path) -> None:
    davis = make_davis(tmp_path / "made" / "DAVIS", SEQUENCES[:2], frames=3, flow=False)
    painted = make_painted(tmp_path / "made" / "Stylized_DAVIS", davis)
    store = AssetStore(tmp_path / "cache", offline=True, quiet=True)
    assert len(lacking_davis(None, store)) == 2
    for name, folder in (("davis2016", davis), ("stylized_davis", painted)):
        archive = shutil.make_archive(str(tmp_path / name), "zip", folder.parent, folder.name)
        store.add(name, Path(archive))
    assert lacking_davis(None, store) == []
    found = davis_at_hand(None, store, backward_flow=True)
    assert found.name == "stylized_davis"
    assert found.assets == ("davis2016", "stylized_davis")
    assert found.styles == ("Lynx", "Maruska640", "Zuzka1", "Zuzka2")
    sequence = found.sequences[0]
    assert found.flow(sequence, 0).shape == found.flow(sequence, 2, backward=True).shape == (24, 40, 3)
    assert any("OpenCV DIS" in note for note in found.notes)
    pictures = sorted((store.folder / "flow" / "davis2016").rglob("*.png"))
    assert len(pictures) == 2 * 2 * 2
    before = [path.stat().st_mtime_ns for path in pictures]
    assert davis_at_hand(None, store, backward_flow=True).identity == found.identity
    assert [path.stat().st_mtime_ns for path in pictures] == before
    assert not list((store.folder / "unpacked").rglob("FlowImages*")), "what was unpacked stays as it is"


def test_the_commands_say_what_a_network_of_segmentation_needs(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    davis = str(data / "davis2016")
    assert main(["measure", "fusionseg", davis]) == 1
    assert "--stylised davis --painted STYLISED_DAVIS" in capsys.readouterr().err
    assert main(["measure", "x3d_xs", davis, "--stylised", "davis", "--painted", davis]) == 1
    assert "x3d_xs is a network of action recognition" in capsys.readouterr().err
    painted = ["--stylised", "davis", "--painted", str(data / "stylized_davis")]
    assert main(["measure", "fusionseg", davis, *painted, "--pairs", "3"]) == 1
    assert "say with --frames how many" in capsys.readouterr().err
    assert main(["measure", "fusionseg", davis, *painted, "--layers", "fusion.layer3"]) == 1
    assert "unknown layer 'fusion.layer3'" in capsys.readouterr().err


def test_a_network_is_measured_and_ablated_from_the_command_line(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def small(_name: str, **_options: object) -> Any:
        module = build("fusionseg", width=4)
        fill_state_dict(module, 0)
        return module

    def prepared(_name: str) -> VosPreparation:
        return VosPreparation((32, 48))

    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sdbench.zoo.load", small)
    monkeypatch.setattr("sdbench.zoo.vos_preparation.vos_preparation_for", prepared)
    monkeypatch.setattr("sdbench.answers.segmenting.published_input", prepared)
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


def test_packaged_sequences_need_nothing(store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from sdbench.data.davis_packaged import packaged_davis

    videos: SegmentationDataset = packaged_davis(store)
    assert why_not(RECORDS["vos/complexity/fusionseg"]) is None
    assert {videos.source_of(sequence) for sequence in videos.sequences} != {s.name for s in videos.sequences}
