"""What each action network of the paper is fed: how many frames, of how long a window, at which size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from sdbench.base.errors import InputError, unknown_name
from sdbench.video.frames import Frames
from sdbench.video.transform import evenly_spaced, transform

_WINDOW = 64
"""Consecutive frames that the published code cuts for every network but X3D, MViT and TimeSformer."""


@dataclass(frozen=True)
class ActionPreparation:
    """From a window of a video to an action network's inputs.

    Attributes:
        frames: how many frames of the window the network sees; of SlowFast, its fast path.
        sampling_rate: frames of the window for each that is seen, as the network's name and training say it.
        window: how many consecutive frames the published code cuts.
        short_side: length that the shorter side of a frame is resized to, in pixels.
        crop: height and width of the middle that is cut out, in pixels.
        alpha: of SlowFast, how many frames the fast path sees for one of the slow path; None for one path.
    """

    frames: int
    sampling_rate: int
    window: int
    short_side: int
    crop: int
    alpha: int | None = None

    def __post_init__(self) -> None:
        if min(self.frames, self.sampling_rate, self.window, self.crop, self.alpha or 1) < 1:
            raise InputError(f"every number of a preparation must be positive; got {self}")
        if self.crop > self.short_side:
            raise InputError(f"a crop of {self.crop} does not fit into a short side of {self.short_side} pixels")
        if self.alpha is not None and self.frames % self.alpha:
            raise InputError(f"the fast path's {self.frames} frames are not a multiple of alpha {self.alpha}")

    @property
    def inputs(self) -> Mapping[str, int]:
        """Name of each of the network's inputs -> how many frames it takes."""
        if self.alpha is None:
            return {"video": self.frames}
        return {"slow": self.frames // self.alpha, "fast": self.frames}

    def choose(self) -> dict[str, tuple[int, ...]]:
        """Name of each input -> the positions in the window of the frames it takes, evenly spaced.

        The slow path is chosen from the window itself, not from the frames of the fast path.
        """
        return {name: evenly_spaced(count, self.window) for name, count in self.inputs.items()}

    def __call__(self, frames: Frames) -> Tensor:
        """Frames (T, H, W, 3) uint8 as (3, T, crop, crop) float32: see `sdbench.video.transform.transform`."""
        return transform(frames, self.short_side, self.crop)


def _window_of_64(frames: int, sampling_rate: int, alpha: int | None = None) -> ActionPreparation:
    return ActionPreparation(frames, sampling_rate, _WINDOW, short_side=256, crop=256, alpha=alpha)


def _window_by_rate(frames: int, sampling_rate: int, short_side: int, crop: int) -> ActionPreparation:
    return ActionPreparation(frames, sampling_rate, frames * sampling_rate, short_side, crop)


# X3D is cut at the size its frames were resized to: the published transform does not use the smaller crop of training.
# TimeSformer is fed 256 pixels although it was trained on 224; the network resizes its position grid.
_PREPARATIONS = {
    "c2d": _window_of_64(8, 8),
    "i3d": _window_of_64(8, 8),
    "i3d_nln": _window_of_64(8, 8),
    "slow_r50_8x8": _window_of_64(8, 8),
    "slow_r50_4x16": _window_of_64(4, 16),
    "fast_r50_8x8": _window_of_64(32, 2),
    "slowfast_r50_8x8": _window_of_64(32, 2, alpha=4),
    "slowfast_r50_4x16": _window_of_64(32, 2, alpha=8),
    "slowfast_r50_16x8": _window_of_64(64, 2, alpha=4),
    "x3d_xs": _window_by_rate(4, 12, 182, 182),
    "x3d_s": _window_by_rate(13, 6, 182, 182),
    "x3d_m": _window_by_rate(16, 5, 256, 256),
    "x3d_l": _window_by_rate(16, 5, 356, 356),
    "mvit_b_16x4": _window_by_rate(16, 4, 256, 224),
    "timesformer_8x32": _window_by_rate(8, 32, 256, 256),
    "timesformer_16x8": _window_by_rate(16, 8, 256, 256),
}


def preparation_for(network: str) -> ActionPreparation:
    """What the action network of this name is fed.

    Raises:
        InputError: it is not an action network of the paper.
    """
    if network not in _PREPARATIONS:
        raise unknown_name("action network of the paper", network, _PREPARATIONS)
    return _PREPARATIONS[network]
