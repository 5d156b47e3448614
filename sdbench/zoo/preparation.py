"""What a network wants to see: how the frames of a clip become its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sdbench.video.frames import crop_positions, resize_frames

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preparation:
    """From uint8 frames (T, H, W, 3) to one sample of a network's input.

    Attributes:
        frames: number of frames T of a clip.
        short_side: the frames are decoded to this length of their shorter side, in pixels.
        size: height and width that the network is fed.
        fit: "crop" takes square crops side by side (three of a wide or tall video, else the middle), "stretch" squeezes
            the whole frame.
        layout: "signed" gives float32 (3, T, H, W) in [-1, 1], "bytes" uint8 (T, H, W, 3).
    """

    frames: int
    short_side: int
    size: tuple[int, int]
    fit: Literal["crop", "stretch"]
    layout: Literal["signed", "bytes"]

    def crops(self, height: int, width: int) -> int:
        """How many crops are taken of frames of this size."""
        return len(crop_positions(height, width, self.size)) if self.fit == "crop" else 1

    def __call__(self, frames: Frames, crop: int = 0) -> Tensor:
        """The network's input for one clip, without the batch axis."""
        if self.fit == "stretch":
            frames = resize_frames(frames, self.size)
        else:
            top, left = crop_positions(frames.shape[1], frames.shape[2], self.size)[crop]
            frames = frames[:, top : top + self.size[0], left : left + self.size[1]]
        tensor = torch.from_numpy(np.ascontiguousarray(frames))
        if self.layout == "bytes":
            return tensor
        return tensor.permute(3, 0, 1, 2).float() / 127.5 - 1
