"""Cases that need the user's own data and weights, with made-up ones in their place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sdbench.suite.at_hand import why_not

from sdbench import build
from sdbench.answers.accuracy import Accuracy
from sdbench.assets import AssetStore
from sdbench.cases.records import ExpectedValue, Unpublished, read_all
from sdbench.cases.verdicts import Verdict
from sdbench.networks.filled import fill_state_dict
from sdbench.statistics import Interval
from sdbench.suite.running import Suite
from tests.cases.test_records import EXPECTED
from tests.made.stylised import make, names

RECORDS = {record.id: record for record in read_all(EXPECTED)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of data sets that holds a small stylised ActivityNet."""
    make(tmp_path / "data" / "stylized_activitynet", "activitynet", dict.fromkeys(names(9, "activitynet"), 40))
    return tmp_path / "data"


@pytest.fixture
def suite(tmp_path: Path, data: Path) -> Suite:
    """A suite whose store holds brought-in weights of X3D-XS, made up."""
    module = build("x3d_xs")
    fill_state_dict(module, 0)
    torch.save({"model_state": module.state_dict()}, tmp_path / "x3d_xs.pyth")
    store = AssetStore(tmp_path / "cache", offline=True, quiet=True)
    store.add("x3d_xs_kinetics400", tmp_path / "x3d_xs.pyth")
    return Suite(store, data=data, protocol="corrected")


def test_what_was_never_published_is_measured_and_says_so(suite: Suite) -> None:
    record = RECORDS["action/layerwise/x3d_xs/kinetics400/stage5"]
    assert isinstance(record, Unpublished)
    case = suite.run(record)
    assert case.verdict is Verdict.INCONCLUSIVE
    assert case.expected == {}
    assert case.measured is not None
    assert sum(case.measured.values()) == pytest.approx(100, abs=0.2)
    assert case.interval is not None, "nine videos give intervals"
    assert "no value was published" in case.reason
    (found,) = suite.measurements.values()
    assert found.protocol == "corrected"
    assert "hash first seen on" in found.assets["x3d_xs_kinetics400"]
    assert suite.run(RECORDS["action/unitwise/x3d_xs/kinetics400/stage5"]).measured
    assert len(suite.measurements) == 1


def test_weights_that_are_not_here_are_not_run_with_the_command_that_gets_them(suite: Suite) -> None:
    case = suite.run(RECORDS["action/layerwise/slow_r50_8x8/kinetics400/stage5"])
    assert case.verdict is Verdict.NOT_RUN
    assert "offline" in case.reason
    assert "sdbench fetch slow_r50_8x8_kinetics400" in case.reason


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("action/layerwise/slow_r50_8x8/ssv2/stage5", "data set stylized_ssv2 is not in"),
        ("action/layerwise/fast_r50_8x8/kinetics400/stage5", "were never published"),
        ("action/shuffle/slow_r50_8x8/kinetics400", "data set kinetics400_validation is not in"),
        ("vos/unitwise/matnet_nobar/models/fusion5", "no boundary refinement were never published"),
        ("vos/moca/rtnet/th0.2", "data set moca is not in"),
    ],
)
def test_what_is_lacking_is_named(name: str, said: str, data: Path) -> None:
    reason = why_not(RECORDS[name], data)
    assert reason is not None
    assert said in reason
    assert "It takes weights: " in reason


def test_published_weights_of_vos_are_known_under_the_names_of_the_expected_values() -> None:
    for record in RECORDS.values():
        if isinstance(record, ExpectedValue) and record.id.startswith("vos/"):
            reason = why_not(record)
            assert reason is not None
            published = "never published" not in "; ".join(record.needs)
            assert ("weights of" not in reason.partition("It takes")[0]) == published, record.id


def test_size_and_work_that_were_never_published_are_counted(suite: Suite) -> None:
    record = RECORDS["vos/complexity/rtnet"]
    assert isinstance(record, Unpublished)
    assert record.layer is None
    case = suite.run(record)
    assert case.verdict is Verdict.INCONCLUSIVE
    assert case.measured is not None
    assert case.measured["parameters_m"] == 277.236532
    assert case.interval == {name: (value, value) for name, value in case.measured.items()}
    assert "no value was published" in case.reason
    assert "counter (fvcore) adds norms" in case.reason


def test_without_a_folder_of_data_sets_the_option_is_named() -> None:
    reason = why_not(RECORDS["action/layerwise/slow_r50_8x8/ssv2/stage5"])
    assert reason is not None
    assert "name the folder that holds it with --data" in reason


def test_shuffled_accuracy_is_held_against_the_published_change(
    suite: Suite, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RECORDS["action/shuffle/slow_r50_8x8/kinetics400"]
    assert isinstance(record, ExpectedValue)
    (data / "kinetics400_validation" / "abseiling").mkdir(parents=True)
    (data / "kinetics400_validation" / "abseiling" / "a.mp4").write_bytes(b"not decoded here")
    found = Accuracy({"change": -0.5}, {"change": Interval(-1.0, 0.0)}, videos=500, seconds=1.0)
    monkeypatch.setattr("sdbench.suite.running.measure_accuracy", lambda *_given, **_options: found)
    monkeypatch.setattr(suite, "_network", lambda *_given: (build("slow_r50_8x8"), "slow_r50_8x8", {}))
    case = suite.run(record)
    assert case.verdict is Verdict.REPRODUCED
    assert case.measured == {"change": -0.5}
