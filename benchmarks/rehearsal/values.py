"""What the stand-ins hold: made-up numbers, or numbers built by hand so that the answer of the network is known.

A network built by hand hands the colour of its input through: unit c of every stage is the mean over space and time of
colour c modulo 3. What it answers follows from the colours of the pictures alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.rehearsal.entries import Shapes

Array = NDArray[np.generic]
Values = Callable[[str], Array]
"""The numbers of an entry, by its name."""

POSITIVE = 3.0
"""Added to a normalised colour, which lies above -3, so that no rectifier cuts it."""

COLOURS = 3
ONE_CLASS = 1000.0
"""Added to the first class, which is then the answer to whatever is shown."""

_NORMS = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0.0}


def made_up(shapes: Shapes, seed: int = 0) -> Values:
    """Numbers drawn by an entry's name and the seed, of a size at which activations neither vanish nor grow."""

    def values(name: str) -> Array:
        shape = shapes[name]
        leaf = name.rpartition(".")[2]
        if leaf in _NORMS:
            return np.full(shape, _NORMS[leaf], np.int64 if leaf == "num_batches_tracked" else np.float32)
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        drawn = generator.standard_normal(shape, dtype=np.float32)
        if len(shape) < 2:  # a bias, or the gain of a norm
            return np.asarray((leaf == "weight") + 0.1 * drawn, dtype=np.float32)
        return np.asarray(drawn / math.sqrt(math.prod(shape[1:])), dtype=np.float32)

    return values


def one_answer(values: Values, bias: str = "head.projection.bias") -> Values:
    """The same, but that the first class is the answer to everything: top-1 accuracy is its share of the videos."""

    def changed(name: str) -> Array:
        found = values(name)
        return found + np.eye(1, found.size, dtype=np.float32)[0] * np.float32(ONE_CLASS) if name == bias else found

    return changed


def _through(shape: tuple[int, ...], channels: Sequence[int]) -> Array:
    """A convolution whose output c is, at its own place, the input channel `channels[c]`."""
    kernel = np.zeros(shape, np.float32)
    centre = tuple(size // 2 for size in shape[2:])
    for channel, source in enumerate(channels):
        place = (channel, source, *centre)
        kernel[place] = 1
    return kernel


def _of_colours(count: int) -> list[int]:
    return [channel % COLOURS for channel in range(count)]


def _norm(shape: tuple[int, ...], leaf: str, gain: float, bias: float = 0.0) -> Array:
    return np.full(shape, gain if leaf == "weight" else bias, np.float32)


def colours_in_x3d(shapes: Shapes) -> Values:
    """X3D whose stages hold the colours of its input: what its blocks add is nothing."""
    others = made_up(shapes)

    def values(name: str) -> Array:
        shape, (owner, _, leaf) = shapes[name], name.rpartition(".")
        if owner == "s1.pathway0_stem.conv_xy" or owner.endswith("branch1"):
            return _through(shape, _of_colours(shape[0]))
        if owner == "s1.pathway0_stem.conv":  # along time, each channel for itself
            return _through(shape, [0] * shape[0])
        if leaf in ("weight", "bias") and owner == "s1.pathway0_stem.bn":
            return _norm(shape, leaf, 1, POSITIVE)
        if leaf in ("weight", "bias") and owner.endswith(("branch1_bn", "branch2.c_bn")):
            return _norm(shape, leaf, float(owner.endswith("branch1_bn")))
        return others(name)

    return values


def colours_in_fusionseg(shapes: Shapes) -> Values:
    """FusionSeg whose streams hold the colours of their inputs, and whose fusions are the appearance stream alone."""
    others = made_up(shapes)

    def values(name: str) -> Array:
        shape, (owner, _, leaf) = shapes[name], name.rpartition(".")
        if ".sensor_fusion." in name:
            return _through(shape, range(shape[0])) if leaf == "weight" else np.zeros(shape, np.float32)
        if owner.endswith(("_stream.conv1", ".downsample.0")):
            return _through(shape, _of_colours(shape[0]))
        if leaf in ("weight", "bias") and owner.endswith("_stream.bn1"):
            return _norm(shape, leaf, 1, POSITIVE)
        if leaf in ("weight", "bias") and owner.endswith((".downsample.1", ".bn3")):
            return _norm(shape, leaf, float(owner.endswith(".downsample.1")))
        return others(name)

    return values
