"""What the residual networks over space-time are made of: stem, bottleneck, residual block, stage.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, with the convolutions taken apart into time and
space as in Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019. Entries of the state dict are
named as in the published checkpoints: a stage `s2` holds `pathway0_res0`, `pathway0_res1`, ..., a second pathway
`pathway1_res0`, ...
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

Size = tuple[int, int, int]

STAGES = ("s1", "s2", "s3", "s4", "s5")
"""The stages of a residual network as its state dict calls them; the layers `stage1` to `stage5`."""


def convolution(inputs: int, outputs: int, kernel: Size, stride: int = 1, groups: int = 1) -> nn.Conv3d:
    """A convolution without bias that keeps the length of the clip and divides height and width by `stride`."""
    time, height, width = kernel
    padding = (time // 2, height // 2, width // 2)
    return nn.Conv3d(inputs, outputs, kernel, (1, stride, stride), padding, groups=groups, bias=False)


def max_pool_within(x: Tensor, kernel: Size) -> Tensor:
    """Max-pool (B, C, T, H, W) with stride = kernel; an axis shorter than the kernel is pooled as a whole."""
    time, height, width = (min(k, size) for k, size in zip(kernel, x.shape[2:], strict=True))
    return F.max_pool3d(x, (time, height, width))


class Stem(nn.Module):
    """First stage of a ResNet: 7 x 7 convolution over `time` frames, batch norm, ReLU, max pooling to a quarter."""

    def __init__(self, outputs: int, time: int) -> None:
        super().__init__()
        self.conv = convolution(3, outputs, (time, 7, 7), stride=2)
        self.bn = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, outputs, T, H / 4, W / 4) of a clip (B, 3, T, H, W)."""
        return F.max_pool3d(F.relu(self.bn(self.conv(x)), inplace=True), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Bottleneck(nn.Module):
    """The residual branch: `a` reduces or widens the channels, `b` looks at the neighbourhood, `c` sets the output's.

    Args:
        inputs: channels before `a`.
        inner: channels between.
        outputs: channels after `c`, whose kernel is 1 x 1 x 1.
        kernel_a: size of the first convolution.
        kernel_b: size of the second.
        stride: of `b`, in height and width.
        groups: of `b`.
        squeeze: what weighs the channels after `b`, if anything.
        activation: what follows `b` and the squeeze.
    """

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        kernel_a: Size,
        kernel_b: Size,
        stride: int,
        groups: int = 1,
        squeeze: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        self.a = convolution(inputs, inner, kernel_a)
        self.a_bn = nn.BatchNorm3d(inner)
        self.b = convolution(inner, inner, kernel_b, stride, groups)
        self.b_bn = nn.BatchNorm3d(inner)
        self.se = squeeze
        self.c = convolution(inner, outputs, (1, 1, 1))
        self.c_bn = nn.BatchNorm3d(outputs)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, outputs, T, H / stride, W / stride) of (B, inputs, T, H, W); may be negative."""
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = self.b_bn(self.b(x))
        if self.se is not None:
            x = self.se(x)
        branched: Tensor = self.c_bn(self.c(self.activation(x)))
        return branched


class Residual(nn.Module):
    """ReLU of a branch and the shortcut past it; the shortcut is projected where the branch changes the shape."""

    def __init__(self, inputs: int, outputs: int, stride: int, branch: nn.Module) -> None:
        super().__init__()
        self.projected = inputs != outputs or stride != 1
        if self.projected:
            self.branch1 = convolution(inputs, outputs, (1, 1, 1), stride)
            self.branch1_bn = nn.BatchNorm3d(outputs)
        self.branch2 = branch

    def forward(self, x: Tensor) -> Tensor:
        """(B, outputs, T, H / stride, W / stride) of (B, inputs, T, H, W)."""
        shortcut = self.branch1_bn(self.branch1(x)) if self.projected else x
        return F.relu(shortcut + self.branch2(x), inplace=True)


class Stage(nn.ModuleDict):
    """One stage of a network of one or more pathways; the modules of pathway p are named `pathway{p}_...`."""

    def add(self, pathway: int, name: str, module: nn.Module) -> None:
        """Append a module to a pathway."""
        self[f"pathway{pathway}_{name}"] = module

    def run(self, pathway: int, x: Tensor) -> Tensor:
        """Lead `x` through the modules of a pathway, in the order in which they were added."""
        for name, module in self.items():
            if name.startswith(f"pathway{pathway}_"):
                x = module(x)
        return x
