"""Videos and scenes that are shown otherwise: what is altered, and what is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdbench.base.draws import generator_for
from sdbench.calibration.altered import (
    SCENE_WAYS,
    VIDEO_WAYS,
    draw_altered,
    draw_conflicting,
    draw_noise_pairs,
    white_textures,
)
from sdbench.calibration.tasks import ALPHA, Batch, unseen_textures
from sdbench.calibration.trained import KINDS

VIDEOS, TWO_SPEEDS = KINDS["calibration_resnet3d"], KINDS["calibration_slowfast"]
SCENES, PAIRED = KINDS["calibration_fusionseg"], KINDS["calibration_rtnet"]
STEPS = {0: (0, 2), 1: (2, 0), 2: (0, -2), 3: (-2, 0)}  # y, x in a frame: right, down, left, up


def drawn(kind, task: str, count: int = 12) -> dict[str, Batch]:
    return draw_altered(kind, task, unseen_textures(), count, generator_for(0, "test"))


@pytest.mark.parametrize("kind", [VIDEOS, TWO_SPEEDS, SCENES, PAIRED], ids=lambda kind: kind.architecture)
def test_every_way_has_the_answer_and_the_shape_of_what_was_filmed(kind) -> None:
    ways = drawn(kind, kind.tasks[0])
    assert tuple(ways) == (SCENE_WAYS if kind.segments else VIDEO_WAYS)
    filmed, answer = ways["filmed"]
    for way, (inputs, same) in ways.items():
        assert {name: value.shape for name, value in inputs.items()} == {n: v.shape for n, v in filmed.items()}
        assert same.shape == answer.shape
        assert way == "filmed" or any(not torch.equal(inputs[name], filmed[name]) for name in filmed)


def test_shuffled_frames_are_those_of_the_video_each_in_its_own_order() -> None:
    ways = drawn(TWO_SPEEDS, "motion")
    filmed, shuffled = ways["filmed"][0], ways["shuffled"][0]
    for name in ("slow", "fast"):
        one, other = (inputs[name].flatten(3).mean(dim=(1, 3)) for inputs in (filmed, shuffled))
        torch.testing.assert_close(one.sort(dim=1).values, other.sort(dim=1).values)
    orders = {tuple(row) for row in (filmed["fast"][:, :, :1] == shuffled["fast"]).all(dim=(1, 3, 4)).int().tolist()}
    assert len(orders) > 2, "the first frame goes to several places"


@pytest.mark.parametrize("kind", [VIDEOS, TWO_SPEEDS], ids=lambda kind: kind.architecture)
def test_a_frozen_video_is_its_middle_frame(kind) -> None:
    ways = drawn(kind, "texture")
    every = ways["filmed"][0]["fast" if kind.two_speeds else "video"]
    for video in ways["frozen"][0].values():
        assert torch.equal(video, every[:, :, ALPHA : ALPHA + 1].expand_as(video))


def test_noise_moves_as_the_video_did_and_shows_nothing() -> None:
    ways = drawn(VIDEOS, "motion", 64)
    video, headings = ways["noise"][0]["video"], ways["noise"][1]
    for clip, heading in zip(video, headings.tolist(), strict=True):
        down, right = STEPS[heading]
        moved = torch.roll(clip[:, :-1], (down, right), dims=(2, 3))
        inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
        assert torch.equal(moved[inner], clip[:, 1:][inner])
    frames = video[:, 0, 0].numpy()
    beside = np.corrcoef(frames[:, :, 1:].ravel(), frames[:, :, :-1].ravel())[0, 1]
    assert abs(beside) < 0.02


def test_scenes_lend_each_other_flow_or_picture_and_keep_the_rest() -> None:
    for kind in (SCENES, PAIRED):
        ways = drawn(kind, "still")
        filmed = ways["filmed"][0]
        for way, lent, kept in (("shuffled", "flow", "image"), ("elsewhere", "image", "flow")):
            assert torch.equal(ways[way][0][kept], filmed[kept])
            assert torch.equal(ways[way][0][lent][1:], filmed[lent][:-1])
        assert torch.equal(ways["noise"][0]["flow"], filmed["flow"])
        resting = ways["frozen"][0]["flow"]
        assert torch.equal(resting, resting[:1, ..., :1, :1].expand_as(resting)), "white all over"
    frames = drawn(PAIRED, "still")["frozen"]
    assert torch.equal(frames[0]["image"][:, 0], frames[0]["image"][:, 1])
    assert torch.equal(frames[1][::2], frames[1][1::2])


def test_noise_has_no_still_sprite() -> None:
    image = drawn(SCENES, "still", 200)["noise"][0]["image"]
    spread = image.std(dim=0)  # where a sprite stood out, contrast would be higher
    assert (spread.amax() / spread.amin()).item() < 1.6
    assert white_textures(generator_for(0, "white")).pictures.std() == pytest.approx(12**-0.5, abs=0.01)


def test_motion_and_texture_never_say_the_same_class_where_they_conflict() -> None:
    inputs, by_motion, by_texture = draw_conflicting(VIDEOS, unseen_textures(), 200, generator_for(0, "test"))
    assert len(inputs["video"]) == 200
    assert not (by_motion == by_texture).any()
    assert set(by_motion.tolist()) == set(by_texture.tolist()) == {0, 1, 2, 3}


def test_noise_pairs_share_one_factor() -> None:
    one, alike, again = draw_noise_pairs(SCENES, 8, generator_for(0, "test"))
    assert torch.equal(one["flow"], alike["flow"])
    assert torch.equal(one["image"], again["image"])
    assert not torch.equal(one["image"], alike["image"])
    assert not torch.equal(one["flow"], again["flow"])
    first, _, mixed = (inputs["video"] for inputs in draw_noise_pairs(VIDEOS, 8, generator_for(0, "test")))
    sums, sums_mixed = (video.sum(dim=(1, 3, 4)).sort(dim=1).values for video in (first, mixed))
    torch.testing.assert_close(sums, sums_mixed)
    assert not torch.equal(first, mixed)
