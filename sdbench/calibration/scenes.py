"""Pictures with exact optical flow in which one sprite is seen in the picture alone, and another in the flow alone.

The *still* sprite is of another texture than the background and moves with it: the flow does not show it. The *moving*
sprite is camouflaged: it is a part of the picture, of whatever the picture shows there, that is about to move otherwise
than the rest; in no frame does it leave a trace. What is seen and what moves are drawn independently, so that either
can be exchanged without touching the other.

Every draw comes from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sdbench.calibration.drawing import KINDS, PERIOD, Floats, Ints, Textures

SIDE = 48
"""Height and width of a scene in pixels."""

_RADII = (7.0, 13.0)
_MARGIN = 11  # of a sprite's centre to the edge
_SPEED = 3.0  # of the background at most, in pixels a frame
_RELATIVE = (1.5, 3.0)  # speed of the moving sprite, seen from the background
_FULL = 6.0  # speed that is drawn in the purest colour
_MUTED = np.float32(0.4)  # contrast of the background, so that the still sprite stands out
_LATER = 2  # the second frame of a pair is at most so many frames away

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for images and flow pictures alike

Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sprites:
    """B ellipses: `centre` (B, 2) as y and x in pixels, `radii` (B, 2) in pixels, `turn` (B,) in radians."""

    centre: npt.NDArray[np.float64]
    radii: npt.NDArray[np.float64]
    turn: npt.NDArray[np.float64]

    def masks(self, moved: npt.NDArray[np.float64] | float = 0.0) -> Masks:
        """(B, SIDE, SIDE), true inside, after each has moved by `moved` (B, 2) pixels."""
        centre = (self.centre + moved)[:, :, None, None]
        y, x = np.arange(SIDE)[:, None] - centre[:, 0], np.arange(SIDE) - centre[:, 1]
        cos, sin = np.cos(self.turn)[:, None, None], np.sin(self.turn)[:, None, None]
        along, across = (x * cos + y * sin) / self.radii[:, :1, None], (y * cos - x * sin) / self.radii[:, 1:, None]
        return np.asarray(along**2 + across**2 < 1)


@dataclass(frozen=True)
class Looks:
    """What B scenes show: a background, and a still sprite of another kind of texture.

    Attributes:
        textures: (B, 2) numbers in a pool: background, sprite.
        start: (B, 2, 2) the pixel of each in the upper left corner.
        sprite: the still sprites.
    """

    textures: Ints
    start: Ints
    sprite: Sprites


@dataclass(frozen=True)
class Moves:
    """How B scenes move.

    Attributes:
        ground: (B, 2) velocity of background and still sprite, y and x in pixels a frame.
        own: (B, 2) velocity of the moving sprite.
        sprite: the moving sprites.
        later: (B,) how many frames on the second frame of a pair is, not 0; it may be earlier.
    """

    ground: npt.NDArray[np.float64]
    own: npt.NDArray[np.float64]
    sprite: Sprites
    later: Ints


def _draw_sprites(count: int, generator: np.random.Generator) -> Sprites:
    centre = generator.uniform(_MARGIN, SIDE - 1 - _MARGIN, (count, 2))
    return Sprites(centre, generator.uniform(*_RADII, (count, 2)), generator.uniform(0, np.pi, count))


def draw_looks(textures: Textures, count: int, generator: np.random.Generator) -> Looks:
    """Appearances of `count` scenes."""
    ground = generator.integers(0, len(KINDS), count)
    other = (ground + generator.integers(1, len(KINDS), count)) % len(KINDS)
    numbers = np.stack([textures.of_kind(kinds, generator) for kinds in (ground, other)], axis=1)
    return Looks(numbers, generator.integers(0, PERIOD, (count, 2, 2)), _draw_sprites(count, generator))


def draw_moves(count: int, generator: np.random.Generator) -> Moves:
    """Motions of `count` scenes."""

    def velocity(least: float, most: float) -> npt.NDArray[np.float64]:
        heading, speed = generator.uniform(0, 2 * np.pi, count), generator.uniform(least, most, count)
        return np.asarray(speed[:, None] * np.stack([np.sin(heading), np.cos(heading)], axis=1))

    ground = velocity(0, _SPEED)
    later = generator.integers(1, _LATER + 1, count) * generator.choice((-1, 1), count)
    return Moves(ground, ground + velocity(*_RELATIVE), _draw_sprites(count, generator), later)


@dataclass(frozen=True)
class Scenes:
    """What B scenes look like at one time.

    Attributes:
        image: (B, SIDE, SIDE, 3) in 0 to 1.
        flow: (B, SIDE, SIDE, 2) to the next frame, in pixels down and to the right.
        still, moving: (B, SIDE, SIDE), where the two sprites are.
    """

    image: Floats
    flow: Floats
    still: Masks
    moving: Masks


def draw_scenes(textures: Textures, looks: Looks, moves: Moves, second: bool = False) -> Scenes:
    """Scenes at the time of the first frame, or of the `second` frame of a pair."""
    time = (moves.later if second else np.zeros_like(moves.later))[:, None]
    drift = np.rint(moves.ground * time)  # whole pixels: textures are not interpolated
    still, moving = looks.sprite.masks(drift), moves.sprite.masks(moves.own * time)
    flat = textures.pictures.reshape(-1, 3)
    places = ((looks.start - drift[:, None].astype(np.int64))[..., None] + np.arange(SIDE)) % PERIOD  # (B, 2, 2, SIDE)
    index = (looks.textures[:, :, None, None] * PERIOD + places[:, :, 0, :, None]) * PERIOD + places[:, :, 1, None, :]
    image = flat[np.where(still, index[:, 1], index[:, 0])]
    image = np.where(still[..., None], image, np.float32(0.5) + _MUTED * (image - np.float32(0.5)))
    flow = np.where(moving[..., None], moves.own[:, None, None], moves.ground[:, None, None])
    return Scenes(image, flow.astype(np.float32), still, moving)


def flow_picture(flow: Floats) -> Floats:
    """Flow (..., 2) drawn as (..., 3) in 0 to 1: hue is direction, saturation is speed, white is at rest."""
    heading = np.arctan2(flow[..., :1], flow[..., 1:])
    pure = 0.5 + 0.5 * np.cos(heading - np.arange(3, dtype=np.float32) * np.float32(2 * np.pi / 3))
    speed = np.minimum(np.hypot(flow[..., :1], flow[..., 1:]) / np.float32(_FULL), 1)
    return np.asarray(1 - speed * (1 - pure), dtype=np.float32)


def _normalised(pictures: Floats) -> Tensor:
    values = (pictures - np.array(_MEAN, dtype=np.float32)) / np.array(_STD, dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))


def scene_tensors(
    textures: Textures, looks: Looks, moves: Moves, paired: bool
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """What a network takes of B scenes, and the masks of the still and of the moving sprite.

    Args:
        textures: the pool.
        looks: what the scenes show.
        moves: how they move.
        paired: two frames a scene, each with forward and backward flow: {"image"} (B, 2, 3, SIDE, SIDE), {"flow"}
            (B, 2, 6, SIDE, SIDE), masks (2B, SIDE, SIDE) with the two frames of a scene one after the other. Otherwise
            one frame with forward flow: (B, 3, SIDE, SIDE) each, masks (B, SIDE, SIDE).
    """
    drawn = [draw_scenes(textures, looks, moves, second) for second in ((False, True) if paired else (False,))]
    images = [_normalised(scenes.image) for scenes in drawn]
    flows = [_normalised(flow_picture(scenes.flow)) for scenes in drawn]
    still, moving = (
        torch.from_numpy(np.stack([getattr(scenes, name) for scenes in drawn], axis=1)).flatten(0, 1)
        for name in ("still", "moving")
    )
    if not paired:
        return {"image": images[0], "flow": flows[0]}, still, moving
    back = [_normalised(flow_picture(-scenes.flow)) for scenes in drawn]  # velocities are constant
    both = [torch.cat(directions, dim=1) for directions in zip(flows, back, strict=True)]
    return {"image": torch.stack(images, dim=1), "flow": torch.stack(both, dim=1)}, still, moving
