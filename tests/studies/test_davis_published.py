"""DAVIS as the study measured it: number of draws, and whether frames of a batch meet, said truly."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sdbench
from sdbench import Feed, InputError, Measurement, Network, measure
from sdbench.assets import AssetStore
from sdbench.base.warned import SdbenchWarning
from sdbench.networks import VideoNetwork, build
from sdbench.studies.davis_study import DavisStudy
from sdbench.studies.sequences import DRAWS
from sdbench.video.feed import IMAGENET_MEAN, IMAGENET_STD
from tests.made.vos import Remembered

SIZE = (32, 48)
PAIRED = Feed(1, SIZE, IMAGENET_MEAN, IMAGENET_STD, fit="stretch", flow="both")
ONE_FRAME = Feed(1, SIZE, IMAGENET_MEAN, IMAGENET_STD, fit="stretch", flow="forward")


class Means(VideoNetwork):
    """Colour means of the image and of the flow, whatever the number of frames."""

    layers = ("image", "flow")

    def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "image", image.flatten(0, image.ndim - 4)
        yield "flow", flow.flatten(0, flow.ndim - 4)


def shown(
    module: nn.Module, feed: Feed, store: AssetStore, protocol: str = "published", draws: int = DRAWS
) -> Measurement:
    study = DavisStudy(lambda _backward: Remembered(count=2, length=8), store, protocol, seeds=1, draws=draws)
    network = Network(module, feed, "rtnet" if feed is PAIRED else "means", ("image", "flow"))
    return measure(network, study, store=store, workers=0)


def test_the_number_of_draws_can_be_given(store: AssetStore) -> None:
    usual, more = (shown(Means(), ONE_FRAME, store, draws=draws) for draws in (DRAWS, 8))
    assert (usual.pairs, more.pairs) == (DRAWS * 7, 8 * 7)
    said = "8 draws of each sequence and seed; the study made 5"
    assert said in more.notes
    assert not [note for note in usual.notes if "draws of each sequence" in note]
    assert usual.study != more.study, "two measurements of other pairs are not paired"
    with pytest.raises(InputError, match="at least 1 seed and 1 draw of each sequence are needed; got 4 and 0"):
        sdbench.studies.davis("davis", "painted", draws=0)
    assert sdbench.studies.davis("davis", "painted", draws=7).draws == 7
    assert sdbench.studies.davis_dots("davis_stereograms", "dots", draws=7).draws == 7


def rtnet(mixed: bool) -> nn.Module:
    torch.manual_seed(0)
    return build("rtnet34", width=2, depths=(1, 1, 1, 1), mixed_batch=mixed)


def about_mixing(found: Measurement) -> list[str]:
    return [note for note in found.notes if "frames of the samples of a batch" in note or "keeps the samples" in note]


def measured_rtnet(module: nn.Module, store: AssetStore, protocol: str) -> Measurement:
    study = DavisStudy(lambda _backward: Remembered(count=2, length=8), store, protocol, seeds=1, draws=2)
    layers = ("fusion.layer5",) if isinstance(module, VideoNetwork) else ("own",)
    return measure(Network(module, PAIRED, "mine", layers), study, store=store, workers=0)


def test_a_network_that_mixes_says_so_and_one_that_does_not_says_that(store: AssetStore) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SdbenchWarning)
        mixed = measured_rtnet(rtnet(True), store, "published")
    assert about_mixing(mixed) == ["mine mixes frames of the samples of a batch, as RTNet's published code does"]
    with pytest.warns(
        SdbenchWarning, match="mine keeps the samples of a batch apart, where RTNet's published code mixes"
    ):
        apart = measured_rtnet(rtnet(False), store, "published")
    (said,) = about_mixing(apart)
    assert said.startswith("mine keeps the samples of a batch apart")
    assert said.endswith("for those build it with mixed_batch=True")
    shares = [list(found.layer("fusion.layer5").estimate.shares.values()) for found in (mixed, apart)]
    assert not np.allclose(shares[0], shares[1], atol=1e-6), "the note is about numbers that differ"


def test_where_samples_go_through_one_by_one_nothing_is_said(store: AssetStore) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SdbenchWarning)
        found = [measured_rtnet(rtnet(mixed), store, "corrected") for mixed in (True, False)]
    assert [about_mixing(each) for each in found] == [[], []]
    shares = [list(each.layer("fusion.layer5").estimate.shares.values()) for each in found]
    np.testing.assert_array_equal(shares[0], shares[1])


class Foreign(nn.Module):
    """Somebody's own network of two frames."""

    def __init__(self, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.own, self.inner = nn.Identity(), inner

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        rows: Tensor = self.own(image.flatten(0, 1) + flow[:, :, :3].flatten(0, 1))
        return rows


def test_of_another_module_it_is_not_known_unless_it_holds_one_of_the_suite(store: AssetStore) -> None:
    assert about_mixing(measured_rtnet(Foreign(), store, "published")) == [
        "whether mine mixes frames of the samples of a batch, as RTNet's published code does, is not known"
    ]
    for mixed in (True, False):
        network = Network(Foreign(rtnet(mixed)), PAIRED, "mine", ("own",))
        assert network.mixes_batch is mixed
    assert Network(build("fusionseg", width=2, depths=(1, 1, 1, 1)), ONE_FRAME).mixes_batch is None


def test_what_is_held_against_published_unit_classes_is_said(store: AssetStore) -> None:
    notes = shown(Means(), ONE_FRAME, store).notes
    assert any(
        note.startswith("quirk 9 not reproduced: the published unit classes are those of the last") for note in notes
    )
    assert not any("quirk 9" in note for note in shown(Means(), ONE_FRAME, store, "corrected").notes)
