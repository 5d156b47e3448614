"""The files of expected values: what is in them is complete, and what is not right is refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdbench.base.errors import InputError
from sdbench.cases.records import (
    Asked,
    Claim,
    Comparison,
    ExpectedValue,
    Quantity,
    Unpublished,
    asked,
    read_all,
    read_expected,
)
from sdbench.cases.verdicts import Evidence, Verdict, judge_value
from sdbench.statistics.quantities import Reading

EXPECTED = Path(__file__).parents[2] / "expected"
GOOD: dict[str, Any] = {
    "schema": 1,
    "about": "a toy",
    "values": [
        {
            "id": "toy/value",
            "task": "action recognition",
            "quantity": "shares",
            "network": "i3d_inception",
            "trained_on": "kinetics400",
            "dataset": "packaged",
            "layer": "Mixed_5c",
            "values": {"dynamic": 20.0},
            "source": {"reading": "printed", "where": "Table 1"},
            "uncertainty": 0.05,
            "tolerance": {"dynamic": 2.0},
            "tolerance_reason": "half of the gap that decides the claim",
        }
    ],
    "claims": [],
}


def write(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
    content = json.loads(json.dumps(GOOD))
    change(content)
    path = folder / "toy.json"
    path.write_text(json.dumps(content))
    return path


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (value,) = read_expected(write(tmp_path)).values
    assert value.is_published


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(extra=1), "extra: Extra inputs are not permitted"),
        (lambda c: c["values"][0].update(note="hm"), "values.0.note: Extra inputs"),
        (lambda c: c["values"][0].pop("source"), "values.0.source: Field required"),
        (lambda c: c["values"][0]["source"].pop("where"), "values.0.source.where: Field required"),
        (lambda c: c["values"][0]["source"].update(reading="remembered"), "printed"),
        (lambda c: c["values"][0]["source"].update(reading="recorded"), "must name its date, command, commit, machine"),
        (lambda c: c["values"][0].pop("tolerance_reason"), "tolerance_reason: Field required"),
        (lambda c: c["values"][0].update(tolerance={"dynamic": 0}), "greater than 0"),
        (lambda c: c["values"][0].update(tolerance={"static": 1}), "tolerance must name dynamic"),
        (lambda c: c["values"][0].update(values={}), "at least one number"),
        (lambda c: c.update(schema=2), "schema: Input should be 1"),
    ],
)
def test_a_file_with_a_fault_is_refused_with_the_fault(tmp_path: Path, change: Callable, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_expected(write(tmp_path, change))


def test_missing_files_damaged_files_and_ids_given_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no expected values below"):
        read_all(tmp_path)
    with pytest.raises(InputError, match="cannot be read from"):
        read_expected(tmp_path / "toy.json")
    path = write(tmp_path)
    (tmp_path / "again.json").write_text(path.read_text())
    with pytest.raises(InputError, match=r"toy/value stands in .* an id must be unique"):
        read_all(tmp_path)
    for damaged in (b"{", b"\xff\xfe"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is not a file of expected values: the file: Invalid JSON"):
            read_expected(path)


def test_everything_that_was_published_is_there() -> None:
    records = read_all(EXPECTED)
    claims = [record for record in records if isinstance(record, Claim)]
    published = [record for record in records if isinstance(record, ExpectedValue) and record.is_published]
    assert len(published) == 40 + 4, "of the paper, and of the public zoo of X3D"
    assert sum(claim.published for claim in claims) == 7
    kinds = {value.id.split("/")[1] for value in published}
    assert kinds == {"layerwise", "unitwise", "shuffle", "moca", "complexity"}
    for value in published:
        assert value.needs or value.quantity == "complexity", f"{value.id} does not say what it takes"
        if value.quantity == "published_percent":
            assert sum(value.values.values()) == pytest.approx(100, abs=0.2)


RECORDED = [v for v in read_all(EXPECTED) if isinstance(v, ExpectedValue) and v.kind == "recorded"]


def test_every_recorded_value_can_be_traced() -> None:
    assert {value.network for value in RECORDED} >= {"i3d_inception", "transnetv2", "x3d_xs", "fusionseg"}
    for value in RECORDED:
        assert re.fullmatch("[0-9a-f]{40}", value.source.commit or ""), f"{value.id} was recorded at no commit"


NOTHING = {
    # the softmax of (0, 0, 1): no unit of one member says anything of the other's
    "shares": {"dynamic": 21.19, "static": 21.19, "residual": 57.61},
    "units": {"dynamic": 0.0, "static": 0.0, "joint": 0.0, "residual": 100.0, "dead": 0.0},
    "variance": {"appearance": 0.0, "motion": 0.0, "both": 100.0},
    "accuracy_lost_without_units": {"dynamic": 0.0, "static": 0.0},
    # one answer to everything
    "right_when_shown": dict.fromkeys(("filmed", "shuffled", "frozen", "noise", "elsewhere"), 25.0),
    "linear_probe": {"motion": 25.0, "appearance": 25.0},
}


def unnoticed(change: Callable[[ExpectedValue], dict[str, float]]) -> set[str]:
    """Ids of the recorded values that would call a wrong reading unchanged."""
    cases = [judge_value(value, Reading(change(value)), Evidence(0)) for value in RECORDED]
    return {case.id for case in cases if case.verdict is not Verdict.CHANGED}


def exchanged(values: dict[str, float]) -> dict[str, float]:
    """Dynamic for static; of what knows neither, each value in the place of the one before it."""
    if "dynamic" in values:
        return values | {"dynamic": values["static"], "static": values["dynamic"]}
    return dict(zip(values, [*values.values()][1:] + [*values.values()][:1], strict=True))


def test_recorded_values_would_notice_a_broken_measurement() -> None:
    assert not unnoticed(lambda value: NOTHING[value.quantity])
    swapped = unnoticed(lambda value: exchanged(value.values))
    # A layer whose live units are of neither class: there is nothing to exchange.
    neither = {f"rendered-2/transnetv2/colour_similarity/units/seed{seed}" for seed in range(3)}
    # One that is as static as it is dynamic, by that seed.
    assert swapped - neither == {"pipeline/vos/calibration_fusionseg/fusion.layer2/shares/seed0"}


def test_recorded_values_of_units_are_those_of_one_seed_to_float_error() -> None:
    """Of calibrated networks, means over trainings are recorded for seed 0; of all others three seeds."""
    seeds: dict[tuple[str, ...], list[object]] = {}
    for value in RECORDED:
        if value.quantity not in ("shares", "variance", "units") or value.dataset in ("rendered", "rendered_vos"):
            continue
        seeds.setdefault((value.network, value.dataset, str(value.layer), value.quantity), []).append(
            value.options["seed"]
        )
        (tolerance,) = set(value.tolerance.values())
        assert value.uncertainty == 0
        assert tolerance == 0.05 or (value.quantity == "units" and tolerance <= 100 / 8)
    assert {dataset for _, dataset, *_ in seeds} == {"packaged", "packaged_stylised", "packaged_davis", "rendered-2"}
    assert all(found == [0, 1, 2] for found in seeds.values())


def test_records_are_of_three_kinds() -> None:
    kinds = Counter((type(record), record.kind) for record in read_all(EXPECTED))
    assert kinds.keys() == {
        (ExpectedValue, "published"),
        (ExpectedValue, "recorded"),
        (Unpublished, "unpublished"),
        (Claim, "published"),
        (Claim, "recorded"),
    }
    assert (kinds[ExpectedValue, "published"], kinds[Claim, "published"]) == (40 + 4, 7)


def test_what_a_record_asks_for_stands_once_and_in_order(tmp_path: Path) -> None:
    (value,) = read_expected(write(tmp_path)).values
    assert asked(value) == (Asked("i3d_inception", "kinetics400", "packaged"),)

    def side(network: str, layer: str) -> Quantity:
        return Quantity(network=network, trained_on="data", dataset="clips", layer=layer, name="shares.static")

    claim = Claim(
        id="toy/claim",
        task="action recognition",
        statement="one is more static than the other",
        source="in words",
        published=True,
        comparisons=(
            Comparison(greater=side("second", "a"), lesser=side("first", "a")),
            Comparison(greater=side("first", "b"), lesser=side("second", "b")),
        ),
    )
    assert asked(claim) == (Asked("second", "data", "clips"), Asked("first", "data", "clips"))
