"""ResNet-50 over space-time with one pathway: C2D, I3D, I3D with non-local blocks, Slow and Fast.

Wang et al., "Non-local Neural Networks", CVPR 2018 (C2D, I3D, non-local blocks); Feichtenhofer et al., "SlowFast
Networks for Video Recognition", ICCV 2019 (the pathways Slow and Fast on their own).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.base.errors import InputError
from sdbench.networks.action.ends import Classifier, check_clip
from sdbench.networks.action.residual import (
    STAGES,
    Bottleneck,
    Residual,
    Stage,
    Stem,
    max_pool_within,
)
from sdbench.networks.reading import VideoNetwork, average_to_units

DEPTHS = (3, 4, 6, 3)
"""Residual blocks of stage 2 to 5 of a ResNet-50."""

FAST_FRACTION = 8
"""The fast pathway has an eighth of the slow pathway's channels (SlowFast, section 3.2)."""


class NonLocal(nn.Module):
    """Attention of every position in space-time to every other, at half the resolution, added to the input.

    Wang et al., CVPR 2018: embedded Gaussian (section 3.2), its exponents divided by the square root of the channels;
    keys and values are max-pooled 2 x 2 in space (section 3.3).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.conv_theta = nn.Conv3d(channels, inner, 1)
        self.conv_phi = nn.Conv3d(channels, inner, 1)
        self.conv_g = nn.Conv3d(channels, inner, 1)
        self.conv_out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, H, W) of the same."""
        pooled = max_pool_within(x, (1, 2, 2))
        queries, keys, values = (
            embedding.flatten(2).transpose(1, 2)
            for embedding in (self.conv_theta(x), self.conv_phi(pooled), self.conv_g(pooled))
        )
        attended = F.scaled_dot_product_attention(queries, keys, values)
        seen: Tensor = self.bn(self.conv_out(attended.transpose(1, 2).reshape(len(x), -1, *x.shape[2:])))
        return x + seen


def add_resnet_stage(
    stage: Stage,
    pathway: int,
    inputs: int,
    outputs: int,
    depth: int,
    kernels: Sequence[int],
    stride: int,
    attending: Sequence[int] = (),
) -> None:
    """Add the blocks of one stage of a ResNet to a pathway.

    Args:
        stage: where they are added.
        pathway: its number.
        inputs: channels before.
        outputs: channels after; the blocks work on a quarter of them.
        depth: number of blocks.
        kernels: frames that the first convolution of each block spans, in turn.
        stride: of the first block, in height and width.
        attending: numbers of the blocks that a non-local block follows.
    """
    for number in range(depth):
        before, step = (inputs, stride) if number == 0 else (outputs, 1)
        time = kernels[number % len(kernels)]
        branch = Bottleneck(before, outputs // 4, outputs, (time, 1, 1), (1, 3, 3), step)
        stage.add(pathway, f"res{number}", Residual(before, outputs, step, branch))
        if number in attending:
            stage.add(pathway, f"nonlocal{number}", NonLocal(outputs))


def check_size(width_per_group: int, depths: Sequence[int], multiple: int = 1) -> None:
    """Raise InputError where a network of this width and these depths cannot be built."""
    if width_per_group < 1 or width_per_group % multiple:
        raise InputError(f"width_per_group must be a positive multiple of {multiple}; got {width_per_group}")
    if len(depths) != len(DEPTHS) or min(depths) < 1:
        raise InputError(f"depths must be four numbers of blocks, at least 1 each; got {tuple(depths)}")


class ResNet3D(VideoNetwork):
    """A ResNet-50 with one pathway.

    Input: `video` (B, 3, T, H, W), normalised with mean 0.45 and standard deviation 0.225; any T >= 1 and H, W >= 1
    run. Layers: `stage1` to `stage5`, (B, C, T, H, W), then `logits` (B, num_classes).

    Args:
        num_classes: size of the classifier.
        width: channels after the stem; 64 as published.
        stem_time: frames that the first convolution spans.
        kernels: for stages 2 to 5, the frames that the first convolution of each block spans, in turn.
        temporal_pool: after stage 2 the clip is max-pooled to this fraction of its length.
        attending: for stages 2 to 5, the blocks that a non-local block follows.
        pathway: the number of the pathway in the names of the state dict.
        depths: blocks of stages 2 to 5; `DEPTHS` as published.
    """

    layers = ("stage1", "stage2", "stage3", "stage4", "stage5", "logits")

    def __init__(
        self,
        num_classes: int,
        width: int,
        stem_time: int,
        kernels: Sequence[Sequence[int]],
        temporal_pool: int = 1,
        attending: Sequence[Sequence[int]] = ((), (), (), ()),
        pathway: int = 0,
        depths: Sequence[int] = DEPTHS,
    ) -> None:
        super().__init__()
        self.pathway, self.temporal_pool = pathway, temporal_pool
        self.s1 = Stage({f"pathway{pathway}_stem": Stem(width, stem_time)})
        channels = width
        for number, depth in enumerate(depths):
            stage, outputs = Stage(), 4 * width * 2**number
            stride = 1 if number == 0 else 2
            add_resnet_stage(stage, pathway, channels, outputs, depth, kernels[number], stride, attending[number])
            self.add_module(STAGES[number + 1], stage)
            channels = outputs
        self.head = Classifier(channels, num_classes)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `video` (B, 3, T, H, W)."""
        x = check_clip(video)
        for layer, name in zip(self.layers, STAGES, strict=False):
            stage = self.get_submodule(name)
            assert isinstance(stage, Stage)
            x = stage.run(self.pathway, x)
            yield layer, x
            if layer == "stage2" and self.temporal_pool > 1:
                x = max_pool_within(x, (self.temporal_pool, 1, 1))
        yield "logits", self.head(average_to_units(x))


def c2d(
    num_classes: int = 400, width_per_group: int = 64, temporal_pool: int = 2, depths: Sequence[int] = DEPTHS
) -> ResNet3D:
    """C2D: a ResNet-50 frame by frame, with one max pooling over time (none where `temporal_pool` is 1)."""
    check_size(width_per_group, depths)
    kernels = ((1,), (1,), (1,), (1,))
    return ResNet3D(num_classes, width_per_group, 1, kernels, temporal_pool=temporal_pool, depths=depths)


_I3D_KERNELS = ((3,), (3, 1), (3, 1), (1, 3))


def i3d(num_classes: int = 400, width_per_group: int = 64, depths: Sequence[int] = DEPTHS) -> ResNet3D:
    """I3D: C2D inflated to three frames, in every second block from stage 3 on."""
    check_size(width_per_group, depths)
    return ResNet3D(num_classes, width_per_group, 5, _I3D_KERNELS, temporal_pool=2, depths=depths)


def i3d_nln(num_classes: int = 400, width_per_group: int = 64) -> ResNet3D:
    """I3D with five non-local blocks in stages 3 and 4."""
    check_size(width_per_group, DEPTHS)
    attending = ((), (1, 3), (1, 3, 5), ())
    return ResNet3D(num_classes, width_per_group, 5, _I3D_KERNELS, temporal_pool=2, attending=attending)


SLOW_KERNELS = ((1,), (1,), (3,), (3,))
FAST_KERNELS = ((3,), (3,), (3,), (3,))
SLOW_STEM_TIME, FAST_STEM_TIME = 1, 5


def slow_r50(num_classes: int = 400, width_per_group: int = 64, depths: Sequence[int] = DEPTHS) -> ResNet3D:
    """The slow pathway alone: few frames, time is mixed in stages 4 and 5 only."""
    check_size(width_per_group, depths)
    return ResNet3D(num_classes, width_per_group, SLOW_STEM_TIME, SLOW_KERNELS, depths=depths)


def fast_r50(num_classes: int = 400, width_per_group: int = 64, depths: Sequence[int] = DEPTHS) -> ResNet3D:
    """The fast pathway alone: many frames, an eighth of `width_per_group` channels, time is mixed in every block."""
    check_size(width_per_group, depths, FAST_FRACTION)
    thin = width_per_group // FAST_FRACTION
    return ResNet3D(num_classes, thin, FAST_STEM_TIME, FAST_KERNELS, pathway=1, depths=depths)
