"""Weights and inputs of the conformance cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sdbench.networks.filled import fill_state_dict, fill_tensor, generator_of

__all__ = ["fill_state_dict", "fill_tensor", "make_input"]


def make_input(shape: Sequence[int], seed: int, name: str) -> torch.Tensor:
    """A float32 network input, standard normal, already normalised."""
    noise = generator_of("input:" + name, seed).standard_normal(tuple(shape))
    return torch.from_numpy(np.asarray(noise).astype(np.float32))
