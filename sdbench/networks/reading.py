"""Reading unit values: one forward pass, any number of layers.

A network of the suite lists its `layers` and walks through itself in `trace`, yielding each layer's activation as soon
as it exists. The reader averages it to unit values and lets go of it, so that reading all layers costs one pass and no
more memory than running the network. Any other `torch.nn.Module` can be read by the names of its submodules.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sdbench.errors import InputError, unknown_name


class VideoNetwork(nn.Module):
    """A network whose layers can be read by name.

    Subclasses set `layers`, the names in the order in which `trace` yields them, and define `trace`. The last layer is
    the network's answer.
    """

    layers: tuple[str, ...] = ()

    def trace(self, *args: Tensor, **inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield (layer name, activation) for every layer, in order, while the network runs."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its layers are walked through")

    def unused_entries(self) -> frozenset[str]:
        """The entries of the state dict that no layer depends on in eval mode: their values do not matter."""
        return frozenset()

    def forward(self, *args: Tensor, **inputs: Tensor) -> Tensor:
        """Run the network; returns the activation of its last layer."""
        ((_, answer),) = deque(self.trace(*args, **inputs), maxlen=1)
        return answer


def average_to_units(activation: Tensor) -> Tensor:
    """Average an activation over everything but batch and channel: (B, C).

    (B, C, T, H, W) and (B, C, H, W) are averaged over time and space, (B, N, C) over its N tokens or frames; (B, C) is
    returned as it is. The mean is taken in float32 at least.
    """
    if activation.dtype in (torch.float16, torch.bfloat16):
        activation = activation.float()
    if activation.ndim in (4, 5):
        return activation.flatten(2).mean(dim=2)
    if activation.ndim == 3:
        return activation.mean(dim=1)
    if activation.ndim == 2:
        return activation
    raise InputError(
        "an activation must have shape (B, C), (B, N, C), (B, C, H, W) or (B, C, T, H, W); "
        f"got {tuple(activation.shape)}"
    )


@torch.no_grad()
def units(module: nn.Module, inputs: Mapping[str, Tensor], layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Unit values of the named layers, in one forward pass.

    Args:
        module: a network of the suite, or any module (then `layers` are names of submodules, whose outputs are read).
        inputs: the network's inputs by name: {"video"}, {"slow", "fast"} or {"image", "flow"}; normalised, batch first.
            For a module that is not of the suite they are passed as keyword arguments, or as its only positional
            argument where there is one input.
        layers: which layers to read; all of them where None. The pass ends with the last layer that is asked for.

    Returns:
        {layer: (B, C) tensor}, in the order of the network.

    Raises:
        InputError: a layer is unknown, or an activation has a shape that cannot be averaged to units.
    """
    if isinstance(module, VideoNetwork):
        return _read_trace(module, inputs, layers)
    return _read_submodules(module, inputs, layers)


def _read_trace(module: VideoNetwork, inputs: Mapping[str, Tensor], layers: Sequence[str] | None) -> dict[str, Tensor]:
    wanted = set(module.layers if layers is None else layers)
    for name in wanted.difference(module.layers):
        raise unknown_name("layer", name, module.layers)
    read: dict[str, Tensor] = {}
    if not wanted:
        return read
    for name, activation in module.trace(**inputs):
        if name in wanted:
            read[name] = average_to_units(activation)
            if len(read) == len(wanted):
                break
    return read


def _read_submodules(
    module: nn.Module, inputs: Mapping[str, Tensor], layers: Sequence[str] | None
) -> dict[str, Tensor]:
    submodules = {name: child for name, child in module.named_modules() if name}
    if layers is None:
        raise InputError("say which layers to read: a module that is not of the suite has no list of layers of its own")
    for name in layers:
        if name not in submodules:
            raise unknown_name("layer", name, submodules)
    read: dict[str, Tensor] = {}

    def reader(name: str) -> Any:
        def read_output(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                raise InputError(f"layer {name!r} answers {type(output).__name__}, not a tensor: choose another layer")
            read[name] = average_to_units(output)

        return read_output

    hooks = [submodules[name].register_forward_hook(reader(name)) for name in layers]
    try:
        if len(inputs) == 1:
            module(*inputs.values())
        else:
            module(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers:
        if name not in read:
            raise InputError(f"layer {name!r} exists but did not run in the forward pass: choose another layer")
    return read
