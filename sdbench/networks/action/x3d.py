"""X3D.

Feichtenhofer, "X3D: Expanding Architectures for Efficient Video Recognition", CVPR 2020. XS, S and M are one
architecture that is fed clips of different length and size; L is deeper.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.networks.action.ends import check_clip
from sdbench.networks.action.residual import STAGES, Bottleneck, Residual, Stage, convolution
from sdbench.networks.reading import VideoNetwork

_WIDTHS = (24, 48, 96, 192)
_DEPTHS = (1, 2, 5, 3)
_EXPANSION = 2.25
_SQUEEZE = 1 / 16
_HIDDEN = 2048


def _round_to_eights(width: float) -> int:
    """The multiple of 8 nearest to `width`, at least 8, and never more than a tenth below it."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


class _Stem(nn.Module):
    """3 x 3 convolution in space, channel-wise 5-frame convolution in time, batch norm, ReLU; half in space."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv_xy = convolution(3, outputs, (1, 3, 3), stride=2)
        self.conv = convolution(outputs, outputs, (5, 1, 1), groups=outputs)
        self.bn = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(self.conv_xy(x))), inplace=True)


class _SqueezeExcitation(nn.Module):
    """Weighs each channel by what all channels are on average (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _round_to_eights(channels * _SQUEEZE)
        self.fc1 = nn.Conv3d(channels, squeezed, 1)
        self.fc2 = nn.Conv3d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3, 4), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(mean))))


class _Classifier(nn.Module):
    """Expands the channels, averages over what is left of time and space, expands again, and classifies."""

    def __init__(self, inputs: int, inner: int, num_classes: int) -> None:
        super().__init__()
        self.conv_5 = convolution(inputs, inner, (1, 1, 1))
        self.conv_5_bn = nn.BatchNorm3d(inner)
        self.lin_5 = convolution(inner, _HIDDEN, (1, 1, 1))
        self.dropout = nn.Dropout(0.5)
        self.projection = nn.Linear(_HIDDEN, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv_5_bn(self.conv_5(x)), inplace=True)
        x = F.relu(self.lin_5(x.mean(dim=(2, 3, 4), keepdim=True)), inplace=True)
        logits: Tensor = self.projection(self.dropout(x.flatten(1)))
        return logits


class X3D(VideoNetwork):
    """X3D.

    Input: `video` (B, 3, T, H, W), normalised with mean 0.45 and standard deviation 0.225; any T >= 1 and H, W >= 1
    run. Layers: `stage1` to `stage5`, (B, C, T, H, W), then `logits` (B, num_classes).

    Args:
        num_classes: size of the classifier.
        depth_factor: how many times deeper than X2D's stages of 1, 2, 5 and 3 blocks.
    """

    layers = ("stage1", "stage2", "stage3", "stage4", "stage5", "logits")

    def __init__(self, num_classes: int, depth_factor: float) -> None:
        super().__init__()
        channels = _WIDTHS[0]
        self.s1 = Stage({"pathway0_stem": _Stem(channels)})
        for name, outputs, depth in zip(STAGES[1:], _WIDTHS, _DEPTHS, strict=True):
            stage = Stage()
            for number in range(math.ceil(depth_factor * depth)):
                stage.add(0, f"res{number}", _block(channels, outputs, number))
                channels = outputs
            self.add_module(name, stage)
        self.head = _Classifier(channels, int(_EXPANSION * channels), num_classes)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `video` (B, 3, T, H, W)."""
        x = check_clip(video)
        for layer, name in zip(self.layers, STAGES, strict=False):
            stage = self.get_submodule(name)
            assert isinstance(stage, Stage)
            x = stage.run(0, x)
            yield layer, x
        yield "logits", self.head(x)


def _block(inputs: int, outputs: int, number: int) -> Residual:
    """Block `number` of a stage: the first halves height and width, every second one squeezes and excites."""
    inner = int(_EXPANSION * outputs)
    stride = 2 if number == 0 else 1
    squeeze = _SqueezeExcitation(inner) if number % 2 == 0 else None
    branch = Bottleneck(inputs, inner, outputs, (1, 1, 1), (3, 3, 3), stride, inner, squeeze, F.silu)
    return Residual(inputs, outputs, stride, branch)


def x3d(num_classes: int = 400) -> X3D:
    """X3D-XS, -S and -M: depth factor 2.2."""
    return X3D(num_classes, depth_factor=2.2)


def x3d_l(num_classes: int = 400) -> X3D:
    """X3D-L: depth factor 5."""
    return X3D(num_classes, depth_factor=5.0)
