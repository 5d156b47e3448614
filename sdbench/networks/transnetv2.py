"""TransNet V2, a shot-boundary network of dilated 3-D convolutions.

Soucek and Lokoc, "TransNet V2: An effective deep network architecture for fast shot transition detection", 2020. The
entries of the state dict are those of the published PyTorch weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.base.errors import InputError
from sdbench.networks.reading import VideoNetwork

FRAME_SIZE = (27, 48)
"""Height and width of the frames that the network looks at."""

_DILATIONS = (1, 2, 4, 8)
_NEIGHBOURS = 50  # frames before and after that a frame is compared with
_BINS = 512  # 8 levels of each colour


class _DilatedConv(nn.Module):
    """A 3 x 3 convolution in space, then one over 3 frames that lie `dilation` apart."""

    def __init__(self, inputs: int, outputs: int, dilation: int) -> None:
        super().__init__()
        space = nn.Conv3d(inputs, 2 * outputs, (1, 3, 3), padding=(0, 1, 1), bias=False)
        time = nn.Conv3d(
            2 * outputs, outputs, (3, 1, 1), dilation=(dilation, 1, 1), padding=(dilation, 0, 0), bias=False
        )
        self.layers = nn.ModuleList([space, time])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _DilatedBlock(nn.Module):
    """Four dilated convolutions side by side, then batch norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for dilation in _DILATIONS:
            self.add_module(f"Conv3D_{dilation}", _DilatedConv(inputs, outputs, dilation))
        self.bn = nn.BatchNorm3d(len(_DILATIONS) * outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.get_submodule(f"Conv3D_{dilation}")(x) for dilation in _DILATIONS]
        normed: Tensor = self.bn(torch.cat(branches, dim=1))
        return normed


class _Stack(nn.Module):
    """Two dilated blocks with a shortcut around the second, halved in space."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        width = len(_DILATIONS) * outputs
        self.DDCNN = nn.ModuleList([_DilatedBlock(inputs, outputs), _DilatedBlock(width, outputs)])

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.relu(self.DDCNN[0](x))
        return F.avg_pool3d(F.relu(self.DDCNN[1](shortcut)) + shortcut, (1, 2, 2))


def _similar_neighbours(features: Tensor) -> Tensor:
    """Cosine similarity of every frame with the 101 frames around it.

    features: (B, T, D). Returns (B, T, 101); frames outside the clip count as 0.
    """
    normed = F.normalize(features, dim=2)
    similarity = F.pad(normed @ normed.transpose(1, 2), (_NEIGHBOURS, _NEIGHBOURS))
    frames = torch.arange(features.shape[1], device=features.device)[:, None]
    offsets = torch.arange(2 * _NEIGHBOURS + 1, device=features.device)
    index = (frames + offsets).expand(len(features), -1, -1)
    return similarity.gather(2, index)


def colour_histograms(frames: Tensor) -> Tensor:
    """How many pixels of each frame fall into each of 8 x 8 x 8 colours.

    frames: (B, T, H, W, 3) uint8. Returns (B, T, 512) float32.
    """
    level = frames.long() >> 5
    colour = (level[..., 0] << 6) + (level[..., 1] << 3) + level[..., 2]
    colour = colour.flatten(2)
    counts = torch.zeros(*colour.shape[:2], _BINS, device=frames.device)
    return counts.scatter_add_(2, colour, torch.ones((), device=frames.device).expand(colour.shape))


class _FrameSimilarity(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, 128)
        self.fc = nn.Linear(2 * _NEIGHBOURS + 1, 128)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.fc(_similar_neighbours(self.projection(features))))


class _ColourSimilarity(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * _NEIGHBOURS + 1, 128)

    def forward(self, frames: Tensor) -> Tensor:
        return F.relu(self.fc(_similar_neighbours(colour_histograms(frames))))


class TransNetV2(VideoNetwork):
    """Finds the frames at which one shot gives way to the next.

    Input: (B, T, 27, 48, 3) uint8 RGB. Answer: (B, T, 1), the logit that a frame is the last before a cut (or in the
    middle of a gradual transition). `all_frames_logit` of the last hidden layer marks every frame of a transition.
    """

    layers = ("ddcnn1", "ddcnn2", "ddcnn3", "frame_similarity", "colour_similarity", "fc1", "transition")

    def __init__(self) -> None:
        super().__init__()
        self.SDDCNN = nn.ModuleList([_Stack(3, 16), _Stack(64, 32), _Stack(128, 64)])
        self.frame_sim_layer = _FrameSimilarity(64 + 128 + 256)
        self.color_hist_layer = _ColourSimilarity()
        self.fc1 = nn.Linear(256 * 3 * 6 + 128 + 128, 1024)
        self.cls_layer1 = nn.Linear(1024, 1)
        self.cls_layer2 = nn.Linear(1024, 1)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `video` (B, T, 27, 48, 3) uint8.

        Raises:
            InputError: the frames are not uint8 or not 27 x 48.
        """
        if video.dtype != torch.uint8 or video.ndim != 5 or tuple(video.shape[2:]) != (*FRAME_SIZE, 3):
            raise InputError(
                "TransNet V2 takes uint8 frames of shape (B, T, 27, 48, 3); "
                f"got {video.dtype} {tuple(video.shape)}: resize the frames first"
            )
        x = video.permute(0, 4, 1, 2, 3).float() / 255
        frame_features = []
        for number, stack in enumerate(self.SDDCNN, start=1):
            x = stack(x)
            yield f"ddcnn{number}", x
            frame_features.append(x.mean(dim=(3, 4)))
        similar = self.frame_sim_layer(torch.cat(frame_features, dim=1).transpose(1, 2))
        yield "frame_similarity", similar
        colours = self.color_hist_layer(video)
        yield "colour_similarity", colours
        flat = x.permute(0, 2, 3, 4, 1).flatten(2)
        hidden = F.relu(self.fc1(torch.cat([colours, similar, flat], dim=2)))
        yield "fc1", hidden
        yield "transition", self.cls_layer1(hidden)

    def all_frames_logit(self, hidden: Tensor) -> Tensor:
        """(B, T, 1): the logit that a frame belongs to a transition, from the activation of `fc1` (B, T, 1024)."""
        logit: Tensor = self.cls_layer2(hidden)
        return logit
