"""The packaged Inception-v1 I3D checkpoint of Flax, renamed to ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sdbench.base.errors import AssetError
from sdbench.zoo.pickled import leaves

_ENDINGS = {"kernel": "weight", "mean": "running_mean", "var": "running_var", "bias": "bias"}


def from_flax_i3d(tree: Any) -> dict[str, Tensor]:
    """The arrays of `tree`, nested dicts `params` and `batch_stats` of channel-last arrays, under our names.

    Names become those of `I3DInception`: slashes become dots; a kernel (T, H, W, in, out) becomes a `weight`
    (out, in, T, H, W).

    Raises:
        AssetError: an entry belongs to no such network.
    """
    state: dict[str, Tensor] = {}
    for name, value in leaves(tree):
        _, _, entry = name.partition("/")
        owner, _, leaf = entry.rpartition("/")
        if leaf not in _ENDINGS or not isinstance(value, np.ndarray):
            raise AssetError(f"unexpected entry {name} in a Flax I3D checkpoint; is it the right file?")
        array: npt.NDArray[Any] = value.transpose(4, 3, 0, 1, 2) if leaf == "kernel" else value.reshape(-1)
        state[f"{owner.replace('/', '.')}.{_ENDINGS[leaf]}"] = torch.from_numpy(np.ascontiguousarray(array))
    return state
