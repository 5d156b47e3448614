"""FusionSeg: two DeepLabV3+ streams of ResNet-101, joined after the first and the last residual stage.

Jain, Xiong and Grauman, "FusionSeg: Learning to combine motion and appearance for fully automatic segmentation of
generic objects in videos", CVPR 2017, in the form that Kowal et al., "A Deeper Dive Into What Deep Spatiotemporal
Networks Encode", CVPR 2022, measured: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic
Image Segmentation", ECCV 2018, at output stride 16, its two feature maps each fused from both streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from sdbench.networks.reading import VideoNetwork
from sdbench.networks.vos.resnet import (
    RESNET101,
    ResNet,
    check_width,
    first_convolution,
    into_first_stage,
    residual_stage,
)
from sdbench.networks.vos.streams import by_stream, check_streams, resize, stream_layers

_CLASSES = 2  # background and object
_RATES = (6, 12, 18)  # dilations of the pyramid at output stride 16


def _activated(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


class _Stream(nn.Module):
    """A ResNet-101 whose last stage is dilated instead of strided."""

    def __init__(self, resnet: ResNet, width: int) -> None:
        super().__init__()
        self.conv1 = first_convolution(3, width)
        self.bn1 = nn.BatchNorm2d(width)
        for number in range(1, 5):
            self.add_module(f"layer{number}", residual_stage(resnet, number, width, dilated=number == 4))


class _Backbone(nn.Module):
    """Both streams and the 1 x 1 convolutions that join them."""

    def __init__(self, resnet: ResNet, width: int) -> None:
        super().__init__()
        self.app_stream = _Stream(resnet, width)
        self.mot_stream = _Stream(resnet, width)
        # The published weights have a fusion for each stage; only those of the first and the last are used.
        joins = {f"layer{n}": nn.Conv2d(2 * c, c, 1) for n, c in enumerate(resnet.channels(width), start=1)}
        self.sensor_fusion = nn.ModuleDict(joins)


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: a 1 x 1 and three dilated convolutions and the picture's mean, side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        branches = [_activated(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))]
        for rate in _RATES:
            dilated = nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate, bias=False)
            branches.append(_activated(dilated, nn.BatchNorm2d(outputs)))
        mean = nn.Conv2d(inputs, outputs, 1, bias=False)
        branches.append(_activated(nn.AdaptiveAvgPool2d(1), mean, nn.BatchNorm2d(outputs)))
        self.convs = nn.ModuleList(branches)
        join = nn.Conv2d(len(branches) * outputs, outputs, 1, bias=False)
        self.project = nn.Sequential(*_activated(join, nn.BatchNorm2d(outputs)), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        *fields, mean = (branch(x) for branch in self.convs)
        joined: Tensor = self.project(torch.cat([*fields, resize(mean, x.shape[-2:])], dim=1))
        return joined


class _Head(nn.Module):
    """The DeepLabV3+ decoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        low, *_, high = RESNET101.channels(width)
        slim, wide = 3 * width // 4, 4 * width
        self.project = _activated(nn.Conv2d(low, slim, 1, bias=False), nn.BatchNorm2d(slim))
        self.aspp = _Pyramid(high, wide)
        self.classifier = nn.Sequential(
            *_activated(nn.Conv2d(slim + wide, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide)),
            nn.Conv2d(wide, _CLASSES, 1),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        detail = self.project(low)
        logits: Tensor = self.classifier(torch.cat([detail, resize(self.aspp(high), detail.shape[-2:])], dim=1))
        return logits


class FusionSeg(VideoNetwork):
    """Two-stream DeepLabV3+.

    Inputs: `image` and `flow`, the flow drawn as an RGB picture, (B, 3, H, W) each, normalised with the ImageNet mean
    and standard deviation; any H and W. Answer, layer `mask`: (B, 2, H, W) logits of background and object.

    `appearance.layer1` and `motion.layer1` are the first convolutions, before their norms; `.layer2` to `.layer5` are
    the residual stages, `fusion.layer2` and `fusion.layer5` what joins the two streams there.

    Args:
        width: channels of the first convolution, a multiple of 2, to which all other widths are in proportion (cut to
            whole channels); 64 as published.
        depths: numbers of blocks of the four residual stages; those of ResNet-101 by default, as published.

    Raises:
        InputError: the width or a shape is not as described.
    """

    layers = (*stream_layers(1, 2), "fusion.layer2", *stream_layers(3, 4, 5), "fusion.layer5", "mask")
    unread = ("mask",)

    def __init__(self, width: int = 64, depths: Sequence[int] | None = None) -> None:
        super().__init__()
        check_width(width, 2)
        self.backbone = _Backbone(RESNET101.with_depths(depths), width)
        self.classifier = _Head(width)

    def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `image` and `flow`, (B, 3, H, W) each."""
        check_streams(image, flow)
        appearance, motion = self.backbone.app_stream, self.backbone.mot_stream
        a, m = appearance.conv1(image), motion.conv1(flow)
        yield from by_stream(1, a, m)
        a, m = into_first_stage(a, appearance.bn1), into_first_stage(m, motion.bn1)
        joined: list[Tensor] = []
        for number in range(1, 5):
            stage = f"layer{number}"
            a, m = appearance.get_submodule(stage)(a), motion.get_submodule(stage)(m)
            yield from by_stream(number + 1, a, m)
            if number in (1, 4):
                joined.append(self.backbone.sensor_fusion[stage](torch.cat([a, m], dim=1)))
                yield f"fusion.layer{number + 1}", joined[-1]
        yield "mask", resize(self.classifier(*joined), image.shape[-2:])
