"""Frames from video files and from folders of pictures, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from sdbench.clips.frames import Frames
from sdbench.errors import InputError

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


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Sort key under which frame9 comes before frame10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _video_frames(path: Path) -> Iterator[Frames]:
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
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            count = 0
            for frame in container.decode(stream):
                yield frame.to_ndarray(format="rgb24")
                count += 1
            if count < stream.frames - _SPARE_FRAMES:
                raise InputError(
                    f"{path} is cut off: its header promises {stream.frames} frames and {count} could be decoded; "
                    "copy it again"
                )
    except av.error.FFmpegError as error:
        raise InputError(f"{path} cannot be decoded as a video ({error.strerror}); is it whole?") from None


def _folder_frames(folder: Path) -> Iterator[Frames]:
    for path in sorted(picture_files(folder), key=lambda p: natural_key(p.name)):
        try:
            with Image.open(path) as picture:
                yield np.asarray(picture.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise InputError(f"frame {path} cannot be read as a picture ({error}); replace it") from None


def picture_files(folder: Path) -> list[Path]:
    """The pictures that lie directly in `folder`."""
    return [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
