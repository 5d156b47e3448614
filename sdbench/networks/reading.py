"""Reading unit values: one forward pass, any number of layers.

A network of the suite lists its `layers` and walks through itself in `trace`, yielding each layer's activation as soon
as it exists. The reader averages it to unit values and lets go of it, so that reading all layers costs one pass and no
more memory than running the network. Any other `torch.nn.Module` can be read by the names of its submodules.

The same walk serves to take units away: what is written into a yielded activation is what the rest of the network sees.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError, unknown_name

Units = Sequence[int] | npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]
"""Some units of a layer: their numbers, from 0, or an array (C,) that is true where a unit is meant."""


class VideoNetwork(nn.Module):
    """A network whose layers can be read by name.

    Subclasses set `layers`, the names in the order in which `trace` yields them, and define `trace`. The last layer is
    the network's answer. `dead_ends` are those layers, if any, that nothing else is computed from.
    """

    layers: tuple[str, ...] = ()
    dead_ends: tuple[str, ...] = ()

    def trace(self, *args: Tensor, **inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield (layer name, activation) for every layer, in order, while the network runs.

        An activation is the very tensor that the rest of the network continues from, not a copy of it, and nothing has
        been computed from it when it is yielded: who changes it in place, without gradients, changes what every later
        layer and the answer are made of (`answer_without` relies on it). It shares no memory with the inputs. Layers
        that are yielded side by side, as those of two streams, may all exist before the first of them is yielded.
        """
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
    if channel_axis(activation) == 2:
        return activation.mean(dim=1)
    return activation if activation.ndim == 2 else activation.flatten(2).mean(dim=2)


def channel_axis(activation: Tensor) -> int:
    """The axis of an activation that counts its units: 1 of (B, C), (B, C, H, W) and (B, C, T, H, W), 2 of (B, N, C).

    Raises:
        InputError: it has another shape.
    """
    if activation.ndim in (2, 4, 5):
        return 1
    if activation.ndim == 3:
        return 2
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
    if layers is None:
        raise InputError("say which layers to read: a module that is not of the suite has no list of layers of its own")
    read: dict[str, Tensor] = {}

    def read_output(name: str, output: Tensor) -> None:
        read[name] = average_to_units(output)

    _run_hooked(module, inputs, layers, read_output)
    return read


def _run_hooked(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    layers: Iterable[str],
    see: Callable[[str, Tensor], Tensor | None],
) -> Any:
    """The answer of a module; `see` is given the output of each of the named submodules and may answer another."""
    submodules = {name: child for name, child in module.named_modules() if name}
    for name in layers:
        if name not in submodules:
            raise unknown_name("layer", name, submodules)
    ran: set[str] = set()

    def hook_of(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
            if not isinstance(output, Tensor):
                raise InputError(f"layer {name!r} answers {type(output).__name__}, not a tensor: choose another layer")
            ran.add(name)
            return see(name, output)

        return hook

    hooks = [submodules[name].register_forward_hook(hook_of(name)) for name in layers]
    try:
        answer = module(*inputs.values()) if len(inputs) == 1 else module(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers:
        if name not in ran:
            raise InputError(f"layer {name!r} exists but did not run in the forward pass: choose another layer")
    return answer


@torch.no_grad()
def answer_without(module: nn.Module, inputs: Mapping[str, Tensor], zeroed: Mapping[str, Units]) -> Tensor:
    """What a network answers when some of its units are zero.

    Args:
        module: a network of the suite, or any module (then layers are names of submodules); in eval mode.
        inputs: as for `units`; they are not changed.
        zeroed: layer -> which of its units are set to zero, at every position, of every row, each time that the layer
            has run. With no layer this is the network's plain answer.

    Returns:
        The answer: for a network of the suite the activation of its last layer.

    Raises:
        InputError: a layer is unknown, a dead end, or did not run, or it does not have the units that are named.
    """
    if isinstance(module, VideoNetwork):
        for name in zeroed:
            check_part_of_answer(module, name)
        activation = None
        for name, activation in module.trace(**inputs):
            if name in zeroed:
                zero_units(activation, zeroed[name], name)
        assert activation is not None
        return activation

    def without_units(name: str, output: Tensor) -> Tensor:
        # A module of the user's own may answer what it was given, or a view of a buffer.
        changed = output.clone()
        zero_units(changed, zeroed[name], name)
        return changed

    answer = _run_hooked(module, inputs, zeroed, without_units)
    if not isinstance(answer, Tensor):
        raise InputError(f"the module answers {type(answer).__name__}; expected a tensor")
    return answer


def check_part_of_answer(module: VideoNetwork, layer: str) -> None:
    """Raise InputError unless the network has this layer and its answer is made of it."""
    if layer not in module.layers:
        raise unknown_name("layer", layer, module.layers)
    if layer in module.dead_ends:
        raise InputError(f"the answer of {type(module).__name__} is not made of {layer}; choose another layer")


def zero_units(activation: Tensor, chosen: Units, layer: str = "the layer") -> None:
    """Set some units of an activation to zero, in place.

    Args:
        activation: of one of the shapes that `channel_axis` knows.
        chosen: which units: their numbers, or a boolean array with one entry a unit.
        layer: how to call it in an error.

    Raises:
        InputError: the layer has no such unit, or another number of units than the boolean array.
    """
    axis = channel_axis(activation)
    count = activation.shape[axis]
    given = np.asarray(chosen)
    if given.dtype == np.bool_:
        if given.shape != (count,):
            raise InputError(f"{layer} has {count} units; those to set to zero were chosen among {given.size}")
        given = np.flatnonzero(given)
    if given.ndim != 1 or (given.size and not np.issubdtype(given.dtype, np.integer)):
        raise InputError(f"units must be given by their numbers; got {given.dtype} of shape {given.shape}")
    if given.size and (given.min() < 0 or given.max() >= count):
        raise InputError(
            f"{layer} has units 0 to {count - 1}; unit {given.max() if given.min() >= 0 else given.min()} "
            "was to be set to zero"
        )
    activation.index_fill_(axis, torch.from_numpy(given.astype(np.int64)).to(activation.device), 0)
