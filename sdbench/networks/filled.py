"""Made-up weights that are the same on every machine: filled from numpy's PCG64, keyed by the names of the entries.

They let a network and all that surrounds it be checked to the digit where its published weights cannot be had. What is
measured of such a network says nothing about the trained one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

GAIN = 0.7


def generator_of(name: str, seed: int) -> np.random.Generator:
    """The source of the values called `name`."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))


def fill_tensor(name: str, shape: Sequence[int], seed: int) -> npt.NDArray[Any]:
    """Float32 values for the state-dict entry `name` of `shape`."""
    rng = generator_of(name, seed)
    noise: npt.NDArray[Any] = np.asarray(rng.standard_normal(tuple(shape))).astype(np.float32)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return np.asarray(1.0 + 0.1 * np.abs(noise))
    if leaf == "running_mean":
        return 0.1 * noise
    if leaf == "weight" and noise.ndim == 1:  # a norm's scale
        return np.asarray(1.0 + 0.1 * noise)
    if noise.ndim <= 1:  # biases
        return 0.05 * noise
    if leaf != "weight":  # class tokens, position embeddings, relative position tables
        return 0.02 * noise
    fan_in = int(np.prod(noise.shape[1:]))
    return np.asarray(noise * np.float32(GAIN * np.sqrt(2.0 / fan_in)))


def fill_state_dict(module: torch.nn.Module, seed: int) -> None:
    """Overwrite every float entry of `module` in place; integer counters become zero."""
    state = module.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            value.copy_(torch.from_numpy(fill_tensor(name, value.shape, seed)))
        else:
            value.zero_()
