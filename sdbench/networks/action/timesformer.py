"""TimeSformer with divided space-time attention.

Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021: a ViT-B/16 whose blocks
attend over time at each patch, then over space in each frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError
from sdbench.networks.action.ends import check_clip
from sdbench.networks.action.tokens import PatchEmbedding, Perceptron, SelfAttention, layer_norm, resize_positions
from sdbench.networks.reading import VideoNetwork

_WIDTH = 768
_HEADS = 12
_DEPTH = 12
_PATCH = 16
_GRID = (14, 14)


class _Block(nn.Module):
    """Attention over time, attention over space, perceptron; each with a shortcut past it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = SelfAttention(width, heads)
        self.temporal_norm1 = layer_norm(width)
        self.temporal_attn = SelfAttention(width, heads)
        self.temporal_fc = nn.Linear(width, width)
        self.norm2 = layer_norm(width)
        self.mlp = Perceptron(width, width)

    def forward(self, tokens: Tensor, frames: int) -> Tensor:
        """Tokens (B, 1 + N * T, C): the class token, then the patches; the T frames of a patch lie side by side."""
        batch, _, width = tokens.shape
        class_token, patches = tokens[:, :1], tokens[:, 1:].reshape(batch, -1, frames, width)

        over_time = self.temporal_attn(self.temporal_norm1(patches.flatten(0, 1)))
        patches = patches + self.temporal_fc(over_time).reshape(patches.shape)

        # The class token has no place in time: it joins every frame, and what the frames answer it is averaged.
        joined = torch.cat([class_token[:, None].expand(-1, frames, -1, -1), patches.transpose(1, 2)], dim=2)
        over_space = self.attn(self.norm1(joined.flatten(0, 1))).reshape(joined.shape)
        class_token = class_token + over_space[:, :, 0].mean(dim=1, keepdim=True)
        patches = patches + over_space[:, :, 1:].transpose(1, 2)

        tokens = torch.cat([class_token, patches.flatten(1, 2)], dim=1)
        mixed: Tensor = self.mlp(self.norm2(tokens))
        return tokens + mixed


class _Transformer(nn.Module):
    """The transformer itself: the published state dict keeps it under `model`."""

    def __init__(self, num_classes: int, frames: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _GRID[0] * _GRID[1], _WIDTH))
        self.time_embed = nn.Parameter(torch.zeros(1, frames, _WIDTH))
        self.patch_embed = PatchEmbedding(nn.Conv2d(3, _WIDTH, _PATCH, _PATCH))
        self.blocks = nn.ModuleList(_Block(_WIDTH, _HEADS) for _ in range(_DEPTH))
        self.norm = layer_norm(_WIDTH)
        self.head = nn.Linear(_WIDTH, num_classes)
        for embedding in (self.cls_token, self.pos_embed, self.time_embed):
            nn.init.trunc_normal_(embedding, std=0.02)

    def embed(self, video: Tensor) -> Tensor:
        """Tokens (B, 1 + N * T, C) of a clip (B, 3, T, H, W), with their positions in space and time."""
        batch, _, frames = video.shape[:3]
        embedded = self.patch_embed(video.transpose(1, 2).flatten(0, 1))
        in_space = resize_positions(self.pos_embed[:, 1:], _GRID, embedded.shape[2:])
        in_time = resize_positions(self.time_embed, (self.time_embed.shape[1],), (frames,))
        patches = embedded.flatten(2).transpose(1, 2).reshape(batch, frames, -1, _WIDTH).transpose(1, 2)
        patches = patches + in_space[:, :, None] + in_time[:, None]
        class_token = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)
        return torch.cat([class_token, patches.flatten(1, 2)], dim=1)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        tokens = self.embed(video)
        for number, block in enumerate(self.blocks):
            tokens = block(tokens, video.shape[2])
            yield f"block{number}", tokens
        yield "logits", self.head(self.norm(tokens[:, 0]))


class TimeSformer(VideoNetwork):
    """TimeSformer with divided space-time attention, on patches of 16 x 16.

    Input: `video` (B, 3, T, H, W), normalised with mean 0.45 and standard deviation 0.225; published at 224 x 224,
    any H, W >= 16 and T >= 1 run: the positions in space and time are then resized by nearest neighbour. Pixels
    beyond the last whole patch are not seen. Layers: `block0` to `block11`, tokens (B, 1 + N * T, C) with the class
    token first, before the final norm; then `logits` (B, num_classes).

    Args:
        num_classes: size of the classifier.
        frames: number of frames that the positions in time were trained for.
    """

    layers = (*(f"block{number}" for number in range(_DEPTH)), "logits")

    def __init__(self, num_classes: int, frames: int) -> None:
        super().__init__()
        self.model = _Transformer(num_classes, frames)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `video` (B, 3, T, H, W).

        Raises:
            InputError: the video has another shape, or its frames are smaller than a patch.
        """
        if min(check_clip(video).shape[3:]) < _PATCH:
            raise InputError(f"video must be at least {_PATCH} x {_PATCH} pixels; got {tuple(video.shape[3:])}")
        return self.model.trace(video)


def timesformer_8x32(num_classes: int = 400) -> TimeSformer:
    """8 frames, 32 apart."""
    return TimeSformer(num_classes, frames=8)


def timesformer_16x8(num_classes: int = 400) -> TimeSformer:
    """16 frames, 8 apart."""
    return TimeSformer(num_classes, frames=16)
