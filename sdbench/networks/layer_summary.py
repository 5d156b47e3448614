"""How the layers of a network are read, seen in small passes over made-up clips: shapes, axes and units.

Of a network of the suite it is known. Of any other module the passes of `sdbench.networks.probe` show it. The axis that
moves with the number of clips is that of the batch; where it has several rows a clip, the equal clips show whether the
rows of a clip stand together or apart. The axis of the channels is the one that the module itself names. Where none is
named by its place, two more passes, of other numbers of frames and pixels, show which axes are none: those that move.
What then stays open is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from sdbench.base.checks import check_fits, listed
from sdbench.base.errors import InputError
from sdbench.networks.network import Network
from sdbench.networks.probe import (
    Answered,
    Probe,
    Runs,
    axes_in_words,
    described,
    moved_axes,
    reason_of,
    shape_in_words,
    undisturbed,
)
from sdbench.networks.probe_clips import GivenClips, MadeUpClips
from sdbench.networks.reading import (
    Layer,
    VideoNetwork,
    as_layer,
    axes_of,
    fed,
    read_submodules,
    read_trace,
    usual_axes,
)
from sdbench.video.feed import Feed


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
    clips = MadeUpClips(network.feed, network.module)
    if isinstance(network.module, VideoNetwork):
        inputs = clips([0])
        with undisturbed(network.module), fed(network.name, inputs):
            return tuple(_traced(network, inputs))
    return _Axes(network.name, network.module, network.read, clips).seen()


def settled(network: Network) -> tuple[Network, tuple[Seen, ...], bool]:
    """The network with all that it takes to read its layers; what was seen of them; and whether it takes one clip only.

    Args:
        network: of no network of the suite.

    Raises:
        InputError: a layer cannot be read, or how is not known; or the network does not take what it is fed.
    """
    probe = _Axes(network.name, network.module, network.read, MadeUpClips(network.feed, network.module))
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
        clips = GivenClips(inputs, rows // each) if feed is None else MadeUpClips(feed, module)
        chosen = _readable(_Axes(type(module).__name__, module, chosen, clips).seen())
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
            yield Seen(name, described(activation), axes, activation.shape[axes.index("C")])


class _Axes(Probe):
    """What the passes say of the axes of each layer."""

    def seen(self) -> tuple[Seen, ...]:
        """What is seen of each layer."""
        return tuple(self._seen(layer) for layer in self.layers.values())

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
            return Seen(layer.name, words, note=reason_of(error, layer.name), runs=len(two))
        notes = ["one unit: not enough to measure"] if count == 1 else []
        if len(two) > 1:
            of = "their mean" if number is None else f"run {number}"
            notes.insert(0, f"runs {len(two)} times, {of} is read")
        shape = list(two[0].shape)
        place = next(place for place, part in enumerate(axes_of(axes)) if "B" in part)
        shape[place] //= 1 if self.alone else 2
        one = words.replace(shape_in_words(two[0].shape), shape_in_words(shape))
        reads = replace(layer, axes=axes, item=item, run=number)
        return Seen(layer.name, one, axes, count, "; ".join(notes), len(two), reads)

    def _of_runs(self, layer: Layer, runs: Sequence[Answered]) -> tuple[str, int, int | str | None, int | None]:
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
    def _batch_alone(layer: Layer, shape: tuple[int, ...], answered: Answered) -> _Batch:
        """The axis of the batch where all that is answered is of one clip: one of length 1, else any with all its rows.

        Raises:
            InputError: what is left may be the channels, or is not of one clip as the layer has it.
        """
        if layer.axes is not None:
            parts = axes_of(layer.axes)
            place = next(place for place, part in enumerate(parts) if "B" in part)
            if len(parts) == len(shape) and (len(parts[place]) > 1 or shape[place] == 1):
                return _Batch(place, shape[place], "either")
            raise InputError(f"answers {shape_in_words(shape)} to one clip, which does not have the axes {layer.axes}")
        others = [axis for axis in range(len(shape)) if axis != answered.channels]
        single = [axis for axis in others if shape[axis] == 1]
        if single or (others and answered.channels is not None):
            axis = (single or others)[0]
            return _Batch(axis, shape[axis], "first")
        raise InputError(
            f"answers {shape_in_words(shape)} to one clip, the only one that it takes at a time, and none of its axes "
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
                    f"answers {shape_in_words(shape)} to 2 clips, whose axis {batch.axis} counts clips and channels "
                    "alike: choose another layer"
                )
            return answered.channels
        others = [axis for axis in range(len(shape)) if axis != batch.axis]
        if not others:
            raise InputError(f"answers {shape_in_words(shape)} to 2 clips: no axis is left for the channels")
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
        return moved_axes(shape, of.shape)

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
                facts.append(f"{axes_in_words(rest)} with that {what}")
        words = [self._word(shape, batch, axis) for axis in left]
        return (
            f"answers {shape_in_words(shape)} to 2 clips: {', '.join(facts)}; which axis counts channels is not "
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
        order: see `Answered`.
    """

    axis: int
    each: int
    order: str


def _batch_of(two: tuple[int, ...], three: Answered) -> _Batch:
    """The axis that moves with the number of clips, of what was answered to two and to three.

    Raises:
        InputError: there is none, or several move, or not as the number of clips does.
    """
    shapes = f"answers {shape_in_words(two)} to 2 clips and {shape_in_words(three.shape)} to 3"
    if len(two) != len(three.shape):
        raise InputError(f"{shapes}: the number of its axes depends on the number of clips")
    moved = moved_axes(two, three.shape)
    if not moved:
        raise InputError(f"{shapes}: no axis moves with the number of clips; choose another layer")
    if len(moved) > 1:
        raise InputError(f"{shapes}: {axes_in_words(moved)} move with the number of clips; choose another layer")
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
        raise InputError(f"answers {shape_in_words(shape)} to 2 clips, which does not have the axes {axes}")
    place = next(place for place, part in enumerate(parts) if "B" in part)
    seen = f"answers {shape_in_words(shape)} to 2 clips: axis {batch.axis} moves with the number of clips"
    if place != batch.axis:
        raise InputError(f"{seen}, and axes {axes} put them on axis {place}")
    order = "" if len(parts[place]) == 1 else "first" if parts[place][0] == "B" else "last"
    if batch.each > 1 and not order:
        raise InputError(f"{seen}, with {batch.each} rows for each, of which axes {axes} say nothing: (BN) or (NB)")
    if order and batch.each > 1 and batch.order not in ("either", order):
        together = "stand together, as in (BT)" if batch.order == "first" else "stand apart, as in (TB)"
        raise InputError(f"{seen}, and the {batch.each} rows of each {together}; got axes {axes}")
