"""Clips that are already in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sdbench.base.cache_keys import identity_of
from sdbench.base.errors import InputError, some
from sdbench.data.clip import Clip
from sdbench.video.frames import Frames, check_clip


class ArrayDataset:
    """Clips given as arrays, each counted as a video of its own.

    Args:
        name: short name for reports.
        clips: name -> (T, H, W, 3), uint8 or float in [0, 255]; H and W multiples of 4.

    Raises:
        InputError: an array has another shape, has NaN, goes beyond 0 .. 255, or is blank.
    """

    def __init__(self, name: str, clips: Mapping[str, npt.NDArray[np.generic]]) -> None:
        if not clips:
            raise InputError("no clips given; expected at least one array of shape (T, H, W, 3)")
        self.name = name
        self.assets: tuple[str, ...] = ()
        self.skipped: tuple[str, ...] = ()
        listed: list[Clip] = []
        self._frames: dict[str, Frames] = {}
        for video, frames in clips.items():
            what = f"clip {video!r}"
            if frames.ndim != 4 or frames.shape[-1] != 3:
                raise InputError(f"{what} has shape {frames.shape}; expected (T, H, W, 3)")
            check_clip(frames, what)
            if frames.min() < 0 or frames.max() > 255:
                raise InputError(f"{what} has values from {frames.min()} to {frames.max()}; expected 0 to 255")
            self._frames[video] = np.ascontiguousarray(np.rint(frames), dtype=np.uint8)
            listed.append(Clip(video, 0, 0, *frames.shape[:3]))
        self.clips = tuple(listed)
        digests = {self.digest_of(video): video for video in reversed(self._frames)}
        self._first = {video: digests[self.digest_of(video)] for video in self._frames}
        copies = [video for video, first in self._first.items() if first != video]
        still = [video for video, frames in self._frames.items() if (frames == frames[:1]).all()]
        self.notes = (
            *([f"arrays that hold the same as others count as one with them: {some(copies)}"] if copies else []),
            *([f"nothing moves in {len(still)} of {len(listed)} clips: {some(still)}"] if still else []),
        )

    def source_of(self, video: str) -> str:
        """What is resampled when intervals are made: the clip, or the first one of those that hold the same."""
        return self._first[video]

    def digest_of(self, video: str) -> str:
        """Hash of the frames of a clip."""
        frames = self._frames[video]
        return identity_of(frames.shape, hashlib.sha256(frames.data).hexdigest())

    def read(self, clip: Clip) -> Frames:
        """The frames (T, H, W, 3) uint8 of one of `clips`."""
        return self._frames[clip.video]
