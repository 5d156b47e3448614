"""Optical flow: OpenCV's DIS, methods of the user's own, and the colour wheel."""

from __future__ import annotations

import colorsys
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.video.flow import (
    FlowMethod,
    colour_wheel,
    dis_method,
    draw_flow,
    flow_description,
    flow_method,
    flow_sentence,
)
from tests.conftest import moving_squares


def towards(*directions: tuple[float, float]) -> np.ndarray:
    """One row of flow vectors (right, down)."""
    return np.array([directions], dtype=np.float32)


def hue(colour: np.ndarray) -> float:
    return colorsys.rgb_to_hsv(*(colour / 255))[0]


def test_the_wheel_has_55_hues_of_full_colour() -> None:
    wheel = colour_wheel()
    assert wheel.shape == (55, 3)
    assert len(np.unique(wheel, axis=0)) == 55
    assert (wheel.max(axis=1) == 255).all()
    assert (wheel.min(axis=1) == 0).all()
    corners = {
        0: (255, 0, 0),
        15: (255, 255, 0),
        21: (0, 255, 0),
        25: (0, 255, 255),
        36: (0, 0, 255),
        49: (255, 0, 255),
    }
    for place, colour in corners.items():
        assert tuple(wheel[place]) == colour
    assert wheel[5].tolist() == [255, 85, 0]


def test_rest_is_white() -> None:
    assert (draw_flow(np.zeros((4, 6, 2), np.float32)) == 255).all()
    picture = draw_flow(towards((0, 0), (3, 0)))
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[0, 1].tolist() == [255, 0, 0], "the fastest, to the right, is full red"


def test_hue_tells_the_direction_whatever_the_speed() -> None:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False) + 0.01
    hues = []
    for angle in angles:
        vector = np.array([np.cos(angle), np.sin(angle)])
        slow, fast = draw_flow(towards(tuple(vector * 0.6), tuple(vector)))[0]
        assert abs(hue(slow) - hue(fast)) < 0.02
        hues.append(hue(fast))
    assert (np.diff(hues) > 0).all(), "once round the wheel, from red to red"
    assert hues[0] < 0.02
    assert hues[-1] > 0.9


def test_opposite_directions_have_different_hues() -> None:
    for angle in np.linspace(0, np.pi, 12, endpoint=False):
        vector = np.array([np.cos(angle), np.sin(angle)])
        one, other = draw_flow(towards(tuple(vector), tuple(-vector)))[0]
        apart = abs(hue(one) - hue(other))
        assert min(apart, 1 - apart) > 0.2


def test_saturation_tells_the_speed_as_a_part_of_the_frame_s_largest() -> None:
    def saturation(colour: np.ndarray) -> float:
        return 1 - colour.min() / 255

    for direction in ((1, 0), (-1, 0), (0, 1), (0, -1), (0.6, -0.8)):
        speeds = np.linspace(0, 1, 6)
        drawn = draw_flow(towards(*(tuple(speed * np.array(direction)) for speed in speeds)))[0]
        np.testing.assert_allclose([saturation(colour) for colour in drawn], speeds, atol=1 / 255)
        louder = draw_flow(7 * towards(*(tuple(speed * np.array(direction)) for speed in speeds)))[0]
        assert np.abs(louder.astype(int) - drawn).max() <= 1, "only parts of the largest are seen"


def test_turning_the_flow_s_field_turns_its_picture() -> None:
    flow = np.random.default_rng(0).normal(size=(5, 7, 2)).astype(np.float32)
    np.testing.assert_array_equal(draw_flow(flow[::-1, ::-1]), draw_flow(flow)[::-1, ::-1])


def test_dis_finds_how_a_picture_was_moved() -> None:
    frame = np.kron(np.random.default_rng(0).integers(0, 255, (12, 16, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    method = dis_method()
    flow = method(frame, np.roll(frame, (1, 2), axis=(0, 1)))
    assert flow.shape == (48, 64, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[8:-8, 8:-8], axis=(0, 1)), (2, 1), atol=0.2)
    alone = method(frame, frame[::-1])
    method(frame[:24, :40], frame[24:, :40])
    np.testing.assert_array_equal(method(frame, frame[::-1]), alone, err_msg="what was computed before does not matter")
    described = method.described()
    assert (described["method"], described["preset"]) == ("OpenCV DIS", "medium")
    with pytest.raises(InputError, match="OpenCV finds no flow between frames of 8 x 8 pixels"):
        method(frame[:8, :8], frame[:8, :8])
    with pytest.raises(InputError, match="needs frames of one size; got 64 x 48 and 64 x 47"):
        method(frame, frame[:-1])


def test_without_opencv_one_sentence_says_how_to_get_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r'pip install "sdbench\[flow\]"'):
        dis_method()


def test_methods_of_the_user_s_own_are_imported_and_checked(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own_flow.py").write_text(
        "import numpy as np\n"
        "def right(first, second):\n    return np.ones((*first.shape[:2], 2), np.float32) * (1, 0)\n"
        "def wrong(first, second):\n    return np.ones((2, 2))\n"
        "def lost(first, second):\n    return np.full((*first.shape[:2], 2), np.nan)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    first, second = moving_squares(2)
    method = flow_method("own_flow:right")
    assert (method(first, second) == (1, 0)).all()
    assert method.described()["method"] == "own_flow:right"
    with pytest.raises(InputError, match=r"own_flow:wrong must answer finite numbers \(48, 64, 2\); got \(2, 2\)"):
        flow_method("own_flow:wrong")(first, second)
    with pytest.raises(InputError, match=r"got \(48, 64, 2\) with NaN or infinity"):
        flow_method("own_flow:lost")(first, second)
    for name, said in (
        ("diss", "flow method 'diss' is not known; expected dis, or module:function"),
        ("own_flow:left", "own_flow:left cannot be imported"),
        ("no_such_module:left", "cannot be imported"),
    ):
        with pytest.raises(InputError, match=said):
            flow_method(name)
    with pytest.raises(InputError, match="unknown preset 'mediun'; did you mean medium"):
        flow_method("dis", "mediun")


def test_a_description_says_which_flow_it_is(tmp_path: Path) -> None:
    assert flow_description(tmp_path) is None
    method = FlowMethod("RAFT", lambda first, second: first.astype(np.float32), {"version": "2"})
    (tmp_path / "flow.json").write_text(json.dumps(method.described()))
    assert flow_description(tmp_path) == method.described()
    assert flow_sentence(method.described()) == (
        "optical flow by RAFT (version 2), drawn with the colour wheel of Baker et al.; not the published method"
    )
