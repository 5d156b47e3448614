"""Residual networks in parts, for two-stream networks that each put the parts under names of their own.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; Xie et al., "Aggregated Residual Transformations
for Deep Neural Networks", CVPR 2017. A bottleneck halves the resolution in its 3 x 3 convolution, as the ImageNet
weights that the segmentation networks start from do.

`width` is the number of channels of the first convolution, 64 as published; everything else is in proportion to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.base.errors import InputError


@dataclass(frozen=True)
class ResNet:
    """What tells one residual network from another.

    Attributes:
        depths: number of blocks in each of the four stages.
        bottleneck: blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions rather than of two 3 x 3.
        groups: groups of a bottleneck's 3 x 3 convolution.
        inner: channels of that convolution, as a multiple of the stage's own width.
    """

    depths: tuple[int, int, int, int]
    bottleneck: bool = True
    groups: int = 1
    inner: int = 1

    def channels(self, width: int) -> tuple[int, int, int, int]:
        """Output channels of the four stages."""
        first = 4 * width if self.bottleneck else width
        return first, 2 * first, 4 * first, 8 * first

    def with_depths(self, depths: Sequence[int] | None) -> ResNet:
        """The same with other numbers of blocks in its stages; as it is where None is given.

        Raises:
            InputError: there are not four numbers, or one is below 1.
        """
        if depths is None:
            return self
        if len(depths) != len(self.depths) or min(depths) < 1:
            raise InputError(f"depths must be four numbers of blocks, at least 1 each; got {tuple(depths)}")
        first, second, third, fourth = depths
        return replace(self, depths=(first, second, third, fourth))


RESNET34 = ResNet((3, 4, 6, 3), bottleneck=False)
RESNET101 = ResNet((3, 4, 23, 3))
RESNEXT50 = ResNet((3, 4, 6, 3), groups=32, inner=2)


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)), inplace=True)
        inner = self.bn2(self.conv2(inner))
        return F.relu(inner + (x if self.downsample is None else self.downsample(x)))


class _Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions and a shortcut."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, dilation: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=dilation, dilation=dilation, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(x)), inplace=True)
        inner = F.relu(self.bn2(self.conv2(inner)), inplace=True)
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    if inputs == outputs and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def first_convolution(inputs: int, width: int) -> nn.Conv2d:
    """The 7 x 7 convolution of stride 2 that a residual network starts with."""
    return nn.Conv2d(inputs, width, 7, stride=2, padding=3, bias=False)


def into_first_stage(x: Tensor, norm: nn.Module) -> Tensor:
    """What lies between the first convolution and the first stage: norm, ReLU and a 3 x 3 max pooling of stride 2."""
    return F.max_pool2d(F.relu(norm(x)), 3, stride=2, padding=1)


def residual_stage(kind: ResNet, number: int, width: int, dilated: bool = False) -> nn.Sequential:
    """Stage `number`, 1 to 4, of a residual network.

    Args:
        kind: which residual network.
        number: which stage; 2, 3 and 4 halve the resolution.
        width: channels of the network's first convolution.
        dilated: keep the resolution; the blocks after the first then look twice as far (bottlenecks only).
    """
    outputs = kind.channels(width)[number - 1]
    inputs = width if number == 1 else kind.channels(width)[number - 2]
    own = width * 2 ** (number - 1)
    blocks: list[nn.Module] = []
    for block in range(kind.depths[number - 1]):
        stride = 2 if block == 0 and number > 1 and not dilated else 1
        dilation = 2 if block > 0 and dilated else 1
        if kind.bottleneck:
            blocks.append(_Bottleneck(inputs, own * kind.inner, outputs, stride, dilation, kind.groups))
        else:
            blocks.append(_BasicBlock(inputs, own, stride))
        inputs = outputs
    return nn.Sequential(*blocks)


def check_width(width: int, multiple: int) -> None:
    """Refuse a width that the reductions and groups of a network do not divide.

    Raises:
        InputError: `width` is not a positive multiple of `multiple`.
    """
    if width < multiple or width % multiple:
        raise InputError(f"width must be a positive multiple of {multiple} (64 as published); got {width}")
