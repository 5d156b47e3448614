"""What a data set of segmented videos must offer: pictures, optical flow drawn as pictures, and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from sdbench.video.frames import Frames

Mask = npt.NDArray[np.bool_]
"""(H, W), true where the object is."""


@dataclass(frozen=True)
class VideoSequence:
    """One video of a segmentation data set, as numbered pictures.

    Attributes:
        name: name of its folder.
        frames: names of its frames without ending, in order.
    """

    name: str
    frames: tuple[str, ...]

    def has_flow(self, position: int, backward: bool = False) -> bool:
        """Whether a frame has a neighbour to flow to: none forward of the last, none backward of the first."""
        return position != (0 if backward else len(self.frames) - 1)


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask (H, W) brought to `size` (height, width) by nearest neighbour."""
    if mask.shape == size:
        return mask
    picture = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.NEAREST)).astype(np.bool_)


class SegmentationDataset(Protocol):
    """Sequences of frames with masks and flow, listed first and read when needed."""

    @property
    def name(self) -> str:
        """Short name for reports."""
        ...

    @property
    def sequences(self) -> tuple[VideoSequence, ...]:
        """All sequences that can be used."""
        ...

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the painted copies; empty where there are none."""
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was left out, and why; one sentence each."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know: which optical flow, which styles; one sentence each."""
        ...

    @property
    def identity(self) -> str:
        """Hash of all that decides what is read; equal identities mean equal data."""
        ...

    @property
    def assets(self) -> tuple[str, ...]:
        """Names of the assets that the data came from; empty where all of it is the user's own."""
        ...

    def source_of(self, sequence: VideoSequence) -> str:
        """What is resampled when intervals are made: the sequence, or what it was cut from together with others."""
        ...

    def image(self, sequence: VideoSequence, position: int, style: str | None = None) -> Frames:
        """Frame `position` of a sequence, from 0, in one of `styles` or (None) as filmed: (H, W, 3) uint8."""
        ...

    def flow(self, sequence: VideoSequence, position: int, backward: bool = False) -> Frames:
        """Flow from a frame to the next (or, `backward`, to the one before), drawn as a picture: (H, W, 3) uint8.

        There is none forward of the last frame and none backward of the first.
        """
        ...

    def mask(self, sequence: VideoSequence, position: int) -> Mask:
        """The object in a frame: (H, W) bool."""
        ...

    def files(
        self,
        sequence: VideoSequence,
        positions: Sequence[int],
        styles: Sequence[str | None] = (),
        flow: Sequence[bool] = (),
        masks: bool = False,
    ) -> list[Path]:
        """The files that are read for some frames; none where the data lie in memory.

        Args:
            sequence: one of `sequences`.
            positions: which frames, from 0.
            styles: those whose pictures are read; None for the frames as filmed.
            flow: directions of the flow pictures that are read: False for forward, True for backward; a frame that has
                no flow in a direction has no file there.
            masks: whether masks are read.
        """
        ...
