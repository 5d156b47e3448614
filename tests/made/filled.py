"""Weights and inputs of the conformance cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from sdbench.networks.filled import fill_state_dict, fill_tensor, generator_of

__all__ = ["Filled", "fill_state_dict", "fill_tensor", "make_input"]


class Filled:
    """State dicts with the weights of the conformance cases, one after the other.

    Entries that the one before had too are not made again: cases of one architecture have most of them in common.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, tuple[int, ...]], torch.Tensor] = {}

    def state(self, wanted: Mapping[str, Sequence[int]]) -> dict[str, torch.Tensor]:
        """Name -> shape as name -> values; counters, which alone have no axis, are zero."""
        before, self._entries = self._entries, {}
        for name, given in wanted.items():
            shape = tuple(given)
            found = before.get((name, shape))
            self._entries[name, shape] = _filled(name, shape) if found is None else found
        return {name: value for (name, _), value in self._entries.items()}


def _filled(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(fill_tensor(name, shape, 0)) if shape else torch.zeros((), dtype=torch.int64)


def make_input(shape: Sequence[int], seed: int, name: str) -> torch.Tensor:
    """A float32 network input, standard normal, already normalised."""
    noise = generator_of("input:" + name, seed).standard_normal(tuple(shape))
    return torch.from_numpy(np.asarray(noise).astype(np.float32))
