"""Frames from video files and from folders of pictures, one at a time."""

from __future__ import annotations

import contextlib
import re
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
from sdbench.video.frames import Frames

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"})
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})

_SPARE_FRAMES = 2
"""Containers may count a frame or two that an edit list hides; more than that missing means the file was cut off."""


def decode_frames(source: Path) -> Iterator[Frames]:
    """Yield the frames (H, W, 3) uint8 RGB of a video file, or of a folder of pictures in the order of their numbers.

    Raises:
        InputError: there is nothing to decode, the file is damaged, cut off or not a video, or a frame has another
        size.
    """
    frames = _folder_frames(source) if source.is_dir() else _video_frames(source)
    size: tuple[int, ...] | None = None
    number = -1
    for number, frame in enumerate(frames):
        if size is None:
            size = frame.shape
        if frame.shape != size:
            raise InputError(
                f"frame {number} of {source} has {frame.shape[1]} x {frame.shape[0]} pixels, the ones before it "
                f"{size[1]} x {size[0]}; expected one size"
            )
        yield frame
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
        first = next(_folder_frames(source), None)
        if first is None:
            raise InputError(f"{source} holds no frame; expected a video or a folder of pictures")
        return Outline(len(picture_files(source)), None, first.shape[0], first.shape[1])
    with _opened(source) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        if not seconds and container.duration:
            seconds = container.duration / av.time_base
        promised = stream.frames or (round(seconds * rate) if rate else 0)
        return Outline(promised, Fraction(rate) if rate else None, stream.height, stream.width)


def frames_at_rate(source: Path, rate: int | None) -> Iterator[Frames]:
    """The frames of `decode_frames` at another rate: the k-th is what is seen k / rate seconds after the first.

    A folder of pictures has no rate of its own, so its frames are taken as they are; so are all where `rate` is None.

    Raises:
        InputError: as `decode_frames`; or a video file does not say how many frames it shows per second.
    """
    own = None if rate is None else outline(source).rate
    if rate is None or source.is_dir():
        yield from decode_frames(source)
        return
    if own is None:
        raise InputError(f"{source} does not say how many frames it shows per second; convert it to another format")
    wanted = 0
    for number, frame in enumerate(decode_frames(source)):
        while wanted * own < (number + 1) * rate:
            yield frame
            wanted += 1


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Sort key under which frame9 comes before frame10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _video_frames(path: Path) -> Iterator[Frames]:
    with _opened(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        # One for each video: PyAV 19 keeps one for each thread, and the threads of that one are not there in a forked
        # worker, which would wait for them for ever.
        reformatter = VideoReformatter()
        count = 0
        for frame in container.decode(stream):
            picture: Any = reformatter.reformat(frame, format="rgb24")
            yield picture.to_ndarray()
            count += 1
        if count < stream.frames - _SPARE_FRAMES:
            raise InputError(
                f"{path} is cut off: its header promises {stream.frames} frames and {count} could be decoded; "
                "copy it again"
            )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An open container that has a video stream; errors inside the block speak of a video that cannot be decoded."""
    if not path.is_file():
        raise InputError(f"no video at {path}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; expected a video")
    try:
        with av.open(str(path)) as container:
            if container.format.name.endswith("_pipe") or container.format.name == "image2":
                raise InputError(
                    f"{path} is a picture ({container.format.name[:-5]}), not a video; expected moving frames"
                )
            if not container.streams.video:
                raise InputError(f"{path} has no video stream")
            yield container
    except av.error.FFmpegError as error:
        raise InputError(f"{path} cannot be decoded as a video ({error.strerror}); is it whole?") from None


def _folder_frames(folder: Path) -> Iterator[Frames]:
    for path in ordered_pictures(folder):
        yield read_picture(path)


def read_picture(path: Path) -> Frames:
    """A picture (H, W, 3) uint8, of whatever mode its file has.

    Raises:
        InputError: it is not there, damaged, or no picture.
    """
    with opened_picture(path) as picture:
        return np.asarray(picture.convert("RGB"))


def picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, read from its header alone.

    Raises:
        InputError: it is not there, or no picture.
    """
    with opened_picture(path) as picture:
        return picture.height, picture.width


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


def ordered_pictures(folder: Path) -> list[Path]:
    """The pictures that lie directly in `folder`, in the order of their numbers."""
    return sorted(picture_files(folder), key=lambda path: natural_key(path.name))


def picture_files(folder: Path) -> list[Path]:
    """The pictures that lie directly in `folder`."""
    return [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
