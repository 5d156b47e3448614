"""What each network is fed: how many frames, of how long a window, at which size."""

from __future__ import annotations

from sdbench.base.errors import unknown_name
from sdbench.video.feed import IMAGENET_MEAN, IMAGENET_STD, Feed

_WINDOW = 64
"""Consecutive frames that the published code cuts for every action network but X3D, MViT and TimeSformer."""

DAVIS_SIZE = (480, 854)
"""Height and width that every frame of DAVIS is brought to where units are measured, as published."""


def _window_of_64(frames: int, alpha: int | None = None) -> Feed:
    return Feed(frames, 256, window=_WINDOW, resample="bilinear", alpha=alpha)


def _window_by_rate(frames: int, rate: int, short_side: int, crop: int) -> Feed:
    return Feed(frames, crop, window=frames * rate, short_side=short_side, resample="bilinear")


def _segmenting(**options: str) -> Feed:
    return Feed(1, DAVIS_SIZE, IMAGENET_MEAN, IMAGENET_STD, fit="stretch", **options)  # type: ignore[arg-type]


# X3D is cut at the size its frames were resized to: the published transform does not use the smaller crop of training.
# TimeSformer is fed 256 pixels although it was trained on 224; the network resizes its position grid.
# I3D is fed 112 instead of the 224 of training: a quarter of the time, and the network is convolutional.
_FEEDS = {
    "c2d": _window_of_64(8),
    "i3d": _window_of_64(8),
    "i3d_nln": _window_of_64(8),
    "slow_r50_8x8": _window_of_64(8),
    "slow_r50_4x16": _window_of_64(4),
    "fast_r50_8x8": _window_of_64(32),
    "slowfast_r50_8x8": _window_of_64(32, alpha=4),
    "slowfast_r50_4x16": _window_of_64(32, alpha=8),
    "slowfast_r50_16x8": _window_of_64(64, alpha=4),
    "x3d_xs": _window_by_rate(4, 12, 182, 182),
    "x3d_s": _window_by_rate(13, 6, 182, 182),
    "x3d_m": _window_by_rate(16, 5, 256, 256),
    "x3d_l": _window_by_rate(16, 5, 356, 356),
    "mvit_b_16x4": _window_by_rate(16, 4, 256, 224),
    "timesformer_8x32": _window_by_rate(8, 32, 256, 256),
    "timesformer_16x8": _window_by_rate(16, 8, 256, 256),
    "i3d_inception": Feed(16, 112, 0.5, 0.5, fit="crops"),
    "transnetv2": Feed(16, (27, 48), None, order="BTHWC", short_side=112, fit="stretch"),
    "fusionseg": _segmenting(flow="forward"),
    "matnet": _segmenting(flow="forward"),
    "rtnet": _segmenting(flow="both"),
    "rtnet34": _segmenting(flow="both"),
}


def feed_of(architecture: str) -> Feed:
    """What the network that `sdbench.build(architecture)` makes is fed where its units are measured.

    Raises:
        InputError: there is no such network.
    """
    if architecture not in _FEEDS:
        raise unknown_name("network", architecture, _FEEDS)
    return _FEEDS[architecture]
