"""What is needed from outside is known before a run, for exactly the cases that were selected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdbench.assets import AssetStore, packaged_manifest
from sdbench.suite import Here, assets_of
from tests.suite.conftest import RECORDS
from tests.test_benchmarks import run

MANIFEST = packaged_manifest()
WEIGHTS = "action/layerwise/slow_r50_8x8/ssv2/stage5"


@pytest.fixture
def here(empty_store: AssetStore, tmp_path: Path) -> Here:
    return Here(empty_store, data=tmp_path / "data")


def needed(here: Here, *names: str) -> list[str]:
    return assets_of([RECORDS[name] for name in names], here)


def test_packaged_cases_need_what_is_packaged(here: Here) -> None:
    assert needed(here, "packaged/transnetv2/fc1/shares/seed0") == list(MANIFEST.group("packaged"))


def test_counting_needs_nothing(here: Here) -> None:
    assert needed(here, "action/complexity/x3d_xs") == []


def test_weights_are_needed_where_the_data_set_is_there(here: Here, tmp_path: Path) -> None:
    assert needed(here, WEIGHTS) == needed(Here(here.store), WEIGHTS) == [], "a case that cannot run needs nothing"
    (tmp_path / "data" / "stylized_ssv2").mkdir(parents=True)
    (asset,) = needed(here, WEIGHTS, "action/complexity/x3d_xs")
    assert MANIFEST[asset].group == "action"


def test_an_ablation_also_needs_what_its_units_are_measured_on(data: Path, empty_store: AssetStore) -> None:
    here = Here(empty_store, data=data)
    (weights,) = needed(here, "vos/ablation/fusionseg/fusion5")
    assert MANIFEST[weights].group == "vos"
    (data / "stylized_davis").rename(data / "elsewhere")
    assert needed(here, "vos/ablation/fusionseg/fusion5") == [], "units cannot be measured"
    assert needed(here, "vos/moca/fusionseg/th0.2") == [weights]


@pytest.mark.parametrize(("selected", "count"), [("transnetv2 and fc1", 6), ("complexity or test_speed", 0)])
def test_pytest_writes_what_the_selected_cases_need(selected: str, count: int, tmp_path: Path) -> None:
    target = tmp_path / "assets.json"
    done = run(tmp_path / "report", "-k", selected, "--collect-only", "-qq", "--list-assets", str(target))
    assert done.returncode == 0, done.stdout
    assert len(json.loads(target.read_text())) == count
    assert not (tmp_path / "report").exists(), "nothing was run"


@pytest.mark.slow
def test_a_report_holds_the_times_of_loops(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "estimator_at_once or (complexity and x3d_xs)")
    assert done.returncode == 0, done.stdout
    content = json.loads((tmp_path / "report.json").read_text())
    (timing,) = content["timings"].values()
    assert list(content["timings"]) == ["test_estimator_at_once"]
    assert timing["min"] <= timing["q1"] <= timing["median"] <= timing["q3"] <= timing["max"]
    assert timing["rounds"] == 3
    assert content["environment"]["container"] == "none"
    assert len(content["environment"]["machine"]) == 12


def test_a_container_tells_its_report_what_is_around_it(tmp_path: Path) -> None:
    about = {"image": "sdbench:x", "image_digest": "sha256:1"}
    around = {"SDBENCH_CONTAINER": json.dumps(about), "SDBENCH_REVISION": "abc", "SDBENCH_MACHINE": "0123456789ab"}
    assert run(tmp_path, "-k", "complexity and x3d_xs", **around).returncode == 0
    environment = json.loads((tmp_path / "report.json").read_text())["environment"]
    assert environment["container"] == about
    assert (environment["revision"], environment["machine"]) == ("abc", "0123456789ab")
    assert "sha256:1" in (tmp_path / "report.html").read_text()
