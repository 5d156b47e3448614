"""Deliberate bugs turn recorded values red; what turns none red is named."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments import bugs, mutations, tested_bugs
from experiments.bugs import MUTATIONS
from experiments.mutations import Looking, Mutation
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.statistics import estimating

BY_NAME = {mutation.name: mutation for mutation in MUTATIONS}
HARMLESS = Mutation("harmless", "sdbench.statistics.estimating:_softmax", lambda softmax: softmax, ("rendered",))


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Looking:
    """Recorded cases of rendered scenes, which need nothing that is fetched."""
    return Looking(AssetStore(tmp_path_factory.mktemp("cache"), offline=True, quiet=True), mutations.recorded())


@pytest.mark.parametrize(
    "name", ["motions not crossed", "mean over the first time step", "variance over n - 1", "threshold 0.45"]
)
def test_a_bug_turns_a_recorded_value_red(name: str, looking: Looking) -> None:
    found = looking.look(BY_NAME[name], 0)
    assert 0 < found.red <= found.run
    assert found.first.startswith("rendered-2/")
    assert found.first.endswith("/seed0")
    assert found.tolerances > 1
    kept = looking.store.folder / "parts"
    assert not kept.exists() or not any(kept.iterdir()), "nobody may take its sums for those of a run without the bug"


def test_what_changes_nothing_survives_and_is_named(
    looking: Looking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bugs, "MUTATIONS", (HARMLESS, BY_NAME["softmax to base 2"]))
    monkeypatch.setattr(mutations, "Looking", lambda *_given: looking)
    results = tmp_path / "found.json"
    run: Callable[[], int] = lambda: mutations.main(["--seeds", "0", "--results", str(results)])  # noqa: E731
    assert run() == 1
    said = capsys.readouterr().out
    assert f"| harmless | 0 of {len(looking.cases('rendered', 0))} | none |" in said
    assert "1 of 2 noticed; survived: harmless" in said

    def again(*_given: Any) -> None:
        raise AssertionError("it was found before")

    monkeypatch.setattr(looking, "look", again)
    assert run() == 1
    assert capsys.readouterr().out == said
    results.write_text(json.dumps(json.loads(results.read_text()) | {"of": "other values"}))
    with pytest.raises(AssertionError, match="found before"):
        run()


def test_a_case_that_is_red_without_a_bug_is_no_evidence(looking: Looking) -> None:
    first, *rest = looking.cases("rendered", 0)
    moved = first.model_copy(update={"values": {name: value + 1 for name, value in first.values.items()}})
    with pytest.raises(InputError, match=f"red without any bug: {first.id}"):
        Looking(looking.store, [moved, *rest]).look(HARMLESS, 0)
    with pytest.raises(InputError, match="nothing is recorded of rendered-2/calibration_resnet3d/ for seed 9"):
        looking.look(HARMLESS, 9)


def test_each_bug_replaces_what_is_there_and_puts_it_back() -> None:
    assert len(BY_NAME) == len(MUTATIONS) >= 25
    assert {kind for mutation in MUTATIONS for kind in mutation.cases} == set(mutations.CASES)
    softmax = estimating._softmax
    for mutation in (*MUTATIONS, *(bug for bug, _ in tested_bugs.BUGS)):
        module, _, path = mutation.where.partition(":")
        owner: Any = importlib.import_module(module)
        for name in path.split("."):
            owner, holder = getattr(owner, name), owner
        with mutation.put():
            assert getattr(holder, name) is not owner
        assert getattr(holder, name) is owner
    assert estimating._softmax is softmax


def test_bugs_of_tests_have_names_of_their_own_and_tests_that_are_there() -> None:
    assert len({bug.name for bug, _ in tested_bugs.BUGS}) == len(tested_bugs.BUGS) >= 45
    assert all((mutations.ROOT / file).is_file() for _, files in tested_bugs.BUGS for file in files)
