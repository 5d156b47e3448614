"""What the networks of two streams share: how the streams are checked, gated and weighed against each other.

Every module takes the appearance stream first and the motion stream second, both (B, C, H, W).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.base.errors import InputError


def check_streams(image: Tensor, flow: Tensor, axes: str = "B", flow_channels: int = 3) -> None:
    """Refuse an image and a flow picture that do not belong together.

    Args:
        image: pictures of 3 channels.
        flow: flow pictures, of the same shape but for the channels.
        axes: what comes before channels, height and width: "B", or "B, 2" for two frames a sample.
        flow_channels: channels of a flow picture.

    Raises:
        InputError: a shape is not the expected one, or the two differ in more than their channels.
    """
    frames = tuple(int(axis) for axis in axes.split(", ")[1:])
    leading, size = (*image.shape[:1], *frames), image.shape[-2:]
    if image.shape != (*leading, 3, *size) or flow.shape != (*leading, flow_channels, *size):
        raise InputError(
            f"image must have shape ({axes}, 3, H, W) and flow ({axes}, {flow_channels}, H, W), with the same "
            f"B, H and W; got {tuple(image.shape)} and {tuple(flow.shape)}"
        )


def stream_layers(*stages: int) -> tuple[str, ...]:
    """The layers of both streams at the given stages, as they are named, in the order in which they are yielded."""
    return tuple(f"{stream}.layer{stage}" for stage in stages for stream in ("appearance", "motion"))


def by_stream(stage: int, appearance: Tensor, motion: Tensor) -> Iterator[tuple[str, Tensor]]:
    """(layer name, activation) of both streams at a stage."""
    yield from zip(stream_layers(stage), (appearance, motion), strict=True)


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """(B, C, H, W) brought to another height and width: bilinear, corners not aligned."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class PairGate(nn.Module):
    """A gate for each stream at each position, seen from both streams; what passes is added to what came.

    Ren et al., "Reciprocal Transformations for Unsupervised Video Object Segmentation", CVPR 2021 (RTNet).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(2 * channels, 2, 1))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams, gated."""
        gate_a, gate_b = torch.sigmoid(self.conv(torch.cat([a, b], dim=1))).chunk(2, dim=1)
        return a * gate_a + a, b * gate_b + b


class _ChannelBalance(nn.Module):
    """Splits a weight of 1 between the two streams, channel by channel."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(2 * channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        pooled = torch.cat([a, b], dim=1).mean(dim=(2, 3), keepdim=True)
        share = torch.sigmoid(self.fc2(F.relu(self.fc1(pooled))))
        return a * share, b * (1 - share)


class _PositionBalance(nn.Module):
    """Splits a weight of 1 between the two streams, position by position.

    A 7 x 7 convolution looks at the mean and the maximum of either stream's channels, or, with `maximum_only`, at the
    maximum over the channels of both.
    """

    def __init__(self, maximum_only: bool) -> None:
        super().__init__()
        self.maximum_only = maximum_only
        looks = nn.Conv2d(1 if maximum_only else 4, 1, 7, padding=3, bias=False)
        # One variant was published with its convolution wrapped once more: the entries are named accordingly.
        self.conv1 = nn.Sequential(OrderedDict(conv=looks)) if maximum_only else looks

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        highest_a, highest_b = a.amax(dim=1, keepdim=True), b.amax(dim=1, keepdim=True)
        if self.maximum_only:
            seen = torch.maximum(highest_a, highest_b)
        else:
            seen = torch.cat([a.mean(dim=1, keepdim=True), highest_a, b.mean(dim=1, keepdim=True), highest_b], dim=1)
        share = torch.sigmoid(self.conv1(seen))
        return a * share, b * (1 - share)


class ConvexBalance(nn.Module):
    """Weighs the two streams against each other, first by channel, then by position; the weights of a pair sum to 1.

    RTNet's spatio-temporal fusion; used in MATNet by Kowal et al., "A Deeper Dive Into What Deep Spatiotemporal
    Networks Encode", CVPR 2022. Subclasses say in `forward` how the weighed streams are joined.
    """

    def __init__(self, channels: int, hidden: int, maximum_only: bool = False) -> None:
        super().__init__()
        self.channel = _ChannelBalance(channels, hidden)
        self.spatial = _PositionBalance(maximum_only)

    def weigh(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams, weighed."""
        weighed: tuple[Tensor, Tensor] = self.spatial(*self.channel(a, b))
        return weighed
