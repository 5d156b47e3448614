"""MATNet: two ResNet-101 streams that attend to each other after each stage, and a decoder that sees boundaries.

Zhou et al., "Motion-Attentive Transition for Zero-Shot Video Object Segmentation", AAAI 2020; the other cross
connections and fusions are those of Kowal et al., "A Deeper Dive Into What Deep Spatiotemporal Networks Encode", CVPR
2022.

The published state dict has entries that no output depends on. They are kept, unused, so that it loads as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.reading import VideoNetwork
from sdbench.networks.vos.resnet import (
    RESNET101,
    ResNet,
    check_width,
    first_convolution,
    into_first_stage,
    residual_stage,
)
from sdbench.networks.vos.streams import ConvexBalance, PairGate, by_stream, check_streams, resize, stream_layers

CROSS_CONNECTIONS = ("coatt", "coatt_gated", "coatt_gated_recip", "coatt_recip")
FUSIONS = ("gated", "convex_gated", "convex_gated_spatial")
MASK_SIZE = 473
"""Height and width of the published mask, whatever the size of the picture."""

_UNUSED = (
    *("bottolneck1", "bottolneck2", "bna", "bnb"),  # of the co-attention
    *("convFS1", "pdc.block2", "pdc.block3"),  # of the decoder's refinements
    *("pred5", "pred4", "pred3", "concat"),  # of the decoder, for training alone
    "num_batches_tracked",  # batch norm counts for its own training
)
"""Parts of the published network that no answer depends on, by the ends of their names."""

_ROUNDS = 5  # of attention between the streams of one stage
_REDUCTION = 16


class _CoAttention(nn.Module):
    """What one stage's streams add to each other after `_ROUNDS` rounds of attention.

    In each round either stream is weighed by a softmax over the positions of its picture, then an affinity of all
    pairs of positions, tanh of a bilinear form, carries features across. The motion stream takes part unchanged
    unless `reciprocal`; `gated` adds the gated streams themselves to what is carried over.
    """

    def __init__(self, channels: int, gated: bool, reciprocal: bool) -> None:
        super().__init__()
        self.reciprocal = reciprocal
        low = channels // _REDUCTION
        self.proja = nn.Conv2d(channels, low, 1)
        self.projb = nn.Conv2d(channels, low, 1)
        for unused in ("bottolneck1", "bottolneck2"):
            self.add_module(unused, nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)))
        self.proj1 = nn.Conv2d(channels, 1, 1)
        self.proj2 = nn.Conv2d(channels, 1, 1)
        for unused in ("bna", "bnb"):
            self.add_module(unused, nn.BatchNorm2d(channels))
        self.rgating = PairGate(channels) if gated else None

    def forward(self, appearance: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """What to add to the appearance and to the motion stream."""
        a, m = appearance, motion
        to_a, to_m = self._exchange(a, m)
        for _ in range(_ROUNDS - 1):
            a, m = F.relu(a + to_a), F.relu(m + to_m)
            to_a, to_m = self._exchange(a, m)
        return to_a, to_m

    def _exchange(self, a: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        a, m = a * _over_positions(self.proj1(a)), m * _over_positions(self.proj2(m))
        flat_a = a.flatten(2)
        # [B, position in m, position in a]
        affinity = torch.tanh(self.projb(m).flatten(2).transpose(1, 2) @ self.proja(a).flatten(2))
        # As published, what joins the appearance stream are its own features, gathered where motion is alike.
        to_a = F.normalize((flat_a @ affinity.transpose(1, 2)).view_as(a))
        to_m = F.normalize((m.flatten(2) @ affinity).view_as(m)) if self.reciprocal else m
        if self.rgating is not None:
            gated_a, gated_m = self.rgating(a, m)
            to_a = to_a + gated_a
            to_m = to_m + gated_m if self.reciprocal else to_m
        return to_a, to_m


def _over_positions(scores: Tensor) -> Tensor:
    """Softmax of (B, 1, H, W) over the positions of each sample."""
    return scores.flatten(1).softmax(dim=1).view_as(scores)


class _ScaleSensitiveGate(nn.Module):
    """Joins two streams of C channels to 2C: weights for channels, positions and the whole stage, and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        joined, hidden = 2 * channels, 2 * channels // _REDUCTION
        self.excitation_1 = nn.Sequential(nn.Linear(joined, hidden), nn.ReLU(inplace=True))
        self.excitation_2 = nn.Sequential(nn.Linear(hidden, joined), nn.Sigmoid())
        self.global_attention = nn.Sequential(nn.Linear(hidden, 1), nn.Sigmoid())
        looks = nn.Conv2d(1, 1, 7, padding=3, bias=False)
        self.spatial = nn.Sequential(OrderedDict(conv=looks, bn=nn.BatchNorm2d(1)))

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        x = torch.cat([appearance, motion], dim=1)
        squeezed = self.excitation_1(x.mean(dim=(2, 3)))
        weighted = x * self.excitation_2(squeezed)[:, :, None, None]
        weighted = weighted * self.spatial(weighted.amax(dim=1, keepdim=True))
        added: Tensor = weighted * self.global_attention(squeezed)[:, :, None, None]
        return x + added


class _ConvexGate(ConvexBalance):
    """Joins two streams of C channels to 2C, the weights of either summing to 1."""

    def __init__(self, channels: int, maximum_only: bool) -> None:
        super().__init__(channels, 2 * channels // _REDUCTION, maximum_only)

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        return torch.cat(self.weigh(appearance, motion), dim=1)


class _Encoder(nn.Module):
    """Both streams, what they exchange after stages 3 to 5, and the fusions of stages 2 to 5."""

    def __init__(self, resnet: ResNet, width: int, cross_connection: str, fusion: str) -> None:
        super().__init__()
        channels = dict(enumerate(resnet.channels(width), start=2))
        for stream in (1, 2):
            self.add_module(f"conv1_{stream}", first_convolution(3, width))
            self.add_module(f"bn1_{stream}", nn.BatchNorm2d(width))
            for stage in channels:
                self.add_module(f"res{stage}_{stream}", residual_stage(resnet, stage - 1, width))
        for stage, count in channels.items():
            joins = (
                _ScaleSensitiveGate(count)
                if fusion == "gated"
                else _ConvexGate(count, maximum_only=fusion == "convex_gated_spatial")
            )
            self.add_module(f"gated_res{stage}", joins)
        gated, reciprocal = "gated" in cross_connection, "recip" in cross_connection
        for stage in (3, 4, 5):
            self.add_module(f"coa_res{stage}", _CoAttention(channels[stage], gated, reciprocal))


class _Boundary(nn.Module):
    """Boundary logits, (B, 1, H, W), of a fused stage."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv3 = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(self.bn1(x)))
        x = F.relu(self.conv2(self.bn2(x)))
        logits: Tensor = self.conv3(x)
        return logits


class _LargeKernel(nn.Module):
    """A 7 x 7 field from two pairs of 7 x 1 and 1 x 7 convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_l1 = nn.Conv2d(inputs, outputs, (7, 1), padding=(3, 0))
        self.conv_l2 = nn.Conv2d(outputs, outputs, (1, 7), padding=(0, 3))
        self.conv_r1 = nn.Conv2d(inputs, outputs, (1, 7), padding=(0, 3))
        self.conv_r2 = nn.Conv2d(outputs, outputs, (7, 1), padding=(3, 0))

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.conv_l2(self.conv_l1(x)) + self.conv_r2(self.conv_r1(x))
        return seen


def _dilated(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(OrderedDict(conv=conv))


class _Pyramid(nn.Module):
    """What should be four fields of view side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        each = outputs // 4
        self.block0 = nn.Conv2d(inputs, each, 1)
        self.block1 = _dilated(inputs, each, 3)
        self.block2 = _dilated(inputs, each, 5)
        self.block3 = _dilated(inputs, each, 7)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        # As published, the first dilated convolution answers for all three; the weights were trained that way.
        dilated = self.block1(x)
        fields: Tensor = self.bn(torch.cat([self.block0(x), dilated, dilated, dilated], dim=1))
        return fields


class _Refine(nn.Module):
    """Brings a decoded map to the resolution of an earlier stage and merges the two."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convFS1 = nn.Conv2d(inputs, outputs, 3, padding=1)  # unused, as published
        for name in ("convFS2", "convFS3", "convMM1", "convMM2"):
            self.add_module(name, nn.Conv2d(outputs, outputs, 3, padding=1))
        self.pdc = _Pyramid(inputs, outputs)

    def forward(self, stage: Tensor, decoded: Tensor) -> Tensor:
        x = self.pdc(stage)
        x = self._residual(x, "convFS2", "convFS3")
        x = x + resize(decoded, x.shape[-2:])
        return self._residual(x, "convMM1", "convMM2")

    def _residual(self, x: Tensor, first: str, second: str) -> Tensor:
        inner = self.get_submodule(first)(F.relu(x))
        added: Tensor = self.get_submodule(second)(F.relu(inner))
        return x + added


class _Decoder(nn.Module):
    """From the fused stages, each with its boundary, to one map of 4 x `width` channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        fused = {stage: 2 * count for stage, count in enumerate(RESNET101.channels(width), start=2)}
        inner = 4 * width
        self.GC = _LargeKernel(fused[5] + 1, inner)
        self.convG1 = nn.Conv2d(inner, inner, 3, padding=1)
        self.convG2 = nn.Conv2d(inner, inner, 3, padding=1)
        for stage in (4, 3, 2):
            self.add_module(f"RF{stage}", _Refine(fused[stage] + 1, inner))
        for stage in (5, 4, 3, 2):  # all but that of stage 2 unused, as published
            self.add_module(f"pred{stage}", nn.Conv2d(inner, 1, 3, padding=1))
        self.concat = nn.Conv2d(4, 1, 3, padding=1)  # joins the boundaries, for training alone
        for stage in (5, 4, 3, 2):
            self.add_module(f"bdry{stage}", _Boundary(fused[stage], width))

    def forward(self, fused: dict[int, Tensor]) -> Tensor:
        x: Tensor = self.GC(self._with_boundary(5, fused))
        x = x + self.convG2(F.relu(self.convG1(F.relu(x))))
        for stage in (4, 3, 2):
            x = self.get_submodule(f"RF{stage}")(self._with_boundary(stage, fused), x)
        return x

    def _with_boundary(self, stage: int, fused: dict[int, Tensor]) -> Tensor:
        return torch.cat([fused[stage], self.get_submodule(f"bdry{stage}")(fused[stage])], dim=1)

    def mask(self, decoded: Tensor, size: int) -> Tensor:
        logits = self.get_submodule("pred2")(F.relu(decoded))
        return torch.sigmoid(resize(logits, (size, size)))


class MATNet(VideoNetwork):
    """MATNet and its variants.

    Inputs: `image` and `flow`, the flow drawn as an RGB picture, (B, 3, H, W) each, normalised with the ImageNet mean
    and standard deviation; any H and W, trained at 473 x 473. Answer, layer `mask`: (B, 1, 473, 473) probabilities
    of object, of that size (or `mask_size`) whatever H and W are. The boundaries that the published network answers as
    well are not computed.

    `appearance.layer1` and `motion.layer1` are the first convolutions, before their norms; `.layer2` to `.layer5` are
    the residual stages after what the streams exchange (nothing after the first), `fusion.layer2` to `fusion.layer5`
    their fusions, `decoder` is the map that the mask is read from.

    Args:
        cross_connection: what the streams exchange, one of `CROSS_CONNECTIONS`: `coatt`, co-attention to the appearance
            stream; `_gated`, with the gated streams added; `_recip`, to both streams.
        fusion: how the streams are joined, one of `FUSIONS`: `gated`, each channel for itself; `convex_gated`, the
            streams weighed against each other; `convex_gated_spatial`, the same, the positions weighed by their
            maxima alone.
        width: channels of the first convolution, a multiple of 2, to which all other widths are in proportion (cut to
            whole channels); 64 as published.
        depths: numbers of blocks of the four residual stages; those of ResNet-101 by default, as published.
        mask_size: height and width of the mask; `MASK_SIZE` as published.

    Raises:
        InputError: an option or a shape is not as described.
    """

    layers = (*stream_layers(1, 2, 3, 4, 5), *(f"fusion.layer{stage}" for stage in (5, 4, 3, 2)), "decoder", "mask")
    unread = ("mask",)

    def __init__(
        self,
        cross_connection: str = "coatt",
        fusion: str = "gated",
        width: int = 64,
        depths: Sequence[int] | None = None,
        mask_size: int = MASK_SIZE,
    ) -> None:
        super().__init__()
        if cross_connection not in CROSS_CONNECTIONS:
            raise unknown_name("cross connection", cross_connection, CROSS_CONNECTIONS)
        if fusion not in FUSIONS:
            raise unknown_name("fusion", fusion, FUSIONS)
        check_width(width, 2)
        if mask_size < 1:
            raise InputError(f"mask_size must be at least 1 pixel; got {mask_size}")
        self.mask_size = mask_size
        self.encoder = _Encoder(RESNET101.with_depths(depths), width, cross_connection, fusion)
        self.decoder = _Decoder(width)

    def unused_entries(self) -> frozenset[str]:
        """The entries of the state dict that no layer depends on in eval mode.

        The published weights lack some of them.
        """
        return frozenset(entry for entry in self.state_dict() if any(f".{part}." in f".{entry}." for part in _UNUSED))

    def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `image` and `flow`, (B, 3, H, W) each."""
        check_streams(image, flow)
        part = self.encoder.get_submodule
        a, m = part("conv1_1")(image), part("conv1_2")(flow)
        yield from by_stream(1, a, m)
        a, m = into_first_stage(a, part("bn1_1")), into_first_stage(m, part("bn1_2"))
        stages: dict[int, tuple[Tensor, Tensor]] = {}
        for stage in (2, 3, 4, 5):
            a, m = part(f"res{stage}_1")(a), part(f"res{stage}_2")(m)
            if stage > 2:
                to_a, to_m = part(f"coa_res{stage}")(a, m)
                a, m = F.relu(a + to_a), F.relu(m + to_m)
            yield from by_stream(stage, a, m)
            stages[stage] = (a, m)
        fused: dict[int, Tensor] = {}
        for stage in (5, 4, 3, 2):
            fused[stage] = part(f"gated_res{stage}")(*stages.pop(stage))
            yield f"fusion.layer{stage}", fused[stage]
        decoded = self.decoder(fused)
        yield "decoder", decoded
        yield "mask", self.decoder.mask(decoded, self.mask_size)
