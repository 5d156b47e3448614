"""Small passes over made-up clips, and what each layer answered in them.

Two clips go through, then three, of which the first two are the same. Two more passes, of other numbers of frames and
pixels, are made where they are asked for.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError, unknown_name
from sdbench.base.memory import is_out_of_memory
from sdbench.networks.channels import Followed, has_channels, implied_item, widths
from sdbench.networks.module_state import ModuleState
from sdbench.networks.probe_clips import GivenClips, MadeUpClips
from sdbench.networks.reading import Layer, called_with, fed
from sdbench.video.feed import Feed


@dataclass
class Answered:
    """What a layer answered at one run.

    Attributes:
        words: in words.
        shape: of the part that is read.
        problem: why that cannot be read; "" where it can.
        item: which part it is.
        channels: the axis of its channels, where that is known by its place.
        widths: how many channels the module says that it answers.
        inside: the axes of channels of what parts of it answered in the same shape.
        order: where the clips of a folded axis stand, "first" or "last"; "either" where nothing tells them apart,
            "neither" where the rows of equal clips are not equal in any of both.
    """

    words: str
    shape: tuple[int, ...] = ()
    problem: str = ""
    item: int | str | None = None
    channels: int | None = None
    widths: frozenset[int] = frozenset()
    inside: frozenset[int] = frozenset()
    order: str = ""


Runs = Mapping[str, Sequence[Answered]]
"""Layer -> what it answered at each of its runs in a pass."""


class _Watch:
    """Hooks of one pass.

    Args:
        layers: what is watched, by name.
        before: what a pass of two clips saw: this one is of three, the first two of which are the same. None of any
            other pass, of which only shapes are seen.
    """

    def __init__(self, layers: Mapping[str, Layer], before: Runs | None = None) -> None:
        self.layers, self.before = layers, before
        self.runs: dict[str, list[Answered]] = {name: [] for name in layers}
        self._followed = Followed()
        self._known: list[tuple[str, torch.Size, int]] = []
        self._begun: dict[str, list[int]] = {name: [] for name in layers}

    @contextlib.contextmanager
    def hooked(self, module: nn.Module) -> Iterator[None]:
        """Meanwhile the parts of a module are watched."""
        hooks = []
        for name, part in module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                continue  # it lets nothing be read of it
            if name in self.layers:
                hooks.append(part.register_forward_pre_hook(self._begin(name)))
            if name in self.layers or (name and self.before is not None):
                hooks.append(part.register_forward_hook(self._end(name)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _begin(self, name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _given: Any) -> None:
            self._begun[name].append(len(self._known))

        return hook

    def _end(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            layer = self.layers.get(name, Layer(name))
            if layer.item is None:
                layer = replace(layer, item=implied_item(module, output))
            answered, activation = answered_of(layer, output)
            if activation is not None and self.before is not None:
                if has_channels(module, layer.item):
                    answered.channels = self._followed.see(module, given, activation)
                    answered.widths = frozenset(widths(module))
                if name in self.layers:
                    since = self._known[self._begun[name].pop() :] if self._begun[name] else []
                    inside = [
                        axis for of, shape, axis in since if of.startswith(f"{name}.") and shape == answered.shape
                    ]
                    answered.inside = frozenset(inside)
                    answered.order = self._order(name, activation)
                if answered.channels is not None:
                    self._known.append((name, activation.shape, answered.channels))
            if name in self.layers:
                self.runs[name].append(answered)

        return hook

    def _order(self, name: str, activation: Tensor) -> str:
        """Where the clips stand in an axis that moves with their number: see `Answered.order`."""
        assert self.before is not None
        before, number = self.before[name], len(self.runs[name])
        if number >= len(before) or len(before[number].shape) != activation.ndim:
            return ""
        moved = moved_axes(before[number].shape, tuple(activation.shape))
        if len(moved) != 1 or activation.shape[moved[0]] % 3:
            return ""
        rows = activation.detach().movedim(moved[0], 0)
        each = len(rows) // 3
        together = rows.reshape(3, each, *rows.shape[1:])
        apart = rows.reshape(each, 3, *rows.shape[1:]).movedim(1, 0)
        if each == 1:
            # What the clips of a batch have to do with one another is not asked here, but whether they change places.
            return "neither" if _equal_pair(together) in (1, 2) else "either"
        fitting = [order for order, of in (("first", together), ("last", apart)) if _equal_pair(of) == 0]
        if fitting:
            return fitting[0] if len(fitting) == 1 else "either"
        least = torch.finfo(activation.dtype).eps ** 0.5 * float(activation.abs().max())
        return "either" if max(*_distances(together), *_distances(apart)) <= least else "neither"


_EQUAL = 0.01
"""Two of three clips are equal that lie apart less than this part of what either lies apart from the third."""


def _equal_pair(clips: Tensor) -> int | None:
    """Which of the pairs (0, 1), (1, 2) and (2, 0) of three clips is equal, where the others are not."""
    apart = _distances(clips)
    closest = min(range(3), key=apart.__getitem__)
    others = min(of for pair, of in enumerate(apart) if pair != closest)
    return closest if apart[closest] <= _EQUAL * others and others > 0 else None


def _distances(clips: Tensor) -> list[float]:
    """How far the clips of each pair lie apart, at most."""
    values = clips if clips.dtype in (torch.float32, torch.float64) else clips.float()
    return [float((values[one] - values[other]).abs().max()) for one, other in ((0, 1), (1, 2), (2, 0))]


def answered_of(layer: Layer, output: Any) -> tuple[Answered, Tensor | None]:
    """What a layer answered, and the tensor that is read of it, where it can be read."""
    words = described(output)
    if isinstance(output, Tensor) and output.is_nested:
        return Answered(words, problem="answers a nested tensor, which has no axes to average over"), None
    try:
        activation = layer.activation(output)
    except InputError as error:
        return Answered(words, problem=reason_of(error, layer.name)), None
    except (RuntimeError, NotImplementedError) as error:  # of a kind of tensor that cannot be made a plain one
        said = " ".join(str(error).split())[:200]
        return Answered(words, problem=f"answers a {type(output).__name__} that cannot be read: {said}"), None
    if layer.item is not None:
        words = f"{words}: {described(activation)}"
    problem = ""
    if not activation.is_floating_point():
        kind = str(activation.dtype).removeprefix("torch.")
        problem = f"answers {kind} numbers, of which there are no means: choose a layer that answers real numbers"
    elif activation.numel() == 0:
        problem = f"answers {described(activation)}, no numbers at all"
    elif activation.ndim == 0:
        problem = "answers one number, whatever the number of clips"
    shape = tuple(activation.shape)
    return Answered(words, shape, problem, layer.item), None if problem else activation


class Probe:
    """The passes that show how the layers of a module are read, each made when it is first asked for.

    Args:
        name: of the network, in errors.
        module: any module that is not of the suite.
        layers: what is read of it.
        clips: makes its inputs.
    """

    def __init__(self, name: str, module: nn.Module, layers: Sequence[Layer], clips: MadeUpClips | GivenClips) -> None:
        self.name, self.module, self.clips = name, module, clips
        self.layers = {layer.name: layer for layer in layers}
        known = [name for name, _ in module.named_modules() if name]
        for wanted in self.layers:
            if wanted not in known:
                raise unknown_name("layer", wanted, known)

    def _pass(self, inputs: Mapping[str, Tensor], before: Runs | None = None) -> Runs:
        watch = _Watch(self.layers, before)
        with undisturbed(self.module), watch.hooked(self.module):
            called_with(self.module, inputs)
        return watch.runs

    @cached_property
    def _several(self) -> tuple[Runs, Runs] | None:
        """What was answered to two clips, and to three, the first two of which are the same; None where one is taken.

        Raises:
            InputError: no clip is taken at all.
        """
        try:
            two = self._fed([0, 1])
            return two, self._fed([0, 0, 1], two)
        except (InputError, RuntimeError, MemoryError) as error:
            if not isinstance(error, InputError) and not is_out_of_memory(error):
                raise
        return None

    def _fed(self, clips: Sequence[int], before: Runs | None = None) -> Runs:
        inputs = self.clips(clips)
        try:
            with fed(self.name, inputs):
                return self._pass(inputs, before)
        except (RuntimeError, MemoryError) as error:
            if len(clips) > 1 or not is_out_of_memory(error):
                raise
            raise InputError(
                f"memory does not hold one pass of {self.name}, whose batch cannot be smaller: use fewer --frames, a "
                "smaller --size, or a device with more memory"
            ) from error

    @cached_property
    def alone(self) -> bool:
        """Whether one clip goes through at a time: others are not taken with it, or memory does not hold them."""
        return self._several is None

    @cached_property
    def two(self) -> Runs:
        """What was answered to two clips; to one, where it goes through alone."""
        return self._fed([0]) if self._several is None else self._several[0]

    @cached_property
    def three(self) -> Runs:
        """What was answered to three clips, the first two of which are the same; to one, where it goes alone."""
        return self._fed([0], self.two) if self._several is None else self._several[1]

    @cached_property
    def other_frames(self) -> Runs | None:
        """What was answered to two clips of another number of frames; None where the network takes no other."""
        return self._varied(self.clips.other_frames)

    @cached_property
    def other_size(self) -> Runs | None:
        """What was answered to two clips of another size; None where the network takes no other."""
        return self._varied(self.clips.other_sizes)

    def _varied(self, feeds: Sequence[Feed]) -> Runs | None:
        for feed in feeds:
            # A network that takes no other clips may say so by any exception.
            with contextlib.suppress(Exception):
                return self._pass(self.clips([0] if self.alone else [0, 1], feed))
        return None


def moved_axes(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """The axes whose lengths differ between two shapes."""
    return tuple(axis for axis, (before, after) in enumerate(zip(one, other, strict=True)) if before != after)


def axes_in_words(axes: Sequence[int]) -> str:
    """Axes as a sentence has them: "axis 1", "axes 1, 2 and 3"."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes[:-1]))} and {axes[-1]}"


def shape_in_words(shape: Sequence[int]) -> str:
    """A shape as a sentence has it."""
    return f"({', '.join(map(str, shape))})"


def described(output: Any) -> str:
    """What a layer answered, in words: a shape, or what it is instead."""
    if isinstance(output, Tensor):
        return "nested tensor" if output.is_nested else shape_in_words(output.shape)
    return f"{type(output).__name__} of {len(output)}" if isinstance(output, (tuple, list)) else type(output).__name__


def reason_of(error: InputError, layer: str) -> str:
    """Why a layer cannot be read, where its name stands beside it."""
    return str(error).removeprefix(f"layer {layer!r}").strip()


def as_written() -> contextlib.AbstractContextManager[object]:
    """Meanwhile nothing runs compiled, neither modules nor functions: that knows nothing of hooks that came later."""
    compiles = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if compiles else contextlib.nullcontext()


@contextlib.contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Meanwhile a module is in eval mode and runs as it is written; then it is as it was given."""
    state = ModuleState(module)
    try:
        with contextlib.suppress(NotImplementedError):  # one that was exported has no modes
            module.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]), as_written():
            yield
    finally:
        state.put_back(by_value=True)
