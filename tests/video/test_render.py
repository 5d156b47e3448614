"""Rendered clips: exact flow, exact pairs, frames that tell nothing of the motion, and figures that no frame shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy
from scipy.ndimage import map_coordinates

from sdbench.base.errors import InputError
from sdbench.video.render import (
    LOOKS,
    MOTIONS,
    ZOOM,
    Motion,
    Path,
    Pose,
    RenderedClip,
    draw_appearance,
    draw_motion,
    render,
)
from sdbench.video.textures import TEXTURES, draw_texture

SIZE, FRAMES = (64, 80), 8


def clip_of(
    kind: str,
    seed: int,
    look: str = "field",
    texture: str = "noise",
    size: tuple[int, int] = SIZE,
    frames: int = FRAMES,
):
    generator = np.random.default_rng(seed)
    appearance = draw_appearance((texture,), generator, size, (look,))
    return render(appearance, draw_motion((kind,), generator, size, frames), size, frames)


def warped(frame: np.ndarray, flow: np.ndarray, order: int = 3) -> np.ndarray:
    """The values that a frame (H, W) has where `flow` leads; NaN outside."""
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]]
    return map_coordinates(frame, [y + flow[..., 1], x + flow[..., 0]], order=order, cval=np.nan)


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("kind", MOTIONS)
def test_the_next_frame_lies_where_the_flow_leads(kind: str, texture: str) -> None:
    clip = clip_of(kind, 1, texture=texture)
    for time, to in ((0, 1), (3, 4), (4, 3), (1, 6)):
        if kind == "expansion":
            if abs(to - time) > 1:
                continue
            clip = unfaded(clip, time, to)
        frames = clip.frames.astype(float)
        for channel in range(3):
            found = warped(frames[to, ..., channel], clip.flow(time, to))
            inside = np.isfinite(found)
            assert inside.mean() > 0.4
            assert np.abs(found - frames[time, ..., channel])[inside].mean() < 1.5  # grey levels of 255


def unfaded(clip: RenderedClip, time: int, to: int) -> RenderedClip:
    """The same motion of the same appearance at another size, where two times show both sizes equally strongly.

    Growth fades one size out and the other in, which no flow tells; halfway between two frames they change places.
    """
    turned = clip.motion.ground.growth / (2 * ZOOM) * (time + to) / 2
    pose = replace(clip.appearance.pose, phase=(0.5 - turned) % 1)
    return render(replace(clip.appearance, pose=pose), clip.motion, SIZE, FRAMES)


@pytest.mark.parametrize("kind", MOTIONS)
def test_flow_of_a_sprite_over_a_moving_ground(kind: str) -> None:
    for seed in range(4):
        time = 3
        clip = unfaded(clip_of(kind, seed, "sprite"), time, time + 1)
        frames = clip.frames.astype(float)
        found = warped(frames[time + 1, ..., 0], clip.flow(time))
        led = warped(clip.masks[time + 1].astype(float), clip.flow(time), order=1)
        same = np.where(clip.masks[time], led > 0.99, led < 0.01)  # neither newly covered nor on the sprite's edge
        error = np.abs(found - frames[time, ..., 0])
        assert same.mean() > 0.6
        assert error[same & np.isfinite(found)].mean() < 1.5
        assert 0.01 < clip.masks.mean() < 0.4


def test_a_sprite_that_leaves_the_frame_comes_in_at_the_other_side() -> None:
    clips = [clip_of("translation", seed, "sprite", frames=12) for seed in range(30)]
    covered = np.array([clip.masks.mean(axis=(1, 2)) for clip in clips])
    assert (np.abs(covered - covered[:, :1]).max(axis=1) < 0.01).all(), "a shift keeps its size, on the torus"
    wrapped = [clip.masks[:, 0].any() and clip.masks[:, -1].any() for clip in clips]
    assert 0 < sum(wrapped) < len(clips)


@pytest.mark.parametrize("kind", MOTIONS)
def test_dots_move_as_their_flow_says(kind: str) -> None:
    """Dots go by whole dots and keep what is left over: where the flow leads, a dot still has its colour."""
    for seed in range(4):
        generator = np.random.default_rng(seed)
        appearance = draw_appearance(("noise",), generator, SIZE, ("dots",), dot=1)
        clip = render(appearance, draw_motion((kind,), generator, SIZE, FRAMES), SIZE, FRAMES)
        found = warped(clip.frames[2, ..., 1].astype(float), clip.flow(0, 2), order=0)
        for region in (clip.masks[0], ~clip.masks[0]):
            inside = region & np.isfinite(found)
            same = (found == clip.frames[0, ..., 1])[inside]
            assert same.mean() > 0.8  # the rest is newly covered, where half agree by chance
        assert len(np.unique(clip.frames.reshape(-1, 3), axis=0)) == 2


def test_a_single_frame_does_not_show_a_figure_of_dots() -> None:
    """Means, edges across the outline and neighbours along it are those of the ground, over 300 clips of any motion."""
    inside, outside, across, within = [], [], [], []
    for seed in range(300):
        generator = np.random.default_rng([4, seed])
        size = (32, 32)
        motion = draw_motion(MOTIONS, generator, size, 4)
        clip = render(draw_appearance(("stripes",), generator, size, ("dots",), dot=1), motion, size, 4)
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


@pytest.mark.parametrize("growth", [0.03, -0.11, 0.4, -2.3])
def test_growth_goes_round_on_the_circle_of_sizes(growth: float) -> None:
    phases, path = np.arange(2000) / 2000, Path(growth=growth)
    for time in (0, 1, 5, 15):
        after = np.array([path.phases(Pose(phase=phase), time) for phase in phases])
        assert np.abs(np.sort(after) - phases).max() < 1e-3, "all are taken to all"
        turned = np.mod(after - phases - growth * time / (2 * ZOOM) + 0.5, 1) - 0.5
        np.testing.assert_allclose(turned, 0, atol=1e-9)


def test_a_size_that_goes_from_one_end_to_the_other_is_not_seen() -> None:
    generator = np.random.default_rng(11)
    appearance = draw_appearance(("noise",), generator, SIZE, ("field",))
    before, after = (
        render(replace(appearance, pose=replace(appearance.pose, phase=phase)), Motion("rotation", Path()), SIZE, 2)
        for phase in (1 - 1e-6, 1e-6)
    )
    assert np.abs(before.frames.astype(int) - after.frames).max() <= 1


def test_poses_are_even_on_torus_circle_and_sizes() -> None:
    generator = np.random.default_rng(12)
    drawn = [draw_appearance(("noise",), generator, SIZE) for _ in range(4000)]
    for pose, sides in (("pose", (96, 96)), ("figure_pose", (80, 64))):
        found = [getattr(each, pose) for each in drawn]
        values = [[each.angle / (2 * np.pi), each.phase, *np.divide(each.places, sides).ravel()] for each in found]
        for column in np.transpose(values):
            assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3
        correlation = np.corrcoef(np.transpose(values)) - np.eye(len(values[0]))
        assert np.abs(correlation).max() < 4 / np.sqrt(len(drawn))


SEEN = {
    "mean": lambda frame: frame.mean(),
    "contrast": lambda frame: frame.std(),
    "across": lambda frame: np.abs(np.diff(frame, axis=1)).mean(),
    "down": lambda frame: np.abs(np.diff(frame, axis=0)).mean(),
    "middle": lambda frame: np.abs(frame[8:-8, 8:-8] - frame.mean()).mean(),
    "corner": lambda frame: frame[:6, :6].mean(),
}


@pytest.mark.parametrize("kind", MOTIONS)
def test_a_late_frame_is_distributed_as_the_first_one_is(kind: str) -> None:
    """Of 300 other appearances each, a strong motion: what single frames show has the same distribution."""
    size, frames, generator = (24, 24), 6, np.random.default_rng(9)
    paths = {"translation": Path((3.3, -2.1)), "rotation": Path(turn=0.7), "expansion": Path(growth=0.23)}
    motion = Motion(kind, paths[kind], Path((1.7, 2.9), turn=0.5))
    first, last = (
        [
            render(draw_appearance(("noise", "checks"), generator, size), motion, size, frames).frames[time] / 255
            for _ in range(300)
        ]
        for time in (0, frames - 1)
    )
    for name, see in SEEN.items():
        assert scipy.stats.ks_2samp([see(f[..., 1]) for f in first], [see(f[..., 1]) for f in last]).pvalue > 1e-3, name


@pytest.mark.parametrize("look", LOOKS)
def test_any_motion_moves_any_appearance(look: str) -> None:
    generator = np.random.default_rng(10)
    appearance = draw_appearance(("noise",), generator, SIZE, (look,))
    clips = [render(appearance, draw_motion((kind,), generator, SIZE, FRAMES), SIZE, FRAMES) for kind in MOTIONS]
    for clip in clips[1:]:
        np.testing.assert_array_equal(clip.frames[0], clips[0].frames[0])
        np.testing.assert_array_equal(clip.masks[0], clips[0].masks[0])
        assert (clip.frames[-1] != clips[0].frames[-1]).any(axis=-1).mean() > 0.3
        assert np.abs(clip.flow(0) - clips[0].flow(0)).max() > 0.1
    assert clips[0].masks.any() == (look != "field")


@pytest.mark.parametrize("kind", MOTIONS)
def test_a_dynamic_pair_shares_the_flow_of_the_field_and_no_colour(kind: str) -> None:
    generator = np.random.default_rng(5)
    motion = draw_motion((kind,), generator, SIZE, FRAMES)
    a, b = (render(draw_appearance(("noise",), generator, SIZE, ("field",)), motion, SIZE, FRAMES) for _ in range(2))
    for time in range(FRAMES - 1):
        np.testing.assert_array_equal(a.flow(time), b.flow(time))
    assert np.abs(a.frames.astype(int) - b.frames).mean() > 10


@pytest.mark.parametrize("look", LOOKS)
def test_seeds_reproduce(look: str) -> None:
    a, b, other = (clip_of("rotation", seed, look) for seed in (7, 7, 8))
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
    with pytest.raises(InputError, match="unknown motion 'rotations'"):
        draw_motion(("rotations",), generator, SIZE, FRAMES)
    with pytest.raises(InputError, match="at least 2 frames; got 1"):
        draw_motion(("rotation",), generator, SIZE, 1)
