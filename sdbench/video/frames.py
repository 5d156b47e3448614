"""Sizes, crops and the question whether a clip carries any information."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from sdbench.base.errors import InputError

Frames = npt.NDArray[np.uint8]

LEAST_CONTRAST = 2.0
"""Grey levels of 255. Below this standard deviation a frame is a blank: no texture, no edge that could move."""

LEAST_CHANGE = 4.0
"""Grey levels of 255. Where no value of a frame of 27 x 48 changes by so much, nothing moves: encoders change a still
picture by up to 3."""

_WIDE = 1.5
"""From this ratio of long to short side, three crops see what one would miss."""


def scaled_size(height: int, width: int, short_side: int, multiple: int = 4) -> tuple[int, int]:
    """Height and width after scaling the shorter side to `short_side`, both rounded to a `multiple`."""
    factor = short_side / min(height, width)
    rounded = [max(multiple, round(side * factor / multiple) * multiple) for side in (height, width)]
    return rounded[0], rounded[1]


def resize_frame(frame: Frames, size: tuple[int, int]) -> Frames:
    """A frame (H, W, 3) resized to `size` (height, width) by Pillow's bilinear filter (it averages when it shrinks)."""
    if frame.shape[:2] == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def crop_positions(height: int, width: int, size: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Top left corners of the crops of `size` (height, width) that are taken of a frame.

    The middle one alone where the frame is not much longer than wide; else three, from one end to the other.

    Raises:
        InputError: the frame is smaller than the crop.
    """
    spare = (height - size[0], width - size[1])
    if min(spare) < 0:
        raise InputError(f"frames of {height} x {width} pixels cannot give crops of {size[0]} x {size[1]}")
    if max(height, width) < _WIDE * min(height, width):
        return ((spare[0] // 2, spare[1] // 2),)
    return tuple((spare[0] * i // 2, spare[1] * i // 2) for i in range(3))


def change_between(earlier: Frames, later: Frames) -> float:
    """The largest change of a value from one small frame to another, in grey levels of 255."""
    return float(np.abs(later.astype(np.int16) - earlier).max())


def check_clip(frames: npt.NDArray[np.generic], what: str) -> None:
    """Refuse a clip from which nothing can be learned.

    Args:
        frames: (T, H, W, 3) uint8, or float in [0, 255].
        what: how to name the clip in the error.

    Raises:
        InputError: a value is NaN or infinite, or most frames are (nearly) of one colour.
    """
    if np.issubdtype(frames.dtype, np.floating) and not np.isfinite(frames).all():
        frame = int(np.argwhere(~np.isfinite(frames))[0][0])
        raise InputError(f"{what} has a value that is NaN or infinite in frame {frame}; expected numbers from 0 to 255")
    contrast = contrast_of(frames)
    if contrast < LEAST_CONTRAST:
        raise InputError(
            f"{what} carries no information: its frames are nearly of one colour (standard deviation {contrast:.2f} "
            f"grey levels of 255, at least {LEAST_CONTRAST:g} needed); leave it out, or find out why it is blank"
        )


def contrast_of(frames: npt.NDArray[np.generic]) -> float:
    """The contrast of the middling frame of a clip: standard deviation over its pixels, in grey levels of 255."""
    flat = frames.reshape(len(frames), -1, frames.shape[-1]).astype(np.float32)
    return float(np.median(flat.std(axis=1).max(axis=1)))
