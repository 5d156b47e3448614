"""No pass is made twice: within a call, from call to call, and after an interruption; counted by the network itself."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sdbench.answers.ablation import ablate
from sdbench.answers.masks import MaskQuality, Masks, measure_masks
from sdbench.answers.moca import Boxes, measure_moca
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.data.davis2016 import davis
from sdbench.data.moca import MocaDataset
from sdbench.engine import Finished
from sdbench.networks import Network
from sdbench.video.flow import flow_folder
from tests.answers.test_ablation import HALVES, Halves, estimated
from tests.made.davis import make_davis
from tests.made.moca import SIZE, make_moca
from tests.made.segmented import SINGLE, Answering, Red, Squares, paired, single

LONG = (22,) * 7
"""7 sequences of 20 frames that count, in 3 parts: 64, 64 and 12."""

WRONG = {(i, position): (3 * i + position) % 8 for i in range(7) for position in range(22)}


class Stages(Halves):
    """Four layers of four units each; a unit of any of them does to the answer what it does in `Halves`."""

    layers = ("one", "two", "three", "four", "mask")

    def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
        (_, activation), _ = super().trace(image, flow)
        for layer in self.layers[:-1]:
            yield layer, activation
        yield "mask", activation.sum(dim=1, keepdim=True)


def kept(store: AssetStore) -> list[Path]:
    return sorted(store.cache.parts.rglob("*.safetensors"))


def same(first: MaskQuality, second: MaskQuality) -> bool:
    """Whether they are the same to the bit, but for the time that they took."""
    return replace(first, seconds=0) == replace(second, seconds=0)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("network", [single, paired])
def test_interrupted_it_goes_on_behind_its_last_part(
    network: Callable[[Answering], Network], workers: int, own_store: AssetStore, tmp_path: Path
) -> None:
    answer = "pair" if network is paired else "probability"
    elsewhere = AssetStore(tmp_path / "elsewhere", offline=True, quiet=True)
    whole = measure_masks(network(Red(answer)), Squares(LONG, WRONG), seed=5, store=elsewhere, workers=0)
    module = Red(answer)
    module.most = 100
    with pytest.raises(KeyboardInterrupt):
        measure_masks(network(module), Squares(LONG, WRONG), seed=5, store=own_store, workers=workers)
    assert len(kept(own_store)) == 1
    again = Red(answer)
    found = measure_masks(network(again), Squares(LONG, WRONG), seed=5, store=own_store, workers=workers)
    assert again.passes == 140 - 64
    assert same(found, whole)
    assert kept(own_store) == [], "a finished run leaves nothing behind"


def test_an_interrupted_ablation_goes_on_and_reads_only_what_it_lacks(own_store: AssetStore, tmp_path: Path) -> None:
    def run(module: Halves, dataset: Squares, store: AssetStore) -> object:
        found = ablate(single(module), Masks(dataset), "halves", HALVES, percents=(25,), store=store, workers=0)
        return replace(found, seconds=0)

    whole = run(Halves(), Squares(LONG, WRONG), AssetStore(tmp_path / "elsewhere", offline=True, quiet=True))
    module = Halves()
    module.most = 4 * 64 + 10
    with pytest.raises(KeyboardInterrupt):
        run(module, Squares(LONG, WRONG), own_store)
    again, dataset = Halves(), Squares(LONG, WRONG)
    assert run(again, dataset, own_store) == whole
    assert again.passes == 4 * (140 - 64)
    assert set(dataset.reads.values()) == {1}
    assert len(dataset.reads) == 3 * (140 - 64)


def test_four_ablations_of_a_network_cost_one_pass_of_it_whole_and_three_a_layer(
    tmp_path: Path, own_store: AssetStore
) -> None:
    dataset = MocaDataset(make_moca(tmp_path / "moca"))
    estimate = estimated([0.9, 0.3, 0.1, -0.2], [0.2, 0.8, -0.5, 0.1])
    module, finished = Stages(), Finished()
    for threshold in (0.1, 0.2):
        for layer in module.layers[:4]:
            network = Network(module, replace(SINGLE, size=SIZE))
            target = Boxes(dataset, threshold)
            ablate(network, target, layer, estimate, percents=(25,), store=own_store, finished=finished)
    frames = 4
    assert module.passes == (1 + 4 * 3) * frames
    measure_moca(Network(module, replace(SINGLE, size=SIZE)), dataset, store=own_store, finished=finished)
    assert module.passes == (1 + 4 * 3) * frames, "the whole network was asked before"
    finished.discard()
    assert kept(own_store) == []


def test_units_that_are_chosen_twice_are_taken_away_once(own_store: AssetStore) -> None:
    """Half of the units by either factor are units 0 and 1; the random ones are others."""
    module = Halves()
    result = ablate(single(module), Masks(Squares((5,))), "halves", HALVES, percents=(50,), store=own_store)
    dynamic, static, random = (point.units for point in result.points)
    assert dynamic == static != random
    assert module.passes == 3 * 3


@pytest.mark.parametrize("lost", [True, False])
def test_a_part_that_is_damaged_is_set_aside_and_done_again(
    lost: bool, own_store: AssetStore, capsys: pytest.CaptureFixture[str]
) -> None:
    module, finished = Red(), Finished()
    whole = measure_masks(single(module), Squares(LONG, WRONG), store=own_store, finished=finished)
    part = kept(own_store)[1]
    content = part.read_bytes()
    damaged = content[:-8] if lost else content[:-1] + bytes([content[-1] ^ 1])
    part.write_bytes(damaged)
    again = measure_masks(single(module), Squares(LONG, WRONG), store=own_store, finished=finished)
    assert module.passes == 140 + 64
    assert same(again, whole)
    assert re.search(rf"{re.escape(part.name)} is damaged \(.*\); it is set aside", capsys.readouterr().err)
    assert part.with_name(part.name + ".damaged").read_bytes() == damaged


def test_whatever_decides_a_score_is_asked_anew(own_store: AssetStore) -> None:
    finished = Finished()

    def passes(module: Answering, network: Callable[[Answering], Network] = single, **options: Any) -> int:
        before = module.passes
        measure_masks(network(module), Squares((6,)), store=own_store, finished=finished, **options)
        return module.passes - before

    red, pair = Red(), Red("pair")
    assert passes(red) == 4
    assert passes(red) == 0
    assert passes(red, frames=None, seed=0, flip=False) == 0
    assert passes(red, flip=True) == 8
    assert passes(red, threshold=0.4) == 4
    assert passes(red, frames=2) == 2
    assert passes(red, lambda module: Network(module, replace(SINGLE, resample="bicubic"))) == 4
    assert passes(pair, paired) == 4
    assert passes(pair, paired) == 0
    assert passes(pair, paired, seed=1) == 4
    weight = torch.ones(1)
    red.register_buffer("weight", weight)
    assert passes(red) == 4
    weight += 1
    assert passes(red) == 4


class Bright(Answering):
    """Answers how bright picture and flow are."""

    def found(self, image: Tensor, flow: Tensor) -> Tensor:
        return ((image[:, :1] + flow[:, :1]) / 8 + 0.5).clamp(0, 1)


@pytest.mark.parametrize(
    "changed",
    [
        "JPEGImages/480p/bear/00003.jpg",
        f"{flow_folder(False)}/bear/00003.png",
        "Annotations/480p/bear/00003.png",
    ],
)
def test_another_picture_in_a_frame_is_not_taken_for_what_was_measured(
    changed: str, tmp_path: Path, own_store: AssetStore
) -> None:
    """Two sequences of 40 frames that count, in parts of 64 and 16: the first is done when a frame of it changes."""
    folder = make_davis(tmp_path / "davis", ("bear", "camel"), frames=42, height=24, width=32)
    module = Bright()
    module.most = 70
    with pytest.raises(KeyboardInterrupt):
        measure_masks(single(module), davis(folder), store=own_store, workers=0)
    assert len(kept(own_store)) == 1
    place = folder / changed
    picture = np.asarray(Image.open(place))
    Image.fromarray(255 - picture).save(place)
    again, afresh = Bright(), Bright()
    found = measure_masks(single(again), davis(folder), store=own_store, workers=0)
    elsewhere = AssetStore(tmp_path / "elsewhere", offline=True, quiet=True)
    assert again.passes == 80
    assert same(found, measure_masks(single(afresh), davis(folder), store=elsewhere, workers=0))


def test_the_network_comes_back_as_it_was_given(own_store: AssetStore) -> None:
    class Fails(Red):
        def found(self, image: Tensor, flow: Tensor) -> Tensor:
            assert not self.training
            return super().found(image, flow) + 2

    module, failing = Red().train(), Fails().train()
    measure_masks(single(module), Squares((4,)), store=own_store)
    with pytest.raises(InputError, match="values from 2 to 3"):
        measure_masks(single(failing), Squares((4,)), store=own_store)
    assert module.training
    assert failing.training


def test_parts_that_stay_on_disk_do_not_keep_the_network_in_memory(own_store: AssetStore) -> None:
    finished = Finished()
    module = Red()
    measure_masks(single(module), Squares((6,)), store=own_store, finished=finished)
    alive = weakref.ref(module)
    del module
    gc.collect()
    assert alive() is None
    assert kept(own_store), "the parts are still there"
    finished.discard()
    assert not kept(own_store)
