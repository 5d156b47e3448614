"""Samples go through a network in batches, every layer is read in the same pass, and only sums are kept."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sdbench.base.errors import InputError
from sdbench.base.kept import Arrays
from sdbench.base.memory import is_out_of_memory
from sdbench.base.warned import warn_caller
from sdbench.engine.compiling import Choice, Read, choose, compiled, compiler, keep_choice, known_choice
from sdbench.engine.loader import Drawn
from sdbench.engine.placing import Placement, device_named, on_device, placed
from sdbench.engine.sums import Block, Sums, add, to_arrays
from sdbench.networks.layer_summary import units
from sdbench.networks.module_state import ModuleState
from sdbench.networks.network import Network
from sdbench.networks.probe import as_written
from sdbench.networks.reading import VideoNetwork, fed
from sdbench.statistics import moments
from sdbench.statistics.sums import Crossed, crossed, merge_crossed, swapped

_NUMBERS = 2**23
"""Numbers in the inputs of a batch: more make no machine faster, and need more memory."""

_MOST_INPUTS = 96
"""A part, which has hardly more than `sdbench.engine.parts.INPUTS`, then goes through in one batch where it fits."""

Watching = contextlib.AbstractContextManager[object]

_Crossed = tuple[Block, npt.NDArray[np.float64]]
"""A resampling block, and the values (4, rows, units) of one crossed sample of it."""

SECONDS = "seconds"
"""Of the arrays of a part: how long drawing its samples and its passes took."""


@dataclass(frozen=True)
class BatchSize:
    """How many inputs go through a network at once; numbers do not depend on it.

    Attributes:
        most: at most so many, fewer where memory does not hold them; None leaves it to their size.
        fewest: at least so many; what is missing is filled up, and left out of what is read.
        is_fixed: whether none may be smaller, since answers depend on the batch.
    """

    most: int | None = None
    fewest: int = 1
    is_fixed: bool = False


@contextlib.contextmanager
def passes_of(
    network: Network, placement: Placement, inputs: int, largest: int, folder: Path, size: BatchSize | None = None
) -> Iterator[Passes]:
    """A network where its passes are made.

    Args:
        network: its module comes back as it was given.
        placement: where and how.
        inputs: how many inputs the whole measurement has, whoever makes the passes.
        largest: how many the largest of its parts has.
        folder: of its parts; what was chosen is kept there.
        size: of the batches.

    Raises:
        InputError: the device is not there.
    """
    device = device_named(placement.device)
    with placed(network.module, device, placement.precision == "tf32"), compiler():
        yield Passes(network, placement, device, inputs, largest, folder, size or BatchSize())


class Passes:
    """A network on its device, which answers batches of inputs with the unit values of its layers.

    Attributes:
        choice: whether passes are compiled; None until the first is made.
        state: of a module that is not of the suite: every pass begins with the module as it was given.
    """

    def __init__(
        self,
        network: Network,
        placement: Placement,
        device: torch.device,
        inputs: int,
        largest: int,
        folder: Path,
        size: BatchSize,
    ) -> None:
        self.network, self.placement, self.device = network, placement, device
        self.inputs, self.largest, self.folder = inputs, largest, folder
        self.choice: Choice | None = None
        self.state = None if network.is_known else ModuleState(network.module)
        self._most, self._fewest, self._is_fixed = size.most, size.fewest, size.is_fixed
        self._compiled: Read | None = None

    def batch_of(self, sample: Drawn) -> int:
        """How many inputs a batch of such samples has."""
        numbers = sum(int(values.numel()) for values in sample.value.values()) / sample.planned.inputs
        usual = max(1, min(_MOST_INPUTS, int(_NUMBERS / numbers)))
        return self._most or usual

    def read(self, batch: Mapping[str, Tensor], inputs: int, whole: int = 1, meet: bool = False) -> dict[str, Tensor]:
        """Unit values of every layer: layer -> (rows, units), on the device, perhaps still being computed.

        Where memory does not hold a batch, this and all later ones are halved.

        Args:
            batch: name -> the rows of its inputs, in main memory.
            inputs: how many there are.
            whole: how many a whole batch has. Compiled passes take whole ones: their size is that of the measurement,
                not of the batch that a worker happens to see first.
            meet: whether they meet in the network, so that none may be added.

        Raises:
            InputError: the network does not take what it is fed, a layer cannot be read, or memory does not hold a
                single input.
        """
        if self._most is not None and inputs > self._most and not meet:
            return self._read_pieces(batch, inputs, self._most)
        try:
            return self._read(batch, inputs, whole, meet)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            said = " ".join(str(error).split())[:200]
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if meet or inputs == 1 or self._is_fixed:
            raise no_memory(self.network, said)
        self._most = -(-inputs // 2)
        warn_caller(
            f"memory does not hold {inputs} inputs of {self.network.name} at once; it goes on with {self._most} "
            f"(--batch-size {self._most} begins so), and no number depends on it"
        )
        return self._read_pieces(batch, inputs, self._most)

    def _read_pieces(self, batch: Mapping[str, Tensor], inputs: int, most: int) -> dict[str, Tensor]:
        """What is read of a batch in passes of at most so many inputs."""
        pieces = zip(*(torch.split(values, len(values) // inputs * most) for values in batch.values()), strict=True)
        found = [
            self.read(dict(zip(batch, piece, strict=True)), min(most, inputs - number * most), most)
            for number, piece in enumerate(pieces)
        ]
        return {layer: torch.cat([answers[layer] for answers in found]) for layer in found[0]}

    def _read(self, batch: Mapping[str, Tensor], inputs: int, whole: int, meet: bool) -> dict[str, Tensor]:
        placed = self.on_device(batch)
        timed = None
        whole = min(whole, self.largest)
        rows = {name: len(values) // inputs * whole for name, values in placed.items()}
        if self.choice is None:
            self.choice = known_choice(self.folder)
        if self.choice is None and not meet:
            chosen, timed = self._chosen(placed, inputs, rows, -(-self.inputs // whole))
            self.choice = keep_choice(self.folder, chosen)
        if meet or self.choice is None or not self.choice.compiled:
            return timed or self.eager(placed, inputs)
        pieces = {name: torch.split(values, rows[name]) for name, values in placed.items()}
        found = [
            self._run_filled({name: of[number] for name, of in pieces.items()}, rows)
            for number in range(len(next(iter(pieces.values()))))
        ]
        return {layer: torch.cat([answers[layer] for answers in found]) for layer in found[0]}

    def on_device(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A batch where the network is."""
        return {name: on_device(values, self.network.module, self.device) for name, values in batch.items()}

    def eager(
        self, batch: Mapping[str, Tensor], inputs: int, watching: Callable[[], Watching] = contextlib.nullcontext
    ) -> dict[str, Tensor]:
        """Unit values of a batch on the device, in a pass that is not compiled, whatever the module says.

        Args:
            batch: name -> the rows of its inputs.
            inputs: how many there are.
            watching: what holds during the pass, such as hooks.

        Raises:
            InputError: as `read` does.
        """
        if inputs < self._fewest:
            rows = {name: len(values) // inputs * self._fewest for name, values in batch.items()}
            return self._filled_up(self._eager, batch, rows)
        return self._eager(batch, watching)

    def _eager(
        self, batch: Mapping[str, Tensor], watching: Callable[[], Watching] = contextlib.nullcontext
    ) -> dict[str, Tensor]:
        if self.state is not None:
            self.state.put_back()
        with self._autocast(), fed(self.network.name, batch), as_written(), watching():
            return self._units(batch)

    def _run_filled(self, batch: Mapping[str, Tensor], rows: Mapping[str, int]) -> dict[str, Tensor]:
        """A compiled pass of a batch to which rows are added."""
        return self._filled_up(self._run_compiled, batch, rows)

    @staticmethod
    def _filled_up(read: Read, batch: Mapping[str, Tensor], rows: Mapping[str, int]) -> dict[str, Tensor]:
        """What is read of a batch to which rows are added; what these answer is left out."""
        filled = {name: _filled(values, rows[name]) for name, values in batch.items()}
        part = len(next(iter(batch.values()))) / len(next(iter(filled.values())))
        return {layer: values[: round(len(values) * part)] for layer, values in read(filled).items()}

    def _run_compiled(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self._compiled is None:
            self._compiled = compiled(self._units)
        if self.state is not None:
            self.state.put_back()
        with self._autocast():
            return self._compiled(batch)

    def _units(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return units(self.network.module, batch, self.network.read, feed=self.network.feed)

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        """Matrix products and convolutions in bfloat16, the rest in float32; it holds for this thread."""
        if self.placement.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _chosen(
        self, batch: Mapping[str, Tensor], inputs: int, rows: Mapping[str, int], passes: int
    ) -> tuple[Choice, dict[str, Tensor] | None]:
        """Whether passes are compiled, and what an eager pass answered where one was made to see."""
        eager: dict[str, Tensor] | None = None

        def seconds(read: Read, untimed: int) -> float:
            nonlocal eager
            for _ in range(untimed):
                read(batch)
            self._wait()
            started = time.perf_counter()
            answers = read(batch)
            self._wait()
            eager = eager or answers
            return time.perf_counter() - started

        # The first pass on a GPU also loads its kernels; on a CPU that is little beside the pass itself.
        chosen = choose(
            self.placement.compiling,
            self.network.module,
            passes,
            lambda: seconds(lambda rest: self.eager(rest, inputs), int(self.device.type != "cpu")),
            lambda: seconds(lambda rest: self._run_filled(rest, rows), 1),
        )
        return chosen, eager if self.placement.compiling == "auto" else None

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def no_memory(network: Network, said: str) -> InputError:
    """The sentence for a single input that memory does not hold."""
    said = said or "it says no more"
    return InputError(
        f"memory does not hold one pass of {network.name}, whose batch cannot be smaller ({said}): "
        "use fewer --frames, a smaller --size, or a device with more memory"
    )


def _filled(values: Tensor, rows: int) -> Tensor:
    """So many rows, by repeating the last."""
    missing = rows - len(values)
    if missing == 0:
        return values
    more = torch.cat([values, values[-1:].expand(missing, *values.shape[1:])])
    layout = {5: torch.channels_last_3d, 4: torch.channels_last}.get(values.ndim)
    if layout is None or not values.is_contiguous(memory_format=layout):
        return more
    return more.contiguous(memory_format=layout)


@dataclass
class _Open:
    """A sample whose sums are still to be taken.

    Attributes:
        sample: what was drawn.
        answers: unit values of its inputs, in their order: layer -> (rows, units) of one input or of several.
        unread: how many of its own inputs have not gone through the network.
    """

    sample: Drawn
    answers: list[dict[str, Tensor]] = field(default_factory=list)
    unread: int = 0


@dataclass(frozen=True)
class _Waiting:
    """An input that waits for its pass.

    Attributes:
        opened: its sample.
        rows: name -> its rows.
        answer: what its unit values are put into, where others wait for them too.
    """

    opened: _Open
    rows: Mapping[str, Tensor]
    answer: dict[str, Tensor] | None = None


class UnitSums:
    """The sums of one part: `sdbench.engine.parts.Work`.

    Args:
        passes: the network where its passes are made.
    """

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self._sums: Sums = {}
        self._seconds = {"drawing": 0.0, "network": 0.0}
        self._waiting: deque[_Waiting] = deque()
        self._open: deque[_Open] = deque()
        self._shown: dict[Hashable, dict[str, Tensor]] = {}  # what was shown before; empty until its pass is made
        self._whole = 1
        self._ring: dict[str, list[_Crossed]] = {}

    def see(self, sample: Drawn) -> None:
        """Take the next sample; the network is passed as soon as there are inputs enough for a batch.

        Raises:
            InputError: a layer answers NaN or infinity, or has one unit by mistake, or the network does not take what
                it is fed.
        """
        self._seconds["drawing"] += sample.seconds
        started = time.perf_counter()
        opened = _Open(sample, unread=sample.planned.inputs)
        self._open.append(opened)
        if sample.planned.together:
            self._flush()
            views = {name: torch.chunk(values, sample.planned.views) for name, values in sample.value.items()}
            for number in range(sample.planned.views):
                batch = {name: parts[number] for name, parts in views.items()}
                opened.answers.append(self.passes.read(batch, sample.planned.rows, meet=True))
            opened.unread = 0
        else:
            inputs = sample.planned.inputs
            for number in range(inputs):
                answer: dict[str, Tensor] | None = None
                if sample.planned.shows:
                    what = sample.planned.shows[number]
                    known, answer = what in self._shown, self._shown.setdefault(what, {})
                    opened.answers.append(answer)
                    if known:
                        opened.unread -= 1
                        continue
                rows = {name: _rows(values, number, inputs) for name, values in sample.value.items()}
                self._waiting.append(_Waiting(opened, rows, answer))
            self._whole = self.passes.batch_of(sample)
            while len(self._waiting) >= self._whole:
                self._pass(self._whole)
        self._take_finished()
        self._seconds["network"] += time.perf_counter() - started

    def finish(self) -> Arrays:
        """The sums of all samples."""
        started = time.perf_counter()
        self._flush()
        self._take_finished(behind=0)
        self._exchange()
        self._seconds["network"] += time.perf_counter() - started
        return {**to_arrays(self._sums), SECONDS: np.array(list(self._seconds.values()))}

    def _flush(self) -> None:
        if self._waiting:
            self._pass(len(self._waiting))

    def _pass(self, inputs: int) -> None:
        """Pass the first of the inputs that wait."""
        taken = [self._waiting.popleft() for _ in range(inputs)]
        batch = {name: torch.cat([each.rows[name] for each in taken]) for name in taken[0].rows}
        read = self.passes.read(batch, inputs, self._whole)
        rows = {layer: len(values) // inputs for layer, values in read.items()}  # a network may answer several rows
        start = 0
        for _, group in itertools.groupby(taken, key=lambda each: id(each.opened)):
            of_sample = list(group)
            opened = of_sample[0].opened
            if of_sample[0].answer is None:
                end = start + len(of_sample)
                opened.answers.append({name: v[start * rows[name] : end * rows[name]] for name, v in read.items()})
            else:
                for number, each in enumerate(of_sample, start):
                    assert each.answer is not None
                    each.answer.update({name: _rows(v, number, inputs) for name, v in read.items()})
            opened.unread -= len(of_sample)
            start += len(of_sample)

    def _take_finished(self, behind: int = 1) -> None:
        """Take the sums of samples that are read, but of the last `behind`: their passes may still be under way."""
        while len(self._open) > behind and self._open[0].unread == 0:
            self._take(self._open.popleft())

    def _take(self, opened: _Open) -> None:
        """Add the sums of a sample: one computation for all layers, whose units lie side by side."""
        planned = opened.sample.planned
        first, second, factor = (np.array(column) for column in zip(*planned.pairs, strict=True))
        alike: dict[int, list[str]] = {}  # a layer may have several rows for an input where another has one
        for layer in opened.answers[0]:
            alike.setdefault(sum(len(answer[layer]) for answer in opened.answers), []).append(layer)
        for layers in alike.values():
            units = [opened.answers[0][layer].shape[1] for layer in layers]
            values = _numbers(layers, opened.answers)
            ends = np.cumsum(units).tolist()
            columns = {layer: slice(end - many, end) for layer, many, end in zip(layers, units, ends, strict=True)}
            self._check(values, columns, planned.name)
            by_view = values.reshape(planned.views, -1, values.shape[1])
            one, other = (by_view[chosen].reshape(-1, values.shape[1]) for chosen in (first, second))
            part = moments(one, other, factor.repeat(by_view.shape[1]))
            block = (planned.seed, planned.block)
            for layer, own in columns.items():
                of_layer = part.of_units(own)
                if planned.crossed:
                    of_layer = replace(of_layer, crossed=self._crossed(layer, block, by_view[:, :, own]))
                add(self._sums, layer, block, of_layer)

    def _check(self, values: npt.NDArray[Any], columns: Mapping[str, slice], name: str) -> None:
        """Refuse unit values that cannot be summed: `values` (rows, units) of the layers in their `columns`."""
        finite = np.isfinite(values).all(axis=0)
        for layer, own in columns.items():
            if not finite[own].all():
                raise InputError(f"layer {layer} answers NaN or infinity for {name}; {self._cure()}")
            # Of a network that lists its layers, one unit is no mistake: TransNet V2 answers so.
            if own.stop - own.start == 1 and not isinstance(self.passes.network.module, VideoNetwork):
                raise InputError(
                    f"layer {layer} has one unit, and shares say how many of a layer's units encode what: read another "
                    "layer, or, where its channels are on another axis, say which with sdbench.Layer"
                )

    def _crossed(self, layer: str, block: Block, values: npt.NDArray[Any]) -> Crossed:
        """The sums of one crossed sample, with those of the one before it exchanged with its own."""
        values = values.astype(np.float64)
        ring = self._ring.setdefault(layer, [])
        found = [crossed(values)]
        if ring:
            found.append(swapped(values, ring[-1][1]))
        # The first and the last are kept: the ring is closed when the part is over.
        self._ring[layer] = [*ring[:1], (block, values)]
        return merge_crossed(found)

    def _exchange(self) -> None:
        """Exchange the partners of the first crossed sample of the part with those of the last."""
        for layer, ring in self._ring.items():
            if len(ring) == 2:
                (block, values), (_, others) = ring
                known = self._sums[layer][block]
                assert known.crossed is not None
                exchanged = merge_crossed([known.crossed, swapped(values, others)])
                self._sums[layer][block] = replace(known, crossed=exchanged)

    def _cure(self) -> str:
        """What to do about NaN."""
        precision = self.passes.placement.precision
        if precision != "float32":
            return (
                f"the network computes in {precision}, whose numbers may be too coarse for it: use --precision float32"
            )
        return "check the network's weights and how its input is normalised"


def _rows(values: Tensor, number: int, inputs: int) -> Tensor:
    """The rows of one of some inputs."""
    each = len(values) // inputs
    return values[number * each : (number + 1) * each]


def _numbers(layers: Sequence[str], answers: Sequence[Mapping[str, Tensor]]) -> npt.NDArray[Any]:
    """Unit values of some layers side by side, (rows, units of all of them)."""
    beside = [torch.cat([answer[layer] for layer in layers], dim=1) for answer in answers]
    return torch.cat(beside).cpu().numpy()
