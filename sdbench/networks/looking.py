"""How the layers of a network are read, seen in small passes over made-up clips: shapes, axes and units.

Of a network of the suite it is known. Of any other module two clips go through, then three, of which the first two are
the same. The axis that moves with the number of clips is that of the batch; where it has several rows a clip, the equal
ones show whether the rows of a clip stand together or apart. The axis of the channels is the one that the module itself
names. Where none is named by its place, two more passes, of other numbers of frames and pixels, show which axes are
none: those that move. What then stays open is asked for.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdbench.base.checks import check_fits, listed
from sdbench.base.errors import InputError, unknown_name
from sdbench.base.memory import is_out_of_memory
from sdbench.networks.channels import Followed, has_channels, implied_item, widths
from sdbench.networks.module_state import ModuleState
from sdbench.networks.network import Network
from sdbench.networks.reading import (
    Layer,
    VideoNetwork,
    as_layer,
    axes_of,
    called_with,
    fed,
    read_submodules,
    read_trace,
    usual_axes,
)
from sdbench.video.feed import Feed
from sdbench.video.frames import Frames


@dataclass(frozen=True)
class Seen:
    """What was seen of a layer.

    Attributes:
        layer: its name.
        answer: what it answers to one clip, in words: a shape, or "tuple of 2"; "" where it did not run.
        axes: what the axes are, as `Layer` has them; None where that is not known.
        units: how many it has; None where it cannot be read as it is.
        note: why it cannot be read, or what else there is to know; "" where there is nothing.
        runs: how often its module runs in a pass.
        reads: the layer with all that it takes to read it; None where it cannot be read.
    """

    layer: str
    answer: str
    axes: str | None = None
    units: int | None = None
    note: str = ""
    runs: int = 1
    reads: Layer | None = None


def look(network: Network) -> tuple[Seen, ...]:
    """What each of the layers of a network that are read answers to one clip.

    Args:
        network: its module is left as it was given, but for what it counts of its own passes.

    Raises:
        InputError: the network does not take what it is fed.
    """
    check_fits(f"one input of {network.name}", network.feed.bytes, "use fewer frames, or fewer pixels")
    clips = _MadeUp(network.feed, network.module)
    if isinstance(network.module, VideoNetwork):
        inputs = clips([0])
        with _undisturbed(network.module), fed(network.name, inputs):
            return tuple(_traced(network, inputs))
    return _Probe(network.name, network.module, network.read, clips).seen()


def settled(network: Network) -> tuple[Network, tuple[Seen, ...], bool]:
    """The network with all that it takes to read its layers; what was seen of them; and whether it takes one clip only.

    Args:
        network: of no network of the suite.

    Raises:
        InputError: a layer cannot be read, or how is not known; or the network does not take what it is fed.
    """
    probe = _Probe(network.name, network.module, network.read, _MadeUp(network.feed, network.module))
    seen = probe.seen()
    return replace(network, layers=_readable(seen)), seen, probe.alone


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
            Where a module is not of the suite and the axes of a layer are not said, they are seen in small passes
            before.
        feed: what the module is fed, where that is known: which axes move with frames and pixels can then be seen. Of
            one that is fed frame by frame ("(BT)CHW"), units are means over the frames of a clip.

    Returns:
        {layer: (B, C) tensor}, in the order of the network.

    Raises:
        InputError: a layer is unknown, or how it is read is not known.
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
        return read_trace(module, inputs, layers)
    if layers is None:
        raise InputError("say which layers to read: a module that is not of the suite has no list of layers of its own")
    chosen: Sequence[Layer] = [as_layer(layer) for layer in layers]
    rows, each = len(next(iter(inputs.values()))), 1 if feed is None or feed.order != "(BT)CHW" else feed.frames
    if rows % each:
        raise InputError(f"{rows} rows are not a multiple of the {each} frames of a clip")
    if any(layer.axes is None for layer in chosen):
        clips = _Given(inputs, rows // each) if feed is None else _MadeUp(feed, module)
        chosen = _readable(_Probe(type(module).__name__, module, chosen, clips).seen())
    return read_submodules(module, inputs, chosen, rows // each)


def _readable(seen: Sequence[Seen]) -> tuple[Layer, ...]:
    """How layers are read.

    Raises:
        InputError: one of them cannot be.
    """
    for of in seen:
        if not of.runs:
            raise InputError(f"layer {of.layer!r} exists but did not run in the forward pass: choose another layer")
        if of.reads is None:
            raise InputError(f"layer {of.layer!r} {of.note}")
    return tuple(of.reads for of in seen if of.reads is not None)


def _traced(network: Network, inputs: dict[str, Tensor]) -> Iterator[Seen]:
    wanted = {layer.name for layer in network.read}
    module = network.module
    assert isinstance(module, VideoNetwork)
    for name, activation in module.trace(**inputs):
        if name in wanted:
            axes = usual_axes(activation)
            yield Seen(name, _described(activation), axes, activation.shape[axes.index("C")])


@dataclass
class _Answered:
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


Runs = Mapping[str, Sequence[_Answered]]
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
        self.runs: dict[str, list[_Answered]] = {name: [] for name in layers}
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
            answered, activation = _answered(layer, output)
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
        """Where the clips stand in an axis that moves with their number: see `_Answered.order`."""
        assert self.before is not None
        before, number = self.before[name], len(self.runs[name])
        if number >= len(before) or len(before[number].shape) != activation.ndim:
            return ""
        moved = _moved(before[number].shape, tuple(activation.shape))
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


def _answered(layer: Layer, output: Any) -> tuple[_Answered, Tensor | None]:
    """What a layer answered, and the tensor that is read of it, where it can be read."""
    words = _described(output)
    if isinstance(output, Tensor) and output.is_nested:
        return _Answered(words, problem="answers a nested tensor, which has no axes to average over"), None
    try:
        activation = layer.activation(output)
    except InputError as error:
        return _Answered(words, problem=_reason(error, layer.name)), None
    except (RuntimeError, NotImplementedError) as error:  # of a kind of tensor that cannot be made a plain one
        said = " ".join(str(error).split())[:200]
        return _Answered(words, problem=f"answers a {type(output).__name__} that cannot be read: {said}"), None
    if layer.item is not None:
        words = f"{words}: {_described(activation)}"
    problem = ""
    if not activation.is_floating_point():
        kind = str(activation.dtype).removeprefix("torch.")
        problem = f"answers {kind} numbers, of which there are no means: choose a layer that answers real numbers"
    elif activation.numel() == 0:
        problem = f"answers {_described(activation)}, no numbers at all"
    elif activation.ndim == 0:
        problem = "answers one number, whatever the number of clips"
    shape = tuple(activation.shape)
    return _Answered(words, shape, problem, layer.item), None if problem else activation


class _Probe:
    """The passes that show how the layers of a module are read.

    Args:
        name: of the network, in errors.
        module: any module that is not of the suite.
        layers: what is read of it.
        clips: makes its inputs.
    """

    def __init__(self, name: str, module: nn.Module, layers: Sequence[Layer], clips: _MadeUp | _Given) -> None:
        self.name, self.module, self.clips = name, module, clips
        self.layers = {layer.name: layer for layer in layers}
        known = [name for name, _ in module.named_modules() if name]
        for wanted in self.layers:
            if wanted not in known:
                raise unknown_name("layer", wanted, known)

    def seen(self) -> tuple[Seen, ...]:
        """What is seen of each layer."""
        return tuple(self._seen(layer) for layer in self.layers.values())

    def _pass(self, inputs: Mapping[str, Tensor], before: Runs | None = None) -> Runs:
        watch = _Watch(self.layers, before)
        with _undisturbed(self.module), watch.hooked(self.module):
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

    def _seen(self, layer: Layer) -> Seen:
        two, three = self.two[layer.name], self.three[layer.name]
        if not two:
            return Seen(layer.name, "", note="does not run", runs=0)
        words = two[0].words
        try:
            if len(two) != len(three):
                raise InputError(
                    f"runs {len(two)} times in a pass of 2 clips and {len(three)} times in one of 3: which of its runs "
                    "are of which clip is not known; choose another layer"
                )
            axes, count, item, number = self._of_runs(layer, two)
        except InputError as error:
            return Seen(layer.name, words, note=_reason(error, layer.name), runs=len(two))
        notes = ["one unit: not enough to measure"] if count == 1 else []
        if len(two) > 1:
            of = "their mean" if number is None else f"run {number}"
            notes.insert(0, f"runs {len(two)} times, {of} is read")
        shape = list(two[0].shape)
        place = next(place for place, part in enumerate(axes_of(axes)) if "B" in part)
        shape[place] //= 1 if self.alone else 2
        one = words.replace(_shape_in_words(two[0].shape), _shape_in_words(shape))
        reads = replace(layer, axes=axes, item=item, run=number)
        return Seen(layer.name, one, axes, count, "; ".join(notes), len(two), reads)

    def _of_runs(self, layer: Layer, runs: Sequence[_Answered]) -> tuple[str, int, int | str | None, int | None]:
        """Axes, units and item of a layer, and which of its runs is read; None where it is the mean over all.

        Raises:
            InputError: one of them cannot be read, or they cannot be averaged.
        """
        number = layer.run if layer.run != -1 else len(runs) - 1
        if number is not None:
            if number >= len(runs):
                raise InputError(f"has no run {number}: it runs {len(runs)} times in a pass")
            return (*self._of_run(layer, number), runs[number].item, number if len(runs) > 1 else None)
        found = [self._of_run(layer, each) for each in range(len(runs))]
        if len(set(found)) > 1:
            shapes = ", ".join(dict.fromkeys(of.words for of in runs))
            raise InputError(
                f"runs {len(runs)} times in a pass, and answers {shapes}, of which there is no mean: say which run is "
                f"read: sdbench.Layer({layer.name!r}, run=0)"
            )
        return (*found[0], runs[0].item, None)

    def _of_run(self, layer: Layer, number: int) -> tuple[str, int]:
        """Axes and units of one run of a layer.

        Raises:
            InputError: it cannot be read, or how is not known.
        """
        two, three = self.two[layer.name][number], self.three[layer.name][number]
        if two.problem or three.problem:
            raise InputError(two.problem or three.problem)
        batch = self._batch_alone(layer, two.shape, three) if self.alone else _batch_of(two.shape, three)
        if batch.order == "neither":
            where = (
                f"{batch.each} rows of axis {batch.axis} to each"
                if batch.each > 1
                else f"a row of axis {batch.axis} each"
            )
            raise InputError(
                f"answers {two.words} to 2 clips, {where}, and which are of which clip is not seen in their order: "
                "they stand in the midst of others, or depend on the other clips or on chance; choose another layer"
            )
        if layer.axes is not None:
            _check_axes(layer.axes, two.shape, batch)
            channels = next(place for place, part in enumerate(axes_of(layer.axes)) if part == "C")
            return layer.axes, two.shape[channels]
        if batch.each > 1 and batch.order == "either":
            raise InputError(
                f"answers {two.words} to 2 clips, {batch.each} rows of axis {batch.axis} to each, too alike to tell "
                "their order: say with --axes whether those of a clip stand together, as in (BN), or apart, as in (NB)"
            )
        channels = self._channels(layer, number, batch)
        return self._word(two.shape, batch, channels), two.shape[channels]

    @staticmethod
    def _batch_alone(layer: Layer, shape: tuple[int, ...], answered: _Answered) -> _Batch:
        """The axis of the batch where all that is answered is of one clip: one of length 1, else any with all its rows.

        Raises:
            InputError: what is left may be the channels, or is not of one clip as the layer has it.
        """
        if layer.axes is not None:
            parts = axes_of(layer.axes)
            place = next(place for place, part in enumerate(parts) if "B" in part)
            if len(parts) == len(shape) and (len(parts[place]) > 1 or shape[place] == 1):
                return _Batch(place, shape[place], "either")
            raise InputError(f"answers {_shape_in_words(shape)} to one clip, which does not have the axes {layer.axes}")
        others = [axis for axis in range(len(shape)) if axis != answered.channels]
        single = [axis for axis in others if shape[axis] == 1]
        if single or (others and answered.channels is not None):
            axis = (single or others)[0]
            return _Batch(axis, shape[axis], "first")
        raise InputError(
            f"answers {_shape_in_words(shape)} to one clip, the only one that it takes at a time, and none of its axes "
            f"is known: say what they are: --axes {layer.name}=... or sdbench.Layer({layer.name!r}, axes=...)"
        )

    def _channels(self, layer: Layer, number: int, batch: _Batch) -> int:
        """The axis of the channels.

        Raises:
            InputError: it is not known.
        """
        shape, answered = self.two[layer.name][number].shape, self.three[layer.name][number]
        if answered.channels is not None:
            if answered.channels == batch.axis:
                raise InputError(
                    f"answers {_shape_in_words(shape)} to 2 clips, whose axis {batch.axis} counts clips and channels "
                    "alike: choose another layer"
                )
            return answered.channels
        others = [axis for axis in range(len(shape)) if axis != batch.axis]
        if not others:
            raise InputError(f"answers {_shape_in_words(shape)} to 2 clips: no axis is left for the channels")
        frames, size = (self._moving(runs, layer, number, batch) for runs in (self.other_frames, self.other_size))
        left = [axis for axis in others if axis not in {*(frames or ()), *(size or ())} and shape[axis] > 1]
        inside = [
            axis for axis in answered.inside if axis in left and [shape[of] for of in left].count(shape[axis]) == 1
        ]
        named = [axis for axis in left if shape[axis] in answered.widths]
        if len(named) == 1 and set(inside) <= set(named):
            return named[0]
        if not named and len(inside) == 1 and len(answered.inside) == 1:
            return inside[0]
        if len(left) == 1 and frames is not None and size is not None and not answered.inside:
            return left[0]
        raise InputError(self._open(layer, shape, batch, frames, size, left or others))

    def _moving(self, other: Runs | None, layer: Layer, number: int, batch: _Batch) -> tuple[int, ...] | None:
        """The axes that move between two clips and two others; None where the network takes no others.

        One that makes other clips of them, as `view(-1, 8, ...)` does of frames, takes none.
        """
        runs = None if other is None else other[layer.name]
        shape = self.two[layer.name][number].shape
        if not runs:
            return None
        of = runs[min(number, len(runs) - 1)]
        if len(of.shape) != len(shape) or (batch.each == 1 and of.shape[batch.axis] != shape[batch.axis]):
            return None
        return _moved(shape, of.shape)

    def _open(
        self,
        layer: Layer,
        shape: tuple[int, ...],
        batch: _Batch,
        frames: Sequence[int] | None,
        size: Sequence[int] | None,
        left: Sequence[int],
    ) -> str:
        """What is known of the axes of a layer, and the words that settle the rest."""
        facts = [f"axis {batch.axis} moves with the number of clips"]
        for what, moving in (("of frames", frames), ("of pixels", size)):
            rest = [axis for axis in moving or () if axis != batch.axis]
            if moving is None:
                facts.append(f"other numbers {what} are not taken or say nothing")
            elif rest:
                facts.append(f"{_axes_in_words(rest)} with that {what}")
        words = [self._word(shape, batch, axis) for axis in left]
        return (
            f"answers {_shape_in_words(shape)} to 2 clips: {', '.join(facts)}; which axis counts channels is not "
            f"known. Say what the axes are: {' or '.join(f'--axes {layer.name}={word}' for word in words)}; in Python "
            f"sdbench.Layer({layer.name!r}, axes={words[0]!r})"
        )

    def _word(self, shape: Sequence[int], batch: _Batch, channels: int | None) -> str:
        """The axes as `Layer` has them; those that are averaged over are called by their number and length."""
        frames = self.clips.frames
        rest = [axis for axis in range(len(shape)) if axis not in (batch.axis, channels)]
        names = {1: "N", 2: "HW", 3: "THW"}.get(len(rest), "N" * len(rest))
        if rest and len(rest) < 3 and shape[rest[0]] == frames > 1 and shape[rest[0]] not in shape[rest[0] + 1 :]:
            names = "TN"[: len(rest)]
        letters = dict(zip(rest, names, strict=True))
        fold = "" if batch.each == 1 else "T" if batch.each == frames and "T" not in names else "N"
        folded = fold and (f"(B{fold})" if batch.order == "first" else f"({fold}B)")
        known = {**letters, batch.axis: folded or "B", **({} if channels is None else {channels: "C"})}
        return "".join(known[axis] for axis in range(len(shape)))


@dataclass(frozen=True)
class _Batch:
    """The axis of the batch.

    Attributes:
        axis: which.
        each: how many rows it has for a clip.
        order: see `_Answered`.
    """

    axis: int
    each: int
    order: str


def _batch_of(two: tuple[int, ...], three: _Answered) -> _Batch:
    """The axis that moves with the number of clips, of what was answered to two and to three.

    Raises:
        InputError: there is none, or several move, or not as the number of clips does.
    """
    shapes = f"answers {_shape_in_words(two)} to 2 clips and {_shape_in_words(three.shape)} to 3"
    if len(two) != len(three.shape):
        raise InputError(f"{shapes}: the number of its axes depends on the number of clips")
    moved = _moved(two, three.shape)
    if not moved:
        raise InputError(f"{shapes}: no axis moves with the number of clips; choose another layer")
    if len(moved) > 1:
        raise InputError(f"{shapes}: {_axes_in_words(moved)} move with the number of clips; choose another layer")
    (axis,) = moved
    if two[axis] % 2 or three.shape[axis] * 2 != two[axis] * 3:
        raise InputError(
            f"{shapes}: axis {axis} moves with the number of clips, but has not as many rows for each; choose another "
            "layer"
        )
    return _Batch(axis, two[axis] // 2, three.order)


def _check_axes(axes: str, shape: tuple[int, ...], batch: _Batch) -> None:
    """See that the axes that were said have the clips where they were seen.

    Raises:
        InputError: they have not.
    """
    parts = axes_of(axes)
    if len(parts) != len(shape):
        raise InputError(f"answers {_shape_in_words(shape)} to 2 clips, which does not have the axes {axes}")
    place = next(place for place, part in enumerate(parts) if "B" in part)
    seen = f"answers {_shape_in_words(shape)} to 2 clips: axis {batch.axis} moves with the number of clips"
    if place != batch.axis:
        raise InputError(f"{seen}, and axes {axes} put them on axis {place}")
    order = "" if len(parts[place]) == 1 else "first" if parts[place][0] == "B" else "last"
    if batch.each > 1 and not order:
        raise InputError(f"{seen}, with {batch.each} rows for each, of which axes {axes} say nothing: (BN) or (NB)")
    if order and batch.each > 1 and batch.order not in ("either", order):
        together = "stand together, as in (BT)" if batch.order == "first" else "stand apart, as in (TB)"
        raise InputError(f"{seen}, and the {batch.each} rows of each {together}; got axes {axes}")


def _moved(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis for axis, (before, after) in enumerate(zip(one, other, strict=True)) if before != after)


def _axes_in_words(axes: Sequence[int]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes[:-1]))} and {axes[-1]}"


def _shape_in_words(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def _described(output: Any) -> str:
    if isinstance(output, Tensor):
        return "nested tensor" if output.is_nested else _shape_in_words(output.shape)
    return f"{type(output).__name__} of {len(output)}" if isinstance(output, (tuple, list)) else type(output).__name__


def _reason(error: InputError, layer: str) -> str:
    """Why a layer cannot be read, where its name stands beside it."""
    return str(error).removeprefix(f"layer {layer!r}").strip()


def as_written() -> contextlib.AbstractContextManager[object]:
    """Meanwhile nothing runs compiled, neither modules nor functions: that knows nothing of hooks that came later."""
    compiles = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if compiles else contextlib.nullcontext()


@contextlib.contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Meanwhile a module is in eval mode and runs as it is written; then it is as it was given."""
    state = ModuleState(module)
    try:
        with contextlib.suppress(NotImplementedError):  # one that was exported has no modes
            module.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]), as_written():
            yield
    finally:
        state.put_back(by_value=True)


class _MadeUp:
    """Made-up clips as a network takes them.

    Args:
        feed: what the network is fed.
        module: whose device and type they have.
    """

    def __init__(self, feed: Feed, module: nn.Module) -> None:
        self.feed, self.frames = feed, feed.frames
        floating = (values for values in module.parameters() if values.is_floating_point())
        self._like = next(floating, None)

    @property
    def other_frames(self) -> tuple[Feed, ...]:
        """The feed with half as many frames, and with twice as many; as it is where there is one frame only."""
        if self.feed.flow is not None or self.frames == 1:
            return (self.feed,)
        step = self.feed.alpha or 1
        half = self.frames // 2
        numbers = [*([half] if half and half % step == 0 else []), 2 * self.frames]
        return tuple(replace(self.feed, frames=number, window=None, stride=1) for number in numbers)

    @property
    def other_sizes(self) -> tuple[Feed, ...]:
        """The feed with half the height and width, and with twice as much."""
        height, width = self.feed.height_and_width
        sizes = [(height // 2, width // 2), (2 * height, 2 * width)]
        return tuple(replace(self.feed, size=size, short_side=None) for size in sizes if min(size))

    def __call__(self, clips: Sequence[int], feed: Feed | None = None) -> dict[str, Tensor]:
        """The inputs of some clips, by their numbers."""
        made = [made_up(feed or self.feed, number) for number in clips]
        joined = {name: torch.cat([of[name] for of in made]) for name in made[0]}
        return {name: self._placed(values) for name, values in joined.items()}

    def _placed(self, values: Tensor) -> Tensor:
        if self._like is None:
            return values
        return values.to(self._like.device, self._like.dtype if values.is_floating_point() else values.dtype)


class _Given:
    """Clips of noise of the shape and type of inputs that were given, where no feed says more.

    Args:
        inputs: by name.
        count: how many clips they have.
    """

    other_frames: Sequence[Feed] = ()
    other_sizes: Sequence[Feed] = ()
    frames = 0

    def __init__(self, inputs: Mapping[str, Tensor], count: int) -> None:
        self.inputs, self.count = inputs, count

    def __call__(self, clips: Sequence[int], _feed: Feed | None = None) -> dict[str, Tensor]:
        """The inputs of some clips, by their numbers."""
        return {name: torch.cat([self._clip(values, each) for each in clips]) for name, values in self.inputs.items()}

    def _clip(self, values: Tensor, number: int) -> Tensor:
        first = torch.chunk(values, self.count)[0]
        if not values.is_floating_point():
            return first if number == 0 else first.flip(-1)
        generator = torch.Generator().manual_seed(number)
        return torch.randn(first.shape, generator=generator).to(first)


def made_up(feed: Feed, number: int = 0) -> dict[str, Tensor]:
    """One clip as the network takes it: of noise, or (from number 1) of blocks of colour that move, each another."""
    size = tuple(side + (feed.side - min(feed.height_and_width)) for side in feed.height_and_width)
    generator = np.random.default_rng(number)
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
