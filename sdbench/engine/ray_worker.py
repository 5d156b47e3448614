"""What a worker of a Ray cluster does: it loads the network once, and does one part after the other."""

from __future__ import annotations

import contextlib
import platform
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdbench.base.errors import SdbenchError
from sdbench.base.kept import Arrays
from sdbench.engine.compiling import Choice
from sdbench.engine.loader import Drawn, drawn
from sdbench.engine.measuring import versions
from sdbench.engine.parts import Part
from sdbench.engine.passes import UnitSums
from sdbench.engine.running import Job

AT_ONCE = 2
"""Parts that a worker has at most: one is drawn while the other goes through the network."""

_NUMBERS_AHEAD = 2**25
"""Numbers that are drawn and not yet passed, beyond which drawing waits: 128 MiB of float32."""


def known_here() -> tuple[tuple[str, str], ...]:
    """What must be the same wherever parts are done: Python, libraries, and this package's own code."""
    return (("Python", ".".join(platform.python_version_tuple()[:2])), *versions())


def refusal(expected: Sequence[tuple[str, str]]) -> str | None:
    """Why this worker's numbers might not be the driver's, in a sentence; None where nothing speaks against it.

    Args:
        expected: what the driver's `known_here` says.
    """
    here, host = dict(known_here()), platform.node()
    for name, version in expected:
        if here.get(name) == version:
            continue
        if name == "sdbench":
            return (
                f"the files of sdbench are not the driver's on host {host} (hash {here[name][:12]}, the driver's "
                f"{version[:12]}): install the same sdbench on every node"
            )
        cure = f"pip install '{name}=={version}' there" if name != "Python" else f"start Ray there with {version}"
        return f"{name} is {version} for the driver and {here.get(name, 'missing')} on host {host}: {cure}"
    return None


@dataclass(frozen=True)
class Outcome:
    """What came of a part.

    Attributes:
        arrays: its sums; None where there is an error.
        choice: whether its passes were compiled; None where nothing had to be chosen.
        error: why it cannot be done; it travels as a value, so that nobody tries again.
    """

    arrays: Arrays | None = None
    choice: Choice | None = None
    error: SdbenchError | OSError | None = None


class Workplace:
    """A network that stays where its passes are made, for as many parts as there come.

    One thread makes all passes, part after part: the batches of one part never hold samples of another. What torch
    holds for a thread, gradients and autocasting, also stays as it was set.

    Args:
        job: what is done.
        threads: of torch, and as many draw.

    Raises:
        InputError: the device is not there.
    """

    def __init__(self, job: Job, threads: int) -> None:
        self._job, self._threads = job, threads
        self._drawing = threading.Lock()
        self._passing = ThreadPoolExecutor(1, thread_name_prefix="sdbench-passes")
        self._open = contextlib.ExitStack()
        self._begin: Callable[[], UnitSums] = self._passing.submit(self._opened).result()

    def _opened(self) -> Callable[[], UnitSums]:
        torch.set_num_threads(self._threads)
        return self._open.enter_context(self._job.begun())

    def close(self) -> None:
        """The network's module is again as it was given."""
        self._passing.submit(self._open.close).result()
        self._passing.shutdown()

    def do(self, part: Part, choice: Choice | None) -> Outcome:
        """The sums of a part; several threads may ask at once, and are answered one after the other.

        Args:
            part: its samples.
            choice: whether passes are compiled, where that is known; otherwise it is found out.
        """
        ahead = _Ahead()
        with self._drawing:  # drawn in the order in which they are passed, or each would wait for the other
            passed = self._passing.submit(self._passed, ahead, choice)
            ahead.fill(drawn(self._job.draw, part.samples, self._threads, "threads", self._job.pinned))
        try:
            return passed.result()
        except (SdbenchError, OSError) as error:
            return Outcome(error=error)

    def _passed(self, ahead: _Ahead, choice: Choice | None) -> Outcome:
        work = self._begin()
        # The driver keeps what is chosen: nothing is left behind in a folder of this host's own.
        with contextlib.closing(ahead), tempfile.TemporaryDirectory(prefix="sdbench-") as own:
            work.passes.folder = Path(own)
            if choice is not None:
                work.passes.choice = choice
            for sample in ahead.samples():
                work.see(sample)
            return Outcome(dict(work.finish()), work.passes.choice)


class _Ahead:
    """Samples on their way from those who draw to the one who passes them; there are never too many."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Drawn] = deque()
        self._numbers = 0
        self._drawn_all = self._closed = False
        self._error: BaseException | None = None

    def fill(self, samples: Generator[Drawn, None, None]) -> None:
        """Hand samples on until there are no more, or nobody takes them; an error is the taker's."""
        error = None
        try:
            with contextlib.closing(samples):
                for sample in samples:
                    if not self._put(sample):
                        return
        except BaseException as raised:
            error = raised
        with self._changed:
            self._drawn_all, self._error = True, error
            self._changed.notify_all()

    def _put(self, sample: Drawn) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._numbers < _NUMBERS_AHEAD or self._closed)
            self._waiting.append(sample)
            self._numbers += _numbers_of(sample)
            self._changed.notify_all()
            return not self._closed

    def samples(self) -> Iterator[Drawn]:
        """The samples in their order.

        Raises:
            Exception: whatever drawing raised, behind the samples before it.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._drawn_all)
                if not self._waiting:
                    break
                sample = self._waiting.popleft()
                self._numbers -= _numbers_of(sample)
                self._changed.notify_all()
            yield sample
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Nobody takes samples any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _numbers_of(sample: Drawn) -> int:
    return sum(values.numel() for values in sample.value.values() if isinstance(values, Tensor))


def part_worker(ray: Any, cpus: int, gpus: float) -> Any:
    """The class of Ray's actors; its own code needs no sdbench, so that a worker without one can say so.

    Args:
        ray: the module.
        cpus: cores of a worker.
        gpus: GPUs of a worker.
    """

    class PartWorker:
        """Does parts.

        Args:
            expected: the driver's versions.
        """

        def __init__(self, expected: tuple[tuple[str, str], ...]) -> None:
            self.expected = expected
            self.loading = threading.Lock()
            self.workplace: Any = None

        @ray.method(max_task_retries=-1)  # type: ignore[untyped-decorator]
        def placed(self) -> str:
            """Answers as soon as the worker has a place: the name of its node."""
            return str(ray.get_runtime_context().get_node_id())

        def load(self, job: list[Any]) -> str | None:
            """Load the network, once; why that cannot be, in a sentence.

            Args:
                job: in a list, the reference to the pickled job.
            """
            with self.loading:
                if self.workplace is not None:
                    return None
                host = platform.node()
                try:
                    from sdbench.base.errors import SdbenchError  # noqa: PLC0415
                    from sdbench.engine.ray_worker import Workplace, refusal  # noqa: PLC0415

                    refused = refusal(self.expected)
                except ImportError as error:
                    return f"sdbench cannot be imported on host {host} ({error}): install the driver's sdbench there"
                if refused is not None:
                    return refused
                try:
                    self.workplace = Workplace(ray.cloudpickle.loads(ray.get(job[0])), cpus)
                except ImportError as error:
                    return (
                        f"the network or the study needs a module that host {host} lacks ({error}): install it there, "
                        "or name its folder in the PYTHONPATH of ray start"
                    )
                except SdbenchError as error:
                    return f"on host {host}: {error}"
                return None

        def do(self, job: list[Any], given: bytes) -> Any:
            """The outcome of a part, or why this worker can do none."""
            refused = self.load(job)
            return refused if refused is not None else self.workplace.do(*ray.cloudpickle.loads(given))

    # Ray starts a worker that ended anew, wherever there is a place. Its parts are the driver's to give again: Ray
    # would ask a node that is lost for them over and over, and start a worker for ever that always ends.
    return ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=-1, max_task_retries=0, max_concurrency=AT_ONCE)(
        PartWorker
    )
