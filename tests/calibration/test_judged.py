"""What the rooms above make of stored networks: claims of each training, and what units are worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdbench.answers.zeroing import lost_without
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.calibration.measuring import measure_trained
from sdbench.calibration.trained import SEEDS
from sdbench.cases.records import Claim, Comparison, ExpectedValue, Quantity, Source
from sdbench.cases.verdicts import Verdict
from sdbench.suite.here import Here
from sdbench.suite.running import Suite


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path, offline=True, quiet=True)


@pytest.mark.slow
def test_a_network_loses_most_without_the_units_that_its_task_needs(store: AssetStore) -> None:
    for task, factor, other in (("motion", "dynamic", "static"), ("texture", "static", "dynamic")):
        found = measure_trained("calibration_resnet3d", task, "rendered", pairs=40, store=store)
        without = lost_without(found, task)
        assert sum(one.lost[factor] for one in without) > sum(one.lost[other] for one in without)
    with pytest.raises(InputError, match="stage 'stage9'"):
        lost_without(found, "texture", "stage9")


@pytest.mark.slow
def test_a_claim_is_judged_for_each_training(store: AssetStore) -> None:
    def at(task: str) -> Quantity:
        return Quantity(
            network="calibration_resnet3d", trained_on=task, dataset="rendered", layer="stage5", name="shares.dynamic"
        )

    suite = Suite(Here(store, pairs=40))
    claim = Claim(
        id="toy/claim",
        task="action recognition",
        statement="training decides",
        source="made up",
        published=False,
        comparisons=(Comparison(greater=at("motion"), lesser=at("texture")),),
        each_seed=True,
    )
    case = suite.run(claim)
    assert case.verdict is Verdict.HOLDS
    assert case.measured is not None
    assert len(case.measured) == SEEDS
    turned = claim.model_copy(update={"comparisons": (Comparison(greater=at("texture"), lesser=at("motion")),)})
    assert suite.run(turned).verdict is Verdict.FAILS
    assert len(suite.measurements) == 2


RECORDED = Source(
    reading="recorded", where="made up", date="2026-01-01", command="none", commit="0" * 40, machine="none"
)


@pytest.mark.parametrize(
    ("quantity", "layer", "options", "values"),
    [
        (
            "right_when_shown",
            None,
            {"shown": 60},
            {"filmed": 90.0, "shuffled": 32.0, "frozen": 25.0, "noise": 90.0},
        ),
        ("linear_probe", "stage5", {"fitted": 120, "tested": 60}, {"motion": 85.0, "appearance": 50.0}),
    ],
)
def test_what_the_usual_tests_say_is_held_against_a_record(
    store: AssetStore, quantity: str, layer: str | None, options: dict, values: dict[str, float]
) -> None:
    record = ExpectedValue(
        id=f"toy/{quantity}",
        task="action recognition",
        quantity=quantity,
        network="calibration_resnet3d",
        trained_on="motion",
        dataset="rendered",
        layer=layer,
        options={"seed": 0, **options},
        values=values,
        source=RECORDED,
        uncertainty=0.0,
        tolerance=dict.fromkeys(values, 12.0),
        tolerance_reason="so few are shown that a tenth of the answers may differ",
    )
    suite = Suite(Here(store))
    case = suite.run(record)
    assert case.verdict is Verdict.UNCHANGED, case.reason
    assert case.measured is not None
    assert case.measured.keys() == values.keys()
    moved = record.model_copy(update={"values": {**values, next(iter(values)): 20.0}})
    assert suite.run(moved).verdict is Verdict.CHANGED
    assert not suite.measurements, "neither takes shares"
    assert Suite(Here(store, seed=1)).run(record).verdict is Verdict.NOT_RUN, "other draws"
