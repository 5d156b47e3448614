"""Frames that are transparent in places: what a person sees there depends on a background, which no file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from sdbench.base.errors import InputError

_OPAQUE = 250
"""Of 255: what lossy codecs make of pixels that are not transparent at all."""

_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Codec -> the decoder that reads the transparency that stands beside its frames; the usual one leaves it out."""


def transparency_decoder(stream: Any) -> Any:
    """A decoder for a stream whose transparency the usual decoder leaves out; None for all other streams."""
    said = next((value for name, value in stream.metadata.items() if name.lower() == "alpha_mode"), "")
    name = _DECODERS.get(stream.codec_context.name)
    return av.CodecContext.create(name, "r") if said == "1" and name in av.codecs_available else None


def check_opaque_frame(path: Path, number: int, frame: Any, reformatter: Any) -> None:
    """See that a decoded frame is not transparent.

    Raises:
        InputError: it is, in places.
    """
    if frame.format.has_palette or any(part.is_alpha for part in frame.format.components):
        _check(f"frame {number} of {path}", reformatter.reformat(frame, format="rgba").to_ndarray()[..., 3])


def check_opaque(path: Path, picture: Image.Image) -> None:
    """See that a picture is not transparent.

    Raises:
        InputError: it is, in places.
    """
    if picture.has_transparency_data:
        _check(f"frame {path}", np.asarray(picture.convert("RGBA"))[..., 3])


def _check(what: str, opacity: Any) -> None:
    if opacity.min() < _OPAQUE:
        raise InputError(
            f"{what} is transparent in places, and it is not known on which background it is to be shown; put it on "
            "one with an editor"
        )
