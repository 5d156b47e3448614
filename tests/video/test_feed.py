"""What networks are fed: against the numbers of the published code, and in every order of axes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from sdbench.base.errors import InputError
from sdbench.networks.registry import network_names
from sdbench.video.feed import IMAGENET_MEAN, IMAGENET_STD, Feed, Order, Resample, evenly_spaced, window
from sdbench.zoo import feed_of
from tests.conftest import CONFORMANCE, moving_squares

CASES = json.loads((CONFORMANCE / "preprocessing_cases.json").read_text())
NETWORKS = {
    "clip.c2d": ("c2d", "video"),
    "clip.x3d_s": ("x3d_s", "video"),
    "clip.mvit": ("mvit_b_16x4", "video"),
    "clip.timesformer": ("timesformer_8x32", "video"),
    "clip.slowfast": ("slowfast_r50_8x8", "slow"),
    "clip.slowfast.fast": ("slowfast_r50_8x8", "fast"),
}


def test_every_case_of_a_clip_is_held() -> None:
    assert {name for name in CASES if name.startswith("clip.")} == set(NETWORKS)


@pytest.mark.parametrize("case", NETWORKS)
def test_the_transform_agrees_with_the_published_code(case: str) -> None:
    with np.load(CONFORMANCE / "preprocessing_cases.npz") as arrays:
        frames = arrays["clip.input"].transpose(1, 2, 3, 0)
        index, expected = arrays[f"{case}.index"], arrays[f"{case}.value"]
    network, name = NETWORKS[case]
    feed = feed_of(network)
    chosen = evenly_spaced(feed.inputs[name], len(frames))
    if feed.span == len(frames):
        assert chosen == feed.choose()[name]
    answer = feed.pixels(frames[list(chosen)]).numpy()
    assert list(answer.shape) == CASES[case]["shape"]
    np.testing.assert_allclose(answer[tuple(index)], expected, atol=1e-5, rtol=0)
    assert answer.mean(dtype=np.float64) == pytest.approx(CASES[case]["mean"], abs=1e-5)
    assert answer.std(dtype=np.float64) == pytest.approx(CASES[case]["std"], abs=1e-5)


def test_frames_are_evenly_spaced_and_cut_down() -> None:
    assert evenly_spaced(8, 64) == (0, 9, 18, 27, 36, 45, 54, 63)
    assert evenly_spaced(4, 48) == (0, 15, 31, 47)
    assert evenly_spaced(1, 64) == (0,)
    with pytest.raises(InputError, match="got 4 of 0"):
        evenly_spaced(4, 0)


def test_a_window_repeats_what_is_left_of_the_video() -> None:
    assert window(3, 4, 20) == (3, 4, 5, 6)
    assert window(17, 7, 20) == (17, 18, 19, 17, 18, 19, 17)
    with pytest.raises(InputError, match="cannot start at frame 20 of a video of 20"):
        window(20, 4, 20)


@pytest.mark.parametrize("kind", ["image", "flow"])
def test_a_frame_of_a_segmentation_network_is_fed_as_published(kind: str) -> None:
    with np.load(CONFORMANCE / "preprocessing_cases.npz") as arrays:
        feed = Feed(1, (96, 171), IMAGENET_MEAN, IMAGENET_STD, fit="stretch")
        prepared = feed.pixels(arrays[f"frame.{kind}"][None])[:, 0]
        np.testing.assert_allclose(prepared.numpy(), arrays[f"frame.{kind}.out"], atol=1e-5)


@pytest.mark.parametrize(
    ("size", "expected"), [((90, 120), (256, 341)), ((120, 90), (341, 256)), ((64, 64), (256, 256))]
)
@pytest.mark.parametrize("resample", ["area", "bicubic", "bilinear", "corners"])
def test_the_longer_side_is_cut_down(size: tuple[int, int], expected: tuple[int, int], resample: Resample) -> None:
    frames = moving_squares(1, *size)
    wide = Feed(1, 256, resample=resample)
    height, width = expected
    whole = Feed(1, expected, short_side=256, resample=resample).pixels(frames)
    assert whole.shape == (3, 1, *expected)
    top, left = round((height - 256) / 2), round((width - 256) / 2)
    assert torch.equal(wide.pixels(frames), whole[:, :, top : top + 256, left : left + 256])


ORDERS = {"BCTHW": (1, 3, 4, 8, 8), "BTCHW": (1, 4, 3, 8, 8), "BTHWC": (1, 4, 8, 8, 3), "(BT)CHW": (4, 3, 8, 8)}


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_axes_holds_the_same_pixels(order: Order) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    feed = Feed(4, 8, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), order=order, argument="pixel_values")
    (found,) = feed(frames).values()
    assert feed(frames).keys() == {"pixel_values"}
    assert found.shape == ORDERS[order]
    expected = (frames / 255 - (0.1, 0.2, 0.3)) / (0.5, 0.6, 0.7)
    flat = {
        "BCTHW": expected.transpose(3, 0, 1, 2)[None],
        "BTCHW": expected.transpose(0, 3, 1, 2)[None],
        "BTHWC": expected[None],
        "(BT)CHW": expected.transpose(0, 3, 1, 2),
    }
    np.testing.assert_allclose(found.numpy(), flat[order], atol=1e-6)


def test_frames_are_taken_at_a_stride_or_as_they_are() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    feed = Feed(4, 8, stride=2)
    assert feed.span == 8
    assert torch.equal(feed(frames)["video"], feed(frames[::2])["video"])
    with pytest.raises(InputError, match="expected a clip of 4 or 8 frames; got 7"):
        feed(frames[:7])


def test_a_slow_path_sees_some_of_the_frames() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    found = Feed(8, 8, alpha=4)(frames)
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "slow": (1, 3, 2, 8, 8),
        "fast": (1, 3, 8, 8, 8),
    }
    assert torch.equal(found["slow"][:, :, 0], found["fast"][:, :, 0])
    assert torch.equal(found["slow"][:, :, 1], found["fast"][:, :, 7])


def test_bytes_stay_bytes() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    found = Feed(2, 8, None, order="BTHWC")(frames)["video"]
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found[0].numpy(), frames)


def test_one_of_three_crops_is_fed() -> None:
    frames = moving_squares(2, 16, 32)
    feed = Feed(2, 16, fit="crops")
    assert feed.crops(16, 32) == 3
    assert feed.crops(16, 20) == 1
    whole = Feed(2, (16, 32), short_side=16).pixels(frames)
    for crop, left in enumerate((0, 8, 16)):
        assert torch.equal(feed.pixels(frames, crop), whole[..., left : left + 16])


def test_frames_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="expected uint8 frames"):
        Feed(2, 32).pixels(moving_squares(2).astype(np.float32))
    with pytest.raises(InputError, match="cannot give crops of 40 x 100"):
        Feed(2, (40, 100), short_side=40).pixels(moving_squares(2))
    with pytest.raises(InputError, match="takes frames with pictures of their optical flow"):
        feed_of("fusionseg")(moving_squares(1))


def test_windows_and_inputs_of_the_networks() -> None:
    own = ("i3d_inception", "transnetv2", "fusionseg", "matnet", "rtnet", "rtnet34")
    windows = {name: feed_of(name).window for name in network_names() if name not in own}
    special = {"x3d_xs": 48, "x3d_s": 78, "x3d_m": 80, "x3d_l": 80, "timesformer_8x32": 256, "timesformer_16x8": 128}
    assert windows == {name: special.get(name, 64) for name in windows}
    assert feed_of("slowfast_r50_4x16").inputs == {"slow": 4, "fast": 32}
    assert feed_of("slowfast_r50_16x8").inputs == {"slow": 16, "fast": 64}
    assert feed_of("rtnet").inputs == {"image": 2, "flow": 2}
    with pytest.raises(InputError, match=r"unknown network 'x3d_xl'; did you mean x3d_l"):
        feed_of("x3d_xl")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 256, "short_side": 200}, "does not fit"),
        ({"frames": 0}, "positive"),
        ({"frames": 30, "alpha": 4}, "alpha 4"),
        ({"stride": 2, "window": 64}, "one of the two"),
        ({"std": 0.0}, "above 0"),
        ({"order": "BCHWT"}, r"unknown order of axes 'BCHWT'; did you mean BTCHW or BCTHW"),
        ({"resample": "nearest"}, "unknown resample"),
        ({"mean": 127.5, "std": 127.5}, "mean of a feed must be .* at most 1, .*; got 127.5: divide it by 255"),
        ({"std": (0.2, 0.2, 58.4)}, "std of a feed .*: divide it by 255"),
        ({"mean": (0.5, 0.5)}, "one number or three"),
        ({"mean": float("nan")}, "mean of a feed"),
        ({"std": float("nan")}, "std of a feed"),
        ({"mean": "0.5"}, "mean of a feed"),
        ({"std": None}, "std of a feed"),
        ({"mean": True}, "mean of a feed"),
        ({"size": (1, 2, 3)}, "one or two positive whole numbers"),
        ({"size": float("inf")}, "size of a feed"),
        ({"frames": "16"}, "frames of a feed must be a positive whole number; got '16'"),
        ({"frames": [16]}, "frames of a feed"),
        ({"stride": 1.5}, "stride of a feed"),
        ({"colours": "grb"}, "unknown order of colours 'grb'; did you mean"),
        ({"argument": 3}, "argument of a feed is a name"),
    ],
)
def test_feeds_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Feed(**options)


def test_lists_and_numbers_of_numpy_are_taken() -> None:
    given = Feed(np.int64(8), [48, 64], [0.4, 0.5, 0.6], np.float32(0.5))  # type: ignore[arg-type]
    assert given == Feed(8, (48, 64), (0.4, 0.5, 0.6), 0.5)
    assert hash(given) == hash(Feed(8, (48, 64), (0.4, 0.5, 0.6), 0.5))
    assert json.loads(json.dumps([given.frames, given.size, given.std])) == [8, [48, 64], 0.5]


@pytest.mark.parametrize("fit", ["crop", "crops", "stretch"])
def test_colours_are_fed_in_the_order_that_is_asked_for(fit: Any) -> None:
    """Networks that were trained with Caffe or OpenCV see blue first; mean and deviation stay red, green, blue."""
    options: dict[str, Any] = {"size": 24, "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7), "fit": fit}
    frames = moving_squares(4)
    red_first = Feed(4, **options)(frames)["video"]
    blue_first = Feed(4, colours="bgr", **options)(frames)["video"]
    torch.testing.assert_close(blue_first, red_first.flip(1), rtol=0, atol=0)
