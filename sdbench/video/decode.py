"""Frames from video files and from folders of pictures, one at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, UnidentifiedImageError

from sdbench.base.errors import InputError
from sdbench.video.frame_files import PICTURE_SUFFIXES, frame_files, natural_key, ordered_pictures, picture_files
from sdbench.video.frames import Frames
from sdbench.video.orientation import Orientation, upright, upright_size
from sdbench.video.stream_check import StreamCheck
from sdbench.video.transparency import check_opaque, check_opaque_frame, transparency_decoder

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"})
READING = 3
"""Changes whenever frames of the same files are read otherwise: what was found in them before is then stale."""

_SIXTEEN_BITS = 257
"""65535 over 255."""

_DEFAULT, _COVER = 0x1, 0x400
"""FFmpeg's flags of the stream that is shown, and of a picture that is attached to a file."""

Timed = tuple[Fraction | None, Fraction | None, Frames]
"""When a frame is shown and how long, in seconds, where the file says so; and the frame."""


def decode_frames(source: Path, square: bool = True) -> Iterator[Frames]:
    """Yield the frames of a video file, or of a folder of pictures in the order of their numbers, as they are shown.

    They are turned and flipped as the file says.

    Args:
        source: the file or folder.
        square: whether pixels that are not square are made so, by making the frame wider or higher.

    Yields:
        (H, W, 3) uint8, RGB.

    Raises:
        InputError: there is nothing to decode; the file is damaged, cut off or not a video; a frame has another size;
        or the pictures are of several kinds or have gaps in their numbers: see `frame_files`.
    """
    for _, _, frame in _timed_frames(source, square):
        yield frame


def _timed_frames(source: Path, square: bool = True) -> Iterator[Timed]:
    frames = _folder_frames(source) if source.is_dir() else _video_frames(source, square)
    size: tuple[int, ...] | None = None
    number = -1
    for number, timed in enumerate(frames):
        frame = timed[2]
        if size is None:
            size = frame.shape
        if frame.shape != size:
            raise InputError(
                f"frame {number} of {source} has {frame.shape[1]} x {frame.shape[0]} pixels, the ones before it "
                f"{size[1]} x {size[0]}; expected one size"
            )
        yield timed
    if number < 0:
        raise InputError(f"{source} holds no frame; expected a video or a folder of pictures")


@dataclass(frozen=True)
class Outline:
    """What a video promises before it is decoded.

    Attributes:
        frames: how many frames, as far as the header tells (0: it does not).
        rate: frames per second; None for a folder of pictures.
        height, width: of a frame, in pixels.
    """

    frames: int
    rate: Fraction | None
    height: int
    width: int


def outline(source: Path) -> Outline:
    """Read the header of a video file, or list a folder of pictures and open its first.

    Raises:
        InputError: there is nothing to decode, or the file is damaged or not a video.
    """
    if source.is_dir():
        files = frame_files(source)
        if not files:
            raise InputError(f"{source} holds no frame; expected a video or a folder of pictures")
        return Outline(len(files), None, *picture_size(files[0]))
    with _opened(source) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        if not seconds and container.duration:
            seconds = container.duration / av.time_base
        promised = stream.frames or (round(seconds * rate) if rate else 0)
        size = Orientation(source, container, stream, square=True).size(stream.height, stream.width)
        return Outline(promised, Fraction(rate) if rate else None, *size)


def frames_at_rate(source: Path, rate: int | None) -> Iterator[Frames]:
    """The frames of `decode_frames` at another rate: the k-th is what is seen k / rate seconds after the first.

    The times are those that the file gives each frame; where it gives none, frames follow each other at its rate. A
    folder of pictures has no times, so its frames are taken as they are; so are all where `rate` is None.

    Raises:
        InputError: as `decode_frames`; or a video file says neither times nor how many frames it shows per second.
    """
    if rate is None or source.is_dir():
        yield from decode_frames(source)
        return
    own = outline(source).rate
    wanted, shown = 0, None
    start = now = Fraction(0)
    lasts: Fraction | None = None
    for number, (told, lasting, frame) in enumerate(_timed_frames(source)):
        if told is None and own is None:
            raise InputError(f"{source} does not say how many frames it shows per second; convert it to another format")
        time: Fraction = told if told is not None else start + number / Fraction(own or 1)
        if number == 0:
            start = time
        if time - start < now:
            raise InputError(
                f"frame {number} of {source} is to be shown before the one in front of it, as where two files were "
                "joined into one; convert it to another format"
            )
        now, lasts = time - start, lasting
        while shown is not None and wanted < now * rate:
            yield shown
            wanted += 1
        shown = frame
    assert shown is not None  # or `_timed_frames` says that there is none
    end = now + (lasts or (1 / own if own else Fraction(1, rate)))
    while wanted < end * rate:
        yield shown
        wanted += 1


def _video_frames(path: Path, square: bool) -> Iterator[Timed]:
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        # One for each video: PyAV 19 keeps one for each thread, and the threads of that one are not there in a forked
        # worker, which would wait for them for ever.
        reformatter = VideoReformatter()
        orientation, check = Orientation(path, container, stream, square), StreamCheck(path, container, stream)
        decoder = transparency_decoder(stream)
        for packet in container.demux():
            if not check.packet(packet):
                continue
            for frame in decoder.decode(packet) if decoder else packet.decode():
                check.frame(frame)
                if not check.is_shown(frame):
                    continue
                check_opaque_frame(path, check.frames - 1, frame, reformatter)
                # As the ffmpeg program does where colours of odd sizes or more bits have to be interpolated.
                picture: Any = reformatter.reformat(frame, format="rgb24", interpolation="BICUBIC")
                pixels = orientation.show(picture.to_ndarray(), frame)
                base = frame.time_base
                yield _seconds(frame.pts, base), _seconds(frame.duration or None, base), pixels
        check.finish()


def _seconds(count: int | None, base: Fraction | None) -> Fraction | None:
    return None if count is None or base is None else count * base


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """An open container and its video stream; errors inside the block speak of a video that cannot be decoded.

    Of several streams it is the one that is marked as the default, then the largest, as the ffmpeg program chooses.
    """
    if not path.is_file():
        raise InputError(f"no video at {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; expected a video")
    try:
        with av.open(f"file:{path}") as container:  # a name may hold a colon, which else ends that of a protocol
            if container.format.name.endswith("_pipe") or container.format.name == "image2":
                raise InputError(
                    f"{path} is a picture ({container.format.name[:-5]}), not a video; expected moving frames"
                )
            streams = [of for of in container.streams.video if not _marks(of) & _COVER]
            if not streams:
                also = ", only pictures that are attached to it" if container.streams.video else ""
                raise InputError(f"{path} has no video stream{also}")
            yield (
                container,
                max(streams, key=lambda of: (_marks(of) & _DEFAULT, of.width * of.height)),
            )
    except av.error.FFmpegError as error:
        raise InputError(f"{path} cannot be decoded as a video ({error.strerror}); is it whole?") from None


def _marks(stream: Any) -> int:
    """What a container marks a stream as, as FFmpeg's flags; older PyAV says nothing of it."""
    return int(getattr(getattr(stream, "disposition", None), "value", 0))


def _folder_frames(folder: Path) -> Iterator[Timed]:
    for path in frame_files(folder):
        yield None, None, read_picture(path)


def read_picture(path: Path) -> Frames:
    """A picture (H, W, 3) uint8, of whatever mode its file has, upright as its EXIF orientation says.

    Sixteen bits are scaled to eight.

    Raises:
        InputError: it is not there, damaged, no picture or several; its numbers have no known scale; or it is
            transparent in places.
    """
    with opened_picture(path) as picture:
        if picture.format != "MPO" and getattr(picture, "is_animated", False):
            raise InputError(f"frame {path} holds several pictures; expected one a file: write each into its own")
        shown = upright(picture)
        if shown.mode.startswith("I;16") or (shown.mode == "I" and picture.format in ("PNG", "PPM")):
            grey = (np.asarray(shown).astype(np.int64) + _SIXTEEN_BITS // 2) // _SIXTEEN_BITS
            return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
        if shown.mode in ("I", "F"):
            kind = "whole numbers of 32 bits" if shown.mode == "I" else "floating-point numbers"
            raise InputError(
                f"frame {path} holds {kind} (mode {shown.mode}), and it is not known which of them is white; "
                "convert it to 8 or 16 bits"
            )
        check_opaque(path, shown)
        return np.asarray(shown.convert("RGB"))


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture as it is shown, read from its header alone.

    Raises:
        InputError: it is not there, or no picture.
    """
    with opened_picture(path) as picture:
        return upright_size(picture)


@contextlib.contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """A picture of whatever mode, decoded when it is used; errors inside the block speak of a damaged picture."""
    try:
        with Image.open(path) as picture:
            yield picture
    except FileNotFoundError:
        raise InputError(f"frame {path} is no longer there; was the data set changed meanwhile?") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"frame {path} cannot be read as a picture ({error}); replace it and run again") from None


__all__ = [
    "PICTURE_SUFFIXES",
    "READING",
    "VIDEO_SUFFIXES",
    "Outline",
    "decode_frames",
    "frame_files",
    "frames_at_rate",
    "natural_key",
    "opened_picture",
    "ordered_pictures",
    "outline",
    "picture_files",
    "picture_size",
    "read_picture",
]
