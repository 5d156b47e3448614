"""What the networks of video object segmentation are fed, to the digit of the published code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sdbench.base.errors import InputError
from sdbench.data.segmentation import Mask
from sdbench.video.frames import Frames

SIZE = (480, 854)
"""Height and width that every frame of DAVIS is brought to, as published."""

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, red, green, blue; for flow pictures alike
_STD = (0.229, 0.224, 0.225)

_PAIRED = ("rtnet", "rtnet34")
_SINGLE = ("fusionseg", "matnet")


@dataclass(frozen=True)
class VosPreparation:
    """Turns a frame, its flow pictures and its mask into what a network takes.

    Attributes:
        size: height and width in pixels.
        paired: whether a sample is two frames of a video, each with forward and backward flow (RTNet), rather than one
            frame with forward flow.
    """

    size: tuple[int, int] = SIZE
    paired: bool = False

    def resize(self, picture: Frames) -> Frames:
        """A picture (H, W, 3) uint8 brought to `size`: bilinear, as Pillow does it (it averages where it shrinks)."""
        return self._resized(picture, Image.Resampling.BILINEAR)

    def normalise(self, picture: Frames) -> Tensor:
        """A picture (H, W, 3) uint8 as (3, H, W) float32: / 255, less ImageNet's mean, over its standard deviation."""
        values = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float().div_(255)
        return values.sub_(torch.tensor(_MEAN)[:, None, None]).div_(torch.tensor(_STD)[:, None, None])

    def __call__(self, picture: Frames) -> Tensor:
        """A picture or flow picture (H, W, 3) uint8 as the network takes it: (3, *size) float32."""
        return self.normalise(self.resize(picture))

    def mask(self, mask: Mask) -> Mask:
        """A mask (H, W) brought to `size` by nearest neighbour."""
        return self._resized(mask.astype(np.uint8), Image.Resampling.NEAREST).astype(np.bool_)

    def _resized(self, pixels: Frames, how: Image.Resampling) -> Frames:
        height, width = self.size
        if pixels.shape[:2] == (height, width):
            return pixels
        return np.asarray(Image.fromarray(pixels).resize((width, height), how))


def vos_preparation_for(architecture: str, size: tuple[int, int] = SIZE) -> VosPreparation:
    """What the network that `build(architecture)` makes is fed.

    Raises:
        InputError: it is no network of video object segmentation.
    """
    if architecture not in (*_PAIRED, *_SINGLE):
        raise InputError(
            f"{architecture} is no network of video object segmentation; known: {', '.join((*_PAIRED, *_SINGLE))}"
        )
    return VosPreparation(size, paired=architecture in _PAIRED)
