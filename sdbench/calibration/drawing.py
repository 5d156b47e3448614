"""Drawing batches of small videos, and of pictures with flow, whose appearance and motion are drawn independently.

A video is a texture that is moved rigidly by whole pixels over a frame without edges, so that nothing of a single
frame tells how it moves, and nothing of the way it moves tells what it shows. A segmentation scene holds two sprites:
the *moving* one is a part of the picture that is about to move otherwise than the rest, and whose pixels are those of
the background; the *still* one is of another texture and moves with the background. The image alone shows the still
sprite, the optical flow alone shows the moving one.

Every draw comes from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

KINDS = ("grains", "blobs", "patches", "dots")
"""The four kinds of texture: fine noise, coarse noise, patches of two colours, dots on a plain ground."""

HEADINGS = ("right", "down", "left", "up")
"""The four kinds of motion of a video."""

_STEPS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])  # of y and x for each heading
SPEEDS = (2,)
"""Pixels a frame of a video."""

PERIOD = 64
"""Height and width of a texture in pixels; it repeats without a seam."""

_FINE, _COARSE = 6.0, 14.0  # wavelengths in pixels: a step of a third of one still says where to
_CONTRAST = (0.35, 0.65)  # between the two colours, around the circle of each channel

_MEAN, _STD = 0.45, 0.225  # of the action-recognition networks

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Textures:
    """A pool of textures.

    Attributes:
        pictures: (N, PERIOD, PERIOD, 3) in 0 to 1.
        kinds: (N,) the kind of each, by position in `KINDS`.
    """

    pictures: Floats
    kinds: Ints

    def of_kind(self, kinds: Ints, generator: np.random.Generator) -> Ints:
        """(B,) numbers of textures, each drawn from those of the kind given."""
        each = len(self.kinds) // len(KINDS)
        return np.asarray(kinds * each + generator.integers(0, each, len(kinds)))


def draw_textures(each: int, generator: np.random.Generator) -> Textures:
    """A pool with `each` textures of every kind, in the order of `KINDS`; the two colours of each are random."""
    kinds = np.repeat(np.arange(len(KINDS)), each)
    noise = generator.standard_normal((len(kinds), PERIOD, PERIOD))
    fine, coarse = _band(noise, _FINE), _band(noise, _COARSE)
    levels = (0.5 + 0.2 * fine, 0.5 + 0.2 * coarse, coarse > 0, fine > 1.4)  # in the order of `KINDS`
    level = np.choose(kinds[:, None, None], [np.clip(each_level, 0, 1) for each_level in levels])[..., None]
    first = generator.uniform(0, 1, (len(kinds), 1, 1, 3))
    # Two colours that hardly differ would hide both what is drawn and how it moves.
    second = (first + generator.uniform(*_CONTRAST, first.shape)) % 1
    return Textures(np.asarray(first * (1 - level) + second * level, dtype=np.float32), kinds)


def _band(noise: npt.NDArray[np.float64], wavelength: float) -> npt.NDArray[np.float64]:
    """Noise (N, S, S) of about one wavelength, in every direction alike, of mean 0 and standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(PERIOD)[:, None], np.fft.rfftfreq(PERIOD)) * wavelength
    passed = np.exp(-(((frequency - 1) / 0.3) ** 2))
    passed[0, 0] = 0
    filtered = np.fft.irfft2(np.fft.rfft2(noise) * passed, s=noise.shape[1:])
    return np.asarray(filtered / filtered.std(axis=(1, 2), keepdims=True))


@dataclass(frozen=True)
class Appearances:
    """What B videos show: `texture` (B,) numbers in a pool, `start` (B, 2) the pixel in their upper left corner."""

    texture: Ints
    start: Ints


@dataclass(frozen=True)
class Motions:
    """How B videos move: `heading` (B,) by position in `HEADINGS`, `speed` (B,) in pixels a frame."""

    heading: Ints
    speed: Ints


def draw_appearances(textures: Textures, kinds: Ints, generator: np.random.Generator) -> Appearances:
    """An appearance of each of the kinds (B,)."""
    return Appearances(textures.of_kind(kinds, generator), generator.integers(0, PERIOD, (len(kinds), 2)))


def draw_motions(headings: Ints, generator: np.random.Generator) -> Motions:
    """A motion with each of the headings (B,)."""
    return Motions(headings, generator.choice(SPEEDS, len(headings)))


def draw_videos(textures: Textures, shown: Appearances, moved: Motions, frames: int, side: int) -> Floats:
    """(B, frames, side, side, 3) in 0 to 1: each appearance, moved by its motion, exactly to the pixel."""
    moves = (_STEPS[moved.heading] * moved.speed[:, None])[:, None] * np.arange(frames)[:, None]  # (B, T, 2)
    corner = shown.start[:, None] - moves
    places = (corner[..., None] + np.arange(side)) % PERIOD  # (B, T, 2, side)
    rows, columns = places[:, :, 0, :, None], places[:, :, 1, None, :]
    flat = textures.pictures.reshape(-1, 3)
    return np.asarray(flat[(shown.texture[:, None, None, None] * PERIOD + rows) * PERIOD + columns])


def video_tensor(videos: Floats) -> Tensor:
    """(B, 3, T, H, W), normalised as the action-recognition networks take it."""
    return torch.from_numpy(np.ascontiguousarray(videos.transpose(0, 4, 1, 2, 3))).sub_(_MEAN).div_(_STD)
