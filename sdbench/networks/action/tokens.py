"""What the video transformers are made of: self-attention, perceptron, norm, and positions that fit any grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


def layer_norm(width: int) -> nn.LayerNorm:
    """Layer norm with the transformers' eps, 1e-6."""
    return nn.LayerNorm(width, eps=1e-6)


class PatchEmbedding(nn.Module):
    """Frames or clips as vectors on a grid of patches, by a convolution that strides from patch to patch."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.proj = convolution

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, C, *grid) of pictures (B, 3, H, W) or clips (B, 3, T, H, W)."""
        embedded: Tensor = self.proj(pictures)
        return embedded


class SelfAttention(nn.Module):
    """Multi-head self-attention over tokens (B, N, C); Vaswani et al., "Attention Is All You Need", 2017."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, heads, N, C / heads)."""
        batch, length, width = tokens.shape
        projected = self.qkv(tokens).reshape(batch, length, 3, self.heads, width // self.heads)
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)
        return queries, keys, values

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """What the queries see, heads side by side and mixed: (B, N, C)."""
        seen = F.scaled_dot_product_attention(queries, keys, values)
        mixed: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return mixed

    def forward(self, tokens: Tensor) -> Tensor:
        """What the tokens (B, N, C) see of each other: (B, N, C)."""
        return self.attend(*self.project(tokens))


class Perceptron(nn.Module):
    """Two linear layers with a GELU between, four times as wide as the input; token by token."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, 4 * inputs)
        self.fc2 = nn.Linear(4 * inputs, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, outputs) of tokens (B, N, inputs)."""
        mixed: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return mixed


def resize_positions(positions: Tensor, grid: Sequence[int], size: Sequence[int]) -> Tensor:
    """Position embeddings (1, prod(grid), C) for a grid of another size: (1, prod(size), C), by nearest neighbour."""
    if tuple(grid) == tuple(size):
        return positions
    laid_out = positions.transpose(1, 2).reshape(1, -1, *grid)
    return F.interpolate(laid_out, size=tuple(size), mode="nearest").flatten(2).transpose(1, 2)
