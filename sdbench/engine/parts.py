"""The parts of a long run: each is done once, and what came of it lies on disk until the run is over.

A part is made of so many samples that they have `INPUTS` inputs, whoever does it: the numbers do not depend on how many
workers there are or how often they were interrupted. What is kept of it lies under the key of the run and the hash of
its samples, the content of their files included, so that nothing that changed meanwhile is taken for what was measured.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from sdbench.base.cache_keys import Key, identity_of
from sdbench.base.files import check_place
from sdbench.base.kept import Arrays, disk_error, keep_arrays, read_arrays
from sdbench.engine.compiling import forget_choice
from sdbench.engine.loader import Drawn, Kind, drawn
from sdbench.engine.study import Planned

OUTPUTS = "outputs"
"""File beside the parts of a run: what the network answered to clips that are the same for every network."""

INPUTS = 64
"""A part is full when its samples have at least so many inputs that differ."""


@dataclass(frozen=True)
class Part:
    """Some samples that are done together.

    Attributes:
        number: its place in the run, from 0.
        samples: in their order.
    """

    number: int
    samples: tuple[Planned, ...]

    @cached_property
    def inputs(self) -> int:
        """How many inputs go through the network: what its samples show, each once."""
        return _distinct(self.samples)

    @cached_property
    def name(self) -> str:
        """Its number and the hash of all that its samples are."""
        return f"{self.number:06}-{identity_of(self.samples)[:32]}"


def cut(samples: Sequence[Planned]) -> tuple[Part, ...]:
    """The samples in parts."""
    parts: list[Part] = []
    gathered: list[Planned] = []
    for sample in samples:
        gathered.append(sample)
        if _distinct(gathered) >= INPUTS:
            parts.append(Part(len(parts), tuple(gathered)))
            gathered = []
    if gathered:
        parts.append(Part(len(parts), tuple(gathered)))
    return tuple(parts)


def _distinct(samples: Sequence[Planned]) -> int:
    """How many inputs the samples have together, of those that show the same one."""
    shown = {what for sample in samples for what in sample.shows}
    return len(shown) + sum(sample.inputs for sample in samples if not sample.shows)


class Work(Protocol):
    """What is done with the samples of one part."""

    def see(self, sample: Drawn) -> None:
        """Take the next sample."""
        ...

    def finish(self) -> Arrays:
        """What came of all of them; plain arrays, small."""
        ...


@dataclass(frozen=True)
class Kept:
    """Where what came of the parts of a run is kept.

    Attributes:
        folder: its name is the key of all that decides them but their samples, or follows from it.
        made_by: that key; None where nothing will be kept.
    """

    folder: Path
    made_by: Key | None = field(default=None, kw_only=True)

    @property
    def key(self) -> str:
        """The key of the run; what is kept of a part names it, so that no part is taken for one of another run."""
        return self.folder.name

    def check(self) -> None:
        """See that parts can be kept, before there are any.

        Raises:
            DiskError: they cannot.
        """
        try:
            check_place(self.folder / "part")
        except OSError as error:
            raise disk_error(self.folder, "written", error) from None

    def place(self, part: Part) -> Path:
        """Where what came of a part is kept."""
        return self.folder / f"{part.name}.safetensors"

    def is_done(self, part: Part) -> bool:
        """Whether something is kept of a part."""
        return self.place(part).exists()

    def read(self, part: Part) -> Arrays | None:
        """What came of a part; None where nothing is kept, or it is damaged.

        Raises:
            DiskError: it cannot be read.
            InputError: it is of another run.
        """
        return read_arrays(self.place(part), of=self.key)

    def keep(self, part: Part, arrays: Arrays) -> None:
        """Keep what came of a part.

        Raises:
            DiskError: it cannot be written.
        """
        keep_arrays(self.place(part), arrays, of=self.key, key=self.made_by)

    def discard(self, parts: Sequence[Part]) -> None:
        """Forget what is kept of these parts: the run is over."""
        for part in parts:
            self.place(part).unlink(missing_ok=True)
        forget_choice(self.folder)
        with contextlib.suppress(FileNotFoundError):
            if [path.name for path in self.folder.iterdir()] == [OUTPUTS]:
                (self.folder / OUTPUTS).unlink()
        with contextlib.suppress(OSError):  # another run with this key may go on in it
            self.folder.rmdir()


@dataclass(frozen=True)
class Task(Kept):
    """Something that is done with every part.

    Attributes:
        begin: starts the work on one part.
    """

    begin: Callable[[], Work]


@dataclass
class Finished:
    """Runs whose parts stay on disk until all that they are for is done, so that nothing of it is done again.

    A suite of many runs that is interrupted goes on behind the last part that it finished, in whichever run that was.
    """

    _runs: list[tuple[Kept, Sequence[Part]]] = field(default_factory=list)

    def add(self, kept: Kept, parts: Sequence[Part]) -> None:
        """Remember a run that is over."""
        self._runs.append((Kept(kept.folder), parts))  # the place alone: a task holds its network

    def discard(self) -> None:
        """All is done: forget what is kept of these runs."""
        for kept, parts in self._runs:
            kept.discard(parts)
        self._runs = []


def run(
    parts: Sequence[Part],
    tasks: Sequence[Task],
    draw: Callable[[Any], Any],
    workers: int | None,
    advance: Callable[[int], None],
    kind: Kind = "processes",
    pinned: bool = False,
) -> Iterator[list[Arrays]]:
    """Do every task with every part, in the order of the parts; what is kept of one is not done again.

    A sample is drawn once for all tasks that lack its part.

    Args:
        parts: all of them.
        tasks: what is done with each.
        draw: makes what a task sees of a planned sample.
        workers: how many draw samples ahead; see `sdbench.engine.loader.drawn`, as for the rest.
        advance: called with the number of samples that are done.
        kind: what they are.
        pinned: whether tensors come in pinned memory.

    Yields:
        what came of each part, one for each task.

    Raises:
        DiskError: what is finished cannot be written, or read again.
    """
    coming = _Coming(parts, tasks, lambda samples, many: drawn(draw, samples, many, kind, pinned), workers)
    done = 0
    with contextlib.closing(coming.samples):
        for part in parts:
            yield _results(part, tasks, coming)
            done += len(part.samples)
            advance(done)


class _Coming:
    """Samples that are drawn ahead, of the parts that some task lacks."""

    def __init__(
        self,
        parts: Sequence[Part],
        tasks: Sequence[Task],
        drawn: Callable[[Sequence[Planned], int | None], Generator[Drawn, None, None]],
        workers: int | None,
    ) -> None:
        self.drawn = drawn
        self.parts = {part.number for part in parts if not all(task.is_done(part) for task in tasks)}
        wanted = [sample for part in parts if part.number in self.parts for sample in part.samples]
        self.samples = drawn(wanted, workers)

    def of(self, part: Part) -> Iterator[Drawn]:
        """The samples of a part; of one that nothing was said to lack, drawn here and now."""
        if part.number not in self.parts:
            yield from self.drawn(part.samples, 0)
            return
        for _ in part.samples:
            yield next(self.samples)


def _results(part: Part, tasks: Sequence[Task], coming: _Coming) -> list[Arrays]:
    """What came of a part, now or before, for each task."""
    found: list[Arrays | None] = [task.read(part) for task in tasks]
    working = {number: task.begin() for number, task in enumerate(tasks) if found[number] is None}
    if working or part.number in coming.parts:
        for sample in coming.of(part):
            for work in working.values():
                work.see(sample)
    results = []
    for number, (task, kept) in enumerate(zip(tasks, found, strict=True)):
        arrays = working[number].finish() if kept is None else kept
        if kept is None:
            task.keep(part, arrays)
        results.append(arrays)
    return results
