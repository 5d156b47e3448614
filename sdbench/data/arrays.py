"""Clips that are already in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError
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
        digest = hashlib.sha256()
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
            digest.update(f"{video} {frames.shape}".encode())
            digest.update(self._frames[video].data)
        self.clips = tuple(listed)
        self.identity = digest.hexdigest()

    def read(self, clips: Iterable[Clip]) -> Iterator[Frames]:
        """Yield the frames (T, H, W, 3) uint8 of each of `clips`."""
        for clip in clips:
            yield self._frames[clip.video]
