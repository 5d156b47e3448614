"""Cases that need the user's own data and weights, with made-up ones in their place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from sdbench import build
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.cases.records import Asked, Claim, ExpectedValue, Unpublished, asked
from sdbench.cases.verdicts import Verdict
from sdbench.engine import Measurement
from sdbench.engine.measuring import PARTS
from sdbench.networks import Network
from sdbench.networks.filled import fill_state_dict
from sdbench.suite import Here, Suite, group_of, layer_values, why_not
from sdbench.suite.datasets import Studied
from tests.answers.test_accuracy import FEED, Answering, Bright, Brightening, make_folder
from tests.suite.conftest import RECORDS, Small

X3D = "action/layerwise/x3d_xs/kinetics400/stage5"
OTHER = "action/layerwise/x3d_s/kinetics400/stage5"
SHUFFLE = "action/shuffle/slow_r50_8x8/kinetics400"


@pytest.fixture
def weighted(tmp_path: Path, data: Path, empty_store: AssetStore) -> Suite:
    """A suite whose store holds brought-in weights of X3D-XS, made up."""
    module = build("x3d_xs")
    fill_state_dict(module, 0)
    torch.save({"model_state": module.state_dict()}, tmp_path / "x3d_xs.pyth")
    empty_store.add("x3d_xs_kinetics400", tmp_path / "x3d_xs.pyth")
    return Suite(Here(empty_store, data=data, protocol="corrected", workers=0))


@pytest.mark.slow
def test_what_was_never_published_is_measured_and_says_so(weighted: Suite) -> None:
    record = RECORDS[X3D]
    assert isinstance(record, Unpublished)
    case = weighted.run(record)
    assert case.verdict is Verdict.MEASURED
    assert case.expected == {}
    assert case.measured is not None
    assert sum(case.measured.values()) == pytest.approx(100, abs=0.2)
    assert case.interval is not None, "twelve videos give intervals"
    assert "no value was published" in case.reason
    (found,) = weighted.measurements.values()
    assert found.protocol == "corrected"
    assert found.dataset == "stylized_activitynet"
    assert "hash first seen on" in found.assets["x3d_xs_kinetics400"]
    assert sum(layer_values(found)["stage5"]["shares"].values()) == pytest.approx(100)
    assert weighted.run(RECORDS["action/unitwise/x3d_xs/kinetics400/stage5"]).measured
    assert len(weighted.measurements) == 1


def test_a_network_is_measured_once_for_all_its_cases(suite: Suite, small: Small) -> None:
    seen: list[tuple[str, bool]] = []
    suite.watch = lambda wanted, found: seen.append((wanted.network, found is not None))
    for name in (X3D, X3D.replace("layerwise", "unitwise")):
        assert suite.run(RECORDS[name]).measured
    (found,) = suite.measurements.values()
    assert small.units == found.passes
    assert seen == [("x3d_xs", False), ("x3d_xs", True)], "what began and what is done"


def test_what_was_given_up_is_an_error_without_a_try(suite: Suite, small: Small) -> None:
    (wanted,) = asked(RECORDS[X3D])
    suite.give_up(wanted, InputError("it has ended the process 2 times"))
    case = suite.run(RECORDS[X3D])
    assert (case.verdict, case.reason) == (Verdict.ERROR, "it has ended the process 2 times")
    assert small.units == 0


def test_pairs_are_pairs_of_each_factor(data: Path, suite: Suite) -> None:
    few = Suite(Here(suite.here.store, data=data, protocol="corrected", pairs=4, workers=0))
    case = few.run(RECORDS[X3D])
    assert case.verdict is Verdict.MEASURED
    (found,) = few.measurements.values()
    assert (found.pairs, found.samples, found.seeds) == (2 * 4, 2 * 8, 2)
    assert case.interval == case.generalisation, "which videos are drawn counts where not all are"


def test_weights_that_are_not_here_are_not_run_with_the_command_that_gets_them(weighted: Suite) -> None:
    case = weighted.run(RECORDS["action/layerwise/slow_r50_8x8/kinetics400/stage5"])
    assert case.verdict is Verdict.NOT_RUN
    assert "offline" in case.reason
    assert "sdbench fetch slow_r50_8x8_kinetics400" in case.reason


def test_weights_that_do_not_fit_are_an_error(data: Path, empty_store: AssetStore, tmp_path: Path) -> None:
    torch.save({"model_state": {"other": torch.zeros(1)}}, tmp_path / "other.pyth")
    empty_store.add("x3d_xs_kinetics400", tmp_path / "other.pyth")
    case = Suite(Here(empty_store, data=data)).run(RECORDS[X3D])
    assert case.verdict is Verdict.ERROR
    assert "the checkpoint x3d_xs.pyth does not fit X3D" in case.reason
    assert "fault of sdbench" not in case.reason


def test_data_that_cannot_be_used_are_an_error(suite: Suite, data: Path) -> None:
    for picture in (data / "stylized_activitynet").rglob("*.jpg"):
        picture.write_bytes(b"no picture")
    case = suite.run(RECORDS[X3D])
    assert case.verdict is Verdict.ERROR
    assert case.measured is None
    assert "cannot be read" in case.reason
    assert "fault of sdbench" not in case.reason


@pytest.mark.slow
def test_a_pass_that_fails_is_an_error_that_says_where(suite: Suite, small: Small) -> None:
    small.broken["x3d_xs"] = ZeroDivisionError("division by zero")
    case = suite.run(RECORDS[X3D])
    assert case.verdict is Verdict.ERROR
    assert case.reason.startswith("the forward pass of x3d_xs fails")
    assert "ZeroDivisionError: division by zero; tests/suite/conftest.py, line" in case.reason


def test_an_unexpected_exception_is_an_error_of_every_case_of_the_measurement_and_not_tried_again(
    suite: Suite, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Studied.measure

    def broken(data_set: Studied, asked: Asked, here: Here) -> Measurement:
        if asked.network == "x3d_xs":
            raise ZeroDivisionError("division by zero")
        return known(data_set, asked, here)

    monkeypatch.setattr(Studied, "measure", broken)
    case = suite.run(RECORDS[X3D])
    assert case.verdict is Verdict.ERROR
    assert case.reason.startswith("ZeroDivisionError: division by zero; this is a fault of sdbench")
    assert "Traceback" in caplog.text
    assert suite.run(RECORDS[OTHER]).verdict is Verdict.MEASURED, "others go on"
    monkeypatch.undo()
    again = suite.run(RECORDS[X3D.replace("layerwise", "unitwise")])
    assert again.verdict is Verdict.ERROR
    assert again.reason == case.reason


def test_what_breaks_while_a_verdict_is_found_is_an_error(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = suite.measure(RECORDS[X3D])
    assert callable(judged)
    monkeypatch.setattr("sdbench.suite.quantities.measured_only", lambda *_: 1 // 0)
    assert judged().verdict is Verdict.ERROR


@pytest.mark.slow
def test_ctrl_c_is_no_error_and_what_was_finished_is_not_done_again(
    suite: Suite, small: Small, data: Path, empty_store: AssetStore
) -> None:
    def parts() -> int:
        return len(list((empty_store.folder / PARTS).rglob("*.safetensors")))

    first = suite.run(RECORDS[X3D])
    passes = small.units
    assert passes
    assert parts() == 1, "the measurement is over, the suite is not"
    small.broken["x3d_s"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        suite.run(RECORDS[OTHER])
    small.broken.clear()
    again = Suite(Here(empty_store, data=data, workers=0))
    assert again.run(RECORDS[X3D]).measured == first.measured
    assert small.units == passes, "nothing of it was done again"
    again.run(RECORDS[OTHER])
    assert parts() == 2
    again.over()
    assert parts() == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("action/layerwise/slow_r50_8x8/ssv2/stage5", "data set stylized_ssv2 is not in"),
        ("action/layerwise/fast_r50_8x8/kinetics400/stage5", "were never published"),
        (SHUFFLE, "data set kinetics400_validation is not in"),
        ("vos/unitwise/matnet_nobar/models/fusion5", "no boundary refinement were never published"),
        ("vos/moca/rtnet/th0.2", "data set moca is not in"),
    ],
)
def test_what_is_lacking_is_named(name: str, said: str, data: Path, empty_store: AssetStore) -> None:
    shutil.rmtree(data / "moca")
    reason = why_not(RECORDS[name], Here(empty_store, data=data))
    assert reason is not None
    assert said in reason
    assert "It takes weights: " in reason


def test_published_weights_of_vos_are_known_under_the_names_of_the_expected_values(empty_store: AssetStore) -> None:
    for record in RECORDS.values():
        if isinstance(record, ExpectedValue) and record.id.startswith("vos/"):
            reason = why_not(record, Here(empty_store))
            assert reason is not None
            published = "never published" not in "; ".join(record.needs)
            assert ("weights of" not in reason.partition("It takes")[0]) == published, record.id


@pytest.mark.slow
def test_size_and_work_that_were_never_published_are_counted(suite: Suite) -> None:
    record = RECORDS["vos/complexity/rtnet"]
    assert isinstance(record, Unpublished)
    assert record.layer is None
    case = suite.run(record)
    assert case.verdict is Verdict.MEASURED
    assert case.measured is not None
    assert case.measured["parameters_m"] == 277.236532
    assert case.interval == {name: (value, value) for name, value in case.measured.items()}
    assert "no value was published" in case.reason
    assert "counter (fvcore) adds norms" in case.reason


def test_without_a_folder_of_data_sets_the_option_is_named(empty_store: AssetStore) -> None:
    reason = why_not(RECORDS["action/layerwise/slow_r50_8x8/ssv2/stage5"], Here(empty_store))
    assert reason is not None
    assert "name the folder that holds it with --data" in reason


@pytest.mark.parametrize(
    ("module", "change", "verdict"), [(Bright(), 0, Verdict.REPRODUCED), (Brightening(), -100, Verdict.DEVIATES)]
)
def test_shuffled_accuracy_is_held_against_the_published_change(
    module: Answering, change: float, verdict: Verdict, suite: Suite, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(data / "kinetics400_validation", 5)
    monkeypatch.setattr("sdbench.suite.quantities.network_named", lambda *_, **__: Network(module, FEED))
    case = suite.run(RECORDS[SHUFFLE])
    assert case.verdict is verdict
    assert case.measured == {"change": change}
    assert len(module.seen) == 10


def test_units_are_not_measured_where_only_answers_are(suite: Suite) -> None:
    with pytest.raises(InputError, match="units are not measured on the data set moca"):
        suite.measurement(Asked("fusionseg", "davis", "moca"))
    mixed = RECORDS["claim/action/ssv2-most-dynamic"]
    assert isinstance(mixed, Claim)
    side = mixed.comparisons[0].greater.model_copy(update={"dataset": "packaged"})
    comparison = mixed.comparisons[0].model_copy(update={"greater": side})
    with pytest.raises(InputError, match="data sets of different places: own, packaged"):
        group_of(mixed.model_copy(update={"comparisons": (comparison,)}))


def test_values_recorded_for_a_seed_are_not_held_against_other_draws(suite: Suite) -> None:
    record = RECORDS["packaged/transnetv2/fc1/shares/seed0"]
    case = Suite(Here(suite.here.store, seed=1)).run(record)
    assert case.verdict is Verdict.NOT_RUN
    assert "this run draws otherwise" in case.reason
    assert "It takes a run without --seed and --pairs" in case.reason
    later = record.model_copy(update={"options": {"seed": 2}})
    assert "It takes a run with --seed 2, without --pairs" in suite.run(later).reason
    assert "offline" in Suite(Here(suite.here.store)).run(record).reason, "with the same draws it needs its assets"
