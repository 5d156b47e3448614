"""Sums of a measurement: layer -> (seed, resampling block) -> moments. They add up, whoever collected them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from sdbench.base.kept import Arrays
from sdbench.statistics import Moments, merge
from sdbench.statistics.sums import Crossed

Block = tuple[int, str]
"""Seed and name of a resampling block."""

Sums = dict[str, dict[Block, Moments]]

_NAMES = ("pairs", "origin", "total", "square", "product")
_CROSSED = ("quads", "parts", "square", "swaps", "swapped")
_BLOCKS = "blocks"


def add(sums: Sums, layer: str, block: Block, part: Moments) -> None:
    """Add moments to those of a layer and block."""
    known = sums.setdefault(layer, {})
    known[block] = merge([known[block], part]) if block in known else part


def add_all(sums: Sums, others: Mapping[str, Mapping[Block, Moments]]) -> None:
    """Add other sums to these, layer by layer and block by block."""
    for layer, blocks in others.items():
        for block, part in blocks.items():
            add(sums, layer, block, part)


def to_arrays(sums: Sums) -> Arrays:
    """The sums as named arrays, blocks in a row; every layer has the same blocks."""
    arrays = {
        f"{layer}|{name}": np.stack([getattr(part, name) for part in blocks.values()])
        for layer, blocks in sums.items()
        for name in _NAMES
    }
    for layer, blocks in sums.items():
        found = [part.crossed for part in blocks.values() if part.crossed is not None]
        if found and len(found) == len(blocks):
            for name in _CROSSED:
                arrays[f"{layer}|crossed.{name}"] = np.stack([np.asarray(getattr(part, name)) for part in found])
    listed = json.dumps(list(next(iter(sums.values())))).encode()
    return {**arrays, _BLOCKS: np.frombuffer(listed, dtype=np.uint8)}


def from_arrays(arrays: Arrays) -> Sums:
    """The sums of `to_arrays`."""
    blocks: list[Block] = [(seed, name) for seed, name in json.loads(arrays[_BLOCKS].tobytes())]
    layers = dict.fromkeys(name.rpartition("|")[0] for name in arrays if name != _BLOCKS)
    return {
        layer: {
            block: Moments(
                **{name: arrays[f"{layer}|{name}"][number] for name in _NAMES},
                crossed=_crossed(arrays, layer, number),
            )
            for number, block in enumerate(blocks)
        }
        for layer in layers
    }


def _crossed(arrays: Arrays, layer: str, number: int) -> Crossed | None:
    """The sums of crossed clips of one block, where there are any."""
    if f"{layer}|crossed.{_CROSSED[0]}" not in arrays:
        return None
    quads, parts, square, swaps, exchanged = (arrays[f"{layer}|crossed.{name}"][number] for name in _CROSSED)
    return Crossed(int(quads), parts, square, int(swaps), exchanged)
