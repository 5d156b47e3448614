"""What a clip is, and what a data set must offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sdbench.video.frames import Frames


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one shot of one video.

    Attributes:
        video: name of the video, unique in its data set.
        shot: number of the shot in the video, from 0.
        start: number of the first frame, from 0.
        length: number of frames.
        height, width: size of the frames as the data set delivers them.
    """

    video: str
    shot: int
    start: int
    length: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.video}, frames {self.start} to {self.start + self.length - 1}"


class Dataset(Protocol):
    """Clips of videos, listed first and read when needed."""

    @property
    def name(self) -> str:
        """Short name for reports."""
        ...

    @property
    def clips(self) -> tuple[Clip, ...]:
        """All clips, in the order in which they are read fastest."""
        ...

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was left out, and why; one sentence each."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of numbers must know of the videos; one sentence each."""
        ...

    @property
    def assets(self) -> tuple[str, ...]:
        """Names of the assets that the clips came from."""
        ...

    def digest_of(self, video: str) -> str:
        """Hash of what a video holds; equal digests mean equal frames."""
        ...

    def source_of(self, video: str) -> str:
        """What is resampled when intervals are made: the video, or the first one of those that hold the same."""
        ...

    def read(self, clip: Clip) -> Frames:
        """The frames (T, H, W, 3) uint8 of one of `clips`."""
        ...
