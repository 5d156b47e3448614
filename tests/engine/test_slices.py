"""A measurement in slices has the bits of one that was made at once, and says what is missing."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sdbench import InputError, Measurement, Network
from sdbench.assets import AssetStore
from sdbench.engine import measure
from sdbench.engine.measuring import Prepared, prepare
from sdbench.engine.placing import Placement
from sdbench.engine.slices import DESCRIPTION, Slice, forget_slices, measure_slice, merge_slices
from tests.made.studies import FEED, Counting, NoiseStudy

SAMPLES = 110
"""Five parts of 22 samples."""


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)


def prepared(store: AssetStore, seed: int = 0) -> Prepared:
    network = Network(Counting(), FEED, "counting")
    return prepare(network, NoiseStudy(SAMPLES), None, seed, 0.5, Placement(), store)


def sums(found: Measurement) -> list[tuple]:
    return [
        (layer, block, *(getattr(part, f.name).tobytes() for f in fields(part) if f.name != "crossed"))
        for layer, blocks in found.sums.items()
        for block, part in blocks.items()
    ]


@pytest.mark.parametrize("slices", [1, 3, 16])
def test_slices_in_any_order_have_the_bits_of_one_run(own_store: AssetStore, tmp_path: Path, slices: int) -> None:
    whole = measure(
        Network(Counting(), FEED, "counting"),
        NoiseStudy(SAMPLES),
        store=AssetStore(tmp_path / "another", offline=True, quiet=True),
    )
    numbers = list(range(1, slices + 1))
    random.Random(0).shuffle(numbers)
    done = [measure_slice(prepared(own_store), Slice(number, slices)) for number in numbers]
    assert sum(each.parts for each in done) == 5
    assert done[-1].missing == 0
    merged = merge_slices(done[0].key, own_store)
    assert sums(merged) == sums(whole)
    one, other = ({**found.as_record(), "seconds": 0, "resumed": 0, "compiled": ""} for found in (merged, whole))
    assert one == other
    assert merged.layer("change").intervals is not None
    assert sums(merge_slices(done[0].key[:8], own_store)) == sums(whole), "the parts are still there"
    forget_slices(done[0].key, own_store)
    assert not list(own_store.cache.parts.iterdir())


def test_too_few_slices_are_named(own_store: AssetStore) -> None:
    done = [measure_slice(prepared(own_store), Slice(number, 5)) for number in (1, 4)]
    assert "3 of 5 are still to be done: sdbench merge" in str(done[1])
    with pytest.raises(
        InputError, match=r"3 of the 5 parts of measurement .* \(parts 1 to 2, 4, from 0\): do --slice 2/5, 3/5, 5/5"
    ):
        merge_slices(done[0].key, own_store)


def test_a_slice_goes_on_where_it_was_interrupted(own_store: AssetStore) -> None:
    stopping = replace(prepared(own_store), job=replace(prepared(own_store).job, network=Network(Counting(2), FEED)))
    with pytest.raises(KeyboardInterrupt):
        measure_slice(stopping, Slice(1, 1))
    done = measure_slice(prepared(own_store), Slice(1, 1))
    assert (done.parts, done.resumed) == (5, 2)


def test_a_part_of_another_measurement_is_refused(own_store: AssetStore) -> None:
    mine = measure_slice(prepared(own_store), Slice(1, 1))
    module = Counting()
    module.scale.data *= 2
    network = Network(module, FEED, "counting")
    other = measure_slice(prepare(network, NoiseStudy(SAMPLES), None, 0, 0.5, Placement(), own_store), Slice(1, 1))
    assert mine.key != other.key
    parts = own_store.cache.parts
    names = sorted(path.name for path in (parts / mine.key).glob("*.safetensors"))
    assert (parts / other.key / names[2]).exists(), "the same samples have the same name"
    shutil.copy(parts / other.key / names[2], parts / mine.key / names[2])
    with pytest.raises(InputError, match=f"belongs to {other.key}, not to {mine.key}"):
        merge_slices(mine.key, own_store)


def test_damage_is_named(own_store: AssetStore, capsys: pytest.CaptureFixture[str]) -> None:
    key = measure_slice(prepared(own_store), Slice(1, 1)).key
    folder = own_store.cache.parts / key
    third = sorted(folder.glob("*.safetensors"))[2]
    third.write_bytes(third.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"1 of the 5 parts .* \(parts 2, from 0\): do --slice 1/1"):
        merge_slices(key, own_store)
    assert "is damaged" in capsys.readouterr().err
    assert measure_slice(prepared(own_store), Slice(1, 1)).resumed == 4
    merge_slices(key, own_store)
    (folder / DESCRIPTION).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"is damaged .* do one of the slices again"):
        merge_slices(key, own_store)


def test_keys_that_are_not_there_are_answered_with_those_that_are(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match=r"no measurement 'abc' .*\(there: none\)"):
        merge_slices("abc", own_store)
    keys = [measure_slice(prepared(own_store, seed), Slice(1, 9)).key for seed in (0, 1)]
    with pytest.raises(InputError, match=f"no measurement 'xyz'.*{min(keys)[:16]}, {max(keys)[:16]}"):
        merge_slices("xyz", own_store)
    with pytest.raises(InputError, match="no measurement ''"):
        merge_slices("", own_store)


@pytest.mark.parametrize(("number", "of"), [(0, 4), (5, 4), (1, 0)])
def test_slices_are_counted_from_one(number: int, of: int) -> None:
    with pytest.raises(InputError, match=f"counted from 1 .* got {number}/{of}"):
        Slice(number, of)


def test_more_slices_than_parts_leave_some_with_none(own_store: AssetStore) -> None:
    done = [measure_slice(prepared(own_store), Slice(number, 16)) for number in range(1, 17)]
    assert {each.parts for each in done} == {0, 1}
    content = json.loads((own_store.cache.parts / done[0].key / DESCRIPTION).read_text(encoding="utf-8"))
    assert sum(content["parts"].values()) == SAMPLES
