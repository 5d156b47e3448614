"""What the layers of a network answer, seen in one pass over a made-up clip: shapes, axes and units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdbench.base.checks import check_fits
from sdbench.base.errors import InputError
from sdbench.networks.network import Network
from sdbench.networks.reading import Layer, VideoNetwork, average_to_units, fed, read_axes, run_hooked
from sdbench.video.feed import Feed
from sdbench.video.frames import Frames

_SEED = 0


@dataclass(frozen=True)
class Seen:
    """What was seen of a layer.

    Attributes:
        layer: its name.
        answer: what it answers, in words: a shape, or "tuple of 2"; "" where it did not run.
        axes: what the axes are, as `Layer` has them; None where that is not known.
        units: how many it has; None where it cannot be read as it is.
        note: why it cannot be read, or what else there is to know; "" where there is nothing.
    """

    layer: str
    answer: str
    axes: str | None = None
    units: int | None = None
    note: str = ""


def look(network: Network) -> tuple[Seen, ...]:
    """What each of the layers of a network that are read answers to one clip.

    Args:
        network: its module is left as it was given, but for what it counts of its own passes.

    Raises:
        InputError: the network does not take what it is fed.
    """
    check_fits(f"one input of {network.name}", network.feed.bytes, "use fewer frames, or fewer pixels")
    inputs, module = made_up(network.feed), network.module
    first = next(module.parameters(), None)
    if first is not None:
        inputs = {name: _like(values, first) for name, values in inputs.items()}
    training = {part: part.training for part in module.modules()}
    try:
        with torch.no_grad(), fed(network.name, inputs):
            return tuple((_traced if isinstance(module, VideoNetwork) else _hooked)(network, inputs))
    finally:
        for part, mode in training.items():
            part.training = mode


def _traced(network: Network, inputs: dict[str, Tensor]) -> Iterator[Seen]:
    wanted = {layer.name for layer in network.read}
    module = network.module.eval()
    assert isinstance(module, VideoNetwork)
    for name, activation in module.trace(**inputs):
        if name in wanted:
            yield replace(_read(Layer(name), activation, activation, None, inputs), note="")


def _hooked(network: Network, inputs: dict[str, Tensor]) -> list[Seen]:
    layers = {layer.name: layer for layer in network.read}
    seen: dict[str, Seen] = {}
    runs: Counter[str] = Counter()

    def see(name: str, output: Any) -> None:
        runs[name] += 1
        try:
            activation = layers[name].activation(output)
        except InputError as error:
            seen[name] = Seen(name, _described(output), note=_reason(error, name))
        else:
            seen[name] = _read(layers[name], output, activation, network.feed, inputs)

    run_hooked(network.module.eval(), inputs, layers, see, all_run=False)
    for name, count in runs.items():
        if count > 1:
            several = f"runs {count} times, the last is read"
            seen[name] = replace(seen[name], note="; ".join(filter(None, (several, seen[name].note))))
    return [seen.get(name) or Seen(name, "", note="does not run") for name in layers]


def _read(layer: Layer, output: Any, activation: Tensor, feed: Feed | None, inputs: dict[str, Tensor]) -> Seen:
    """What is seen of a layer that answers a tensor, or one in something else."""
    answer = _described(output) if output is activation else f"{_described(output)}: {_described(activation)}"
    rows = len(next(iter(inputs.values())))
    try:
        axes = read_axes(layer, activation, feed, rows)
        units = average_to_units(activation, axes, feed.frames if feed else None).shape[1]
    except InputError as error:
        return Seen(layer.name, answer, note=_reason(error, layer.name))
    return Seen(layer.name, answer, axes, units, "one unit: not enough to measure" if units == 1 else "")


def _described(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"({', '.join(map(str, output.shape))})"
    return f"{type(output).__name__} of {len(output)}" if isinstance(output, (tuple, list)) else type(output).__name__


def _reason(error: InputError, layer: str) -> str:
    """Why a layer cannot be read, where its name stands beside it."""
    return str(error).removeprefix(f"layer {layer!r}").removeprefix(":").strip()


def _like(values: Tensor, parameter: Tensor) -> Tensor:
    return values.to(parameter.device, parameter.dtype if values.is_floating_point() else values.dtype)


def made_up(feed: Feed, number: int = 0) -> dict[str, Tensor]:
    """One clip as the network takes it: of noise, or (from number 1) of blocks of colour that move, each another."""
    size = tuple(side + (feed.side - min(feed.height_and_width)) for side in feed.height_and_width)
    generator = np.random.default_rng(_SEED + number)
    frames = generator.integers(0, 256, (feed.frames, *size, 3), dtype=np.uint8)
    if number:
        frames = np.stack([_blocks(frames[0], frame, number) for frame in range(feed.frames)])
    if feed.flow is None:
        return feed(frames)
    if feed.flow == "forward":
        picture = feed.pixels(frames[:1]).transpose(0, 1)
        return {"image": picture, "flow": picture}
    pictures = feed.pixels(generator.integers(0, 256, (2, *size, 3), dtype=np.uint8)).transpose(0, 1)
    return {"image": pictures[None], "flow": torch.cat([pictures, pictures], dim=1)[None]}


def _blocks(noise: Frames, frame: int, number: int) -> Frames:
    """Blocks in the colours of noise that have moved for so many frames; the brighter, the higher the number."""
    height, width, _ = noise.shape
    side = max(height, width) // 4 + 1
    shown = noise[: height // side + 1, : width // side + 1].repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    moved = np.roll(shown, (frame, 2 * frame), axis=(0, 1))
    return np.asarray(np.minimum(moved.astype(np.int64) // 2 + 40 * number, 255), dtype=np.uint8)
