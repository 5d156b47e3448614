"""Small videos that are made as cameras, tools and accidents make them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from sdbench.video.frames import Frames

QUARTERS = {"R": (250, 0, 0), "G": (0, 250, 0), "B": (0, 0, 250), "Y": (250, 250, 0)}


def quarters(height: int = 48, width: int = 64) -> Frames:
    """A picture (height, width, 3) with red, green, blue and yellow quarters, in the order of reading."""
    picture = np.zeros((height, width, 3), np.uint8)
    tops = np.array([[QUARTERS["R"], QUARTERS["G"]], [QUARTERS["B"], QUARTERS["Y"]]], np.uint8)
    picture[:] = tops.repeat(height // 2, 0).repeat(width // 2, 1)
    return picture


def seen(picture: Frames) -> str:
    """The quarters of a picture, in the order of reading."""
    height, width = picture.shape[:2]
    names = {tuple(value > 120 for value in colour): name for name, colour in QUARTERS.items()}
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return "".join(names.get(tuple((picture[place] > 120).tolist()), "?") for place in places)


def pan(frames: int, seed: int = 0) -> list[Frames]:
    """Frames (48, 64, 3) of coloured blocks that move to the left."""
    wide = np.random.default_rng(seed).integers(0, 256, (6, 60, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.ascontiguousarray(wide[:, 2 * number : 2 * number + 64]) for number in range(frames)]


def write(
    path: Path,
    frames: Sequence[Frames],
    codec: str = "mpeg4",
    *,
    times: Sequence[int] | None = None,
    degrees: int = 0,
    flips: Mapping[str, bool] | None = None,
    tags: Mapping[str, str] | None = None,
    pixel_aspect: Fraction | None = None,
    options: Mapping[str, str] | None = None,
    index_first: bool = True,
) -> Path:
    """Encode frames at 25 a second, or at `times` in milliseconds; with what a file may say of how they are shown."""
    fast_start = {"movflags": "faststart"} if index_first and path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", options=fast_start) as file:
        stream: Any = file.add_stream(codec, rate=25, options=dict(options or {}))
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        stream.bit_rate = 2_000_000
        stream.metadata.update(tags or {})
        if degrees or flips:
            if not hasattr(stream.codec_context, "set_display_rotation"):
                pytest.skip("this PyAV reads rotations and cannot write them")
            stream.set_display_rotation(degrees, **(flips or {}))
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def with_sound_first(path: Path, frames: Sequence[Frames], codec: str) -> Path:
    """Encode frames at 25 a second behind a stream of silence."""
    with av.open(str(path), "w") as file:
        sound: Any = file.add_stream("aac", rate=48000, layout="mono")
        stream: Any = file.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for number, pixels in enumerate(frames):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 48000, 1920 * number
            file.mux(sound.encode(silence))
        file.mux(stream.encode())
        file.mux(sound.encode())
    return path


def box(kind: bytes, content: bytes) -> bytes:
    """A box of MP4."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def with_box(path: Path, added: bytes, inside: Sequence[bytes], first: bool) -> Path:
    """Put a box into a file of MP4 whose moov comes last: as the first or the last in the box with this path."""
    data = bytearray(path.read_bytes())
    start, end, places = 0, len(data), []
    for kind in inside:
        place, size = next((at, size) for at, size, found in _boxes(data, start, end) if kind in (found, b"*"))
        places.append(place)
        start, end = place + (16 if kind == b"stsd" else 8), place + size
    at = start if first else end
    data[at:at] = added
    for place in places:
        data[place : place + 4] = struct.pack(">I", struct.unpack(">I", data[place : place + 4])[0] + len(added))
    path.write_bytes(data)
    return path


def _boxes(data: bytearray, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    while start < end:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        yield start, size, kind
        start += size


def pictures(folder: Path, names: Sequence[str]) -> Path:
    """Small pictures of these names in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), 10 * number % 256, np.uint8)).save(folder / name)
    return folder
