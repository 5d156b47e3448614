"""What networks were shown, as pictures: taken back from their input, whatever its order and kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sdbench.base.errors import InputError
from sdbench.cases.records import Asked
from sdbench.engine import About, Plan, Planned
from sdbench.report.content import Strip
from sdbench.studies import rendered
from sdbench.studies.views import DYNAMIC, STATIC
from sdbench.suite import Here, Suite, data_set
from sdbench.suite.showing import pictures_of, shown, shown_by
from sdbench.video.feed import Feed, Order

MEAN, STD = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)


@pytest.mark.parametrize("order", ["BCTHW", "BTCHW", "BTHWC", "(BT)CHW"])
def test_a_network_s_input_is_turned_back_into_the_frames_that_it_was_made_of(order: Order) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8)
    feed = Feed(frames=3, size=20, mean=MEAN, std=STD, order=order)
    assert np.array_equal(pictures_of(feed(frames)["video"], 1, feed)[0], frames)


def test_bytes_are_shown_as_they_are() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    feed = Feed(frames=2, size=20, mean=None)
    assert np.array_equal(pictures_of(feed(frames)["video"], 1, feed)[0], frames)


def test_both_ways_of_a_flow_are_two_pictures() -> None:
    feed = Feed(frames=1, size=8, flow="both", mean=0.5, std=0.5)
    assert pictures_of(torch.zeros(4, 2, 6, 8, 8), 4, feed).shape == (4, 4, 8, 8, 3)


def colours(strip: Strip) -> np.ndarray:
    with Image.open(BytesIO(strip.jpeg)) as picture:
        assert picture.size == (strip.width, strip.height)
        return np.asarray(picture.convert("RGB")).astype(float)


@pytest.mark.parametrize(
    ("feed", "pictures"),
    [
        (Feed(frames=8, size=32), 6),
        (Feed(frames=8, size=32, alpha=4), 6),
        (Feed(frames=1, size=32, flow="forward"), 6),
        (Feed(frames=4, size=(32, 64), order="(BT)CHW"), 4),
    ],
)
def test_rendered_scenes_are_shown_to_any_network_as_one_pair_of_each_factor(feed: Feed, pictures: int) -> None:
    found = shown(rendered(4), feed, 0)
    assert [strip.factor for strip in found.strips] == ["", "dynamic", "static"]
    assert found.says.startswith("A dynamic pair is one motion in two appearances")
    height, width = feed.height_and_width
    assert {strip.width for strip in found.strips} == {pictures * round(88 * width / height) + (pictures - 1) * 4}
    first, dynamic, static = map(colours, found.strips)
    assert abs(first - dynamic).mean() > 10, "another appearance"
    wide = round(88 * width / height)
    assert abs(first - static)[:, :wide].mean() < 3, "a static partner begins with the same frame"


@dataclass(frozen=True, kw_only=True)
class Sample(Planned):
    same: bool


class Odd:
    """Samples of one factor each, of which the first cannot be told apart."""

    def plan(self, feed: Feed, seed: int) -> Plan[Sample]:
        def sample(name: str, factor: int, same: bool) -> Sample:
            return Sample(name=name, block="0", views=2, pairs=((0, 0, factor), (0, 1, factor)), same=same)

        about = About(dataset="odd", protocol="published", unit="video", units=3, clips=3)
        return Plan(about, (sample("a", DYNAMIC, True), sample("b", DYNAMIC, False), sample("c", STATIC, False)))

    def draw(self, planned: Sample, feed: Feed) -> Mapping[str, Tensor]:
        first = torch.zeros(1, 3, feed.frames, 16, 16)
        return {"video": torch.cat([first, first + (0 if planned.same else 1)])}


def test_a_pair_whose_members_can_be_told_apart_is_shown_where_there_is_one() -> None:
    found = shown(Odd(), Feed(frames=2, size=16), 0, "called so")
    assert (found.title, [strip.says for strip in found.strips if not strip.factor]) == ("called so", ["b", "c"])
    assert "shuffled" in found.says


def test_every_data_set_of_a_run_is_shown_once_or_it_is_said_why_not(store, monkeypatch) -> None:
    suite = Suite(Here(store, pairs=4))
    for asked in (
        Asked("calibration_resnet3d", "motion", "rendered"),
        Asked("calibration_resnet3d", "texture", "rendered"),
        Asked("calibration_fusionseg", "still", "rendered_vos"),
    ):
        suite.measurement(asked)

    def refused(asked: Asked, here: Here) -> None:
        raise InputError("the disk is gone")

    monkeypatch.setattr(data_set("rendered_vos"), "study", refused)
    feeds = [(asked, json.loads(json.dumps(found.feed))) for asked, found in suite.measurements.items()]
    videos, scenes = shown_by(suite, feeds)
    assert (videos.title, len(videos.strips), videos.lacking) == ("rendered", 3, "")
    assert (scenes.title, len(scenes.strips), scenes.lacking) == ("rendered_vos", 0, "the disk is gone")
