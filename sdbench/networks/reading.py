"""Reading unit values: one forward pass, any number of layers.

A network of the suite lists its `layers` and walks through itself in `trace`, yielding each layer's activation as soon
as it exists. The reader averages it to unit values and lets go of it, so that reading all layers costs one pass and no
more memory than running the network. Any other `torch.nn.Module` can be read by the names of its submodules.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sdbench.base.checks import text, whole
from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.user_errors import users_code

BY_FRAME = "(BT)"
"""Begins the axes of an activation that has a row for each frame of each clip."""

_USUAL = {2: "BC", 3: "BNC", 4: "BCHW", 5: "BCTHW"}
"""Number of axes of an activation of a network of the suite -> what they are."""

_AXIS = re.compile(r"\([A-Z]+\)|[A-Z]")
"""One axis in a word of axes: a letter, or those that are folded into one."""


@dataclass(frozen=True)
class Layer:
    """A layer to read, where its name alone does not say how.

    Attributes:
        name: of the layer; of a module that is not of the suite, of a submodule.
        axes: what the axes of its activation are, in their order, a letter each: B (clips), C (channels, which are the
            units), and T, H, W, N (frames, height, width, anything else), which are averaged over; N may stand more
            than once. Where rows are folded out of clips, all that stands in one axis is put in brackets, B at either
            end: "(BT)CHW" has a row for each frame of each clip, clip after clip; "(TB)CHW" frame after frame. By
            default the axes are seen in small passes over made-up clips, and asked for where they stay open.
        item: which part of its answer is read, where that is no tensor: the place in a tuple, the key of a mapping, or
            the name of an attribute. Of torch's own recurrent and attention modules, by default the first.
        run: which of its runs in a forward pass is read, from 0, or -1 for the last; by default the mean over all.

    Raises:
        InputError: the axes have not exactly one B and one C, an unknown letter, or one of them twice; or the run is
            below -1.
    """

    name: str
    axes: str | None = None
    item: int | str | None = None
    run: int | None = None

    def __post_init__(self) -> None:
        text("the name of a layer", self.name)
        if self.item is not None and (isinstance(self.item, bool) or not isinstance(self.item, (int, str))):
            raise InputError(f"item of layer {self.name!r} must be a place, a key or an attribute; got {self.item!r}")
        if self.run is not None and whole(f"run of layer {self.name!r}", self.run, -(2**31)) < -1:
            raise InputError(f"runs of layer {self.name!r} are counted from 0, or -1 is the last; got {self.run}")
        if self.axes is None:
            return
        if not isinstance(self.axes, str):
            raise InputError(f"axes of layer {self.name!r} must be a text such as 'BTHWC'; got {self.axes!r}")
        parts = axes_of(self.axes)
        letters = "".join(parts)
        folded = [part for part in parts if len(part) > 1]
        if (
            re.sub("[()]", "", self.axes) != letters
            or not set(letters) <= set("BCTHWN")
            or any(letters.count(letter) > 1 for letter in "BCTHW")
            or any("C" in part or "B" not in (part[0], part[-1]) for part in folded)
            or not {"B", "C"} <= set(letters)
        ):
            raise InputError(
                f"axes of layer {self.name!r} must name each axis once, in their order: B, the clips, C, the channels, "
                "and of T, H, W, N those there are; (BT) is one axis with the frames of each clip one after the other, "
                f"(TB) one with all clips of each frame; got {self.axes!r}"
            )

    def activation(self, output: Any) -> Tensor:
        """The tensor to read of what the layer answers.

        Raises:
            InputError: there is none, or no such item.
        """
        found = output
        if self.item is not None:
            try:
                is_attribute = isinstance(self.item, str) and not isinstance(output, Mapping)
                found = getattr(output, str(self.item)) if is_attribute else output[self.item]
            except (AttributeError, IndexError, KeyError, TypeError):
                raise InputError(
                    f"layer {self.name!r} answers {_described(output)}, which has no item {self.item!r}"
                ) from None
        if not isinstance(found, Tensor):
            raise InputError(
                f"layer {self.name!r} answers {_described(found)}, not a tensor: choose another layer, or say "
                f"which part of it to read: sdbench.Layer({self.name!r}, item={_first_tensor(found)!r})"
            )
        return _plain_numbers(found)

    def __str__(self) -> str:
        return self.name


def _plain_numbers(values: Tensor) -> Tensor:
    """The same numbers, each in its place: of a quantised, sparse or distributed tensor."""
    if hasattr(values, "full_tensor"):
        values = values.full_tensor()
    if values.is_quantized:
        return values.dequantize()
    return values if values.layout is torch.strided else values.to_dense()


def _first_tensor(output: Any) -> int | str:
    """Which part of an answer is the first tensor: a place, a key or an attribute; 0 where none is seen."""
    if isinstance(output, (tuple, list)):
        parts: Any = enumerate(output)
    else:
        parts = (output if isinstance(output, Mapping) else getattr(output, "__dict__", {})).items()
    return next((name for name, value in parts if isinstance(name, (int, str)) and isinstance(value, Tensor)), 0)


def _described(output: Any) -> str:
    return f"{type(output).__name__} of {len(output)}" if isinstance(output, (tuple, list)) else type(output).__name__


def as_layer(layer: str | Layer) -> Layer:
    """The layer, where only its name is given.

    Raises:
        InputError: it is neither.
    """
    return layer if isinstance(layer, Layer) else Layer(layer)


def layer_names(layers: Iterable[str | Layer]) -> tuple[str, ...]:
    """The names of layers, in their order."""
    return tuple(as_layer(layer).name for layer in layers)


class VideoNetwork(nn.Module):
    """A network whose layers can be read by name.

    Subclasses set `layers`, the names in the order in which `trace` yields them, and define `trace`. The last layer is
    the network's answer. `dead_ends` are those layers, if any, that nothing else is computed from; `unread` are those
    that are read only when they are asked for by name: the units of a mask are no channels. `mixed_batch` says whether
    the samples of a batch meet, of a network that was published so; None of all others.
    """

    layers: tuple[str, ...] = ()
    dead_ends: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    mixed_batch: bool | None = None

    def trace(self, *args: Any, **inputs: Any) -> Iterator[tuple[str, Tensor]]:
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

    def forward(self, *args: Any, **inputs: Any) -> Tensor:
        """Run the network; returns the activation of its last layer."""
        ((_, answer),) = deque(self.trace(*args, **inputs), maxlen=1)
        return answer


def axes_of(axes: str) -> tuple[str, ...]:
    """The letters of each axis: ("BT", "C", "H", "W") of "(BT)CHW"."""
    return tuple(part.strip("()") for part in _AXIS.findall(axes))


def average_to_units(activation: Tensor, axes: str | None = None, clips: int | None = None) -> Tensor:
    """Average an activation over everything but batch and channel: (B, C), which shares no memory with it.

    Without `axes`, (B, C, T, H, W) and (B, C, H, W) are averaged over time and space, (B, N, C) over its N tokens or
    frames; (B, C) is copied. The mean is taken in float32 at least.

    Args:
        activation: what a layer answers.
        axes: what its axes are, where they are others: see `Layer`.
        clips: how many clips it is of: what is folded with them is as many times longer.

    Raises:
        InputError: the activation has another number of axes, or the axis of the clips another length.
    """
    if activation.dtype in (torch.float16, torch.bfloat16):
        activation = activation.float()
    parts = axes_of(axes or usual_axes(activation))
    if activation.ndim != len(parts):
        raise InputError(f"an activation of shape {tuple(activation.shape)} does not have the axes {axes}")
    place = next(number for number, part in enumerate(parts) if "B" in part)
    letters = "".join(part if len(part) == 1 else "B" for part in parts)
    if len(parts[place]) > 1:
        rows = activation.shape[place]
        if not clips or rows % clips:
            raise InputError(
                f"axes {axes} fold all clips into one axis, whose length of {rows} is not a multiple of "
                f"{clips or 'an unknown number of'} clips"
            )
        first = parts[place][0] == "B"
        split = (clips, rows // clips) if first else (rows // clips, clips)
        activation = activation.reshape(*activation.shape[:place], *split, *activation.shape[place + 1 :])
        letters = letters.replace("B", "BN" if first else "NB")
    values = activation.movedim((letters.index("B"), letters.index("C")), (0, 1))
    return values.flatten(2).mean(dim=2) if values.ndim > 2 else values.clone()


def channel_axis(activation: Tensor) -> int:
    """The axis of an activation that counts its units: 1 of (B, C), (B, C, H, W) and (B, C, T, H, W), 2 of (B, N, C).

    Raises:
        InputError: it has another shape.
    """
    return usual_axes(activation).index("C")


def usual_axes(activation: Tensor) -> str:
    """The axes of an activation of a network of the suite, by their number.

    Raises:
        InputError: it has another number of axes.
    """
    if activation.ndim not in _USUAL:
        raise InputError(
            "an activation must have shape (B, C), (B, N, C), (B, C, H, W) or (B, C, T, H, W), or its axes must be "
            f'told (sdbench.Layer(NAME, axes="BTHWC")); got {tuple(activation.shape)}'
        )
    return _USUAL[activation.ndim]


@torch.no_grad()
def read_trace(
    module: VideoNetwork, inputs: Mapping[str, Tensor], layers: Sequence[str | Layer] | None
) -> dict[str, Tensor]:
    """Unit values of layers of a network of the suite: see `sdbench.units`."""
    wanted = set(module.layers if layers is None else layer_names(layers))
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


@torch.no_grad()
def read_submodules(
    module: nn.Module, inputs: Mapping[str, Tensor], layers: Sequence[Layer], clips: int
) -> dict[str, Tensor]:
    """Unit values (clips, C) of submodules.

    Args:
        module: any module.
        inputs: as for `sdbench.units`.
        layers: what is read of it, axes included.
        clips: how many clips the inputs are of.

    Raises:
        InputError: a layer is unknown or does not run, or what it answers cannot be read so.
    """
    chosen = {layer.name: layer for layer in layers}
    read: dict[str, list[Tensor]] = {}
    ran: Counter[str] = Counter()

    def read_output(name: str, output: Any) -> None:
        layer, number = chosen[name], ran[name]
        ran[name] += 1
        if layer.run is not None and layer.run not in (number, -1):
            return
        activation = layer.activation(output)
        try:
            values = average_to_units(activation, layer.axes, clips)
        except InputError as error:
            raise InputError(f"layer {name!r}: {error}") from None
        if len(values) != clips:
            raise InputError(
                f"layer {name!r} answers {tuple(activation.shape)} to {clips} clips: read as {layer.axes} it has "
                f"{len(values)}"
            )
        before = read.setdefault(name, [])
        if layer.run is not None:
            before.clear()
        before.append(values)

    run_hooked(module, inputs, chosen, read_output)
    for name, layer in chosen.items():
        if name not in read:
            raise InputError(f"layer {name!r} has no run {layer.run}: it runs {ran[name]} times in a pass")
    return {name: _mean(name, runs) for name, runs in read.items()}


def _mean(name: str, runs: Sequence[Tensor]) -> Tensor:
    """Means of unit values over the runs of a layer.

    Raises:
        InputError: they have different numbers of units.
    """
    if len({values.shape for values in runs}) > 1:
        units = ", ".join(str(values.shape[1]) for values in runs)
        raise InputError(
            f"layer {name!r} runs {len(runs)} times in a pass, with {units} units: say which run is read, such as "
            f"sdbench.Layer({name!r}, run=0)"
        )
    return runs[0] if len(runs) == 1 else torch.stack(list(runs)).mean(dim=0)


def run_hooked(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    layers: Iterable[str],
    see: Callable[[str, Any], Tensor | None],
    all_run: bool = True,
) -> Any:
    """The answer of a module.

    Args:
        module: any module.
        inputs: as for `units`.
        layers: names of submodules.
        see: given the output of each of them, and may answer another.
        all_run: whether each of them has to run.

    Raises:
        InputError: there is no such submodule, or one does not run.
    """
    submodules = {name: child for name, child in module.named_modules() if name}
    for name in layers:
        if name not in submodules:
            raise unknown_name("layer", name, submodules)
    ran: set[str] = set()

    def hook_of(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
            ran.add(name)
            return see(name, output)

        return hook

    hooks = [submodules[name].register_forward_hook(hook_of(name)) for name in layers]
    try:
        answer = called_with(module, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers:
        if all_run and name not in ran:
            raise InputError(f"layer {name!r} exists but did not run in the forward pass: choose another layer")
    return answer


def called_with(module: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    """What a module answers to inputs by name; one goes to its first argument where none has that name."""
    by_name = len(inputs) > 1 or next(iter(inputs)) in arguments_of(module)
    return module(**inputs) if by_name else module(*inputs.values())


def arguments_of(module: nn.Module) -> tuple[str, ...]:
    """The names of the arguments that the forward of a module takes; "**" stands for any other name."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # not written in Python
        return ("**",)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    return (*(parameter.name for parameter in parameters if parameter.kind in named), *(["**"] if takes_any else []))


def fed(name: str, inputs: Mapping[str, Tensor]) -> contextlib.AbstractContextManager[None]:
    """Say in a sentence what a network raised, where, and what it was fed: see `users_code`.

    Args:
        name: of the network.
        inputs: what it is fed meanwhile.
    """
    given = ", ".join(f"{argument} of shape {tuple(values.shape)}" for argument, values in inputs.items())
    return users_code(
        f"{name} does not take what it is fed, {given}",
        "say with its feed what it takes: the number of frames, size, order of axes and name of the argument",
        f"the forward pass of {name} fails, fed {given}",
    )
