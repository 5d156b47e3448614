"""Rendered clips: exact flow, exact pairs, and figures of random dots that no single frame shows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from sdbench.base.errors import InputError
from sdbench.video.render import FIELD_MOTIONS, MOTIONS, draw_appearance, draw_motion, redraw_motion, render
from sdbench.video.textures import TEXTURES, draw_texture

SIZE, FRAMES = (64, 80), 8


def clip_of(kind: str, seed: int, texture: str = "noise", size: tuple[int, int] = SIZE, frames: int = FRAMES):
    generator = np.random.default_rng(seed)
    appearance = draw_appearance((texture,), generator, size)
    return render(appearance, draw_motion(kind, generator, size, frames), size, frames)


def warped(frame: np.ndarray, flow: np.ndarray, order: int = 3) -> np.ndarray:
    """The values that a frame (H, W) has where `flow` leads; NaN outside."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]]
    return map_coordinates(frame, [y + flow[..., 1], x + flow[..., 0]], order=order, cval=np.nan)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("kind", FIELD_MOTIONS)
def test_the_next_frame_lies_where_the_flow_leads(kind: str, texture: str) -> None:
    clip = clip_of(kind, 1, texture)
    frames = clip.frames.astype(float)
    for time, to in ((0, 1), (3, 4), (4, 3), (1, 6)):
        for channel in range(3):
            found = warped(frames[to, ..., channel], clip.flow(time, to))
            inside = np.isfinite(found)
            assert inside.mean() > 0.4
            assert np.abs(found - frames[time, ..., channel])[inside].mean() < 1.5  # grey levels of 255


def test_flow_of_a_sprite_over_a_moving_ground() -> None:
    clip = clip_of("sprite", 2)
    frames, time = clip.frames.astype(float), 3
    found = warped(frames[time + 1, ..., 0], clip.flow(time))
    led = warped(clip.masks[time + 1].astype(float), clip.flow(time), order=1)
    same = np.where(clip.masks[time], led > 0.99, led < 0.01)  # neither newly covered nor on the sprite's edge
    error = np.abs(found - frames[time, ..., 0])
    assert same.mean() > 0.7
    assert same[clip.masks[time]].mean() > 0.6
    assert error[same & np.isfinite(found)].mean() < 1.5
    assert 0.03 < clip.masks.mean() < 0.2


def test_dots_move_as_their_flow_says_to_the_digit() -> None:
    clip = clip_of("dots", 3)
    flow = clip.flow(2)
    assert len(np.unique(flow.reshape(-1, 2), axis=0)) == 2
    found = warped(clip.frames[3, ..., 1].astype(float), flow, order=0)
    for region in (clip.masks[2], ~clip.masks[2]):
        kept = region & np.isfinite(found)
        agree = (found == clip.frames[2, ..., 1])[kept].mean()
        assert agree > 0.85  # the rest is newly covered, where half agree by chance


def test_a_single_frame_does_not_show_a_figure_of_dots() -> None:
    """Means, edges across the outline and neighbours along it are those of the ground, over 200 clips."""
    inside, outside, across, within = [], [], [], []
    for seed in range(200):
        generator = np.random.default_rng([4, seed])
        size = (32, 32)
        motion = draw_motion("dots", generator, size, 4, dot=1)
        clip = render(draw_appearance(("stripes",), generator, size), motion, size, 4)
        lit = (clip.frames[2] == clip.frames[2, 0, 0]).all(axis=-1)
        mask = clip.masks[2]
        inside.append(lit[mask].mean() - 0.5)
        outside.append(lit[~mask][1:].mean() - 0.5)
        differ = lit[:, 1:] != lit[:, :-1]
        border = mask[:, 1:] != mask[:, :-1]
        across.append(differ[border].mean())
        within.append(differ[~border].mean())
    for a, b in ((inside, outside), (across, within)):
        difference = np.subtract(a, b)
        assert abs(difference.mean()) < 3 * difference.std(ddof=1) / np.sqrt(len(difference))
    correlation = np.corrcoef(inside, outside)[0, 1]
    assert abs(correlation) < 0.2


@pytest.mark.parametrize("kind", MOTIONS)
def test_a_dynamic_pair_shares_flow_and_masks_and_no_colour(kind: str) -> None:
    generator = np.random.default_rng(5)
    motion = draw_motion(kind, generator, SIZE, FRAMES)
    a, b = (render(draw_appearance(("noise",), generator, SIZE), motion, SIZE, FRAMES) for _ in range(2))
    np.testing.assert_array_equal(a.masks, b.masks)
    for time in range(FRAMES - 1):
        np.testing.assert_array_equal(a.flow(time), b.flow(time))
    assert np.abs(a.frames.astype(int) - b.frames).mean() > 10


@pytest.mark.parametrize("kind", MOTIONS)
def test_a_static_pair_begins_with_the_same_frame_and_goes_elsewhere(kind: str) -> None:
    generator = np.random.default_rng(6)
    appearance = draw_appearance(("noise",), generator, SIZE)
    motion = draw_motion(kind, generator, SIZE, FRAMES)
    a, b = (render(appearance, m, SIZE, FRAMES) for m in (motion, redraw_motion(motion, generator, SIZE, FRAMES)))
    np.testing.assert_array_equal(a.frames[0], b.frames[0])
    np.testing.assert_array_equal(a.masks[0], b.masks[0])
    assert (a.frames[-1] != b.frames[-1]).any(axis=-1).mean() > 0.3
    assert np.abs(a.flow(0) - b.flow(0)).max() > 0.1


@pytest.mark.parametrize("kind", MOTIONS)
def test_seeds_reproduce(kind: str) -> None:
    a, b, other = (clip_of(kind, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(a.frames, b.frames)
    np.testing.assert_array_equal(a.flow(2), b.flow(2))
    assert (a.frames != other.frames).any()


@pytest.mark.parametrize("kind", TEXTURES)
def test_textures_have_no_seam_and_no_detail_finer_than_they_are_read(kind: str) -> None:
    texture = draw_texture(kind, np.random.default_rng(9))
    assert texture.shape == (256, 256, 3)
    assert texture.min() >= 0
    assert texture.max() <= 1
    power = np.abs(np.fft.fft2(texture.mean(axis=-1))) ** 2
    power[0, 0] = 0
    frequency = 2 * np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    assert power[frequency > 0.3].sum() < 0.01 * power.sum()
    seam = np.abs(texture[:, 0] - texture[:, -1]).mean()
    assert seam < 2 * np.abs(np.diff(texture, axis=1)).mean() + 1e-6


def test_bad_input_is_named() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(InputError, match="unknown texture 'nose'; did you mean noise"):
        draw_texture("nose", generator)
    with pytest.raises(InputError, match="unknown motion 'sprites'"):
        draw_motion("sprites", generator, SIZE, FRAMES)
    with pytest.raises(InputError, match="at least 2 frames; got 1"):
        draw_motion("sprite", generator, SIZE, 1)
