"""Noise that moves: it goes where the flow goes, and no frame of it tells where that is."""

from __future__ import annotations

from collections.abc import Callable
from math import floor

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.studies.rendered_study import RenderedVideos
from sdbench.video.flow import Flow, dis_method
from sdbench.video.noise import animate, follow
from sdbench.video.render import LOOKS, RenderedClip

SIZE, FRAMES = (96, 128), 8
PIXELS = SIZE[0] * SIZE[1]


def moving(motion: str, number: int = 0, size: tuple[int, int] = SIZE, frames: int = FRAMES) -> RenderedClip:
    look, kind = (motion, "translation") if motion in LOOKS else ("field", motion)
    videos = RenderedVideos(10, None, size, frames, textures=("noise",), looks=(look,), motions=(kind,), origin=4)
    return videos.clip(videos.scene(number))


def flows_of(clip: RenderedClip) -> list[Flow]:
    return [clip.flow(time) for time in range(len(clip.frames) - 1)]


def steady(right: float, down: float, count: int, size: tuple[int, int] = (12, 20)) -> list[Flow]:
    return [np.broadcast_to(np.array([right, down], np.float32), (*size, 2))] * count


def noise(flows: list[Flow], seed: int, size: tuple[int, int] = SIZE, grain: int = 1) -> np.ndarray:
    return animate(follow(flows, size, grain), np.random.default_rng(seed))


def warped(flows: list[Flow], seed: int) -> np.ndarray:
    """Noise as a careless hand moves it: what is uncovered or stretched is filled with copies of what is near."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    frames = [np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)]
    for flow in flows:
        back_x = np.clip(np.rint(x - flow[..., 0]), 0, SIZE[1] - 1).astype(int)
        back_y = np.clip(np.rint(y - flow[..., 1]), 0, SIZE[0] - 1).astype(int)
        frames.append(frames[-1][back_y, back_x])
    return np.stack(frames)


@pytest.mark.parametrize("motion", ["translation", "rotation", "expansion", "sprite", "dots"])
def test_no_frame_shows_a_grain_twice(motion: str) -> None:
    grains = follow(flows_of(moving(motion)), SIZE)
    assert grains.shape == (FRAMES, *SIZE)
    assert {len(np.unique(frame)) for frame in grains} == {PIXELS}
    assert sorted(np.unique(grains)) == list(range(grains.max() + 1)), "every grain is seen"


@pytest.mark.parametrize(("right", "down"), [(1, 0), (-2, 1), (0.25, 0), (0.4, -0.75), (0, 0)])
def test_a_steady_flow_moves_every_grain_and_no_fraction_of_a_pixel_is_lost(right: float, down: float) -> None:
    grains = follow(steady(right, down, 8), (12, 20))
    for time, frame in enumerate(grains):
        across, under = floor(right * time + 0.5), floor(down * time + 0.5)
        y, x = np.mgrid[:12, :20]
        stays = (y - under >= 0) & (y - under < 12) & (x - across >= 0) & (x - across < 20)
        np.testing.assert_array_equal(frame[stays], grains[0][(y - under)[stays], (x - across)[stays]])
        assert not np.isin(frame[~stays], grains[0]).any(), "what comes in is new"


def test_coarse_grains_are_squares_that_move_as_far() -> None:
    grains = follow(steady(3, 0, 4, (10, 16)), (10, 16), 3)
    assert grains.shape == (5, 10, 16)
    np.testing.assert_array_equal(grains[4][:, 12:15], grains[0][:, 0:3])
    for row in (0, 3, 6):
        assert (grains[:, row : row + 3, 3:6] == grains[:, row : row + 1, 3:4]).all()
    slow = follow(steady(1, 0, 3, (10, 16)), (10, 16), 3)
    np.testing.assert_array_equal(slow[3][:, 3:6], slow[0][:, 0:3])


def test_colours_are_all_bytes_and_another_draw_shares_nothing() -> None:
    grains = follow(steady(1, 1, 3), (12, 20))
    one, same, other = (animate(grains, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert one.dtype == np.uint8
    assert (one == other).mean() < 0.02
    assert len(np.unique(noise(flows_of(moving("sprite")), 0))) == 256


def speed(flow: Flow) -> np.ndarray:
    return np.hypot(flow[..., 0], flow[..., 1])


def local(values: np.ndarray, side: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each square of pixels; squares do not overlap, so that they are independent."""
    height, width = (n // side * side for n in values.shape)
    squares = values[:height, :width].reshape(height // side, side, width // side, side)
    return squares.mean(axis=(1, 3)), squares.var(axis=(1, 3))


def alike(values: np.ndarray, side: int = 3) -> np.ndarray:
    """How alike neighbours are in each square: the mean product of pixels beside each other, from the overall mean."""
    centred = values - values.mean()
    product = np.zeros_like(values)
    product[:, :-1] = centred[:, :-1] * centred[:, 1:]
    product[:-1] += centred[:-1] * centred[1:]
    return local(product, side)[0]


def told(make: Callable[[list[Flow], int], np.ndarray], motion: str) -> dict[str, float]:
    """How far a last frame tells what moves: correlations with the speed, in standard errors of independent squares."""
    found: dict[str, list[np.ndarray]] = {"mean": [], "variance": [], "alike": []}
    speeds = []
    for number in range(6):
        flows = flows_of(moving(motion, number))
        grey = make(flows, number)[-1].mean(axis=2)
        mean, variance = local(grey)
        for name, values in (("mean", mean), ("variance", variance), ("alike", alike(grey))):
            found[name].append(values.ravel())
        speeds.append(local(speed(flows[-1]))[0].ravel())
    moved = np.concatenate([(each - each.mean()) / (each.std() + 1e-9) for each in speeds])
    return {
        name: float(np.corrcoef(np.concatenate(values), moved)[0, 1] * np.sqrt(len(moved)))
        for name, values in found.items()
    }


@pytest.mark.parametrize("motion", ["sprite", "expansion", "rotation"])
def test_no_frame_tells_how_fast_a_place_moves(motion: str) -> None:
    assert max(map(abs, told(noise, motion).values())) < 4


@pytest.mark.parametrize("motion", ["expansion", "rotation"])
def test_what_is_stretched_and_copied_would_be_noticed(motion: str) -> None:
    assert max(map(abs, told(warped, motion).values())) > 8


def test_moving_and_still_places_have_the_same_statistics() -> None:
    """Of the last frames of many noises: mean, variance, and how alike neighbours are, in and outside of the figure."""
    clip = moving("sprite", 3)
    inside, flows = clip.masks[-1], flows_of(clip)
    frames = np.stack([noise(flows, seed)[-1].mean(axis=2) for seed in range(30)])
    beside = (frames[:, :, :-1] - frames.mean()) * (frames[:, :, 1:] - frames.mean())
    edge = inside[:, :-1] != inside[:, 1:]
    assert inside.mean() > 0.02
    deviation = 255 / 12**0.5 / 3**0.5
    for where in (inside, ~inside):
        count = frames[:, where].size
        assert frames[:, where].mean() == pytest.approx(127.5, abs=4 * deviation / count**0.5)
        assert frames[:, where].std() == pytest.approx(deviation, rel=4 / count**0.5)
    for where in (inside[:, :-1] & ~edge, ~inside[:, :-1] & ~edge, edge):
        assert abs(beside[:, where].mean()) < 4 * deviation**2 / beside[:, where].size ** 0.5


def patches(frames: np.ndarray) -> np.ndarray:
    """(places, features): grey levels of 5 x 5 pixels about each place, their squares, and products of neighbours."""
    grey = (frames.mean(axis=-1) - 127.5) / 42.5
    views = np.lib.stride_tricks.sliding_window_view(grey, (5, 5), axis=(1, 2))[:, ::3, ::3]
    flat = views.reshape(*views.shape[:3], 25)
    across = (views[..., :-1] * views[..., 1:]).reshape(*views.shape[:3], 20)
    return np.concatenate([flat, flat**2, across], axis=-1).reshape(-1, 70)


def guessed(make: Callable[[list[Flow], int], np.ndarray]) -> float:
    """Correlation of where the figure is with what least squares learned of it from other scenes' single frames."""
    shown, wanted = [], []
    for number in range(8):
        clip = moving("sprite", number)
        shown.append(patches(make(flows_of(clip), number)[-1:]))
        inside = clip.masks[-1][2:-2, 2:-2][::3, ::3].ravel().astype(float)
        wanted.append(inside - inside.mean())
    learned = np.linalg.lstsq(np.concatenate(shown[:5]), np.concatenate(wanted[:5]), rcond=None)[0]
    guess, truth = np.concatenate(shown[5:]) @ learned, np.concatenate(wanted[5:])
    return float(np.corrcoef(guess, truth)[0, 1])


def test_nothing_can_learn_to_find_the_figure_in_a_single_frame() -> None:
    places = 3 * 31 * 42
    assert abs(guessed(noise)) < 4 / places**0.5


def test_the_motion_is_there() -> None:
    """Flow of the noise, estimated otherwise: the shift with which each square of pixels is found in the next frame."""
    clip = moving("sprite", 0, frames=6)
    flows = flows_of(clip)
    frames = noise(flows, 0).astype(np.float32)
    true, found = [], []
    for time in range(2, 5):
        for top in range(8, SIZE[0] - 24, 8):
            for left in range(8, SIZE[1] - 24, 8):
                square = frames[time, top : top + 12, left : left + 12]
                shifts = [(x, y) for x in range(-7, 8) for y in range(-7, 8)]
                errors = [
                    np.abs(frames[time + 1, top + y : top + y + 12, left + x : left + x + 12] - square).mean()
                    for x, y in shifts
                ]
                found.append(shifts[int(np.argmin(errors))])
                true.append(np.median(flows[time][top : top + 12, left : left + 12].reshape(-1, 2), axis=0))
    off = np.hypot(*(np.array(found) - np.array(true)).T)
    assert np.median(off) < 1
    for axis in (0, 1):
        assert np.corrcoef(np.array(found)[:, axis], np.array(true)[:, axis])[0, 1] > 0.7


def test_flow_of_the_wrong_size_is_named() -> None:
    with pytest.raises(InputError, match=r"expected flow of 12 x 20 pixels; got \(6, 6, 2\)"):
        follow(steady(0, 0, 1, (6, 6)), (12, 20))
    with pytest.raises(InputError, match="at least 1 pixel; got 0"):
        follow(steady(0, 0, 1), (12, 20), 0)


def test_the_method_of_optical_flow_sees_it_too() -> None:
    clip = moving("translation", 1, frames=4)
    frames = noise(flows_of(clip), 5)
    found, true = dis_method()(frames[1], frames[2]), clip.flow(1)
    assert np.median(np.hypot(*(found - true).reshape(-1, 2).T)) < 1
