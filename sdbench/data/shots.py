"""Shots: runs of frames without a cut, found by TransNet V2 or given."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sdbench.base.cache_keys import cache_key, identity_of
from sdbench.base.kept import Arrays, kept_arrays
from sdbench.base.memory import kept_memory
from sdbench.networks.transnetv2 import FRAME_SIZE, TransNetV2
from sdbench.video.decode import READING, decode_frames
from sdbench.video.frames import LEAST_CHANGE, Frames, change_between, contrast_of, resize_frame, scaled_size

_WINDOW, _MARGIN = 100, 25
"""The network sees 100 frames and is believed about the middle 50, as its authors use it."""

TRANSITION_THRESHOLD = 0.5

LAG = 8
"""Frames, over which the slowest motion is seen."""


@dataclass(frozen=True)
class Shot:
    """Frames `start` .. `stop` - 1 of a video, between two cuts."""

    start: int
    stop: int


@dataclass(frozen=True)
class Scan:
    """What was found in a video when all of it was decoded.

    Attributes:
        size: height and width of its frames, brought to the short side that was asked for.
        shots: in order.
        contrast: (T,) float32, of each frame: see `sdbench.video.frames.contrast_of`.
        change: (2, T) float32, from the frame before and from the one `LAG` before (0 where there is none): see
            `sdbench.video.frames.change_between`.
    """

    size: tuple[int, int]
    shots: tuple[Shot, ...]
    contrast: npt.NDArray[np.float32]
    change: npt.NDArray[np.float32]

    @property
    def fingerprint(self) -> str:
        """Equal for videos that hold the same frames, whatever their names and containers."""
        return identity_of(self.size, self.contrast.tobytes(), self.change.tobytes())

    def is_still(self, start: int, length: int) -> bool:
        """Whether nothing moves in a clip."""
        stop = start + length
        changes = np.concatenate([self.change[0, start + 1 : stop], self.change[1, start + LAG : stop]])
        return bool((changes < LEAST_CHANGE).all())

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.contrast)


@dataclass(frozen=True, eq=False)
class ShotFinder:
    """Finds shots, and keeps what it found: a video is decoded for it once.

    Attributes:
        network: TransNet V2 with its weights.
        weights: hash of these weights.
        folder: where answers are kept.
    """

    network: TransNetV2
    weights: str
    folder: Path

    def scan(self, source: Path, content: str, short_side: int, square: bool = True) -> Scan:
        """Decode a video and find its shots, or recall what was found before.

        Args:
            source: a video file, or a folder of pictures.
            content: hash of what it holds.
            short_side: what the shorter side of a frame is brought to, in pixels.
            square: see `sdbench.video.decode.decode_frames`.

        Raises:
            InputError: it cannot be decoded.
            DiskError: what is kept cannot be read or written.
        """
        rule = (TRANSITION_THRESHOLD, FRAME_SIZE, _WINDOW, _MARGIN)
        key = cache_key("shots of videos", READING, self.weights, rule, content, short_side, square, code=__name__)
        kept = kept_arrays(self.folder, key, lambda: self._found(source, short_side, square))
        height, width = kept["size"].tolist()
        shots = tuple(Shot(start, stop) for start, stop in kept["shots"].tolist())
        return Scan((height, width), shots, kept["contrast"], kept["change"])

    def _found(self, source: Path, short_side: int, square: bool) -> Arrays:
        size = (0, 0)
        contrast, steps, drifts = array("f"), array("f"), array("f")
        before: deque[Frames] = deque(maxlen=LAG)

        def thumbnails() -> Iterator[Frames]:
            nonlocal size
            for frame in decode_frames(source, square):
                if not contrast:
                    size = scaled_size(frame.shape[0], frame.shape[1], short_side)
                thumbnail = resize_frame(resize_frame(frame, size), FRAME_SIZE)
                contrast.append(contrast_of(thumbnail[None]))
                steps.append(change_between(before[-1], thumbnail) if before else 0)
                drifts.append(change_between(before[0], thumbnail) if len(before) == LAG else 0)
                before.append(thumbnail)
                yield thumbnail

        with kept_memory():  # or a long video takes more than a short one: every pass leaves other pieces free
            probabilities = transition_probabilities(self.network, thumbnails())
        shots = shots_between(probabilities > TRANSITION_THRESHOLD)
        return {
            "size": np.array(size),
            "shots": np.array([(shot.start, shot.stop) for shot in shots], dtype=np.int64),
            "contrast": np.array(contrast, dtype=np.float32),
            "change": np.array([steps, drifts], dtype=np.float32),
        }


@torch.no_grad()
def transition_probabilities(network: TransNetV2, thumbnails: Iterable[Frames]) -> npt.NDArray[np.float32]:
    """The probability of each frame to be the last before a cut.

    Args:
        network: TransNet V2 with its weights.
        thumbnails: the T frames of a whole video, each (27, 48, 3) uint8; no more than a window of them is kept.

    Returns:
        (T,) in [0, 1].
    """
    device = next(network.parameters()).device
    step = _WINDOW - 2 * _MARGIN
    # Small things that outlive a pass would keep the memory of the pass in pieces that the next one cannot use.
    window = np.empty((_WINDOW, *FRAME_SIZE, 3), dtype=np.uint8)
    probabilities = array("f")

    def look() -> None:
        answer = network(torch.from_numpy(window)[None].to(device))
        probabilities.extend(answer[0, _MARGIN : _MARGIN + step, 0].sigmoid().tolist())
        window[:-step] = window[step:]

    count, filled = 0, _MARGIN
    for thumbnail in thumbnails:
        if count == 0:
            window[:_MARGIN] = thumbnail
        window[filled] = thumbnail
        count, filled = count + 1, filled + 1
        if filled == _WINDOW:
            look()
            filled -= step
    while len(probabilities) < count:  # behind the last frame come copies of it
        window[filled:] = window[filled - 1]
        look()
        filled -= step
    return np.array(probabilities[:count], dtype=np.float32)


def shots_between(transitions: npt.NDArray[np.bool_]) -> list[Shot]:
    """The shots between frames that are marked as transitions; a cut's own frame ends the shot before it.

    A run of marked frames is a gradual transition and belongs to no shot but for its first frame.
    """
    shots: list[Shot] = []
    start = 0
    previous = False
    for frame, marked in enumerate(transitions):
        if previous and not marked:
            start = frame
        if marked and not previous:
            shots.append(Shot(start, frame + 1))
        previous = bool(marked)
    if len(transitions) and not previous:
        shots.append(Shot(start, len(transitions)))
    return shots


def clip_starts(shots: Iterable[Shot], frames: int) -> Iterator[tuple[int, int]]:
    """Yield (shot number, first frame) of the clips of `frames` frames that fit into the shots one after the other."""
    for number, shot in enumerate(shots):
        for start in range(shot.start, shot.stop - frames + 1, frames):
            yield number, start
