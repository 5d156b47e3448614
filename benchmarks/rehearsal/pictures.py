"""What the made-up videos show: a bright square that moves over a ground of one colour, which is the style's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

GREY, TINT, SQUARE = 120, 45, 50
"""Levels of 8 bits: the ground as filmed, what a style adds or takes, what the square adds."""

TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
"""The tints of four styles: the product of any two is -1, of one with itself 3, so that no pair is special."""


def frame(video: int, position: int, height: int, width: int, style: int | None = None) -> Pixels:
    """(height, width, 3): frame `position` of a video in one of four styles, or as filmed."""
    top, left = corner(video, position, height, width)
    levels = np.full((height, width, 3), GREY, np.int64)
    if style is not None:
        levels += TINT * TETRAHEDRON[style]
    side = height // 3
    levels[top : top + side, left : left + side] += SQUARE
    return levels.clip(0, 255).astype(np.uint8)


def corner(video: int, position: int, height: int, width: int) -> tuple[int, int]:
    """Where the square of a frame lies: each video has a start, a direction and a speed of its own."""
    generator = np.random.default_rng(video)
    start, step = generator.random(2), generator.integers(1, 4, 2) * generator.choice([-1, 1], 2)
    room = np.array([height, width]) - height // 3
    top, left = (np.floor(start * room).astype(int) + step * position) % room
    return int(top), int(left)


def mask(video: int, position: int, height: int, width: int) -> Pixels:
    """(height, width): 255 where the square is."""
    top, left = corner(video, position, height, width)
    found = np.zeros((height, width), np.uint8)
    found[top : top + height // 3, left : left + height // 3] = 255
    return found


def flow_picture(video: int, position: int, height: int, width: int) -> Pixels:
    """(height, width, 3): white at rest, the square in a colour of the colour wheel."""
    picture = np.full((height, width, 3), 255, np.uint8)
    colour = np.random.default_rng([video, position]).integers(0, 200, 3)
    picture[mask(video, position, height, width) > 0] = colour
    return picture


def save(pixels: Pixels, path: Path) -> None:
    """Write a picture, with as little loss as JPEG allows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        Image.fromarray(pixels).save(path, quality=95, subsampling=0)
    else:
        Image.fromarray(pixels).save(path)
