"""Rendering clips of which everything is known: how each point moves, where the figure is, what it looks like.

An *appearance* is all that a single frame shows: textures or dots, the shape of a figure, and the *pose* of ground and
figure, which is drawn evenly from all that there are. A *motion* moves the pose from frame to frame, and every motion
can move every appearance. No motion makes any pose likelier than another:

- a place lies on a torus, on which the texture (or, for a figure, the frame) repeats: a shift takes all places to all;
- an angle lies on the circle, which a turn takes to itself;
- a size lies on no circle, so the ground is given one: it is seen in two sizes at once, half a round apart. Each fades
  in from one end and out to the other, and where it goes from the last back to the first it is not seen. So growth can
  go on for ever, as the tones of Shepard's staircase rise ("Circularity in Judgments of Relative Pitch", 1964). (An
  interval whose ends are mirrors would not do: what was even on it does not stay so, unless the direction is drawn
  with the appearance, and then growth is no part of the motion);
- dots are grains of `sdbench.video.noise`: whatever moves, no two places of a frame show the same grain, and their
  colours are drawn apart.

So at every time of a clip the frames of all appearances have one distribution, which is the same for every motion: one
frame says nothing of the motion, and neither does the mean over frames of anything that is seen in a single one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from sdbench.base.errors import InputError, unknown_name
from sdbench.video.frames import Frames
from sdbench.video.noise import Grains, follow
from sdbench.video.textures import TEXELS, Texture, draw_palette, draw_texture

Flow = npt.NDArray[np.float32]
"""(H, W, 2): how far a pixel's content moves to the right and down, in pixels."""

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]

LOOKS = ("field", "sprite", "dots")
"""A textured field; a textured sprite over it; a figure of random dots over the same dots, which no frame shows."""

MOTIONS = ("translation", "rotation", "expansion")
"""How the ground moves. A figure shifts and turns at once, each as it likes."""

ZOOM = 0.7
"""Largest logarithm of a size: the ground is seen between half and twice as large as its texture."""

_TRAVEL = 0.3
"""The longest way of the field's fastest point in a clip, as a fraction of the frame's shorter side."""

_RADII = (0.15, 0.25)
"""Mean radius of a figure, as a fraction of the frame's shorter side."""

_FASTEST_TURN = 0.9
"""How far a figure turns in a clip at most, in radians."""

_BUMPS = (2, 3, 5)
_HIGHEST = 0.12
"""Waves of a figure's outline, and how high each is at most, as a fraction of the radius."""


@dataclass(frozen=True)
class Pose:
    """Where ground or figure is in frame 0, and how it lies.

    Attributes:
        places: (x, y) in pixels: of the ground, for each of the two sizes, the point of its texture that is seen in the
            middle of the frame; of a figure, where its centre is in the frame.
        angle: radians, clockwise on the screen.
        phase: of the ground, where on the circle of sizes it is, from 0 to 1.
    """

    places: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.0, 0.0))
    angle: float = 0.0
    phase: float = 0.0


@dataclass(frozen=True)
class Outline:
    """A figure's shape: r(angle) = radius * (1 + sum of waves), in pixels.

    Attributes:
        radius: mean radius.
        waves: (number of bumps, height, phase) of each wave.
    """

    radius: float
    waves: tuple[tuple[int, float, float], ...]

    def inside(self, points: _Floats) -> _Floats:
        """How deep points (..., 2), seen from the centre, lie inside, in pixels; negative outside."""
        angle = np.arctan2(points[..., 1], points[..., 0])
        radius = np.full(angle.shape, self.radius, dtype=np.float32)
        for bumps, height, phase in self.waves:
            radius += np.float32(self.radius * height) * np.cos(bumps * angle + np.float32(phase))
        return np.asarray(radius - np.hypot(points[..., 0], points[..., 1]))


@dataclass(frozen=True)
class Appearance:
    """All that a single frame of a clip shows, whatever moves. What is drawn has a seed of its own for each part.

    Attributes:
        look: one of `LOOKS`.
        kinds: of `sdbench.video.textures.TEXTURES`, for the field and for the sprite.
        seed: of all that is drawn.
        period: after so many pixels the textures repeat.
        pose: of the ground in frame 0.
        figure_pose: of the figure.
        outline: shape of the figure.
        dot: side of a random dot in pixels.
    """

    look: str
    kinds: tuple[str, str]
    seed: int
    period: int
    pose: Pose
    figure_pose: Pose
    outline: Outline
    dot: int = 2

    @cached_property
    def ground(self) -> Texture:
        """Texture of the field."""
        return draw_texture(self.kinds[0], self._generator(0), self.period)

    @cached_property
    def figure(self) -> Texture:
        """Texture of the sprite."""
        return draw_texture(self.kinds[1], self._generator(1), self.period)

    def dots(self, grains: Grains) -> Frames:
        """(..., 3): each grain in one of two colours, with an even chance."""
        lit = self._generator(2).random(int(grains.max()) + 1) < 0.5
        colours = (255 * draw_palette(self._generator(3), 2) + 0.5).astype(np.uint8)
        return np.asarray(colours[lit.astype(np.intp)][grains])

    def _generator(self, part: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, part]))


@dataclass(frozen=True)
class Path:
    """A steady motion: every frame the same shift, turn and growth about a centre that moves with the shift.

    Attributes:
        velocity: to the right and down, in pixels a frame.
        turn: radians a frame, clockwise on the screen.
        growth: how much the logarithm of the size changes in a frame.
    """

    velocity: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    growth: float = 0.0

    def phases(self, pose: Pose, times: npt.ArrayLike) -> _Doubles:
        """Where on the circle of sizes is at some times what had a pose in frame 0."""
        return np.asarray(np.mod(pose.phase + self.growth / (2 * ZOOM) * np.asarray(times, dtype=np.float64), 1.0))


@dataclass(frozen=True)
class Motion:
    """How a clip moves, whatever it looks like.

    Attributes:
        kind: one of `MOTIONS`: how the ground moves.
        ground: how the ground moves about the frame's middle.
        figure: how a figure moves, where there is one, about its own centre.
    """

    kind: str
    ground: Path
    figure: Path = Path()


@dataclass(frozen=True)
class RenderedClip:
    """A clip and all that is true of it.

    Attributes:
        frames: (T, H, W, 3) uint8.
        masks: (T, H, W) bool, true where the figure is; all false where there is none.
        appearance: what was moved.
        motion: what moved it.
    """

    frames: Frames
    masks: npt.NDArray[np.bool_]
    appearance: Appearance
    motion: Motion

    def flow(self, time: int, to: int | None = None) -> Flow:
        """Exact flow from frame `time` to frame `to`, by default the next.

        What is covered at `to`, or has left the frame, has the flow of its own surface all the same.
        """
        return exact_flow(self.appearance, self.motion, self.masks[time], time, time + 1 if to is None else to)


def draw_appearance(
    kinds: tuple[str, ...],
    generator: np.random.Generator,
    size: tuple[int, int],
    looks: tuple[str, ...] = LOOKS,
    dot: int = 2,
) -> Appearance:
    """An appearance for frames of `size` (height, width): its look, textures of `kinds`, shape, pose, and a seed."""
    look = str(generator.choice(looks))
    ground, figure = (str(generator.choice(kinds)) for _ in range(2))
    period = 32 * -(-max(size) // 32)
    ground_pose = _draw_pose(generator, (period, period), 2)
    figure_pose = _draw_pose(generator, (size[1], size[0]), 1)
    radius = float(min(size) * generator.uniform(*_RADII))
    waves = tuple(
        (bumps, float(generator.uniform(0, _HIGHEST)), float(generator.uniform(0, 2 * np.pi))) for bumps in _BUMPS
    )
    seed = int(generator.integers(2**62))
    return Appearance(look, (ground, figure), seed, period, ground_pose, figure_pose, Outline(radius, waves), dot)


def draw_motion(kinds: tuple[str, ...], generator: np.random.Generator, size: tuple[int, int], frames: int) -> Motion:
    """A motion for clips of `frames` frames of `size` (height, width): a path for the ground and one for a figure.

    Raises:
        InputError: a kind is unknown, or there are fewer than two frames.
    """
    for kind in kinds:
        if kind not in MOTIONS:
            raise unknown_name("motion", kind, MOTIONS)
    if frames < 2:
        raise InputError(f"a clip that moves needs at least 2 frames; got {frames}")
    kind, near = str(generator.choice(kinds)), min(size)
    fastest = _TRAVEL * near / (frames - 1)
    figure = _draw_path("translation", generator, fastest, near / 2)
    turn = float(generator.uniform(-1, 1)) * _FASTEST_TURN / (frames - 1)
    return Motion(kind, _draw_path(kind, generator, fastest, near / 2), replace(figure, turn=turn))


def render(appearance: Appearance, motion: Motion, size: tuple[int, int], frames: int) -> RenderedClip:
    """Show an appearance in a motion: `frames` frames of `size` (height, width)."""
    grid, times = _grid(size), np.arange(frames)
    masks = np.zeros((frames, *size), dtype=np.bool_)
    if appearance.look == "dots":
        corner = (grid // appearance.dot) * appearance.dot + np.float32((appearance.dot - 1) / 2)
        masks[:] = appearance.outline.inside(_of_figure(appearance, motion, corner, size, times)) > 0
        flows = (exact_flow(appearance, motion, masks[time], time, time + 1) for time in range(frames - 1))
        return RenderedClip(appearance.dots(follow(flows, size, appearance.dot)), masks, appearance, motion)
    away = grid - _middle(size) - _shifts(motion.ground, times)
    shown = np.zeros((*masks.shape, 3), dtype=np.float32)
    phases = motion.ground.phases(appearance.pose, times)
    for place, offset in zip(appearance.pose.places, (0.0, 0.5), strict=True):
        zooms = ZOOM * (2 * np.mod(phases + offset, 1.0) - 1)
        weights = np.square(np.cos(np.pi / (2 * ZOOM) * zooms)).astype(np.float32)  # the two add up to 1
        points = _unposed(away, appearance.pose, motion.ground, times, zooms)
        shown += weights[:, None, None, None] * _sampled(appearance.ground, points + _point(place))
    if appearance.look == "sprite":
        points = _of_figure(appearance, motion, grid, size, times)
        cover = np.clip(appearance.outline.inside(points) + np.float32(0.5), 0, 1)
        masks[:] = cover >= 0.5
        touched = cover > 0
        part = cover[touched][:, None]
        shown[touched] = (1 - part) * shown[touched] + part * _sampled(appearance.figure, points[touched])
    shown *= 255
    shown += 0.5
    return RenderedClip(shown.astype(np.uint8), masks, appearance, motion)


def exact_flow(appearance: Appearance, motion: Motion, mask: npt.NDArray[np.bool_], time: int, to: int) -> Flow:
    """Flow (H, W, 2) of the pixels of frame `time` to frame `to`; `mask` (H, W) says where the figure is."""
    size = (mask.shape[0], mask.shape[1])
    grid = _grid(size)
    away = grid - _middle(size) - _shifts(motion.ground, [time])[0]
    flow = _step(away, motion.ground, to - time)
    if mask.any():
        centre = _point(appearance.figure_pose.places[0]) + _shifts(motion.figure, [time])[0, 0]
        flow[mask] = _step(_wrapped(grid[mask] - centre, size), motion.figure, to - time)
    return flow


def _draw_pose(generator: np.random.Generator, sides: tuple[float, float], places: int) -> Pose:
    """Any places on a torus of these sides, any angle, any size."""
    drawn = generator.random((places, 2)) * sides
    angle, phase = generator.random(2).tolist()
    return Pose(tuple((float(x), float(y)) for x, y in drawn), 2 * np.pi * angle, phase)


def _draw_path(kind: str, generator: np.random.Generator, fastest: float, reach: float) -> Path:
    """A path on which a point so far from the centre goes between a third of and the whole of `fastest` a frame."""
    speed = float(generator.uniform(fastest / 3, fastest))
    sign = float(generator.choice((-1.0, 1.0)))
    angle = float(generator.uniform(0, 2 * np.pi))
    if kind == "rotation":
        return Path(turn=sign * speed / reach)
    if kind == "expansion":
        return Path(growth=sign * speed / reach)
    return Path((speed * float(np.cos(angle)), speed * float(np.sin(angle))))


@lru_cache(maxsize=4)
def _grid(size: tuple[int, int]) -> _Floats:
    """(H, W, 2): x and y of every pixel; nobody may write to it."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    grid = np.stack([x, y], axis=-1)
    grid.flags.writeable = False
    return grid


def _point(place: tuple[float, float]) -> _Floats:
    return np.array(place, dtype=np.float32)


def _middle(size: tuple[int, int]) -> _Floats:
    return np.array([(size[1] - 1) / 2, (size[0] - 1) / 2], dtype=np.float32)


def _shifts(path: Path, times: npt.ArrayLike) -> _Floats:
    """(T, 1, 1, 2): how far the centre has moved since frame 0."""
    moved = np.multiply.outer(np.asarray(times, dtype=np.float64), path.velocity)
    return moved.astype(np.float32)[:, None, None]


def _wrapped(away: _Floats, size: tuple[int, int]) -> _Floats:
    """The shortest way there on the torus of a frame."""
    sides = np.array([size[1], size[0]], dtype=np.float32)
    return np.asarray(away - sides * np.round(away / sides))


def _turn(angle: npt.ArrayLike, zoom: npt.ArrayLike) -> _Doubles:
    """(..., 2, 2): what rows (x, y) are multiplied with to be turned and scaled."""
    c, s = np.exp(zoom) * np.cos(angle), np.exp(zoom) * np.sin(angle)
    turn = np.empty((*np.shape(c), 2, 2))
    turn[..., 0, 0], turn[..., 0, 1], turn[..., 1, 0], turn[..., 1, 1] = c, s, -s, c
    return turn


def _unposed(
    away: _Floats, pose: Pose, path: Path, times: npt.NDArray[np.int64], zooms: npt.ArrayLike = 0.0
) -> _Floats:
    """Points (T, H, W, 2), seen from the centre at each time, as they lie on the surface itself."""
    angles = pose.angle + path.turn * times
    back = _turn(-angles, -np.broadcast_to(zooms, angles.shape)).astype(np.float32)
    return np.asarray((away.reshape(len(times), -1, 2) @ back).reshape(away.shape))


def _of_figure(
    appearance: Appearance, motion: Motion, grid: _Floats, size: tuple[int, int], times: npt.NDArray[np.int64]
) -> _Floats:
    """(T, H, W, 2): every pixel as a point of the figure's own surface, at each time."""
    centre = _point(appearance.figure_pose.places[0])
    away = _wrapped(grid - centre - _shifts(motion.figure, times), size)
    return _unposed(away, appearance.figure_pose, motion.figure, times)


def _step(away: _Floats, path: Path, steps: int) -> _Floats:
    """How far points (..., 2), seen from the centre, move in so many frames."""
    change = (_turn(path.turn * steps, path.growth * steps) - np.eye(2)).astype(np.float32)
    return np.asarray(away @ change + np.multiply(path.velocity, steps).astype(np.float32))


def _sampled(texture: Texture, points: _Floats) -> _Floats:
    """The texture's colours (..., 3) at points (..., 2) in pixels, read between its values in straight lines."""
    count = texture.shape[0]
    places = points.reshape(1, 1, -1, 2) * np.float32(TEXELS)
    places -= count * np.floor(places / np.float32(count))  # in [0, count], where column `count` is column 0
    places *= np.float32(2 / count)
    places -= 1
    whole = torch.from_numpy(np.pad(texture, ((0, 1), (0, 1), (0, 0)), mode="wrap")).permute(2, 0, 1)[None]
    read = F.grid_sample(whole, torch.from_numpy(places), "bilinear", "border", align_corners=True)
    return np.ascontiguousarray(read[0, :, 0].T.numpy()).reshape(*points.shape[:-1], 3)
