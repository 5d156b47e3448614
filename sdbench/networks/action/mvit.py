"""Multiscale vision transformer, MViT-B 16 x 4.

Fan et al., "Multiscale Vision Transformers", ICCV 2021: the grid of tokens shrinks and their width grows with depth;
keys and values are pooled by channel-wise convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from sdbench.networks.action.ends import Classifier, check_clip
from sdbench.networks.action.tokens import PatchEmbedding, Perceptron, SelfAttention, layer_norm, resize_positions
from sdbench.networks.reading import VideoNetwork

Grid = tuple[int, int, int]

_WIDTH = 96
_DEPTH = 16
_GRID = (8, 56, 56)
_SHRINKING = (1, 3, 14)
"""Blocks that halve height and width of the grid and double the heads; the block before each doubles the width."""


def _pool_grid(tokens: Tensor, grid: Grid, pool: Callable[[Tensor], Tensor]) -> tuple[Tensor, Grid]:
    """Pool tokens (..., 1 + N, C) that lie on a grid of N; the class token stays as it is.

    `pool` is given (M, C, T, H, W), where M counts all that the leading axes hold. Returns the tokens and their new
    grid.
    """
    lead, channels = tokens.shape[:-2], tokens.shape[-1]
    class_token, rest = tokens[..., :1, :], tokens[..., 1:, :]
    pooled = pool(rest.transpose(-1, -2).reshape(-1, channels, *grid))
    time, height, width = pooled.shape[2:]
    laid_out = pooled.flatten(2).transpose(1, 2).reshape(*lead, -1, channels)
    return torch.cat([class_token, laid_out], dim=-2), (time, height, width)


class _PooledAttention(SelfAttention):
    """Self-attention whose queries, or keys and values, are pooled in space before they meet.

    Args:
        width: channels of a token.
        heads: number of heads; the pooling is the same for all.
        stride_q: what height and width of the queries' grid are divided by; 1 pools nothing.
        stride_kv: the same for keys and values.
    """

    def __init__(self, width: int, heads: int, stride_q: int, stride_kv: int) -> None:
        super().__init__(width, heads)
        self.pooled = {"q": stride_q > 1, "k": stride_kv > 1, "v": stride_kv > 1}
        for name, stride in (("q", stride_q), ("k", stride_kv), ("v", stride_kv)):
            if self.pooled[name]:
                channels = width // heads
                convolution = nn.Conv3d(channels, channels, 3, (1, stride, stride), 1, groups=channels, bias=False)
                self.add_module(f"pool_{name}", convolution)
                self.add_module(f"norm_{name}", layer_norm(channels))

    def _pool(self, name: str, tokens: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        if not self.pooled[name]:
            return tokens, grid
        tokens, grid = _pool_grid(tokens, grid, self.get_submodule(f"pool_{name}"))
        return self.get_submodule(f"norm_{name}")(tokens), grid

    def forward(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Grid]:  # type: ignore[override]
        """What the tokens (B, 1 + N, C) on `grid` see, and the grid that it lies on."""
        queries, keys, values = self.project(tokens)
        queries, smaller = self._pool("q", queries, grid)
        keys, _ = self._pool("k", keys, grid)
        values, _ = self._pool("v", values, grid)
        return self.attend(queries, keys, values), smaller


class _Block(nn.Module):
    """Pooled attention and perceptron, each with a shortcut past it that follows the change of grid or width."""

    def __init__(self, width: int, outputs: int, heads: int, stride_q: int, stride_kv: int) -> None:
        super().__init__()
        self.norm1 = layer_norm(width)
        self.attn = _PooledAttention(width, heads, stride_q, stride_kv)
        self.norm2 = layer_norm(width)
        self.mlp = Perceptron(width, outputs)
        self.widens = width != outputs
        if self.widens:
            self.proj = nn.Linear(width, outputs)
        self.shrinks = stride_q > 1
        self.shortcut = nn.MaxPool3d((1, 3, 3), (1, stride_q, stride_q), (0, 1, 1))

    def forward(self, tokens: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
        """Tokens (B, 1 + N, C) on `grid`, the class token first; returns tokens and their grid."""
        seen, smaller = self.attn(self.norm1(tokens), grid)
        if self.shrinks:
            tokens, _ = _pool_grid(tokens, grid, self.shortcut)
        tokens = tokens + seen
        normed = self.norm2(tokens)
        return (self.proj(normed) if self.widens else tokens) + self.mlp(normed), smaller


class MViT(VideoNetwork):
    """MViT-B 16 x 4.

    Input: `video` (B, 3, T, H, W), normalised with mean 0.45 and standard deviation 0.225; published with 16 frames
    of 224 x 224, any other T, H, W >= 1 run: the positions in space and time are then resized by nearest neighbour.
    Layers: `block0` to `block15`, tokens (B, 1 + N, C) with the class token first, before the final norm; then
    `logits` (B, num_classes).
    """

    layers = (*(f"block{number}" for number in range(_DEPTH)), "logits")

    def __init__(self, num_classes: int = 400) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.pos_embed_spatial = nn.Parameter(torch.zeros(1, _GRID[1] * _GRID[2], _WIDTH))
        self.pos_embed_temporal = nn.Parameter(torch.zeros(1, _GRID[0], _WIDTH))
        self.pos_embed_class = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.patch_embed = PatchEmbedding(nn.Conv3d(3, _WIDTH, (3, 7, 7), (2, 4, 4), (1, 3, 3)))
        self.blocks = nn.ModuleList()
        width, heads, stride_kv = _WIDTH, 1, 8
        for number in range(_DEPTH):
            shrinks, widens = number in _SHRINKING, number + 1 in _SHRINKING
            heads = 2 * heads if shrinks else heads
            stride_kv = stride_kv // 2 if shrinks else stride_kv
            outputs = 2 * width if widens else width
            self.blocks.append(_Block(width, outputs, heads, 2 if shrinks else 1, stride_kv))
            width = outputs
        self.norm = layer_norm(width)
        self.head = Classifier(width, num_classes)
        for name in ("cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class"):
            nn.init.trunc_normal_(self.get_parameter(name), std=0.02)

    def _embed(self, video: Tensor) -> tuple[Tensor, Grid]:
        embedded = self.patch_embed(video)
        time, height, width = embedded.shape[2:]
        in_space = resize_positions(self.pos_embed_spatial, _GRID[1:], (height, width))
        in_time = resize_positions(self.pos_embed_temporal, _GRID[:1], (time,))
        positions = (in_time[:, :, None] + in_space[:, None]).flatten(1, 2)
        patches = embedded.flatten(2).transpose(1, 2) + positions
        class_token = (self.cls_token + self.pos_embed_class).expand(len(video), -1, -1)
        return torch.cat([class_token, patches], dim=1), (time, height, width)

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each layer's activation for `video` (B, 3, T, H, W)."""
        tokens, grid = self._embed(check_clip(video))
        for number, block in enumerate(self.blocks):
            tokens, grid = block(tokens, grid)
            yield f"block{number}", tokens
        yield "logits", self.head(self.norm(tokens[:, 0]))


def mvit_b_16x4(num_classes: int = 400) -> MViT:
    """16 frames, 4 apart."""
    return MViT(num_classes)
