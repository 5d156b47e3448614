"""RTNet: two frames and their optical flow, every pair of the four streams transformed into each other.

Ren et al., "Reciprocal Transformations for Unsupervised Video Object Segmentation", CVPR 2021.

The published state dict has entries that no output depends on (a second decoder, for the motion streams, trained
along). They are kept, unused, so that it loads as it is.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.networks.reading import VideoNetwork
from sdbench.networks.vos.resnet import (
    RESNET34,
    RESNEXT50,
    ResNet,
    check_width,
    first_convolution,
    into_first_stage,
    residual_stage,
)
from sdbench.networks.vos.streams import ConvexBalance, PairGate, by_stream, check_streams, stream_layers

_STAGES = (1, 2, 3, 4)
# S: appearance, T: motion; who tells whom. In the order of the published entries.
_TOLD = ("SSTransformer", "STTransformer", "SselfTransformer", "TTTransformer", "TselfTransformer")


def _resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


def _conv_norm(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class _Scaling(nn.Module):
    """Weights for the channels of one or two streams, from the mean of all; what passes is added to what came."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, *streams: Tensor) -> list[Tensor]:
        pooled = torch.cat([x.mean(dim=(2, 3), keepdim=True) for x in streams], dim=1)
        weights = torch.sigmoid(self.fc2(F.relu(self.fc1(pooled)))).chunk(len(streams), dim=1)
        return [x * weight + x for x, weight in zip(streams, weights, strict=True)]


class _Transformation(nn.Module):
    """Attention of several heads: one stream asks, another answers.

    Args:
        channels: of either stream.
        heads: number of heads.
        halved: attend at half the resolution.
        values_asked: weigh the values by where the asking stream is, not by where they are: the weights of a position
            of the answer then do not sum to 1. The ResNeXt-50 network was published so, and the first stage of the
            ResNet-34 one.
    """

    def __init__(self, channels: int, heads: int, halved: bool, values_asked: bool) -> None:
        super().__init__()
        self.heads, self.halved, self.values_asked = heads, halved, values_asked
        for name in ("query", "key", "value"):
            # The published attention has biases where it is of the first kind.
            self.add_module(name, nn.Conv2d(channels, channels, 1, bias=values_asked))

    def forward(self, asking: Tensor, answering: Tensor) -> Tensor:
        size = asking.shape[-2:]
        if self.halved:
            asking, answering = (F.max_pool2d(x, 3, stride=2, padding=1) for x in (asking, answering))
        query, key, value = (
            self.get_submodule(name)(x).unflatten(1, (self.heads, -1)).flatten(3)
            for name, x in (("query", asking), ("key", answering), ("value", answering))
        )
        scale = math.sqrt(query.shape[2])
        if self.values_asked:  # [B, head, asking position, answering position]
            weights = (query.transpose(2, 3) @ key / scale).softmax(dim=3)
        else:  # [B, head, answering position, asking position]
            weights = (key.transpose(2, 3) @ query / scale).softmax(dim=2)
        answer = value @ weights
        answer = answer.flatten(1, 2).unflatten(2, asking.shape[-2:])
        return _resize(answer, size) if self.halved else answer


class _Exchange(nn.Module):
    """What two streams tell each other."""

    def __init__(self, channels: int, hidden: int, heads: int, halved: bool, values_asked: bool, shared: bool) -> None:
        super().__init__()
        self.scaling = _Scaling(2 * channels, hidden)
        self.transformation1 = _Transformation(channels, heads, halved, values_asked)
        if not shared:
            self.transformation2 = _Transformation(channels, heads, halved, values_asked)
        self.shared = shared
        self.gating = PairGate(channels)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        a, b = self.scaling(a, b)
        a = self.transformation1(a, b)
        # The second stream asks the first as already transformed.
        b = self.transformation1(b, a) if self.shared else self.transformation2(b, a)
        gated: tuple[Tensor, Tensor] = self.gating(a, b)
        return gated


class _Gate(nn.Module):
    """A gate for each position of one stream; what passes is added to what came."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x)) + x


class _SelfExchange(nn.Module):
    """What a stream tells itself."""

    def __init__(self, channels: int, hidden: int, heads: int, halved: bool, values_asked: bool) -> None:
        super().__init__()
        self.scaling = _Scaling(channels, hidden)
        self.transformation = _Transformation(channels, heads, halved, values_asked)
        self.gating = _Gate(channels)

    def forward(self, x: Tensor) -> Tensor:
        (x,) = self.scaling(x)
        gated: Tensor = self.gating(self.transformation(x, x))
        return gated


class _Fusion(ConvexBalance):
    """Adds the two streams, weighed against each other."""

    def forward(self, appearance: Tensor, motion: Tensor) -> Tensor:
        appearance, motion = self.weigh(appearance, motion)
        return appearance + motion


def _decoder_stage(inputs: int, inner: int, outputs: int) -> nn.Sequential:
    layers = [*_conv_norm(inputs, inner, 3), *_conv_norm(inner, inner, 3), *_conv_norm(inner, outputs, 3)]
    return nn.Sequential(OrderedDict(layer=nn.Sequential(*layers)))


class _Output(nn.Module):
    """Mask logits at a given size."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*_conv_norm(inputs, inner, 3))
        self.conv2 = nn.Conv2d(inner, 1, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        logits: Tensor = self.conv2(_resize(self.conv1(x), size))
        return logits


class _Stream(nn.Module):
    """The encoder and the decoder of one kind of picture.

    Between them lie 1 x 1 convolutions, `bridges`, where the encoder's channels are more than the decoder's.
    """

    def __init__(self, resnet: ResNet, inputs: int, width: int) -> None:
        super().__init__()
        channels = resnet.channels(width)
        self.inconv = nn.Sequential(first_convolution(inputs, width), nn.BatchNorm2d(width))
        for stage, count in zip(_STAGES, channels, strict=True):
            self.add_module(f"encoder{stage}", residual_stage(resnet, stage, width))
            if resnet.bottleneck and stage < 4:
                self.add_module(f"bridge{stage}", nn.Sequential(*_conv_norm(count, count // 4, 1)))
        deepest, inner = channels[-1], 8 * width
        if resnet.bottleneck:
            self.dilation0 = nn.Sequential(*_conv_norm(deepest, inner, 1))
        for number, rate in enumerate((1, 2, 4, 8), start=1):
            self.add_module(f"dilation{number}", nn.Sequential(*_conv_norm(deepest, inner, 3, rate)))
        self.decoder4 = _decoder_stage(5 * inner, inner, 4 * width)
        self.decoder3 = _decoder_stage(8 * width, 4 * width, 2 * width)
        self.decoder2 = _decoder_stage(4 * width, 2 * width, width)
        self.decoder1 = _decoder_stage(2 * width, width, width)
        for stage, count in ((4, 4 * width), (3, 2 * width), (2, width), (1, width)):
            self.add_module(f"out{stage}", _Output(count, width))
        self.bridged = resnet.bottleneck

    def bridge(self, stage: int, x: Tensor) -> Tensor:
        return self.get_submodule(f"bridge{stage}")(x) if self.bridged else x

    def dilate(self, x: Tensor) -> Tensor:
        """The last stage and what five fields of view make of it, side by side."""
        nearest = self.dilation0(x) if self.bridged else x
        wider = [self.get_submodule(f"dilation{number}")(x) for number in (1, 2, 3, 4)]
        return torch.cat([nearest, *wider], dim=1)


class RTNet(VideoNetwork):
    """RTNet on ResNeXt-50 (32 x 4d).

    Inputs: `image` (B, 2, 3, H, W), two frames of a video, and `flow` (B, 2, 6, H, W), for each of them the forward
    and the backward flow drawn as RGB pictures; normalised with the ImageNet mean and standard deviation; any size.

    Every activation has 2B rows, the two frames of a sample one after the other. Answer, layer `mask`: (2B, 1, h, w)
    probabilities of object, where h and w are H and W rounded up to a multiple of 4. The masks that the published
    network answers from its coarser stages are not computed.

    `appearance.layer1` and `motion.layer1` are the first convolutions, before their norms; `.layer2` to `.layer5` are
    the residual stages with all that the streams told each other; `fusion.layer5` is the first stage of the decoder,
    which sees the appearance stream alone, and `fusion.layer4` to `fusion.layer2` are the fusions that the decoder's
    other stages see. `motion.layer5` is a dead end: only the decoder of the motion streams would see it, which is not
    computed.

    Args:
        width: channels of the first convolution, a multiple of 16 (the 32 groups of ResNeXt), to which all other
            widths are in proportion; 64 as published.
        mixed_batch: treat a batch of more than one sample as the published code does. It puts all first frames before
            all second ones after each stage, yet takes every two neighbours for a pair in the next, so that from the
            second stage on frames of different samples meet; the rows come out in its order. A batch of one is not
            affected.
        depths: numbers of blocks of the four residual stages; by default as published.

    Raises:
        InputError: the width or a shape is not as described.
    """

    layers = (*stream_layers(1, 2, 3, 4, 5), *(f"fusion.layer{stage}" for stage in (5, 4, 3, 2)), "mask")
    unread = ("mask",)
    dead_ends = ("motion.layer5",)
    kind = RESNEXT50

    def __init__(self, width: int = 64, mixed_batch: bool = False, depths: Sequence[int] | None = None) -> None:
        super().__init__()
        self.resnet = self.kind.with_depths(depths)
        # Each group of the first stage's 3 x 3 convolution needs a channel; heads and reductions divide any width.
        check_width(width, self.resnet.groups // self.resnet.inner or 1)
        self.mixed_batch = mixed_batch
        channels = self.resnet.channels(width)
        self.spatial_net = _Stream(self.resnet, 3, width)
        self.temporal_net = _Stream(self.resnet, 6, width)
        for name in _TOLD:
            for stage, count in zip(_STAGES, channels, strict=True):
                halved = stage == 1
                attention = (count, channels[0], 2 ** (stage - 1), halved, halved or self.resnet.bottleneck)
                to_itself = name in ("SselfTransformer", "TselfTransformer")
                told = _SelfExchange(*attention) if to_itself else _Exchange(*attention, name != "STTransformer")
                self.add_module(f"{name}{stage}", told)
        for stage in (3, 2, 1):
            self.add_module(f"Transformerstafm{stage}", _Fusion(width * 2 ** (stage - 1), width))

    def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `image` (B, 2, 3, H, W) and `flow` (B, 2, 6, H, W)."""
        check_streams(image, flow, "B, 2", flow_channels=6)
        spatial, temporal = self.spatial_net, self.temporal_net
        s, t = spatial.inconv[0](image.flatten(0, 1)), temporal.inconv[0](flow.flatten(0, 1))
        # Of the ResNet-34 network, the published code reads the first layer after its pooling.
        read_pooled = not self.resnet.bottleneck
        if read_pooled:
            s, t = into_first_stage(s, spatial.inconv[1]), into_first_stage(t, temporal.inconv[1])
        yield from by_stream(1, s, t)
        if not read_pooled:
            s, t = into_first_stage(s, spatial.inconv[1]), into_first_stage(t, temporal.inconv[1])
        kept: dict[int, tuple[Tensor, Tensor]] = {}
        for stage in _STAGES:
            s, t = spatial.get_submodule(f"encoder{stage}")(s), temporal.get_submodule(f"encoder{stage}")(t)
            s, t = self._tell_each_other(stage, s, t)
            yield from by_stream(stage + 1, s, t)
            kept[stage] = (s, t)
        x = spatial.decoder4(spatial.dilate(s))
        yield "fusion.layer5", x
        for stage in (3, 2, 1):
            s, t = kept[stage]
            fuse = self.get_submodule(f"Transformerstafm{stage}")
            fused = fuse(spatial.bridge(stage, s), temporal.bridge(stage, t))
            yield f"fusion.layer{stage + 1}", fused
            x = torch.cat([_resize(x, fused.shape[-2:]), fused], dim=1)
            x = spatial.get_submodule(f"decoder{stage}")(x)
        yield "mask", torch.sigmoid(spatial.get_submodule("out1")(x, (4 * x.shape[-2], 4 * x.shape[-1])))

    def _tell_each_other(self, stage: int, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        told = {name: self.get_submodule(f"{name}{stage}") for name in _TOLD}
        frames = (s[0::2], t[0::2]), (s[1::2], t[1::2])
        between_s = told["SSTransformer"](frames[0][0], frames[1][0])
        between_t = told["TTTransformer"](frames[0][1], frames[1][1])
        new_s: list[Tensor] = []
        new_t: list[Tensor] = []
        for (frame_s, frame_t), other_s, other_t in zip(frames, between_s, between_t, strict=True):
            from_t, from_s = told["STTransformer"](frame_s, frame_t)
            new_s.append(other_s + told["SselfTransformer"](frame_s) + from_t + frame_s)
            new_t.append(other_t + told["TselfTransformer"](frame_t) + from_s + frame_t)
        if self.mixed_batch:
            return torch.cat(new_s), torch.cat(new_t)
        return torch.stack(new_s, dim=1).flatten(0, 1), torch.stack(new_t, dim=1).flatten(0, 1)


class RTNet34(RTNet):
    """RTNet on ResNet-34.

    As `RTNet`, but `appearance.layer1` and `motion.layer1` are read after the first pooling, as in the published code,
    and any width of at least 1 can be built.
    """

    kind = RESNET34
