"""Painting clips: the same frames in another style share their dynamics and little else.

The packaged network (Dumoulin et al., "A Learned Representation for Artistic Style", ICLR 2017) holds 26 styles. On the
CPU onnxruntime runs it, one frame a thread, so that the result does not depend on their number. On any other device
torch does, many frames at a time; its pictures are those of the CPU within one grey level. Frames of exactly one colour
are the exception: their variance is 0, so that onnxruntime makes rounding errors visible, and torch does not.

Torch could paint on the CPU too, but takes 3 to 4 times as long a frame: `benchmarks/compare_painting.py`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
import torch

from sdbench.base.cache_keys import cache_key
from sdbench.base.errors import AssetError, InputError, unknown_name
from sdbench.base.kept import kept_arrays
from sdbench.base.machine import available_cores, gpus
from sdbench.video.frames import Frames, check_clip
from sdbench.video.style_network import STYLE_COUNT, read_style_network

STYLES = tuple(f"style{number}" for number in range(STYLE_COUNT))
"""The packaged styles; their authors gave them numbers and no names."""

DEFAULT_STYLES = ("style5", "style10", "style12", "style14")
"""Four that change colour and texture and leave the outlines where they are."""

LEAST_SIDE = 8
"""Pixels: the style network mirrors 4 of them at each edge, and needs multiples of 4."""

MOST_PIXELS = 2**21
"""Of a batch of frames on a device other than the CPU: 32 frames of 256 x 256. They need about 1.5 GB while painted."""


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
    """Paints clips with the packaged styles and keeps them on disk by content. Threads may share one.

    Args:
        model: the ONNX file.
        cache: folder for painted clips; None keeps none.
        threads: how many frames are painted at once, on the CPU.
        device: "cpu", or a device of torch that is there: see `sdbench.engine.placing.device_named`.

    Attributes:
        painted: number of frames painted so far, those found in the cache not counted.

    Raises:
        AssetError: the file holds no network, or on another device than the CPU not the packaged one.
    """

    def __init__(self, model: Path, cache: Path | None = None, threads: int | None = None, device: str = "cpu") -> None:
        content = model.read_bytes()
        self.model = hashlib.sha256(content).hexdigest()
        self.cache = cache
        self.painted = 0
        self._counting = threading.Lock()
        self._brush: Brush = (
            FrameByFrame(content, str(model), threads or available_cores())
            if device == "cpu"
            else InBatches(content, str(model), device)
        )

    def paint(self, frames: Frames, style: str, what: str = "the clip") -> Frames:
        """Paint every frame of a clip.

        Args:
            frames: (T, H, W, 3) uint8; H and W multiples of 4, from 8 on.
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
        recipe = (self.model, style, frames.shape, content, self._brush.known_as)
        key = cache_key("stylised clips", recipe, code=type(self._brush))
        return kept_arrays(self.cache, key, lambda: {"frames": self._paint(frames, style, what)})["frames"]

    def _paint(self, frames: Frames, style: str, what: str) -> Frames:
        painted = np.stack(list(self._brush.paint(frames, [STYLES.index(style)] * len(frames))))
        self._count(len(painted))
        check_clip(painted, f"{what}, painted in {style},")
        return painted

    def paint_frame(self, frame: Frames, styles: Sequence[str], what: str = "the frame") -> Iterator[Frames]:
        """Paint one frame (H, W, 3) uint8, which may be a blank, in some styles; nothing is looked up or kept on disk.

        Yields:
            (H, W, 3) uint8, in the order of the styles; on the CPU each is painted when its turn comes.

        Raises:
            InputError: a style is unknown, or the size does not fit.
        """
        for style in styles:
            _check_paintable(frame[None], style, what)
        repeated = np.broadcast_to(frame, (len(styles), *frame.shape))
        for painted in self._brush.paint(repeated, [STYLES.index(style) for style in styles]):
            self._count(1)
            yield painted

    def _count(self, frames: int) -> None:
        with self._counting:
            self.painted += frames


class Brush(Protocol):
    """The style network where it runs.

    Attributes:
        known_as: what else a painted clip is kept by, beside the network, the style, the frames and the software: the
            processor and its driver, where they decide.
    """

    known_as: tuple[str, ...]

    def paint(self, frames: Frames, styles: Sequence[int]) -> Iterator[Frames]:
        """Paint frames (N, H, W, 3) uint8, each in a style of its own, in their order."""
        ...


class FrameByFrame:
    """On the CPU: onnxruntime, which is given one frame at a time.

    Args:
        content: of the ONNX file.
        name: how to call the file in an error.
        threads: how many frames are painted at once.

    Raises:
        AssetError: the file holds no network.
    """

    known_as: tuple[str, ...] = ()

    def __init__(self, content: bytes, name: str, threads: int) -> None:
        self.threads = threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share no base
            raise AssetError(f"{name} cannot be read as an ONNX network ({error}); delete it and retry") from None

    def paint(self, frames: Frames, styles: Sequence[int]) -> Iterator[Frames]:
        """See `Brush`."""
        if self.threads == 1:
            yield from map(self._paint_frame, frames, styles)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            yield from pool.map(self._paint_frame, frames, styles)

    def _paint_frame(self, frame: Frames, style: int) -> Frames:
        weights = np.zeros(STYLE_COUNT, dtype=np.float32)
        weights[style] = 1
        image = frame.astype(np.float32).transpose(2, 0, 1)[None] / 255
        (answer,) = self._session.run(None, {"image": image, "style_weights": weights})
        image = np.asarray(answer)[0].transpose(1, 2, 0)
        return np.asarray(image.clip(0, 1) * 255 + 0.5, dtype=np.uint8)


class InBatches:
    """On a device of torch: as many frames at a time as fit its memory whatever else is there, in float32.

    Args:
        content: of the ONNX file.
        name: how to call the file in an error.
        device: a device of torch that is there.

    Raises:
        AssetError: the file does not hold the packaged network.
    """

    def __init__(self, content: bytes, name: str, device: str) -> None:
        self._device = torch.device(device)
        self._network = read_style_network(content, name).to(self._device)
        self._painting = threading.Lock()
        of_type = self._device.type
        processor = torch.cuda.get_device_name(self._device) if of_type == "cuda" else of_type
        self.known_as: tuple[str, ...] = (processor, *(gpus() if of_type == "cuda" else ()))

    def paint(self, frames: Frames, styles: Sequence[int]) -> Iterator[Frames]:
        """See `Brush`."""
        most = max(1, MOST_PIXELS // (frames.shape[1] * frames.shape[2]))
        for start in range(0, len(frames), most):
            yield from self._paint_batch(frames[start : start + most], styles[start : start + most])

    @torch.no_grad()
    def _paint_batch(self, frames: Frames, styles: Sequence[int]) -> Frames:
        with self._painting:  # threads that draw at the same time would each need the memory of a batch
            images = torch.tensor(frames).to(self._device).permute(0, 3, 1, 2).contiguous().float() / 255
            answers = self._network(images, torch.tensor(styles, device=self._device))
            painted: Frames = (answers * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return painted


def _check_paintable(frames: Frames, style: str, what: str) -> None:
    if style not in STYLES:
        raise unknown_name("style", style, STYLES)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InputError(f"{what} must be uint8 frames (T, H, W, 3) to be painted; got {frames.dtype} {frames.shape}")
    if any(side % 4 or side < LEAST_SIDE for side in frames.shape[1:3]):
        raise InputError(
            f"{what} has {frames.shape[2]} x {frames.shape[1]} pixels; the style network needs multiples of 4, from "
            f"{LEAST_SIDE} on"
        )
