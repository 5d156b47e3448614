"""How a file says that it is to be shown: cropped, turned, flipped, with pixels that are not square."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.logging
import numpy as np
from av.sidedata.sidedata import Type
from PIL import Image, ImageOps

from sdbench.base.errors import InputError
from sdbench.video.frames import Frames, resize_frame

_EXIF_ORIENTATION = 0x0112

_LEAST_TURN = 0.0175
"""Sine of the turn, one degree, below which players show a video upright."""

_WIDEST = 8
"""A pixel that is more than so many times as wide as high, or as high as wide, is a mistake in the file."""

_MOST_UNEVEN = 1.02
"""Ratio of the densities of a picture from which its pixels are not square: scanners say 300 by 299."""

_CROPPING = re.compile(r"Side data:.*?Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", re.IGNORECASE | re.DOTALL)
"""Columns at the left and the right, and rows at the top and the bottom, that are not to be shown."""

Matrix = tuple[float, float, float, float]
"""(a, b, c, d): the pixel in column p and row q is shown in column a p + c q and row b p + d q."""


class Orientation:
    """Shows the frames of one video as its file says.

    Args:
        path: the file, for errors.
        container: it, opened.
        stream: its video stream.
        square: whether pixels that are not square are made so.
    """

    def __init__(self, path: Path, container: Any, stream: Any, square: bool) -> None:
        self.path = path
        self._edges = _hidden_edges(container, stream)
        self._by_tag = _tag_matrix(stream.metadata)
        self._aspect = self._pixel_aspect(stream) if square else Fraction(1)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a frame that is coded in so many pixels, before it is turned."""
        left, right, top, bottom = self._edges
        height, width = height - top - bottom, width - left - right
        if self._aspect > 1:
            return height, round(width * self._aspect)
        return round(height / self._aspect), width

    def show(self, pixels: Frames, frame: Any) -> Frames:
        """The pixels (H, W, 3) of a decoded frame as they are shown.

        Raises:
            InputError: they are turned by another angle than quarters.
        """
        height, width = pixels.shape[:2]
        left, right, top, bottom = self._edges
        pixels = resize_frame(pixels[top : height - bottom, left : width - right], self.size(height, width))
        data = frame.side_data.get(Type.DISPLAYMATRIX)
        matrix = _display_matrix(bytes(data)) if data is not None else self._by_tag
        return pixels if matrix is None else self._turn(pixels, matrix)

    def _turn(self, pixels: Frames, matrix: Matrix) -> Frames:
        a, b, c, d = matrix
        transposed = abs(b) + abs(c) > abs(a) + abs(d)
        small, large = ((a, d), (b, c)) if transposed else ((b, c), (a, d))
        if max(map(abs, small)) > _LEAST_TURN * min(map(abs, large)):
            angle = np.degrees(np.arctan2(b, a))
            raise InputError(
                f"{self.path} is to be shown turned by {angle:.0f} degrees, which leaves corners empty; expected a "
                "multiple of 90: turn it with a video editor"
            )
        down, right = (b, c) if transposed else (d, a)
        shown = pixels.transpose(1, 0, 2) if transposed else pixels
        return np.ascontiguousarray(shown[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])

    def _pixel_aspect(self, stream: Any) -> Fraction:
        """Width of a pixel over its height; 1 where the file does not say."""
        aspect = Fraction(stream.sample_aspect_ratio or 1)
        if aspect > 0 and not Fraction(1, _WIDEST) <= aspect <= _WIDEST:
            raise InputError(
                f"{self.path} says that its pixels are {float(aspect):g} times as wide as high; expected a ratio from "
                f"1:{_WIDEST} to {_WIDEST}:1: correct the aspect ratio with a video editor"
            )
        return aspect if aspect > 0 else Fraction(1)


def _hidden_edges(container: Any, stream: Any) -> tuple[int, ...]:
    """The edges that a container crops (a clean aperture): left, right, top and bottom, in pixels."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # it is said nowhere else than in what is logged of a container
    try:
        said = container.dumps_format()
    finally:
        av.logging.set_level(before)
    own = next((part for part in said.split("  Stream #0:") if re.match(rf"{stream.index}\b", part)), "")
    found = _CROPPING.search(own)
    return tuple(map(int, found.groups())) if found else (0, 0, 0, 0)


def _display_matrix(data: bytes) -> Matrix | None:
    """What a display matrix of nine 16.16 fixed-point numbers says; None where it says nothing."""
    values = struct.unpack("=9i", data[:36])
    a, b, c, d = (values[place] / (1 << 16) for place in (0, 1, 3, 4))
    return (a, b, c, d) if a * d - b * c else None


def _tag_matrix(metadata: dict[str, str]) -> Matrix | None:
    """What a tag "rotate" says in degrees clockwise, as Matroska files and old tools have it."""
    said = next((value for name, value in metadata.items() if name.lower() == "rotate"), "0")
    try:
        angle = np.radians(float(said) % 360)
    except ValueError:
        return None
    cosine, sine = round(float(np.cos(angle)), 6), round(float(np.sin(angle)), 6)
    return None if (cosine, sine) == (1, 0) else (cosine, sine, -sine, cosine)


def upright(picture: Image.Image) -> Image.Image:
    """A picture as its EXIF orientation says that it is to be shown."""
    picture.load()
    return ImageOps.exif_transpose(picture) if picture.getexif().get(_EXIF_ORIENTATION, 1) != 1 else picture


def upright_size(picture: Image.Image) -> tuple[int, int]:
    """Height and width of a picture as it is to be shown."""
    # Pillow turns a TIFF itself, and says its size so from the beginning.
    turned = picture.format != "TIFF" and picture.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


def uneven_density(picture: Image.Image) -> str:
    """The densities of a picture, where it says that its pixels are not square; else "".

    They are not applied: viewers do not, and programs disagree on which of the two is that of the width.
    """
    for name in ("aspect", "jfif_density", "dpi"):
        one, other = (float(of) for of in picture.info.get(name, (1, 1)))
        if min(one, other) > 0 and max(one, other) > _MOST_UNEVEN * min(one, other):
            return f"{one:g} by {other:g}"
    return ""
