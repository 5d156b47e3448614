"""Which axis of what a module answers counts its channels, where the module itself says so.

Modules of torch say it by their documentation: of a convolution it is the axis before those of space, of a linear
layer the last. What such a module has answered is followed through those that keep every channel in its place, such as
activation functions and pooling. Any other module says at best how many channels there are, in `out_channels` and such.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.utils.weak import WeakTensorKeyDictionary

_WIDTHS = (
    *("out_channels", "out_features", "num_features", "num_channels", "normalized_shape"),
    *("embedding_dim", "embed_dim", "hidden_size", "d_model"),
)
"""Attributes in which modules say how many channels they answer."""

_SECOND = (_BatchNorm, nn.GroupNorm)
_LAST = (
    *(nn.Linear, nn.Bilinear, nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention),
    *(nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
)
"""Modules of torch whose channels are the second and the last axis, whatever the others are."""

_WITH_STATE = (nn.RNNBase, nn.LSTMCell, nn.MultiheadAttention)
"""Modules of torch that answer more than their activation, which comes first."""

_KEEPING = tuple(
    f"torch.nn.modules.{name}"
    for name in (
        "activation",
        "dropout",
        "flatten",
        "instancenorm",
        "normalization",
        "padding",
        "pooling",
        "upsampling",
    )
)
"""Where torch has the modules that leave every channel in its place, if they do not fold axes together."""


def implied_item(module: nn.Module, output: Any) -> int | None:
    """The part of an answer that is the activation, of the modules of torch that answer more; None of all others."""
    return 0 if isinstance(module, _WITH_STATE) and isinstance(output, tuple) else None


def has_channels(module: nn.Module, item: int | str | None) -> bool:
    """Whether a part of an answer has channels: the weights of attention, which come second, have positions."""
    return not isinstance(module, nn.MultiheadAttention) or item in (None, 0)


def widths(module: nn.Module) -> set[int]:
    """How many channels a module says that it answers: the numbers in the usual attributes."""
    said = (getattr(module, name, None) for name in _WIDTHS)
    plain = (of[0] if isinstance(of, (tuple, list)) and len(of) == 1 else of for of in said)
    return {of for of in plain if isinstance(of, int) and not isinstance(of, bool)}


class Followed:
    """The channel axes of the answers of a pass: what is known of a tensor holds as long as it exists."""

    def __init__(self) -> None:
        self._axes: Any = WeakTensorKeyDictionary()

    def see(self, module: nn.Module, given: tuple[Any, ...], answer: Tensor) -> int | None:
        """The axis of the channels of what a module answers, which is remembered; None where it is not known.

        Args:
            module: which answers.
            given: its arguments.
            answer: the tensor of its answer.
        """
        axis = _documented(module, answer)
        if axis is None:
            axis = self._axis(answer)  # the answer of a part of it, unchanged
        if axis is None and (_owner(module).startswith(_KEEPING) or isinstance(module, nn.Identity)):
            axis = self._kept(given, answer)
        if axis is not None:
            self._axes[answer] = (axis, answer.shape)
        return axis

    def _axis(self, values: Tensor) -> int | None:
        axis, shape = self._axes.get(values, (None, None))
        return axis if shape == values.shape else None

    def _kept(self, given: tuple[Any, ...], answer: Tensor) -> int | None:
        """The axis of the first argument, where it is in its place in the answer."""
        if not given or not isinstance(given[0], Tensor):
            return None
        axis = self._axis(given[0])
        if axis is None or axis >= answer.ndim or given[0].shape[: axis + 1] != answer.shape[: axis + 1]:
            return None
        return axis


def _documented(module: nn.Module, answer: Tensor) -> int | None:
    """The axis of the channels as torch documents it, of its own modules whose forward is their own."""
    if not _owner(module).startswith("torch.nn.modules."):
        return None
    axis: int | None = None
    if isinstance(module, _ConvNd):
        axis = answer.ndim - 1 - len(module.kernel_size)
    elif isinstance(module, _InstanceNorm):
        axis = answer.ndim - 1 - _spatial(module)
    elif isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
        axis = answer.ndim - 1 if len(module.normalized_shape) == 1 else None
    elif isinstance(module, _SECOND):
        axis = 1
    elif isinstance(module, _LAST):
        axis = answer.ndim - 1
    return axis if axis is not None and 0 <= axis < answer.ndim else None


def _spatial(module: _InstanceNorm) -> int:
    kinds = {nn.InstanceNorm1d: 1, nn.InstanceNorm2d: 2, nn.InstanceNorm3d: 3}
    return next(count for kind, count in kinds.items() if isinstance(module, kind))


def _owner(module: nn.Module) -> str:
    """The Python module of the class that defines the forward of this one; "" where it was given one of its own."""
    if "forward" in vars(module):
        return ""
    return next(kind.__module__ for kind in type(module).__mro__ if "forward" in vars(kind))
