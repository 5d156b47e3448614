"""The rendered scenes as a data set of the suite: nothing but weights is needed."""

from __future__ import annotations

import pytest

from sdbench.assets import AssetStore
from sdbench.cases.records import Asked, ExpectedValue
from sdbench.studies import RENDERED
from sdbench.suite import Here, Suite, assets_of, group_of
from sdbench.suite.datasets import DATA_SETS, RenderedScenes
from tests.suite.conftest import RECORDS, Small

RECORDED = [record for record in RECORDS.values() if isinstance(record, ExpectedValue) and record.dataset == RENDERED]


def test_any_network_is_measured_on_as_many_scenes_as_give_the_pairs_that_are_asked_for(
    small: Small, empty_store: AssetStore
) -> None:
    suite = Suite(Here(empty_store, pairs=9, workers=0))
    found = suite.measurement(Asked("x3d_xs", "kinetics400", RENDERED))
    assert (found.dataset, found.protocol, found.resampling_unit) == ("rendered-2", "crossed", "scene")
    assert (found.resampling_units, found.pairs, found.passes, small.units) == (5, 10, 20, 20)
    assert list(found.assets) == []


def test_it_runs_with_the_packaged_cases_and_fetches_nothing_of_its_own(empty_store: AssetStore) -> None:
    asked = Asked("transnetv2", "cuts", RENDERED)
    assert DATA_SETS[RENDERED].place == "packaged"
    assert DATA_SETS[RENDERED].lacking(asked, Here(empty_store)) == []
    assert DATA_SETS[RENDERED].assets(asked, Here(empty_store)) == []


def test_the_recorded_cases_are_run_with_the_packaged_ones_and_need_weights_alone(empty_store: AssetStore) -> None:
    assert {record.network for record in RECORDED} == {"calibration_resnet3d", "i3d_inception", "transnetv2"}
    assert {group_of(record) for record in RECORDED} == {"packaged"}
    assert set(assets_of(RECORDED, Here(empty_store))) == {"i3d_inception_kinetics400", "transnetv2"}


def test_the_record_says_how_many_scenes_it_is_of() -> None:
    data_set = DATA_SETS[RENDERED]
    assert isinstance(data_set, RenderedScenes)
    for record in RECORDED:
        assert record.id.startswith(f"{RENDERED}/{record.network}/")
        assert record.source.where.endswith(f" {2 * data_set.scenes} pairs of each factor"), record.id
        assert record.options["seed"] in (0, 1, 2), "no band that is as wide as seeds differ"
        if record.quantity in ("variance", "shares"):
            assert set(record.tolerance.values()) == {0.05}, "the draws are the same"


def test_the_parts_of_variance_add_up_in_every_layer() -> None:
    layers = {(record.network, record.layer) for record in RECORDED}
    parts = [record for record in RECORDED if record.quantity == "variance"]
    assert {(record.network, record.layer) for record in parts} == layers
    for record in parts:
        assert sum(record.values.values()) == pytest.approx(100, abs=0.002), "each is rounded to 0.001"
