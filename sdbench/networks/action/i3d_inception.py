"""Inception-v1 I3D for action recognition.

Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017. Convolutions
and poolings pad as TensorFlow's SAME does; batch norm has no scale. Entries of the state dict are those of the Flax
checkpoint with dots for slashes, `weight` for `kernel`, `running_mean` and `running_var` for the batch statistics.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.networks.reading import VideoNetwork

Size = tuple[int, int, int]

# Output channels of each Inception block: 1x1 | 1x1 then 3x3 | 1x1 then 3x3 | pool then 1x1.
_INCEPTION: dict[str, tuple[int, int, int, int, int, int]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOLS: dict[str, tuple[Size, Size]] = {
    "MaxPool3d_2a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool3d_3a_3x3": ((1, 3, 3), (1, 2, 2)),
    "MaxPool3d_4a_3x3": ((3, 3, 3), (2, 2, 2)),
    "MaxPool3d_5a_2x2": ((2, 2, 2), (2, 2, 2)),
}


def pad_same(x: Tensor, kernel: Size, stride: Size) -> Tensor:
    """Zero-pad (B, C, T, H, W) so that the output has ceil(size / stride) steps; the odd zero goes to the end."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        needed = max((-(-size // s) - 1) * s + k - size, 0)
        pads = [needed // 2, needed - needed // 2, *pads]
    return F.pad(x, pads) if any(pads) else x


class _ShiftedNorm(nn.Module):
    """Batch norm with a learned shift and no learned scale, eps 1e-3."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, None, self.bias, self.training, momentum=0.1, eps=1e-3
        )


class _Unit3D(nn.Module):
    """SAME-padded convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size = (1, 1, 1)) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.Conv_0 = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.BatchNorm_0 = _ShiftedNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.BatchNorm_0(self.Conv_0(pad_same(x, self.kernel, self.stride))), inplace=True)


def _max_pool(x: Tensor, kernel: Size, stride: Size) -> Tensor:
    # Every activation that is pooled follows a ReLU: a padded zero never exceeds a window's true maximum.
    return F.max_pool3d(pad_same(x, kernel, stride), kernel, stride)


class _Mixed(nn.Module):
    """An Inception block: four branches side by side."""

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = widths
        self.Branch_0 = nn.ModuleDict({"Conv3d_0a_1x1": _Unit3D(inputs, one, (1, 1, 1))})
        self.Branch_1 = nn.ModuleDict(
            {
                "Conv3d_0a_1x1": _Unit3D(inputs, reduce3, (1, 1, 1)),
                "Conv3d_0b_3x3": _Unit3D(reduce3, three, (3, 3, 3)),
            }
        )
        self.Branch_2 = nn.ModuleDict(
            {
                "Conv3d_0a_1x1": _Unit3D(inputs, reduce5, (1, 1, 1)),
                "Conv3d_0b_3x3": _Unit3D(reduce5, five, (3, 3, 3)),
            }
        )
        self.Branch_3 = nn.ModuleDict({"Conv3d_0b_1x1": _Unit3D(inputs, pooled, (1, 1, 1))})

    def forward(self, x: Tensor) -> Tensor:
        three = self.Branch_1["Conv3d_0b_3x3"](self.Branch_1["Conv3d_0a_1x1"](x))
        five = self.Branch_2["Conv3d_0b_3x3"](self.Branch_2["Conv3d_0a_1x1"](x))
        pooled = self.Branch_3["Conv3d_0b_1x1"](_max_pool(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat([self.Branch_0["Conv3d_0a_1x1"](x), three, five, pooled], dim=1)


class I3DInception(VideoNetwork):
    """Inception-v1 I3D on RGB video.

    Input: (B, 3, T, H, W) in [-1, 1], published at 224 x 224; any H, W >= 32 and T >= 1 run (the classifier averages
    over all of space and over time windows of 2). Answer: (B, num_classes) logits.
    """

    layers = (
        "Conv3d_1a_7x7",
        "MaxPool3d_2a_3x3",
        "Conv3d_2b_1x1",
        "Conv3d_2c_3x3",
        "MaxPool3d_3a_3x3",
        "Mixed_3b",
        "Mixed_3c",
        "MaxPool3d_4a_3x3",
        "Mixed_4b",
        "Mixed_4c",
        "Mixed_4d",
        "Mixed_4e",
        "Mixed_4f",
        "MaxPool3d_5a_2x2",
        "Mixed_5b",
        "Mixed_5c",
        "Logits",
    )

    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = _Unit3D(3, 64, (7, 7, 7), (2, 2, 2))
        self.Conv3d_2b_1x1 = _Unit3D(64, 64, (1, 1, 1))
        self.Conv3d_2c_3x3 = _Unit3D(64, 192, (3, 3, 3))
        channels = 192
        for name, widths in _INCEPTION.items():
            self.add_module(name, _Mixed(channels, widths))
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        classifier = nn.ModuleDict({"Conv_0": nn.Conv3d(channels, num_classes, 1)})
        self.Logits = nn.ModuleDict({"Conv3d_0c_1x1": classifier})

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `video` (B, 3, T, H, W) in [-1, 1]."""
        x = video
        for name in self.layers[:-1]:
            x = _max_pool(x, *_POOLS[name]) if name in _POOLS else self.get_submodule(name)(x)
            yield name, x
        windowed = F.avg_pool3d(x, (min(2, x.shape[2]), x.shape[3], x.shape[4]), stride=1)
        yield "Logits", self.Logits["Conv3d_0c_1x1"]["Conv_0"](windowed).mean(dim=(2, 3, 4))  # type: ignore[index]
