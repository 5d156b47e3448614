"""What a network answers without some of its units: they are zero wherever their layer has run.

The walk that reads a network of the suite serves here too: what is written into a yielded activation is what the rest
of the network sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.reading import VideoNetwork, channel_axis, run_hooked

Units = Sequence[int] | npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]
"""Some units of a layer: their numbers, from 0, or an array (C,) that is true where a unit is meant."""


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

    def without_units(name: str, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise InputError(f"layer {name!r} answers {type(output).__name__}, not a tensor: choose another layer")
        # A module of the user's own may answer what it was given, or a view of a buffer.
        changed = output.clone()
        zero_units(changed, zeroed[name], name)
        return changed

    answer = run_hooked(module, inputs, zeroed, without_units)
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
