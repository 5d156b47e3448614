"""Painting clips: the same frames in another style share their dynamics and little else.

The packaged network (Dumoulin et al., "A Learned Representation for Artistic Style", ICLR 2017) holds 26 styles. It
paints one frame at a time; frames are painted in parallel, one thread each, so that the result does not depend on their
number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from sdbench.base.errors import AssetError, InputError, unknown_name
from sdbench.base.kept import kept_arrays, key_of
from sdbench.base.machine import available_cores
from sdbench.video.frames import Frames, check_clip

STYLES = tuple(f"style{number}" for number in range(26))
"""The packaged styles; their authors gave them numbers and no names."""

DEFAULT_STYLES = ("style5", "style10", "style12", "style14")
"""Four that change colour and texture and leave the outlines where they are."""


def check_styles(styles: Iterable[str]) -> tuple[str, ...]:
    """The styles asked for, if they exist, differ, and are enough to make a pair of.

    Raises:
        InputError: a style is unknown or named twice, or there are fewer than two.
    """
    chosen = tuple(styles)
    for name in chosen:
        if name not in STYLES:
            raise unknown_name("style", name, STYLES)
    if len(set(chosen)) != len(chosen):
        raise InputError(f"each style may be named once; got {', '.join(chosen)}")
    if len(chosen) < 2:
        raise InputError(f"a dynamic pair needs two styles; got {len(chosen)}")
    return chosen


class Painter:
    """Paints clips with the packaged styles and keeps them on disk by content.

    Args:
        model: the ONNX file.
        cache: folder for painted clips; None keeps none.
        threads: how many frames are painted at once.

    Attributes:
        painted: number of frames painted so far, those found in the cache not counted.
    """

    def __init__(self, model: Path, cache: Path | None = None, threads: int | None = None) -> None:
        content = model.read_bytes()
        self.model = hashlib.sha256(content).hexdigest()
        self.cache = cache
        self.threads = threads or available_cores()
        self.painted = 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share no base
            raise AssetError(f"{model} cannot be read as an ONNX network ({error}); delete it and retry") from None

    def paint(self, frames: Frames, style: str, what: str = "the clip") -> Frames:
        """Paint every frame of a clip.

        Args:
            frames: (T, H, W, 3) uint8; H and W multiples of 4.
            style: one of `STYLES`.
            what: how to name the clip in an error.

        Returns:
            (T, H, W, 3) uint8.

        Raises:
            InputError: the style is unknown, the size does not fit, or the painted clip carries no information.
            DiskError: the cache cannot be read or written.
        """
        _check_paintable(frames, style, what)
        if self.cache is None:
            return self._paint(frames, style, what)
        content = hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()
        key = key_of("painted", self.model, style, frames.shape, content)
        return kept_arrays(self.cache, key, lambda: {"frames": self._paint(frames, style, what)})["frames"]

    def _paint(self, frames: Frames, style: str, what: str) -> Frames:
        weights = _weights(style)
        with ThreadPoolExecutor(self.threads) as pool:
            painted = np.stack(list(pool.map(lambda frame: self._paint_frame(frame, weights), frames)))
        self.painted += len(painted)
        check_clip(painted, f"{what}, painted in {style},")
        return painted

    def paint_frame(self, frame: Frames, style: str, what: str = "the frame") -> Frames:
        """Paint one frame (H, W, 3) uint8, which may be a blank; nothing is looked up or kept on disk.

        Raises:
            InputError: the style is unknown, or the size does not fit.
        """
        _check_paintable(frame[None], style, what)
        self.painted += 1
        return self._paint_frame(frame, _weights(style))

    def _paint_frame(self, frame: Frames, weights: np.ndarray) -> Frames:
        image = frame.astype(np.float32).transpose(2, 0, 1)[None] / 255
        (answer,) = self._session.run(None, {"image": image, "style_weights": weights})
        image = np.asarray(answer)[0].transpose(1, 2, 0)
        return np.asarray(image.clip(0, 1) * 255 + 0.5, dtype=np.uint8)


def _weights(style: str) -> np.ndarray:
    weights = np.zeros(len(STYLES), dtype=np.float32)
    weights[STYLES.index(style)] = 1
    return weights


def _check_paintable(frames: Frames, style: str, what: str) -> None:
    if style not in STYLES:
        raise unknown_name("style", style, STYLES)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InputError(f"{what} must be uint8 frames (T, H, W, 3) to be painted; got {frames.dtype} {frames.shape}")
    if frames.shape[1] % 4 or frames.shape[2] % 4:
        raise InputError(
            f"{what} has {frames.shape[2]} x {frames.shape[1]} pixels; the style network needs multiples of 4"
        )
