"""Networks of which it is known what they see, because nothing else reaches their units.

- `ColourNetwork` looks at one frame at a time and at its colours only, not where they are: all of its units are static.
- `MotionNetwork` answers how the field moves, by least squares over differences between frames: contrast, colours and
  texture divide out, and all of its units are dynamic.
- `JoinedNetwork` has both side by side, `MixedNetwork` adds one of each in known proportion.

Units are scaled to mean 0 and variance 1 over the population of clips they are shown (`settle`). On rendered videos a
static unit then shares all of its variance in static pairs and none in dynamic ones, a dynamic unit the other way
round, and since appearance and motion are drawn independently, a sum's variance is the sum of its parts' variances:
shares and classes follow without measuring anything (`expected_shares`, `expected_classes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError
from sdbench.networks.reading import VideoNetwork
from sdbench.statistics import SHARE_NAMES

COLOUR_STATISTICS = 6
MOTION_STATISTICS = 4
_TIKHONOV = 1e-3
"""Added to the normal equations as a fraction of their size: a field of one colour has no motion to answer."""


def colour_statistics(video: Tensor) -> Tensor:
    """(B, 6): mean and standard deviation of each colour in a frame, averaged over the frames of (B, 3, T, H, W)."""
    pixels = video.flatten(3)
    return torch.cat([pixels.mean(dim=3), pixels.std(dim=3, correction=0)], dim=1).mean(dim=2)


def motion_statistics(video: Tensor) -> Tensor:
    """(B, 4): shift to the right and down, turn and growth of the field from frame to frame, averaged over time.

    Least squares of the brightness that changes between two frames, in all three colours of (B, 3, T, H, W), against
    what each of the four motions would change (Lucas and Kanade, "An Iterative Image Registration Technique", 1981).
    Shifts are in pixels; turn and growth in pixels at half the shorter side from the middle.
    """
    height, width = video.shape[3:]
    middle = (video[:, :, 1:] + video[:, :, :-1])[..., 1:-1, 1:-1] / 2
    change = (video[:, :, 1:] - video[:, :, :-1])[..., 2:-2, 2:-2]
    right = (middle[..., 1:-1, 2:] - middle[..., 1:-1, :-2]) / 2
    down = (middle[..., 2:, 1:-1] - middle[..., :-2, 1:-1]) / 2
    scale = min(height, width) / 2
    y = (torch.arange(2, height - 2, device=video.device) - (height - 1) / 2)[:, None] / scale
    x = (torch.arange(2, width - 2, device=video.device) - (width - 1) / 2)[None, :] / scale
    moved = torch.stack([right, down, x * down - y * right, x * right + y * down], dim=-1)
    # (B, T - 1, colours and pixels, 4): every frame has its own least squares.
    moved = moved.permute(0, 2, 1, 3, 4, 5).flatten(2, 4)
    change = change.transpose(1, 2).flatten(2)
    products = moved.transpose(2, 3) @ moved
    size = products.diagonal(dim1=2, dim2=3).mean(dim=2)[..., None, None] + 1e-12
    kept = products + _TIKHONOV * size * torch.eye(MOTION_STATISTICS, device=video.device)
    answer = torch.linalg.solve(kept, -(moved.transpose(2, 3) @ change[..., None]))
    steps: Tensor = answer[..., 0]
    return steps.mean(dim=1)


class _Projected(nn.Module):
    """Statistics (B, S), standardised, in `units` random directions, each scaled to mean 0 and variance 1."""

    centre: Tensor
    spread: Tensor
    directions: Tensor
    offset: Tensor
    scale: Tensor

    def __init__(self, statistics: int, units: int, generator: np.random.Generator) -> None:
        super().__init__()
        directions = generator.standard_normal((units, statistics))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        self.register_buffer("centre", torch.zeros(statistics))
        self.register_buffer("spread", torch.ones(statistics))
        self.register_buffer("directions", torch.from_numpy(directions).float())
        self.register_buffer("offset", torch.zeros(units))
        self.register_buffer("scale", torch.ones(units))

    def forward(self, statistics: Tensor) -> Tensor:
        standard = (statistics - self.centre) / self.spread
        return (standard @ self.directions.T - self.offset) / self.scale

    def settle(self, statistics: Tensor) -> None:
        self.centre.copy_(statistics.mean(dim=0))
        self.spread.copy_(statistics.std(dim=0, correction=0))
        self.offset.zero_()
        self.scale.fill_(1.0)
        answers = self(statistics)
        self.offset.copy_(answers.mean(dim=0))
        self.scale.copy_(answers.std(dim=0, correction=0))


class ColourNetwork(VideoNetwork):
    """Sees colours of single frames; all units are static.

    Input: `video` (B, 3, T, H, W). Layer: `colours` (B, units).
    """

    layers = ("colours",)

    def __init__(self, units: int, generator: np.random.Generator) -> None:
        super().__init__()
        self.project = _Projected(COLOUR_STATISTICS, units, generator)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the layer's activation for `video`."""
        yield "colours", self.project(colour_statistics(video))

    @torch.no_grad()
    def settle(self, clips: Sequence[Tensor]) -> None:
        """Scale the units to mean 0 and variance 1 over `clips`, each (1, 3, T, H, W)."""
        self.project.settle(torch.cat([colour_statistics(clip) for clip in _enough(clips)]))


class MotionNetwork(VideoNetwork):
    """Sees how the field moves; all units are dynamic.

    Input: `video` (B, 3, T, H, W), T >= 2, textures that vary in both directions, less than a third of their finest
    detail moved from frame to frame. Layer: `motion` (B, units).
    """

    layers = ("motion",)

    def __init__(self, units: int, generator: np.random.Generator) -> None:
        super().__init__()
        self.project = _Projected(MOTION_STATISTICS, units, generator)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the layer's activation for `video`."""
        yield "motion", self.project(motion_statistics(video))

    @torch.no_grad()
    def settle(self, clips: Sequence[Tensor]) -> None:
        """Scale the units to mean 0 and variance 1 over `clips`, each (1, 3, T, H, W)."""
        self.project.settle(torch.cat([motion_statistics(clip) for clip in _enough(clips)]))


class JoinedNetwork(VideoNetwork):
    """Units of both side by side.

    Input: `video` (B, 3, T, H, W). Layers: `colours`, `motion`, `joined` (the two one after the other).
    """

    layers = ("colours", "motion", "joined")

    def __init__(self, colours: ColourNetwork, motion: MotionNetwork) -> None:
        super().__init__()
        self.colours, self.motion = colours, motion

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `video`."""
        colours, motion = self.colours(video), self.motion(video)
        yield "colours", colours
        yield "motion", motion
        yield "joined", torch.cat([colours, motion], dim=1)


class MixedNetwork(VideoNetwork):
    """Each unit is the root of p of a static unit and the root of 1 - p of a dynamic one.

    Input: `video` (B, 3, T, H, W). Layers: `colours`, `motion`, `mixed`, all (B, units).

    Args:
        colours: the static units.
        motion: as many dynamic units.
        proportions: (units,) the static fraction p of each unit's variance.

    Raises:
        InputError: the numbers of units differ, or a proportion is not between 0 and 1.
    """

    layers = ("colours", "motion", "mixed")
    proportions: Tensor

    def __init__(self, colours: ColourNetwork, motion: MotionNetwork, proportions: npt.ArrayLike) -> None:
        super().__init__()
        given = np.asarray(proportions, dtype=np.float64)
        counts = [len(network.project.scale) for network in (colours, motion)]
        if given.shape != (counts[0],) or counts[0] != counts[1]:
            raise InputError(
                f"expected one proportion for each of as many static as dynamic units; got {given.shape} proportions, "
                f"{counts[0]} static and {counts[1]} dynamic units"
            )
        if (given < 0).any() or (given > 1).any():
            raise InputError(f"proportions must lie between 0 and 1; got {given.min():g} to {given.max():g}")
        self.colours, self.motion = colours, motion
        self.register_buffer("proportions", torch.from_numpy(given).float())

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `video`."""
        colours, motion = self.colours(video), self.motion(video)
        yield "colours", colours
        yield "motion", motion
        yield "mixed", self.proportions.sqrt() * colours + (1 - self.proportions).sqrt() * motion


def expected_shares(proportions: npt.ArrayLike) -> dict[str, float]:
    """Shares in percent of units of variance 1, the fraction p of which is static and the rest dynamic.

    The layer's scores are the means of p and 1 - p; static units have p = 1, dynamic ones p = 0.
    """
    static = float(np.mean(np.asarray(proportions, dtype=np.float64)))
    powers = np.exp([1 - static, static, 1.0])
    return dict(zip(SHARE_NAMES, (100 * powers / powers.sum()).tolist(), strict=True))


def expected_classes(proportions: npt.ArrayLike, threshold: float = 0.5) -> npt.NDArray[np.str_]:
    """The class of each such unit: its scores are 1 - p (dynamic) and p (static)."""
    static = np.asarray(proportions, dtype=np.float64)
    above = (1 - static > threshold, static > threshold)
    return np.select([above[0] & above[1], above[0], above[1]], ["joint", "dynamic", "static"], default="residual")


def _enough(clips: Sequence[Tensor]) -> Sequence[Tensor]:
    if len(clips) < 2:
        raise InputError(f"a variance needs at least 2 clips; got {len(clips)}")
    return clips
