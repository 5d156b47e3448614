"""Which frames of a window a network sees, and how they become its input: as the paper's published code does it.

The order of the steps matters to the last digit: choose frames, scale to [0, 1], normalise, resize, crop.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sdbench.base.errors import InputError
from sdbench.video.frames import Frames

MEAN, STD = 0.45, 0.225
"""Of every colour, in a range of 0 to 1; the action networks of the paper all share them."""


def evenly_spaced(count: int, length: int) -> tuple[int, ...]:
    """Positions of `count` evenly spaced frames of `length`, from the first to the last, cut down to integers.

    The spacing is taken in float32 as in the published code: where a position should be a whole number, float32 may
    fall just below it, and the cut then takes the frame before.

    Raises:
        InputError: `count` or `length` is not positive.
    """
    if count < 1 or length < 1:
        raise InputError(f"frames can be chosen only from a window that has some; got {count} of {length}")
    return tuple(int(position) for position in torch.linspace(0, length - 1, count).long())


def window(start: int, length: int, available: int) -> tuple[int, ...]:
    """Positions of `length` consecutive frames from `start`, repeated cyclically where the video ends before.

    Args:
        start: position of the first frame, from 0.
        length: how many frames.
        available: how many frames the video has.

    Raises:
        InputError: the video ends before `start`.
    """
    left = available - start
    if start < 0 or left < 1:
        raise InputError(f"a window cannot start at frame {start} of a video of {available} frames")
    return tuple(start + i % left for i in range(length))


def transform(frames: Frames, short_side: int, crop: int) -> Tensor:
    """Frames as the published networks take them.

    Args:
        frames: (T, H, W, 3) uint8.
        short_side: length that the shorter side is resized to, in pixels.
        crop: height and width of the middle that is cut out, in pixels.

    Returns:
        (3, T, crop, crop) float32, normalised with mean 0.45 and standard deviation 0.225.

    Raises:
        InputError: the frames have another shape or type, or the crop is larger than the resized frame.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InputError(f"expected uint8 frames (T, H, W, 3); got {frames.dtype} {frames.shape}")
    if crop > short_side:
        raise InputError(f"frames with a short side of {short_side} pixels cannot give crops of {crop}")
    height, width = resized(frames.shape[1], frames.shape[2], short_side)
    video = torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2).float() / 255
    video = (video - MEAN) / STD
    video = F.interpolate(video, size=(height, width), mode="bilinear", align_corners=False, antialias=False)
    top, left = round((height - crop) / 2), round((width - crop) / 2)
    return video[:, :, top : top + crop, left : left + crop].contiguous()


def resized(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width after the shorter side became `short_side` and the longer was cut down to an integer."""
    if width < height:
        return math.floor(height / width * short_side), short_side
    return short_side, math.floor(width / height * short_side)
