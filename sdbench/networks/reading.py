"""Reading unit values: one forward pass, any number of layers.

A network of the suite lists its `layers` and walks through itself in `trace`, yielding each layer's activation as soon
as it exists. The reader averages it to unit values and lets go of it, so that reading all layers costs one pass and no
more memory than running the network. Any other `torch.nn.Module` can be read by the names of its submodules.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sdbench.base.checks import listed, text
from sdbench.base.errors import InputError, SdbenchError, unknown_name
from sdbench.base.memory import is_out_of_memory
from sdbench.networks.user_errors import is_expected, is_users, said_by
from sdbench.video.feed import Feed

BY_FRAME = "(BT)"
"""Begins the axes of an activation that has a row for each frame of each clip."""

_USUAL = {2: "BC", 3: "BNC", 4: "BCHW", 5: "BCTHW"}
"""Number of axes of an activation -> what they are, where nothing else is said."""


@dataclass(frozen=True)
class Layer:
    """A layer to read, where its name alone does not say how.

    Attributes:
        name: of the layer; of a module that is not of the suite, of a submodule.
        axes: what the axes of its activation are, batch first: letters B, C (channels, which are the units), and T, H,
            W, N (frames, height, width, tokens), which are averaged over; "(BT)" in place of B where there is a row for
            each frame of each clip. By default "BC", "BNC", "BCHW" or "BCTHW", by their number.
        item: which part of its answer is read, where that is no tensor: the place in a tuple, the key of a mapping, or
            the name of an attribute.

    Raises:
        InputError: the axes have no batch first, not exactly one C, or an unknown letter.
    """

    name: str
    axes: str | None = None
    item: int | str | None = None

    def __post_init__(self) -> None:
        text("the name of a layer", self.name)
        if self.item is not None and (isinstance(self.item, bool) or not isinstance(self.item, (int, str))):
            raise InputError(f"item of layer {self.name!r} must be a place, a key or an attribute; got {self.item!r}")
        if self.axes is None:
            return
        if not isinstance(self.axes, str):
            raise InputError(f"axes of layer {self.name!r} must be a text such as 'BTHWC'; got {self.axes!r}")
        rest = self.axes.removeprefix(BY_FRAME) if self.axes.startswith(BY_FRAME) else self.axes.removeprefix("B")
        if rest == self.axes or rest.count("C") != 1 or not set(rest) <= set("CTHWN") or len(set(rest)) != len(rest):
            raise InputError(
                f"axes of layer {self.name!r} must begin with B or (BT) and then name each axis once: C, the channels, "
                f"and of T, H, W, N those there are; got {self.axes!r}"
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
                f"which part of it to read: sdbench.Layer({self.name!r}, item=0)"
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


def average_to_units(activation: Tensor, axes: str | None = None, frames: int | None = None) -> Tensor:
    """Average an activation over everything but batch and channel: (B, C).

    Without `axes`, (B, C, T, H, W) and (B, C, H, W) are averaged over time and space, (B, N, C) over its N tokens or
    frames; (B, C) is returned as it is. The mean is taken in float32 at least.

    Args:
        activation: what a layer answers.
        axes: what its axes are, where they are others: see `Layer`.
        frames: number of frames T that "(BT)" holds of each clip.

    Raises:
        InputError: the activation has another number of axes, or a number of rows that frames do not divide.
    """
    if activation.dtype in (torch.float16, torch.bfloat16):
        activation = activation.float()
    if axes is None:
        axes = _usual_axes(activation)
    letters = axes
    if axes.startswith(BY_FRAME):
        if not frames or len(activation) % frames:
            raise InputError(
                f"axes {axes} put the {frames or 'unknown number of'} frames of each clip one after the other, which "
                f"{len(activation)} rows are not a multiple of"
            )
        activation, letters = activation.reshape(-1, frames, *activation.shape[1:]), "BT" + axes[len(BY_FRAME) :]
    if activation.ndim != len(letters):
        raise InputError(f"an activation of shape {tuple(activation.shape)} does not have the axes {axes}")
    return activation.movedim(letters.index("C"), 1).flatten(2).mean(dim=2) if len(letters) > 2 else activation


def channel_axis(activation: Tensor) -> int:
    """The axis of an activation that counts its units: 1 of (B, C), (B, C, H, W) and (B, C, T, H, W), 2 of (B, N, C).

    Raises:
        InputError: it has another shape.
    """
    return _usual_axes(activation).index("C")


def _usual_axes(activation: Tensor) -> str:
    if activation.ndim not in _USUAL:
        raise InputError(
            "an activation must have shape (B, C), (B, N, C), (B, C, H, W) or (B, C, T, H, W), or its axes must be "
            f'told (sdbench.Layer(NAME, axes="BTHWC")); got {tuple(activation.shape)}'
        )
    return _USUAL[activation.ndim]


@torch.no_grad()
def units(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    layers: Sequence[str | Layer] | None = None,
    *,
    feed: Feed | None = None,
) -> dict[str, Tensor]:
    """Unit values of the named layers, in one forward pass.

    Args:
        module: a network of the suite, or any module (then `layers` are names of submodules, whose outputs are read).
        inputs: the network's inputs by name: {"video"}, {"slow", "fast"} or {"image", "flow"}; normalised, batch first.
            For a module that is not of the suite they are passed as keyword arguments; where there is one input, and
            its forward has no argument of that name, as its first.
        layers: which layers to read; all of them where None. The pass ends with the last layer that is asked for.
        feed: what the module is fed, where that is known: it tells frames from channels. Of one that is fed frame by
            frame ("(BT)CHW"), activations with a row for each frame are averaged over the frames of a clip.

    Returns:
        {layer: (B, C) tensor}, in the order of the network.

    Raises:
        InputError: a layer is unknown, or an activation has a shape that cannot be averaged to units.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"expected a torch.nn.Module; got {type(module).__name__}")
    tensors = isinstance(inputs, Mapping) and [isinstance(values, Tensor) for values in inputs.values()]
    if not tensors or not all(tensors):
        raise InputError(
            f'expected inputs by name, such as {{"video": a tensor}}; got {type(inputs).__name__} {inputs!r:.80}'
        )
    if layers is not None:
        layers = listed("layers", layers)
    if isinstance(module, VideoNetwork):
        return _read_trace(module, inputs, layers)
    return _read_submodules(module, inputs, layers, feed)


def _read_trace(
    module: VideoNetwork, inputs: Mapping[str, Tensor], layers: Sequence[str | Layer] | None
) -> dict[str, Tensor]:
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


def _read_submodules(
    module: nn.Module, inputs: Mapping[str, Tensor], layers: Sequence[str | Layer] | None, feed: Feed | None
) -> dict[str, Tensor]:
    if layers is None:
        raise InputError("say which layers to read: a module that is not of the suite has no list of layers of its own")
    chosen = {layer.name: layer for layer in (as_layer(layer) for layer in layers)}
    rows = len(next(iter(inputs.values())))
    read: dict[str, Tensor] = {}

    def read_output(name: str, output: Any) -> None:
        layer = chosen[name]
        activation = layer.activation(output)
        axes = read_axes(layer, activation, feed, rows)
        try:
            read[name] = average_to_units(activation, axes, feed.frames if feed else None)
        except InputError as error:
            raise InputError(f"layer {name!r}: {error}") from None

    run_hooked(module, inputs, chosen, read_output)
    return read


def read_axes(layer: Layer, activation: Tensor, feed: Feed | None, rows: int) -> str:
    """What the axes of an activation are: as the layer says, else as the feed tells, else the usual ones.

    Args:
        layer: which answers it.
        activation: what it answers, or the part of it that is read.
        feed: what the network is fed, where that is known.
        rows: how many rows that has.

    Raises:
        InputError: axis 1 may as well count frames as channels, the rows may be those of frames, or the activation has
            no usual number of axes.
    """
    if layer.axes is not None:
        return layer.axes
    name = layer.name
    if feed is None:
        return _usual_axes_of(name, activation)
    if (
        feed.order != "(BT)CHW"
        and feed.frames > 1
        and len(activation) == rows * feed.frames
        and activation.ndim in _USUAL
    ):
        axes = BY_FRAME + _USUAL[activation.ndim][1:]
        raise InputError(
            f"layer {name!r} answers {len(activation)} rows to {rows} clips of {feed.frames} frames: where each row is "
            f"a frame, say so with sdbench.Layer({name!r}, axes={axes!r})"
        )
    if feed.order == "(BT)CHW" and len(activation) == rows and activation.ndim in _USUAL:
        return BY_FRAME + _USUAL[activation.ndim][1:]
    if activation.ndim == 5 and _may_be_time(activation, feed.frames):
        raise InputError(
            f"layer {name!r} answers {tuple(activation.shape)} to clips of {feed.frames} frames: axis 1 may count "
            f'frames or channels. Say which: sdbench.Layer({name!r}, axes="BTHWC"), or axes="BCTHW"'
        )
    return _usual_axes_of(name, activation)


def _usual_axes_of(name: str, activation: Tensor) -> str:
    try:
        return _usual_axes(activation)
    except InputError as error:
        raise InputError(f"layer {name!r}: {error}") from None


def _may_be_time(activation: Tensor, frames: int) -> bool:
    """Whether axis 1 of five may count frames: it has as many, or a halving of them before a square of pixels."""
    sizes = tuple(activation.shape)
    if sizes[1] == frames and frames not in sizes[2:]:
        return True
    return sizes[1] in {frames // step for step in (1, 2, 4, 8)} and sizes[2] == sizes[3] > 1


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
        by_name = len(inputs) > 1 or next(iter(inputs)) in arguments_of(module)
        answer = module(**inputs) if by_name else module(*inputs.values())
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers:
        if all_run and name not in ran:
            raise InputError(f"layer {name!r} exists but did not run in the forward pass: choose another layer")
    return answer


def arguments_of(module: nn.Module) -> tuple[str, ...]:
    """The names of the arguments that the forward of a module takes; "**" stands for any other name."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # not written in Python
        return ("**",)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    return (*(parameter.name for parameter in parameters if parameter.kind in named), *(["**"] if takes_any else []))


@contextlib.contextmanager
def fed(name: str, inputs: Mapping[str, Tensor]) -> Iterator[None]:
    """Say in a sentence what a network raised, where, and what it was fed.

    Args:
        name: of the network.
        inputs: what it is fed meanwhile.

    Raises:
        InputError: the network raises anything; that it is interrupted, or that there is no memory left, stays what it
            is.
    """
    try:
        yield
    except (SdbenchError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if is_out_of_memory(error) or not is_users(error):
            raise
        given = ", ".join(f"{argument} of shape {tuple(values.shape)}" for argument, values in inputs.items())
        if not is_expected(error):
            raise InputError(f"the forward pass of {name} fails, fed {given} ({said_by(error)})") from error
        raise InputError(
            f"{name} does not take what it is fed, {given} ({said_by(error)}): say with its feed what it "
            "takes: the number of frames, size, order of axes and name of the argument"
        ) from error
