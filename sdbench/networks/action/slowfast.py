"""SlowFast with a ResNet-50.

Feichtenhofer et al., "SlowFast Networks for Video Recognition", ICCV 2019: a slow pathway that sees few frames and a
thin fast pathway that sees many; after each of the first four stages the fast pathway is led into the slow one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.base.errors import InputError
from sdbench.networks.action.ends import Classifier, check_clip
from sdbench.networks.action.residual import STAGES, Stage, Stem
from sdbench.networks.action.resnet3d import (
    DEPTHS,
    FAST_FRACTION,
    FAST_KERNELS,
    FAST_STEM_TIME,
    SLOW_KERNELS,
    SLOW_STEM_TIME,
    add_resnet_stage,
    check_size,
)
from sdbench.networks.reading import VideoNetwork, average_to_units

SLOW, FAST = 0, 1


class Lateral(nn.Module):
    """Leads the fast pathway into the slow one: time-strided convolution to twice the channels (section 3.4)."""

    def __init__(self, channels: int, kernel: int, alpha: int) -> None:
        super().__init__()
        self.conv_f2s = nn.Conv3d(
            channels, 2 * channels, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False
        )
        self.bn = nn.BatchNorm3d(2 * channels)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:
        """The channels of `slow` (B, C, T, H, W), then those led over from `fast` (B, channels, alpha * T, H, W)."""
        led = F.relu(self.bn(self.conv_f2s(fast)), inplace=True)
        return torch.cat([slow, led], dim=1)


class SlowFast(VideoNetwork):
    """SlowFast with a ResNet-50.

    Input: `slow` (B, 3, T, H, W) and `fast` (B, 3, alpha * T, H, W), normalised with mean 0.45 and standard deviation
    0.225; any T >= 1 and H, W >= 1 run. Layers, (B, C, T, H, W): `slow.stageN` and `fast.stageN` before the fusion of
    that stage, `slow.stageN.fused` after it (N = 1 to 4); then `logits` (B, num_classes).

    Args:
        num_classes: size of the classifier.
        width: channels of the slow pathway after its stem; 64 as published.
        alpha: how many times more frames the fast pathway sees.
        lateral_kernel: frames that a fusion spans.
        depths: blocks of stages 2 to 5; `DEPTHS` as published.
        fast_fraction: the fast pathway has the slow one's channels divided by this; `FAST_FRACTION` as published.
    """

    layers = (
        *(
            f"{pathway}.stage{n}{f}"
            for n in range(1, 5)
            for pathway, f in (("slow", ""), ("fast", ""), ("slow", ".fused"))
        ),
        "slow.stage5",
        "fast.stage5",
        "logits",
    )

    def __init__(
        self,
        num_classes: int,
        width: int,
        alpha: int,
        lateral_kernel: int,
        depths: Sequence[int] = DEPTHS,
        fast_fraction: int = FAST_FRACTION,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        thin = width // fast_fraction
        self.s1 = Stage({"pathway0_stem": Stem(width, SLOW_STEM_TIME), "pathway1_stem": Stem(thin, FAST_STEM_TIME)})
        self.s1_fuse = Lateral(thin, lateral_kernel, alpha)
        slow, fast = width, thin
        for number, depth in enumerate(depths):
            stage, name = Stage(), STAGES[number + 1]
            stride = 1 if number == 0 else 2
            wider = 4 * 2**number
            add_resnet_stage(stage, SLOW, slow + 2 * fast, wider * width, depth, SLOW_KERNELS[number], stride)
            add_resnet_stage(stage, FAST, fast, wider * thin, depth, FAST_KERNELS[number], stride)
            slow, fast = wider * width, wider * thin
            self.add_module(name, stage)
            if name != STAGES[-1]:
                self.add_module(f"{name}_fuse", Lateral(fast, lateral_kernel, alpha))
        self.head = Classifier(slow + fast, num_classes)

    def trace(self, slow: Tensor, fast: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `slow` (B, 3, T, H, W) and `fast` (B, 3, alpha * T, H, W).

        Raises:
            InputError: the two clips do not fit each other.
        """
        self._check(slow, fast)
        for number, name in enumerate(STAGES, start=1):
            stage = self.get_submodule(name)
            assert isinstance(stage, Stage)
            slow, fast = stage.run(SLOW, slow), stage.run(FAST, fast)
            yield f"slow.stage{number}", slow
            yield f"fast.stage{number}", fast
            if name != STAGES[-1]:
                slow = self.get_submodule(f"{name}_fuse")(slow, fast)
                yield f"slow.stage{number}.fused", slow
        yield "logits", self.head(torch.cat([average_to_units(slow), average_to_units(fast)], dim=1))

    def _check(self, slow: Tensor, fast: Tensor) -> None:
        check_clip(slow, "slow")
        check_clip(fast, "fast")
        expected = (slow.shape[0], 3, self.alpha * slow.shape[2], *slow.shape[3:])
        if fast.shape != expected:
            raise InputError(
                f"fast must have shape {tuple(expected)}, {self.alpha} times the frames of slow {tuple(slow.shape)}; "
                f"got {tuple(fast.shape)}"
            )


def slowfast_r50_8x8(
    num_classes: int = 400,
    width_per_group: int = 64,
    depths: Sequence[int] = DEPTHS,
    fast_fraction: int = FAST_FRACTION,
) -> SlowFast:
    """8 slow and 32 fast frames."""
    return _slowfast(num_classes, width_per_group, 4, 7, depths, fast_fraction)


def slowfast_r50_4x16(
    num_classes: int = 400,
    width_per_group: int = 64,
    depths: Sequence[int] = DEPTHS,
    fast_fraction: int = FAST_FRACTION,
) -> SlowFast:
    """4 slow and 32 fast frames."""
    return _slowfast(num_classes, width_per_group, 8, 5, depths, fast_fraction)


def slowfast_r50_16x8(
    num_classes: int = 400,
    width_per_group: int = 64,
    depths: Sequence[int] = DEPTHS,
    fast_fraction: int = FAST_FRACTION,
) -> SlowFast:
    """16 slow and 64 fast frames."""
    return slowfast_r50_8x8(num_classes, width_per_group, depths, fast_fraction)


def _slowfast(
    num_classes: int, width: int, alpha: int, lateral_kernel: int, depths: Sequence[int], fast_fraction: int
) -> SlowFast:
    if fast_fraction < 1:
        raise InputError(f"fast_fraction must be at least 1 ({FAST_FRACTION} as published); got {fast_fraction}")
    check_size(width, depths, fast_fraction)
    return SlowFast(num_classes, width, alpha, lateral_kernel, depths, fast_fraction)
