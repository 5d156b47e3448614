"""The engine: what a measurement costs, that it can be interrupted anywhere, and that it says what is wrong."""

from __future__ import annotations

import copy
import errno
import multiprocessing
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sdbench
from sdbench import DiskError, Feed, InputError, Layer, Measurement, Network
from sdbench.assets import AssetStore
from sdbench.engine import Finished, join, measure
from sdbench.statistics import estimate
from tests.made.studies import FEED, Counting, NoiseStudy

EACH = 22
"""Samples of a part: 22 of three inputs are the first to have 64."""


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)


def network(module: nn.Module | None = None) -> Network:
    return Network(module or Counting(), FEED, "counting")


def bits(found: Measurement) -> list[bytes]:
    """Everything that was summed, to the bit."""
    return [
        getattr(part, name).tobytes()
        for blocks in found.sums.values()
        for part in blocks.values()
        for name in ("pairs", "origin", "total", "square", "product")
    ]


def kept(store: AssetStore) -> list[Path]:
    return sorted(store.cache.parts.rglob("*.safetensors"))


def test_every_view_goes_through_once_and_the_answer_is_the_true_one(own_store: AssetStore) -> None:
    module = Counting()
    found = measure(network(module), NoiseStudy(50), store=own_store)
    assert module.seen == found.passes == 3 * 50
    assert (found.samples, found.pairs, found.clips, found.resampling_units) == (50, 50, 50, 50)
    start, change = (found.layer(layer).estimate.unit_scores for layer in found.layers)
    assert start["static"].min() > 0.999
    assert abs(start["dynamic"]).mean() < 0.3
    assert change["dynamic"].min() > 0.999
    assert abs(change["static"]).mean() < 0.3


def test_streaming_agrees_with_all_units_at_once(own_store: AssetStore) -> None:
    study = NoiseStudy(50)
    found = measure(network(), study, store=own_store)
    drawn = [study.draw(sample, FEED)["video"][:, :, 0].flatten(1).numpy() for sample in study.plan(FEED, 0).samples]
    first = np.concatenate([views[[0, 0]] for views in drawn])
    second = np.concatenate([views[[1, 2]] for views in drawn])
    at_once = estimate(first, second, np.tile([0, 1], 50))
    assert found.layer("start").estimate.shares == pytest.approx(at_once.shares, rel=1e-10)


def test_workers_change_no_bit(own_store: AssetStore) -> None:
    alone, two, three = (measure(network(), NoiseStudy(70), store=own_store, workers=n) for n in (0, 2, 3))
    assert bits(alone) == bits(two) == bits(three)
    assert bits(measure(network(), NoiseStudy(70), store=own_store, seed=1)) != bits(alone)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_measurement_goes_on_behind_its_last_part(own_store: AssetStore, workers: int) -> None:
    whole = measure(network(), NoiseStudy(70), store=own_store, workers=workers)
    with pytest.raises(KeyboardInterrupt):
        measure(network(Counting(stop_after=2)), NoiseStudy(70), store=own_store, workers=workers)
    assert len(kept(own_store)) == 2
    module = Counting()
    resumed = measure(network(module), NoiseStudy(70), store=own_store, workers=workers)
    assert resumed.resumed == 2 * EACH
    assert module.seen == 3 * (70 - 2 * EACH)
    assert bits(resumed) == bits(whole)
    assert kept(own_store) == [], "a finished measurement leaves nothing to go on with"
    assert measure(network(), NoiseStudy(70), store=own_store).resumed == 0


def interrupt(store: AssetStore, study: NoiseStudy | None = None) -> None:
    """Leave one finished part."""
    with pytest.raises(KeyboardInterrupt):
        measure(network(Counting(stop_after=1)), study or NoiseStudy(50), store=store, workers=0)
    assert len(kept(store)) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "other"])
def test_a_damaged_part_is_named_set_aside_and_done_again(
    own_store: AssetStore, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = measure(network(), NoiseStudy(50), store=own_store)
    interrupt(own_store)
    (part,) = kept(own_store)
    content = bytearray(part.read_bytes())
    if damage == "cut":
        content = content[:-100]
    elif damage == "flipped":
        content[-100] ^= 1
    else:
        content = bytearray(b"not a safetensors file")
    part.write_bytes(content)
    module = Counting()
    again = measure(network(module), NoiseStudy(50), store=own_store)
    assert module.seen == 3 * 50
    assert bits(again) == bits(whole)
    said = capsys.readouterr().err
    assert re.search(rf"{re.escape(part.name)} is damaged \(.*\); it is set aside", said)
    assert part.with_name(part.name + ".damaged").read_bytes() == content, "nothing is deleted"


@pytest.mark.parametrize(("number", "said"), [(errno.EACCES, "cannot be read"), (errno.EIO, "cannot be read")])
def test_a_disk_that_refuses_stops_the_run_and_keeps_what_is_done(
    own_store: AssetStore, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    interrupt(own_store)
    before = [path.read_bytes() for path in kept(own_store)]

    def refuse(*_given: object, **_options: object) -> object:
        raise OSError(number, "refused")

    with monkeypatch.context() as patch:
        patch.setattr("sdbench.base.kept.safe_open", refuse)
        with pytest.raises(DiskError, match=said):
            measure(network(), NoiseStudy(50), store=own_store)
    assert [path.read_bytes() for path in kept(own_store)] == before
    assert measure(network(), NoiseStudy(50), store=own_store).resumed == EACH


def test_a_full_disk_is_a_sentence(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_given: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskError, match=r"no room for .*safetensors; make room and run the same command again"):
        measure(network(), NoiseStudy(50), store=own_store)


def test_other_content_is_not_mixed_with_parts_of_the_old(own_store: AssetStore) -> None:
    study = NoiseStudy(50, content={3: "old", 40: "old"})
    interrupt(own_store, study)
    changed = NoiseStudy(50, content={3: "new", 40: "old"})
    assert measure(network(), changed, store=own_store).resumed == 0
    interrupt_again = NoiseStudy(50, content={3: "old", 40: "new"})
    assert measure(network(), interrupt_again, store=own_store).resumed == EACH, "the change is in the other part"


@pytest.mark.parametrize("other", ["weights", "feed", "layers", "seed", "name"])
def test_another_measurement_does_not_go_on_with_these_parts(own_store: AssetStore, other: str) -> None:
    interrupt(own_store)
    module = Counting()
    if other == "weights":
        with torch.no_grad():
            module.scale.fill_(2)
    feed = Feed(4, 8, mean=0.1) if other == "feed" else FEED
    layers = ["start"] if other == "layers" else None
    chosen = Network(module, feed, "another" if other == "name" else "counting", layers)
    assert measure(chosen, NoiseStudy(50), store=own_store, seed=int(other == "seed")).resumed == 0


def _measure_in(folder: Path, barrier: multiprocessing.synchronize.Barrier, results: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    barrier.wait()
    found = measure(network(), NoiseStudy(90), store=AssetStore(folder, offline=True, quiet=True), workers=0)
    results.put(bits(found))


@pytest.mark.slow
def test_two_processes_with_the_same_measurement_do_not_spoil_each_other(own_store: AssetStore) -> None:
    whole = measure(network(), NoiseStudy(90), store=own_store, workers=0)
    context = multiprocessing.get_context("spawn")
    results, barrier = context.Queue(), context.Barrier(2)
    both = [context.Process(target=_measure_in, args=(own_store.folder, barrier, results)) for _ in range(2)]
    for process in both:
        process.start()
    found = [results.get(timeout=120) for _ in both]
    for process in both:
        process.join(30)
        assert process.exitcode == 0
    assert found[0] == found[1] == bits(whole)
    assert kept(own_store) == []


def test_parts_stay_until_all_that_they_are_for_is_done(own_store: AssetStore) -> None:
    finished, module = Finished(), Counting()
    first = measure(network(module), NoiseStudy(50), store=own_store, finished=finished)
    again = measure(network(module), NoiseStudy(50), store=own_store, finished=finished)
    assert module.seen == 3 * 50, "the second run finds all parts"
    assert again.resumed == 50
    assert bits(first) == bits(again)
    assert first.layers == again.layers == ("start", "change")
    finished.discard()
    assert kept(own_store) == []


def test_seeds_are_paired_by_name_not_by_place(own_store: AssetStore) -> None:
    found = measure(network(), NoiseStudy(30, seeds=2), store=own_store)
    assert found.seeds == 2
    runs = [measure(network(), NoiseStudy(30), store=own_store, seed=seed) for seed in (0, 1)]
    for number, run in enumerate(runs):
        alone = run.layer("start").estimate.shares
        assert found.run("start", number).estimate.shares == pytest.approx(alone, rel=1e-9)
    means = {name: (runs[0].layer("start").estimate.shares[name] + value) / 2 for name, value in alone.items()}
    assert found.layer("start").read("shares").values == pytest.approx(means, rel=1e-9)
    with pytest.raises(InputError, match="measured with 2 seeds; there is no number 2"):
        found.run("start", 2)


def test_several_trainings_are_joined_behind_the_engine(own_store: AssetStore) -> None:
    trainings = [measure(network(), NoiseStudy(30), store=own_store) for _ in range(3)]
    joined = join(trainings, ["means over three"])
    assert (joined.seeds, joined.networks, joined.passes) == (3, True, 3 * trainings[0].passes)
    assert joined.notes[-1] == "means over three"
    assert joined.layer("start").estimate.unit_labels.shape == (3 * 192,)
    assert joined.run("change", 1).estimate.shares == trainings[1].layer("change").estimate.shares
    with pytest.raises(InputError, match="shown the same"):
        join([trainings[0], measure(network(), NoiseStudy(31), store=own_store)])


@pytest.mark.parametrize("rows", [1, 3])
def test_inputs_that_meet_in_a_network_go_through_in_a_batch_of_their_own(own_store: AssetStore, rows: int) -> None:
    module = Counting()
    found = measure(network(module), NoiseStudy(10, rows=rows, together=True), store=own_store)
    assert module.passes == 3 * 10
    assert found.pairs == 10 * rows
    apart = measure(network(), NoiseStudy(10, rows=rows), store=own_store)
    assert found.layer("start").estimate.shares == pytest.approx(apart.layer("start").estimate.shares, rel=1e-9)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_cannot_be_drawn_is_one_sentence(own_store: AssetStore, workers: int) -> None:
    with pytest.raises(InputError) as caught:
        measure(network(), NoiseStudy(50, broken=(30,)), store=own_store, workers=workers)
    assert str(caught.value) == "noise 30 is damaged; replace it"
    assert len(kept(own_store)) == 1, "the part before it is kept"


class Blind(nn.Module):
    """A module of a user's own, in training mode here and there, that answers NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.normal = nn.BatchNorm3d(3)
        self.layer = nn.Conv3d(3, 5, 1)

    def forward(self, video: Tensor) -> Tensor:
        answer: Tensor = self.layer(self.normal(video)) * float("nan")
        return answer


def test_a_module_comes_back_as_it_was_given(own_store: AssetStore) -> None:
    module = Blind()
    module.normal.eval()
    module.double()
    before = copy.deepcopy(module.state_dict())
    addresses = [value.data_ptr() for value in module.state_dict().values()]
    strides = [value.stride() for value in module.state_dict().values()]
    with pytest.raises(InputError, match=r"layer 0 answers NaN or infinity for noise 0"):
        measure(Network(nn.Sequential(module), FEED, layers=["0"]), NoiseStudy(5), store=own_store)
    assert (module.training, module.normal.training, module.layer.training) == (True, False, True)
    assert [value.data_ptr() for value in module.state_dict().values()] == addresses
    assert [value.stride() for value in module.state_dict().values()] == strides
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.layer.weight.dtype == torch.float64


def test_what_is_wrong_is_a_sentence(own_store: AssetStore) -> None:
    with pytest.raises(
        InputError, match=r"expected the name of a network or sdbench.Network\(module, feed\); got Blind"
    ):
        sdbench.measure(Blind(), NoiseStudy(5), store=own_store)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"expected a study or a folder of videos; got int"):
        sdbench.measure(network(), 7, store=own_store)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"unknown layer 'strat'; did you mean start"):
        sdbench.measure(network(), NoiseStudy(5), layers=["strat"], store=own_store)
    with pytest.raises(InputError, match=r"unknown device 'gpu'"):
        sdbench.measure(network(), NoiseStudy(5), device="gpu", store=own_store)
    with pytest.raises(
        InputError, match=r"Blind does not list its layers: say which submodules to read.* normal, layer"
    ):
        Network(Blind(), FEED)
    with pytest.raises(InputError, match="workers must be a whole number from 0"):
        sdbench.measure(network(), NoiseStudy(5), workers=-1, store=own_store)
    shown = Network(Blind(), FEED, layers=[Layer("layer", axes="BNC")])
    with pytest.raises(InputError, match=r"layer 'layer' answers .* to 2 clips, which does not have the axes BNC"):
        sdbench.measure(shown, NoiseStudy(5), store=own_store)
