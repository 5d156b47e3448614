"""The rendered scenes as a data set of the suite: nothing but weights is needed."""

from __future__ import annotations

from sdbench.assets import AssetStore
from sdbench.cases.records import Asked
from sdbench.studies import RENDERED
from sdbench.suite import Here, Suite
from sdbench.suite.datasets import DATA_SETS
from tests.suite.conftest import Small


def test_any_network_is_measured_on_as_many_scenes_as_pairs_are_asked_for(
    small: Small, empty_store: AssetStore
) -> None:
    suite = Suite(Here(empty_store, pairs=9, workers=0))
    found = suite.measurement(Asked("x3d_xs", "kinetics400", RENDERED))
    assert (found.dataset, found.protocol, found.resampling_unit) == ("rendered-1", "crossed", "scene")
    assert (found.resampling_units, found.pairs, found.passes, small.units) == (9, 9, 27, 27)
    assert list(found.assets) == []


def test_it_runs_with_the_packaged_cases_and_fetches_nothing_of_its_own(empty_store: AssetStore) -> None:
    asked = Asked("transnetv2", "cuts", RENDERED)
    assert DATA_SETS[RENDERED].place == "packaged"
    assert DATA_SETS[RENDERED].lacking(asked, Here(empty_store)) == []
    assert DATA_SETS[RENDERED].assets(asked, Here(empty_store)) == []
