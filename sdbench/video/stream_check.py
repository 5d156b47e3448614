"""What a container promises of its video, held against what comes out of it."""

from __future__ import annotations

import re
import struct
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError

_SPARE_STEPS = {"matroska": 0.75, "webm": 0.75, "avi": 0.75, "asf": 0.75, "flv": 0.75}
"""Of a frame's duration, by container: a promise that is missed by less is a matter of rounding."""

_SPARE_STEPS_ELSE = 2.0
"""Of containers that count durations by the order of decoding."""

_SPARE_SECONDS = 0.1
"""Where other streams decide how long a file is: their last packets may say that they are shorter than the header."""

_SPARE_FRAMES = 2
"""So many frames may be left out between others, as cameras do at times; of short videos at most one of a hundred."""

_TABLES = ("mov", "mp4", "avi")
"""Containers that list every frame with its time: a gap between two times is meant."""

_TRANSPORT_PACKETS = (188, 192, 204)
"""Bytes of a packet of MPEG-TS: a file that holds no whole number of them was cut off."""

_HEADERS = ("matroska", "webm", "flv", "asf", "avi")
"""Containers whose header says how long the file is; of others the duration is an estimate from what is there."""

_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""Where it stands, an ASF file (WMV) says 40 bytes further how many bytes it has."""

_INVISIBLE = 0x08
"""Of the flags of a block of Matroska, behind the number of its track and two bytes of time: decoded, never shown."""

_FRAME_A_PACKET = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "ffv1", "prores"})
"""Codecs of which every packet gives a frame. (A packet of VP8 may be hidden, one of MPEG-4 may repeat a frame.)"""


class StreamCheck:
    """Follows a video while it is decoded, and says what is damaged or missing.

    Args:
        path: the file, for errors.
        container: it, opened.
        stream: its video stream.

    Attributes:
        frames: how many were decoded.
    """

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        self.path = path
        self._stream = stream
        self._formats = container.format.name.split(",")
        self._promised, self._of_video = _promised_end(container, stream, self._formats)
        self._times = array("d")
        self.frames = 0
        self._unseen: set[int] = set()
        self._first_pts: int | None = None
        self._video_end = self._other_end = Fraction(0)
        self._ends_known = True
        self._broken: InputError | None = None
        self._hidden: set[int] = set()

    def packet(self, packet: Any) -> bool:
        """Take a packet of any stream; whether it is to be decoded.

        Raises:
            InputError: the container marks the one before it as damaged. (Of the last one, `finish` says so: where a
            file is cut off, its last packet is not whole.)
        """
        if packet.stream.index != self._stream.index:  # of the last, empty packet `stream_index` is 0
            if packet.pts is not None and packet.time_base:
                self._other_end = max(self._other_end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            return False
        if not packet.size:
            return True
        if self._broken:
            raise self._broken
        if packet.is_corrupt:
            self._broken = self._damaged("the container marks its data as damaged")
            return False
        if packet.pts is not None and not packet.is_discard and self._stream.codec_context.name in _FRAME_A_PACKET:
            self._unseen.add(packet.pts)
        if "matroska" in self._formats and packet.pts is not None and self._is_invisible(packet):
            self._hidden.add(packet.pts)
        return True

    def _is_invisible(self, packet: Any) -> bool:
        with self.path.open("rb") as file:
            file.seek(packet.pos)
            head = file.read(4)
        return len(head) == 4 and head[0] >= 0x80 and bool(head[3] & _INVISIBLE)

    def is_shown(self, frame: Any) -> bool:
        """Whether a decoded frame is to be shown, as its container says."""
        return frame.pts is None or frame.pts not in self._hidden

    def frame(self, frame: Any) -> None:
        """Take a decoded frame.

        Raises:
            InputError: the decoder marks it as damaged.
        """
        if frame.is_corrupt:
            raise self._damaged("the decoder could not read all of it")
        self.frames += 1
        if frame.pts is None or frame.time_base is None:
            return
        self._unseen.discard(frame.pts)
        if self._first_pts is None:
            self._first_pts = frame.pts
        self._times.append(float(frame.pts * frame.time_base))
        self._ends_known = bool(frame.duration)
        self._video_end = max(self._video_end, (frame.pts + (frame.duration or 0)) * frame.time_base)

    def finish(self) -> None:
        """See that nothing is missing, when all is decoded.

        Raises:
            InputError: frames are missing at the end, or between others.
        """
        lost = sum(pts > self._first_pts for pts in self._unseen) if self._first_pts is not None else 0
        if lost:
            raise InputError(
                f"{self.path} is damaged: {lost} of its frames could not be decoded; copy it again, or leave it out"
            )
        self._check_times()
        if self._broken:
            raise self._broken

    def _check_times(self) -> None:
        shown = _listed(self._stream) if set(_TABLES) & set(self._formats) else 0
        exact = self._stream.codec_context.name in _FRAME_A_PACKET
        if self.frames < shown - (0 if exact else _SPARE_FRAMES):
            raise self._cut_off(shown, self.frames, "frames")
        if not self._times:
            if self.frames < self._stream.frames - _SPARE_FRAMES:
                raise self._cut_off(self._stream.frames, self.frames, "frames")
            return
        steps = np.diff(np.sort(np.array(self._times)))
        step = float(np.median(steps)) if len(steps) else float(self._video_end) - self._times[0]
        self._check_end(step)
        if len(steps) and not set(_TABLES) & set(self._formats):
            self._check_gaps(steps, step)

    def _check_end(self, step: float) -> None:
        if "asf" in self._formats and (size := self.path.stat().st_size) < (said := _asf_size(self.path)):
            raise InputError(
                f"{self.path} is cut off: its header promises {said} bytes and {size} are there; copy it again"
            )
        if "mpegts" in self._formats and all(self.path.stat().st_size % size for size in _TRANSPORT_PACKETS):
            raise InputError(f"{self.path} is cut off: its last packet is not whole; copy it again")
        if self._promised is None:
            return
        spare = step * min(_SPARE_STEPS.get(name, _SPARE_STEPS_ELSE) for name in self._formats)
        end = float(self._video_end)
        if not self._ends_known:
            rate = self._stream.average_rate
            end += max(step, 1 / float(rate)) if rate else step
        if not self._of_video and self._other_end:
            end, spare = max(end, float(self._other_end)), spare + _SPARE_SECONDS
        if float(self._promised) - end > spare + 0.002:  # some containers count in milliseconds
            raise self._cut_off(round(float(self._promised), 2), round(end, 2), "s")

    def _check_gaps(self, steps: npt.NDArray[np.float64], step: float) -> None:
        """See that a video of constant rate has no hole in it; of one whose rate varies nothing can be said."""
        if step <= 0 or np.mean(np.abs(steps - step) < 0.3 * step) < 0.9:
            return
        missing = int(np.rint(steps[steps > 1.75 * step] / step - 1).sum())
        rate = self._stream.average_rate
        if rate and "matroska" in self._formats:  # it says the mean rate, also of one that varies
            span = self._times[-1] - self._times[0] + step
            missing = min(missing, round(float(rate) * span) - self.frames)
        if missing > min(_SPARE_FRAMES, self.frames / 100):
            gap = int(np.argmax(steps))
            raise InputError(
                f"{self.path} has a hole: its frames follow each other every {step:.3g} s, but for {steps[gap]:.3g} s "
                f"after frame {gap}; {missing} frames are missing, or one was held: copy it "
                "again, or leave it out"
            )

    def _cut_off(self, promised: float, found: float, unit: str) -> InputError:
        return InputError(
            f"{self.path} is cut off: its header promises {promised} {unit} and {found} could be decoded; copy it again"
        )

    def _damaged(self, why: str) -> InputError:
        return InputError(
            f"{self.path} is damaged at frame {self.frames} or near it: {why}; copy it again, or leave it out"
        )


def _listed(stream: Any) -> int:
    """How many frames a container lists that it does not hide; 0 where that is not known."""
    entries = getattr(stream, "index_entries", None)  # PyAV has them since 16
    return sum(not entry.is_discard for entry in entries) if entries is not None and stream.frames else 0


def _promised_end(container: Any, stream: Any, formats: list[str]) -> tuple[Fraction | None, bool]:
    """When the last frame should end, in seconds; and whether that is said of the video, not of the whole file.

    Frames that a container hides on purpose, such as those before the beginning of an edit list, are not in it.
    """
    if "avi" in formats and stream.frames and stream.average_rate:
        return Fraction(stream.frames) / stream.average_rate, True
    if set(_TABLES) & set(formats) and stream.duration:
        return (stream.duration + (stream.start_time or 0)) * stream.time_base, True
    said = next((value for name, value in stream.metadata.items() if name.upper() == "DURATION"), "")
    if "matroska" in formats and (match := re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", said)):
        hours, minutes, seconds = (Fraction(part) for part in match.groups())
        return 3600 * hours + 60 * minutes + seconds, True
    if set(_HEADERS) & set(formats) and container.duration:
        return Fraction(container.duration, av.time_base), False
    return None, False


def _asf_size(path: Path) -> int:
    """How many bytes an ASF file says that it has; 0 where it does not."""
    with path.open("rb") as file:
        head = file.read(2**16)
    place = head.find(_ASF_FILE)
    return int(struct.unpack("<Q", head[place + 40 : place + 48])[0]) if 0 <= place <= len(head) - 48 else 0
