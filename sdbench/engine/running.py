"""Who does the parts of a measurement: a runner. These do them on this machine, in one process or in several."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from sdbench.base.checks import whole
from sdbench.base.kept import Arrays
from sdbench.engine.loader import MOST_WORKERS, Kind, drawn
from sdbench.engine.parts import Kept, Part, Task, run
from sdbench.engine.passes import BatchSize, UnitSums, passes_of
from sdbench.engine.placing import Placement
from sdbench.engine.study import DrawsOnDevice, Study
from sdbench.networks.network import Network


@dataclass(frozen=True)
class Job:
    """All that it takes to do a part of a measurement, wherever that is.

    Attributes:
        network: what is measured.
        study: draws the samples of a part.
        placement: where and how the network runs.
        inputs: how many inputs all parts have together.
        largest: how many the largest part has.
        folder: of the parts, on a disk that all workers share, or of each worker's own where they share none.
        size: of the batches.
    """

    network: Network
    study: Study
    placement: Placement
    inputs: int
    largest: int
    folder: Path
    size: BatchSize = field(default_factory=BatchSize)

    @property
    def kind(self) -> Kind:
        """What draws ahead: threads where drawing needs the network's device."""
        return "threads" if self.placement.device != "cpu" and isinstance(self.study, DrawsOnDevice) else "processes"

    @property
    def pinned(self) -> bool:
        """Whether samples come in memory that a GPU can copy from while it computes."""
        return self.placement.device.startswith("cuda")

    def draw(self, planned: Any) -> Mapping[str, Tensor]:
        """The views of a planned sample as the network's inputs."""
        return self.study.draw(planned, self.network.feed)

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[], UnitSums]]:
        """The network where its passes are made; gives what starts the work on one part.

        Raises:
            InputError: the device is not there.
        """
        with passes_of(self.network, self.placement, self.inputs, self.largest, self.folder, self.size) as passes:
            yield lambda: UnitSums(passes)


class Runner(Protocol):
    """Does the parts of a measurement. No number depends on which runner did, nor on how many workers it has."""

    def sums(
        self, job: Job, parts: Sequence[Part], kept: Kept, advance: Callable[[int], None]
    ) -> Generator[Arrays, None, None]:
        """What comes of each part, in the order of the parts; what is kept of one is not done again.

        Args:
            job: what is to be done.
            parts: all of them.
            kept: where what came of them is kept.
            advance: called with the number of samples that are done.

        Raises:
            InputError: whatever drawing or the network refuses; the parts that were done before are kept.
            DiskError: what is finished cannot be written, or read again.
        """
        ...


@dataclass(frozen=True)
class OneProcess:
    """The network runs in this process; others draw samples ahead.

    Attributes:
        workers: how many draw ahead; 0 draws here. By default one a core.

    Raises:
        InputError: that is no number of processes.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None:
            object.__setattr__(self, "workers", whole("workers", self.workers, 0, MOST_WORKERS))

    def sums(
        self, job: Job, parts: Sequence[Part], kept: Kept, advance: Callable[[int], None]
    ) -> Generator[Arrays, None, None]:
        """See `Runner`."""
        with job.begun() as begin:
            task = Task(kept.folder, begin, made_by=kept.made_by)
            for (arrays,) in run(parts, [task], job.draw, self.workers, advance, job.kind, job.pinned):
                yield arrays


@dataclass(frozen=True)
class SeveralProcesses:
    """The network runs in several processes of this machine, each with one thread and parts of its own.

    For networks so small that threads wait for each other longer than they compute, on a system that forks processes
    and on the CPU.

    Attributes:
        processes: how many.

    Raises:
        InputError: that is no number of processes.
    """

    processes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "processes", whole("processes", self.processes, 0, MOST_WORKERS))

    def sums(
        self, job: Job, parts: Sequence[Part], kept: Kept, advance: Callable[[int], None]
    ) -> Generator[Arrays, None, None]:
        """See `Runner`."""
        to_do = [part for part in parts if not kept.is_done(part)]
        numbers = {part.number for part in to_do}
        processes = self.processes if len(to_do) > 1 else 0
        with contextlib.ExitStack() as placed:  # in each process at its first part, and there until it ends
            tasks: list[Task] = []

            def do(part: Part) -> Arrays:
                if not tasks:
                    tasks.append(Task(kept.folder, placed.enter_context(job.begun()), made_by=kept.made_by))
                ((arrays,),) = run([part], tasks, job.draw, 0, lambda _done: None)
                return arrays

            coming = placed.enter_context(contextlib.closing(drawn(do, to_do, processes)))
            count = 0
            for part in parts:
                yield next(coming).value if part.number in numbers else do(part)
                count += len(part.samples)
                advance(count)
