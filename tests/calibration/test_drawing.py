"""What the small networks are shown: each factor alone says what the task asks, and the other says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from sdbench.calibration.drawing import (
    HEADINGS,
    KINDS,
    PERIOD,
    Motions,
    Textures,
    draw_appearances,
    draw_motions,
    draw_textures,
    draw_videos,
)
from sdbench.calibration.scenes import draw_looks, draw_moves, draw_scenes, flow_picture, scene_tensors


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def textures() -> Textures:
    return draw_textures(3, generator())


def test_textures_repeat_without_a_seam_and_follow_from_the_generator(textures: Textures) -> None:
    assert textures.pictures.shape == (3 * len(KINDS), PERIOD, PERIOD, 3)
    assert textures.pictures.min() >= 0
    assert textures.pictures.max() <= 1
    np.testing.assert_array_equal(textures.pictures, draw_textures(3, generator()).pictures)
    soft = textures.pictures[textures.kinds < 2]
    inside = np.abs(np.diff(soft, axis=1)).mean()
    seam = np.abs(soft[:, 0] - soft[:, -1]).mean()
    assert seam < 1.5 * inside


def test_every_frame_is_the_one_before_moved_by_whole_pixels(textures: Textures) -> None:
    draw = generator(1)
    shown = draw_appearances(textures, np.arange(4), draw)
    moved = draw_motions(np.arange(4), draw)
    videos = draw_videos(textures, shown, moved, 5, 20)
    assert videos.shape == (4, 5, 20, 20, 3)
    for number, heading in enumerate(HEADINGS):
        step = int(moved.speed[number])
        first, second = videos[number, 2], videos[number, 3]
        before, after = slice(None, -step), slice(step, None)
        to, whence = {
            "right": ((slice(None), after), (slice(None), before)),
            "down": (after, before),
            "left": ((slice(None), before), (slice(None), after)),
            "up": (before, after),
        }[heading]
        np.testing.assert_array_equal(second[to], first[whence])
        assert not np.array_equal(second, first)


def test_pairs_share_one_factor_exactly(textures: Textures) -> None:
    draw = generator(2)
    shown, other = (draw_appearances(textures, np.array([0, 1]), draw) for _ in range(2))
    moved = Motions(np.array([0, 1]), np.array([2, 2]))
    turned = Motions(np.array([2, 3]), np.array([2, 2]))
    same_look = draw_videos(textures, shown, turned, 3, 16)
    one = draw_videos(textures, shown, moved, 3, 16)
    np.testing.assert_array_equal(one[:, 0], same_look[:, 0])
    assert not np.array_equal(one[:, 1], same_look[:, 1])
    assert not np.array_equal(one[:, 0], draw_videos(textures, other, moved, 3, 16)[:, 0])


def test_the_image_does_not_show_what_moves_nor_the_flow_what_stands_out(textures: Textures) -> None:
    draw = generator(3)
    looks, moves, others = draw_looks(textures, 6, draw), draw_moves(6, draw), draw_moves(6, draw)
    scenes, moved_otherwise = draw_scenes(textures, looks, moves), draw_scenes(textures, looks, others)
    np.testing.assert_array_equal(scenes.image, moved_otherwise.image)
    looks_otherwise = draw_scenes(textures, draw_looks(textures, 6, draw), moves)
    np.testing.assert_array_equal(scenes.flow, looks_otherwise.flow)
    assert not np.array_equal(scenes.still, looks_otherwise.still)
    for number in range(6):
        inside, outside = scenes.flow[number][scenes.moving[number]], scenes.flow[number][~scenes.moving[number]]
        assert (inside == inside[0]).all()
        assert (outside == outside[0]).all()
        assert 1.5 <= np.hypot(*(inside[0] - outside[0])) <= 3.0 + 1e-5


def test_the_second_frame_has_moved_as_the_flow_says(textures: Textures) -> None:
    draw = generator(4)
    looks, moves = draw_looks(textures, 20, draw), draw_moves(20, draw)
    first, second = draw_scenes(textures, looks, moves), draw_scenes(textures, looks, moves, second=True)

    def middle(masks: np.ndarray) -> np.ndarray:
        return np.array([np.argwhere(mask).mean(axis=0) for mask in masks])

    went = middle(second.moving) - middle(first.moving)
    np.testing.assert_allclose(went, moves.own * moves.later[:, None], atol=2.5)  # some leave the picture in part


def test_flow_pictures_are_white_at_rest_and_tell_directions_apart() -> None:
    flow = np.array([[0, 0], [0, 4], [0, -4], [4, 0]], dtype=np.float32)
    pictures = flow_picture(flow)
    np.testing.assert_allclose(pictures[0], 1)
    assert all(np.abs(pictures[i] - pictures[j]).max() > 0.2 for i in range(4) for j in range(i))
    assert pictures.min() >= 0
    assert pictures.max() <= 1


@pytest.mark.parametrize(("paired", "rows"), [(False, 3), (True, 6)])
def test_scenes_as_networks_take_them(textures: Textures, paired: bool, rows: int) -> None:
    draw = generator(5)
    inputs, still, moving = scene_tensors(textures, draw_looks(textures, 3, draw), draw_moves(3, draw), paired)
    frames = (2,) if paired else ()
    assert inputs["image"].shape == (3, *frames, 3, 48, 48)
    assert inputs["flow"].shape == (3, *frames, 6 if paired else 3, 48, 48)
    assert still.shape == moving.shape == (rows, 48, 48)
