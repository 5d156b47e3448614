"""Rendering clips of which everything is known: how each point moves, where the figure is, what it looks like.

Appearance and motion are drawn apart and can be crossed: any appearance can be shown in any motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError, unknown_name
from sdbench.video.frames import Frames
from sdbench.video.textures import TEXELS, Texture, draw_palette, draw_texture

Flow = npt.NDArray[np.float32]
"""(H, W, 2): how far a pixel's content moves to the right and down, in pixels."""

_Floats = npt.NDArray[np.float32]

FIELD_MOTIONS = ("translation", "rotation", "expansion")
MOTIONS = (*FIELD_MOTIONS, "sprite", "dots")
"""The whole field moves; a sprite moves over a moving ground; a figure of random dots that no single frame shows."""

_TRAVEL = 0.3
"""The longest way of a sprite's centre and of the field in a clip, as a fraction of the frame's shorter side."""


@dataclass(frozen=True)
class Appearance:
    """What a clip looks like, whatever moves. Only what a motion shows is drawn, each part from a seed of its own.

    Attributes:
        kinds: of `sdbench.video.textures.TEXTURES`, for the field and for the sprite.
        seed: of all that is drawn.
        period: after so many pixels the textures repeat.
    """

    kinds: tuple[str, str]
    seed: int
    period: int

    @cached_property
    def ground(self) -> Texture:
        """Texture of the field."""
        return draw_texture(self.kinds[0], self._generator(0), self.period)

    @cached_property
    def figure(self) -> Texture:
        """Texture of the sprite."""
        return draw_texture(self.kinds[1], self._generator(1), self.period)

    @cached_property
    def dots(self) -> npt.NDArray[np.bool_]:
        """(2, N, N) random dots of the field and of the figure, true with an even chance; more than a frame holds."""
        return self._generator(2).random((2, 2 * self.period, 2 * self.period)) < 0.5

    @cached_property
    def dot_colours(self) -> npt.NDArray[np.uint8]:
        """(2, 3): the two colours of random dots."""
        return (255 * draw_palette(self._generator(3), 2) + 0.5).astype(np.uint8)

    def _generator(self, part: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, part]))


@dataclass(frozen=True)
class Path:
    """A steady motion: every frame the same shift, turn and growth about a centre.

    Attributes:
        velocity: to the right and down, in pixels a frame.
        turn: radians a frame, clockwise on the screen.
        growth: logarithm of the scaling of a frame.
    """

    velocity: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    growth: float = 0.0

    def to_start(self, points: _Floats, centre: _Floats, time: float) -> _Floats:
        """Where the points (..., 2) as (x, y) that are seen at `time` were in frame 0."""
        return _turned(points - centre - self.shift(time), -self.turn * time, np.exp(-self.growth * time)) + centre

    def from_start(self, points: _Floats, centre: _Floats, time: float) -> _Floats:
        """Where points of frame 0 are seen at `time`."""
        return _turned(points - centre, self.turn * time, np.exp(self.growth * time)) + centre + self.shift(time)

    def shift(self, time: float) -> _Floats:
        """(2,): how far the centre has moved since frame 0."""
        return np.asarray(np.multiply(self.velocity, time), dtype=np.float32)


@dataclass(frozen=True)
class Outline:
    """A sprite's shape and where it starts: r(angle) = radius * (1 + sum of waves), in pixels.

    Attributes:
        centre: (x, y) in frame 0.
        radius: mean radius.
        waves: (number of bumps, height, phase) of each wave.
    """

    centre: tuple[float, float]
    radius: float
    waves: tuple[tuple[int, float, float], ...]

    def inside(self, points: _Floats) -> _Floats:
        """How deep points (..., 2) of frame 0 lie inside, in pixels; negative outside."""
        away = points - np.asarray(self.centre, dtype=np.float32)
        angle = np.arctan2(away[..., 1], away[..., 0])
        radius = np.full(angle.shape, self.radius, dtype=np.float32)
        for bumps, height, phase in self.waves:
            radius += np.float32(self.radius * height) * np.cos(bumps * angle + np.float32(phase))
        return np.asarray(radius - np.hypot(away[..., 0], away[..., 1]))


@dataclass(frozen=True)
class Motion:
    """How a clip moves, whatever it looks like.

    Attributes:
        kind: one of `MOTIONS`.
        ground: how the field moves about the frame's middle.
        outline: the sprite's shape and start; None where there is none.
        figure: how the sprite moves about its own centre.
        dot: size of a random dot in pixels; 0 where textures are shown.
    """

    kind: str
    ground: Path
    outline: Outline | None = None
    figure: Path = Path()
    dot: int = 0


@dataclass(frozen=True)
class RenderedClip:
    """A clip and all that is true of it.

    Attributes:
        frames: (T, H, W, 3) uint8.
        masks: (T, H, W) bool, true where the sprite is; all false where there is none.
        motion: what moved.
    """

    frames: Frames
    masks: npt.NDArray[np.bool_]
    motion: Motion

    def flow(self, time: int, to: int | None = None) -> Flow:
        """Exact flow from frame `time` to frame `to`, by default the next.

        What is covered at `to` has the flow of its own surface all the same.
        """
        return exact_flow(self.motion, self.masks[time], time, time + 1 if to is None else to)


def draw_appearance(kinds: tuple[str, ...], generator: np.random.Generator, size: tuple[int, int]) -> Appearance:
    """An appearance for frames of `size` (height, width): textures of `kinds`, random dots, colours."""
    ground, figure = (str(generator.choice(kinds)) for _ in range(2))
    period = 32 * -(-max(size) // 32)
    return Appearance((ground, figure), int(generator.integers(2**62)), period)


def draw_motion(kind: str, generator: np.random.Generator, size: tuple[int, int], frames: int, dot: int = 2) -> Motion:
    """A motion for clips of `frames` frames of `size` (height, width).

    Raises:
        InputError: the kind is unknown, or there are fewer than two frames.
    """
    if kind not in MOTIONS:
        raise unknown_name("motion", kind, MOTIONS)
    if frames < 2:
        raise InputError(f"a clip that moves needs at least 2 frames; got {frames}")
    if kind in FIELD_MOTIONS:
        return Motion(kind, _draw_path(kind, generator, size, frames))
    height, width = size
    near = min(height, width)
    centre = tuple(float(side / 2 + near * generator.uniform(-0.12, 0.12)) for side in (width, height))
    waves = tuple((n, float(generator.uniform(0, 0.12)), float(generator.uniform(0, 2 * np.pi))) for n in (2, 3, 5))
    outline = Outline((centre[0], centre[1]), float(near * generator.uniform(0.15, 0.22)), waves)
    return redraw_motion(Motion(kind, Path(), outline, dot=dot if kind == "dots" else 0), generator, size, frames)


def redraw_motion(motion: Motion, generator: np.random.Generator, size: tuple[int, int], frames: int) -> Motion:
    """Another motion that can begin with the same frame: the sprite's shape and start stay."""
    if motion.kind in FIELD_MOTIONS:
        kind = str(generator.choice(FIELD_MOTIONS))
        return Motion(kind, _draw_path(kind, generator, size, frames))
    if motion.kind == "dots":
        # Whole dots: a fraction would blur figure and ground unlike, and a single frame would show the figure.
        steps = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
        ground, figure = generator.choice(len(steps), 2, replace=False)
        paths = [Path((motion.dot * float(steps[i][0]), motion.dot * float(steps[i][1]))) for i in (ground, figure)]
        return replace(motion, ground=paths[0], figure=paths[1])
    ground_path = _draw_path("translation", generator, size, frames)
    figure_path = _draw_path("translation", generator, size, frames)
    turn = float(generator.uniform(-0.06, 0.06))
    return replace(motion, ground=ground_path, figure=replace(figure_path, turn=turn))


def render(appearance: Appearance, motion: Motion, size: tuple[int, int], frames: int) -> RenderedClip:
    """Show an appearance in a motion: `frames` frames of `size` (height, width)."""
    masks = np.zeros((frames, *size), dtype=np.bool_)
    shown = np.empty((frames, *size, 3), dtype=np.uint8)
    grid, middle = _grid(size), _middle(size)
    for time in range(frames):
        if motion.dot:
            masks[time] = _figure_of_dots(motion, grid, time)
            fields = (
                _dots(appearance.dots[0], motion.ground, motion.dot, grid, time),
                _dots(appearance.dots[1], motion.figure, motion.dot, grid, time),
            )
            lit = np.where(masks[time], fields[1], fields[0])
            shown[time] = appearance.dot_colours[lit.astype(np.intp)]
            continue
        if motion.ground.turn == 0 and motion.ground.growth == 0:
            picture = _sampled_shifted(appearance.ground, size, motion.ground.shift(time))
        else:
            picture = _sampled(appearance.ground, motion.ground.to_start(grid, middle, time))
        if motion.outline is not None:
            centre = np.asarray(motion.outline.centre, dtype=np.float32)
            near = _neighbourhood(motion, centre, size, time)
            start = motion.figure.to_start(grid[near], centre, time)
            cover = np.clip(motion.outline.inside(start) + 0.5, 0, 1)
            masks[time][near] = cover >= 0.5
            picture[near] *= 1 - cover[..., None]
            picture[near] += cover[..., None] * _sampled(appearance.figure, start - centre)
        shown[time] = (255 * picture + 0.5).astype(np.uint8)
    return RenderedClip(shown, masks, motion)


def exact_flow(motion: Motion, mask: npt.NDArray[np.bool_], time: int, to: int) -> Flow:
    """Flow (H, W, 2) of the pixels of frame `time` to frame `to`; `mask` (H, W) says where the sprite is."""
    size = (mask.shape[0], mask.shape[1])
    grid, middle = _grid(size), _middle(size)
    flow = motion.ground.from_start(motion.ground.to_start(grid, middle, time), middle, to) - grid
    if motion.outline is not None and mask.any():
        centre = np.asarray(motion.outline.centre, dtype=np.float32)
        points = grid[mask]
        flow[mask] = motion.figure.from_start(motion.figure.to_start(points, centre, time), centre, to) - points
    return flow


def _draw_path(kind: str, generator: np.random.Generator, size: tuple[int, int], frames: int) -> Path:
    """A path whose fastest point goes between a third of and the whole of `_TRAVEL` in the clip."""
    near = min(size)
    fastest = _TRAVEL * near / (frames - 1)
    speed = float(generator.uniform(fastest / 3, fastest))
    sign = float(generator.choice((-1.0, 1.0)))
    if kind == "rotation":
        return Path(turn=sign * speed / (near / 2))
    if kind == "expansion":
        return Path(growth=sign * speed / (near / 2))
    angle = float(generator.uniform(0, 2 * np.pi))
    return Path((speed * float(np.cos(angle)), speed * float(np.sin(angle))))


def _grid(size: tuple[int, int]) -> _Floats:
    """(H, W, 2): x and y of every pixel."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return np.stack([x, y], axis=-1)


def _middle(size: tuple[int, int]) -> _Floats:
    return np.array([(size[1] - 1) / 2, (size[0] - 1) / 2], dtype=np.float32)


def _turned(points: _Floats, angle: float, scale: float) -> _Floats:
    if angle == 0 and scale == 1:
        return points
    c, s = np.float32(scale * np.cos(angle)), np.float32(scale * np.sin(angle))
    return points @ np.array([[c, s], [-s, c]], dtype=np.float32)


def _sampled(texture: Texture, points: _Floats) -> _Floats:
    """The texture's colours (..., 3) at points (..., 2) in pixels, read between its values in straight lines."""
    count = texture.shape[0]
    places = points * np.float32(TEXELS)
    whole = np.floor(places)
    part = places - whole
    left, top = (whole[..., i].astype(np.int32) % count for i in (0, 1))
    right, bottom = (left + 1) % count, (top + 1) % count
    top *= count
    bottom *= count
    flat = texture.reshape(-1, 3)
    corners = [flat.take(row + column, axis=0) for row in (top, bottom) for column in (left, right)]
    return _blended(corners, part)


def _sampled_shifted(texture: Texture, size: tuple[int, int], shift: _Floats) -> _Floats:
    """As `_sampled` for all pixels of a frame of `size`, less `shift` (2,): rows and columns are read whole."""
    count = texture.shape[0]
    starts = -shift * np.float32(TEXELS)
    whole = np.floor(starts)
    columns, rows = (
        (np.arange(n, dtype=np.intp) * TEXELS + int(start)) % count
        for n, start in zip((size[1], size[0]), whole, strict=True)
    )
    next_columns, next_rows = (columns + 1) % count, (rows + 1) % count
    corners = [texture[np.ix_(r, c)] for r in (rows, next_rows) for c in (columns, next_columns)]
    return _blended(corners, starts - whole)


def _blended(corners: list[_Floats], part: _Floats) -> _Floats:
    """Colours between four values, the upper two first; `part` (..., 2) is how far right and down. Reuses `corners`."""
    upper_left, upper_right, lower_left, lower_right = corners
    x, y = part[..., 0, None], part[..., 1, None]
    upper_right -= upper_left
    upper_right *= x
    upper_left += upper_right
    lower_right -= lower_left
    lower_right *= x
    lower_left += lower_right
    lower_left -= upper_left
    lower_left *= y
    upper_left += lower_left
    return upper_left


def _neighbourhood(motion: Motion, centre: _Floats, size: tuple[int, int], time: int) -> tuple[slice, slice]:
    """Rows and columns of the frame that hold the whole sprite."""
    assert motion.outline is not None
    reach = motion.outline.radius * (1 + sum(abs(height) for _, height, _ in motion.outline.waves)) + 1
    reach *= float(np.exp(max(0.0, motion.figure.growth * time)))
    x, y = centre + motion.figure.shift(time)
    top, bottom = (int(np.clip(edge, 0, size[0])) for edge in (np.floor(y - reach), np.ceil(y + reach) + 1))
    left, right = (int(np.clip(edge, 0, size[1])) for edge in (np.floor(x - reach), np.ceil(x + reach) + 1))
    return slice(top, bottom), slice(left, right)


def _dots(field: npt.NDArray[np.bool_], path: Path, dot: int, grid: _Floats, time: int) -> npt.NDArray[np.bool_]:
    """Which pixels are lit at `time`: the field, moved by whole dots."""
    count = len(field)
    steps = [round(time * part / dot) for part in path.velocity]
    x, y = (grid[..., i].astype(np.intp) // dot - steps[i] for i in (0, 1))
    return np.asarray(field[y % count, x % count])


def _figure_of_dots(motion: Motion, grid: _Floats, time: int) -> npt.NDArray[np.bool_]:
    """The figure's mask at `time`, of whole dots."""
    assert motion.outline is not None
    corner = (grid // motion.dot) * motion.dot + np.float32((motion.dot - 1) / 2)
    return np.asarray(motion.outline.inside(corner - motion.figure.shift(time)) > 0)
