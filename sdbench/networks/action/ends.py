"""The two ends that the action-recognition networks share: the clip that comes in and the classifier."""

from __future__ import annotations

from torch import Tensor, nn

from sdbench.base.errors import InputError


def check_clip(clip: Tensor, name: str = "video") -> Tensor:
    """Answer `clip` where it has shape (B, 3, T, H, W).

    Raises:
        InputError: it has another shape.
    """
    if clip.ndim != 5 or clip.shape[1] != 3:
        raise InputError(f"{name} must have shape (B, 3, T, H, W); got {tuple(clip.shape)}")
    return clip


class Classifier(nn.Module):
    """Logits (B, num_classes) of features (B, C), half of which are dropped while training."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.projection = nn.Linear(inputs, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of features (B, C)."""
        logits: Tensor = self.projection(self.dropout(features))
        return logits
