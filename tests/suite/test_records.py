"""Every record of expected/ is somebody's: one module runs it, and its data sets and quantity are known."""

from __future__ import annotations

import importlib
import socket
from collections import Counter
from pathlib import Path

import pytest

import benchmarks
from sdbench.assets import AssetStore
from sdbench.cases.records import Claim, asked
from sdbench.statistics.quantities import QUANTITIES as OF_UNITS
from sdbench.suite import DATA_SETS, QUANTITIES, Here, why_not
from tests.suite.conftest import RECORDS


def test_exactly_one_module_runs_each_record() -> None:
    places = sorted(path.stem for path in Path(benchmarks.__path__[0]).glob("test_*.py"))
    modules = [importlib.import_module(f"benchmarks.{name}") for name in places]
    selections = [module.SELECT for module in modules if hasattr(module, "SELECT")]
    assert len(selections) > 1
    chosen = Counter(record.id for select in selections for record in RECORDS.values() if select(record))
    assert chosen == dict.fromkeys(RECORDS, 1)


def test_data_sets_and_quantities_of_all_records_are_known() -> None:
    assert {each.dataset for record in RECORDS.values() for each in asked(record)} <= set(DATA_SETS)
    assert {record.quantity for record in RECORDS.values() if not isinstance(record, Claim)} <= set(QUANTITIES)
    compared = {
        side.name.split(".")[0]
        for record in RECORDS.values()
        if isinstance(record, Claim)
        for comparison in record.comparisons
        for side in (comparison.greater, comparison.lesser)
    }
    assert compared <= set(OF_UNITS)


def test_a_bare_machine_knows_what_each_record_lacks_without_asking_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_given: object, **_options: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    cache = tmp_path / "cache"
    reasons = {name: why_not(record, Here(AssetStore(cache, quiet=True))) for name, record in RECORDS.items()}
    assert not cache.exists(), "nothing was made"
    runnable = {name for name, reason in reasons.items() if reason is None}
    assert runnable
    assert all(
        {"packaged", "pipeline", "complexity", "calibration", "rendered-2"} & set(name.split("/")) for name in runnable
    )
    assert all(reason is None or reason.partition(". It takes ")[0] for reason in reasons.values())


def test_what_a_later_version_names_is_not_run(empty_store: AssetStore) -> None:
    record = RECORDS["action/complexity/x3d_xs"]
    for change, said in (
        ({"quantity": "beauty"}, "beauty is not measured by this version"),
        ({"dataset": "moon"}, None),
        ({"network": "x4d"}, "network x4d is not part of this version"),
    ):
        reason = why_not(record.model_copy(update=change), Here(empty_store))
        assert reason == said or (said is not None and said in str(reason))
