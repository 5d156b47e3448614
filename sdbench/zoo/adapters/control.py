"""Networks whose answer is known beforehand, to show a measurement beside: what is static, and what is motion.

control:frame_average    a small image network, its answers averaged over the frames: it knows no order
control:motion_energy    filters of motion in the luminance, each clip at its own contrast (needs pymoten)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.network import Network
from sdbench.networks.reading import VideoNetwork
from sdbench.video.feed import Feed
from sdbench.zoo.adapters.extras import imported
from sdbench.zoo.asked import Asked

_SEED = 0
_WIDTHS = (16, 32, 64, 64)

_FRAMES_A_SECOND = 24
_CYCLES_A_SECOND = (2, 4, 8)
_CYCLES_AN_IMAGE = (2, 4, 8, 16)
_LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Of red, green and blue (Rec. ITU-R BT.709)."""

_FAINT = 1e-3
"""A clip whose luminance deviates by less than this from its mean, of a range of 1, shows nothing."""

_LEAST = 1e-5
"""Added to an energy before its logarithm is taken, as pymoten does."""


class FrameAverage(VideoNetwork):
    """Four convolutions of a single frame each, with fixed random weights, averaged over the frames.

    Frames in another order give the same units but for the rounding of a mean: every static pair that is made by
    shuffling agrees, whatever the videos.
    """

    layers = (*(f"conv{number}" for number in range(1, len(_WIDTHS) + 1)), "average")

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(_SEED)
        before = 3
        for number, width in enumerate(_WIDTHS, 1):
            conv = nn.Conv2d(before, width, 3, stride=2, padding=1)
            with torch.no_grad():
                # He's: each layer answers as strongly as the one before it.
                conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator) * (2 / (9 * before)) ** 0.5)
                conv.bias.zero_()  # type: ignore[union-attr]
            self.add_module(f"conv{number}", conv)
            before = width

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Activations of `video` (B, 3, T, H, W)."""
        x = video.transpose(1, 2).flatten(0, 1)
        for name in self.layers[:-1]:
            x = F.relu(self.get_submodule(name)(x))
            yield name, x.view(len(video), -1, *x.shape[1:]).transpose(1, 2)
        yield "average", x.view(len(video), -1, *x.shape[1:]).mean(dim=(1, 3, 4))


class MotionEnergy(VideoNetwork):
    """The log energy of filters that are tuned to motion, averaged over the clip: each filter is a unit.

    Filters are pymoten's spatiotemporal Gabor pairs (Nishimoto et al., 2011) of temporal frequencies above 0. What
    stands still is taken away beforehand, as each pixel's own mean over the clip: filters as short as these would
    answer to it. What is left is divided by the contrast of the clip, so that a faint clip moves as much as a strong
    one.

    Args:
        frames: of a clip.
        size: height and width in pixels.

    Raises:
        AssetError: pymoten is not installed.
    """

    layers = (*(f"energy.{cycles}hz" for cycles in _CYCLES_A_SECOND), "energy")

    def __init__(self, frames: int, size: tuple[int, int]) -> None:
        super().__init__()
        moten = imported("moten.pyramids", "moten")
        pyramid = moten.MotionEnergyPyramid(
            stimulus_vhsize=size,
            stimulus_fps=_FRAMES_A_SECOND,
            temporal_frequencies=list(_CYCLES_A_SECOND),
            spatial_frequencies=list(_CYCLES_AN_IMAGE),
            filter_temporal_width=frames,
        )
        for cycles in _CYCLES_A_SECOND:
            pairs = [
                pyramid.get_filter_spatiotemporal_quadratures(number)
                for number, parameters in enumerate(pyramid.filters)
                if parameters["temporal_freq"] == cycles
            ]
            # All filters of one temporal frequency have the same course in time.
            spaces = [np.stack([pair[place] for pair in pairs]) for place in (0, 1)]
            seen = np.abs(spaces[0]) + np.abs(spaces[1]) > pyramid.mask_threshold  # as pymoten projects
            for place, name in enumerate(("sin", "cos")):
                space = spaces[place] * seen
                self.register_buffer(f"space_{name}_{cycles}", torch.from_numpy(space).float().flatten(1))
                self.register_buffer(f"time_{name}_{cycles}", torch.from_numpy(pairs[0][2 + place]).float())

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Units of `video` (B, 3, T, H, W), colours in 0 to 1."""
        weights = torch.tensor(_LUMINANCE, dtype=video.dtype, device=video.device)
        luminance = torch.einsum("bcthw,c->bthw", video, weights).flatten(2)
        contrast = luminance.flatten(1).std(dim=1).clamp(min=_FAINT)[:, None, None]
        moving = (luminance - luminance.mean(dim=1, keepdim=True)) / contrast
        found = []
        for name, cycles in zip(self.layers, _CYCLES_A_SECOND, strict=False):
            found.append(self._energy(moving, cycles))
            yield name, found[-1]
        yield "energy", torch.cat(found, dim=1)

    def _energy(self, moving: Tensor, cycles: int) -> Tensor:
        """(B, C): of the filters of one temporal frequency, from pixels (B, T, P)."""
        space_sin, space_cos, time_sin, time_cos = (
            self.get_buffer(f"{of}_{name}_{cycles}") for of in ("space", "time") for name in ("sin", "cos")
        )
        sin, cos = moving @ space_sin.T, moving @ space_cos.T
        first = _over_time(sin, time_cos) + _over_time(cos, time_sin)
        second = _over_time(cos, time_cos) - _over_time(sin, time_sin)
        return torch.log(torch.hypot(first, second) + _LEAST).mean(dim=1)


def _over_time(course: Tensor, kernel: Tensor) -> Tensor:
    """(B, T, C): each column convolved with the kernel (K,), with zeros before and after."""
    behind = -(-len(kernel) // 2) - 1
    rows = course.transpose(1, 2).flatten(0, 1)[:, None]
    padded = F.pad(rows, (len(kernel) - 1 - behind, behind))
    answered = F.conv1d(padded, kernel.flip(0)[None, None])
    return answered.view(len(course), -1, answered.shape[2]).transpose(1, 2)


_KNOWN: Mapping[str, tuple[Callable[[Feed], VideoNetwork], Feed, str]] = {
    "frame_average": (
        lambda _: FrameAverage(),
        Feed(frames=16, size=112),
        "a known-static control: single frames through a fixed random image network, averaged",
    ),
    "motion_energy": (
        lambda feed: MotionEnergy(feed.frames, feed.height_and_width),
        Feed(frames=16, size=64, mean=0.0, std=1.0),
        f"an expected-dynamic control: motion-energy filters of {', '.join(map(str, _CYCLES_A_SECOND))} Hz at "
        f"{_FRAMES_A_SECOND} frames a second, on luminance at the clip's own contrast",
    ),
}


def network_of(name: str, asked: Asked, store: AssetStore) -> Network:  # noqa: ARG001 - nothing is fetched
    """A control, by its name behind "control:".

    Raises:
        InputError: it is unknown, or is asked for what it does not have.
        AssetError: a library that it needs is not installed.
    """
    if name not in _KNOWN:
        raise unknown_name("control", name, _KNOWN)
    reason = "its weights are fixed"
    asked.without("a control", trained_on=reason, weights=reason, revision=reason, untrained=reason)
    build, usual, note = _KNOWN[name]
    feed = asked.fed(usual)
    if replace(feed, order=usual.order, argument=usual.argument, alpha=None, flow=None) != feed:
        raise InputError(
            f"control:{name} takes plain videos, as it is: order, argument, alpha and flow say nothing of it"
        )
    return Network(build(feed).eval(), feed, f"control:{name}", asked.layers, notes=(note,))
