"""Sizes, crops, and clips that carry no information."""

from __future__ import annotations

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.video.feed import Feed
from sdbench.video.frames import check_clip, crop_positions, resize_frame, scaled_size
from tests.conftest import moving_squares


@pytest.mark.parametrize(
    ("size", "scaled"),
    [((272, 640), (112, 264)), ((720, 1280), (112, 200)), ((144, 176), (112, 136)), ((640, 272), (264, 112))],
)
def test_the_short_side_gets_its_length_and_both_are_multiples_of_four(
    size: tuple[int, int], scaled: tuple[int, int]
) -> None:
    assert scaled_size(*size, 112) == scaled


def test_wide_and_tall_videos_give_three_crops_others_one() -> None:
    assert crop_positions(112, 264, (112, 112)) == ((0, 0), (0, 76), (0, 152))
    assert crop_positions(264, 112, (112, 112)) == ((0, 0), (76, 0), (152, 0))
    assert crop_positions(112, 136, (112, 112)) == ((0, 12),)
    with pytest.raises(InputError, match="frames of 100 x 300 pixels cannot give crops of 112 x 112"):
        crop_positions(100, 300, (112, 112))


def test_crops_are_normalised_and_a_stretched_frame_is_squeezed() -> None:
    clip = moving_squares(4, 112, 264)
    feed = Feed(4, 112, 0.5, 0.5, fit="crops")
    assert feed.crops(112, 264) == 3
    sample = feed.pixels(clip, 2)
    assert sample.shape == (3, 4, 112, 112)
    np.testing.assert_allclose(sample[:, 1].numpy(), clip[1, :, 152:].transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    stretched = Feed(4, (27, 48), None, order="BTHWC", short_side=112, fit="stretch")
    assert stretched.crops(112, 264) == 1
    squeezed = np.stack([resize_frame(frame, (27, 48)) for frame in clip])
    np.testing.assert_array_equal(stretched(clip)["video"][0].numpy(), squeezed)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_blank_clips_are_refused_by_name(grey: int) -> None:
    blank = np.full((8, 16, 16, 3), grey, np.uint8)
    with pytest.raises(InputError, match="the clip carries no information"):
        check_clip(blank, "the clip")
    nearly = blank.astype(int)
    nearly[:, ::2] += 1 if grey < 255 else -1
    with pytest.raises(InputError, match="carries no information"):
        check_clip(nearly.astype(np.uint8), "the clip")


def test_a_clip_with_a_few_black_frames_is_usable() -> None:
    clip = moving_squares(9)
    clip[:3] = 0
    check_clip(clip, "the clip")


def test_nan_is_named_with_its_frame() -> None:
    clip = moving_squares(5).astype(np.float32)
    clip[3, 2, 2, 1] = np.nan
    with pytest.raises(InputError, match="the clip has a value that is NaN or infinite in frame 3"):
        check_clip(clip, "the clip")
