"""Samples are drawn ahead, by worker processes or threads, while the network is busy with those before."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sdbench.base.checks import whole
from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.machine import available_cores
from sdbench.base.warned import warn_caller
from sdbench.engine.study import Planned

_CHUNK = 8
"""Inputs that one worker draws in a row: neighbours are often drawn from the same file."""

_FEW = 64
"""Fewer inputs than these are drawn sooner than a worker has started."""

_MOST_WORKERS = 8

_DYING = 2.0
"""Seconds in which a process that died becomes one that has ended."""

_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
_CAUSES = {
    getattr(signal, name): cause
    for name, cause in (
        ("SIGKILL", "as the system does when memory runs out: fewer --workers, frames or pixels need less"),
        ("SIGBUS", "as happens when shared memory runs out: a container takes --shm-size"),
    )
    if hasattr(signal, name)
}
"""Signal -> what as a rule is the cause."""

MOST_WORKERS = 1024
"""More processes than this are a slip of the keyboard, and no machine's."""

_AHEAD = 2
"""Chunks that each worker may be ahead."""

Kind = Literal["processes", "threads"]
"""What draws: processes, or threads where drawing needs the device of the network, or processes cannot be forked."""


@dataclass(frozen=True)
class Drawn:
    """A sample that is ready.

    Attributes:
        planned: what was planned.
        value: what was drawn.
        seconds: how long that took, wherever it was done.
    """

    planned: Planned
    value: Any
    seconds: float

    def pin_memory(self) -> Drawn:
        """The same, in memory that a GPU can copy from while it computes; torch's loader calls this by its name."""
        if not isinstance(self.value, dict):
            return self
        pinned = {name: v.pin_memory() if isinstance(v, Tensor) else v for name, v in self.value.items()}
        return replace(self, value=pinned)


def drawn(
    draw: Callable[[Any], Any],
    samples: Sequence[Any],
    workers: int | None,
    kind: Kind = "processes",
    pinned: bool = False,
) -> Generator[Drawn, None, None]:
    """Draw samples in their order; who draws them changes no number.

    Args:
        draw: makes a sample of what was planned.
        samples: what was planned: samples, or anything else that says how many `inputs` it has.
        workers: how many processes or threads draw ahead; 0 draws here. By default one a core, or none for a few
            samples and where processes cannot be forked.
        kind: what the workers are.
        pinned: whether tensors come in memory that a GPU can copy from while it computes.

    Raises:
        InputError: the number of workers is negative; and whatever `draw` raises, when its sample's turn comes.
    """
    if workers is None:
        few = sum(sample.inputs for sample in samples) < _FEW
        cannot = kind == "processes" and not sys.platform.startswith("linux")
        workers = 0 if few or cannot else min(available_cores(), _MOST_WORKERS)
    workers = whole("workers", workers, 0, MOST_WORKERS)
    dataset, chunks = _Samples(draw, samples), _chunks(samples)
    if workers == 0 or not samples:
        return _one_by_one(dataset, chunks, pinned)
    return (
        _by_threads(dataset, chunks, workers, pinned) if kind == "threads" else _ahead(dataset, chunks, workers, pinned)
    )


def _one_by_one(dataset: _Samples, chunks: Iterable[Sequence[int]], pinned: bool) -> Generator[Drawn, None, None]:
    for chunk in chunks:
        for number in chunk:
            yield _raised(dataset.drawn(number, pinned))


def _by_threads(
    dataset: _Samples, chunks: Iterable[Sequence[int]], workers: int, pinned: bool
) -> Generator[Drawn, None, None]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sdbench-draw")
    to_come: Iterator[Sequence[int]] = iter(chunks)
    under_way: deque[Future[list[Drawn | _Failed]]] = deque()
    try:
        while True:
            for chunk in to_come:
                under_way.append(pool.submit(lambda numbers: [dataset.drawn(n, pinned) for n in numbers], chunk))
                if len(under_way) >= _AHEAD * workers:
                    break
            if not under_way:
                return
            for sample in under_way.popleft().result():
                yield _raised(sample)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ahead(dataset: _Samples, chunks: list[list[int]], workers: int, pinned: bool) -> Generator[Drawn, None, None]:
    """Drawn by processes; where one of them dies, fewer go on with what has not come."""
    workers = min(workers, len(chunks))
    came, stuck = 0, -1
    while came < len(chunks):
        if workers == 0:
            yield from _one_by_one(dataset, chunks[came:], pinned)
            return
        try:
            for batch in _batches(dataset, chunks[came:], workers, pinned, _AHEAD if stuck < 0 else 1):
                for sample in batch:
                    yield _raised(sample)
                came += 1
                stuck = -1
        except _LostError as lost:
            if not lost.crashed:
                workers = max(0, workers - lost.processes)
            elif workers > 1:
                workers = max(1, workers - lost.processes)
            elif stuck < came:
                stuck = came  # once more, in a fresh process, and each chunk waits for the one before
            elif len(chunks[came]) > 1:
                chunks = [*chunks[:came], *([number] for number in chunks[came]), *chunks[came + 1 :]]
            else:
                name = dataset.samples[chunks[came][0]].name
                raise InputError(f"{lost}, each time at {name}: leave its video out, or make its file anew") from None
            left = (
                f"{workers} {'goes' if workers == 1 else 'go'} on" if workers else "the samples are loaded without it"
            )
            warn_caller(f"{lost}; {left}")


def _batches(
    dataset: _Samples, chunks: list[list[int]], workers: int, pinned: bool, ahead: int
) -> Generator[list[Drawn | _Failed], None, None]:
    """What processes make of each chunk, in the order of the chunks.

    Raises:
        _LostError: a process died.
    """
    before = set(multiprocessing.active_children())
    with warnings.catch_warnings():
        # Python warns of threads when it forks; workers use one thread and touch nothing that another holds.
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="This DataLoader will create .* worker processes")  # as asked for
        batches = iter(
            DataLoader(
                dataset,
                batch_sampler=chunks,
                num_workers=workers,
                prefetch_factor=ahead,
                collate_fn=_as_they_are,
                worker_init_fn=_quiet_at_the_end,
                multiprocessing_context="fork",
                pin_memory=pinned,
            )
        )
    processes = [process for process in multiprocessing.active_children() if process not in before]
    waiting = False

    def note(_signal: int, _frame: object) -> None:
        if waiting and _deaths(processes, 0):
            raise RuntimeError("a process that loads samples has died")

    with _on_death(note):
        for _ in chunks:
            try:
                waiting = True
                if _deaths(processes, 0):
                    raise RuntimeError("a process that loads samples has died")
                batch = next(batches)
            except (RuntimeError, OSError, EOFError):
                waiting = False
                if lost := _deaths(processes, _DYING):
                    raise _LostError(lost) from None
                raise
            finally:
                waiting = False
            yield batch


@contextlib.contextmanager
def _on_death(note: Callable[[int, object], None]) -> Iterator[None]:
    """Meanwhile a child process that ends is noted so, where torch's loader would raise in the middle of anything.

    It raises from the handler of a signal, whatever runs at that moment, such as the network. Where no handler can be
    set, it finds out when it has waited for five seconds.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGCHLD, note)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # another thread clears up
            signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _deaths(processes: Sequence[BaseProcess], seconds: float) -> list[int]:
    """The exit codes of processes that have died; some time is given to those that do now."""
    until = time.monotonic() + seconds
    while not (found := [process.exitcode for process in processes if process.exitcode]) and time.monotonic() < until:
        time.sleep(0.05)
    return found


class _LostError(Exception):
    """Processes that draw have died.

    Args:
        codes: their exit codes; below 0 the signal that ended them.

    Attributes:
        processes: how many.
        crashed: whether they did it themselves: a fresh one may do so again.
    """

    def __init__(self, codes: Sequence[int]) -> None:
        code = min(codes)
        self.processes, self.crashed = len(codes), code > 0 or -code in _CRASHES
        why = f"it ended with status {code}"
        if code < 0:
            cause = _CAUSES.get(-code, "as a decoder does on a damaged file" if self.crashed else "from outside")
            why = f"{signal.Signals(-code).name}, {cause}"
        super().__init__(f"a process that loads samples was lost ({why})")


@dataclass(frozen=True)
class _Failed:
    error: SdbenchError | OSError


class _Samples(Dataset[Any]):
    """Draws samples by number; an error that the user can act on travels as a value, so that it stays one sentence."""

    def __init__(self, draw: Callable[[Any], Any], samples: Sequence[Planned]) -> None:
        self.draw, self.samples = draw, samples

    def __getitem__(self, number: int) -> Drawn | _Failed:
        return self.drawn(number, pinned=False)

    def drawn(self, number: int, pinned: bool) -> Drawn | _Failed:
        started = time.perf_counter()
        planned = self.samples[number]
        try:
            value = self.draw(planned)
        except (SdbenchError, OSError) as error:
            return _Failed(error)
        found = Drawn(planned, value, time.perf_counter() - started)
        return found.pin_memory() if pinned else found


def _raised(sample: Drawn | _Failed) -> Drawn:
    if isinstance(sample, _Failed):
        raise sample.error
    return sample


def _quiet_at_the_end(_worker: int) -> None:
    """Say nothing of a tensor that the main process, interrupted, did not come for."""
    usual = sys.excepthook

    def said(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, (ConnectionError, EOFError)):
            usual(kind, error, trace)

    sys.excepthook = said


def _as_they_are(batch: list[Any]) -> list[Any]:
    return batch


def _chunks(samples: Sequence[Planned]) -> list[list[int]]:
    chunks: list[list[int]] = []
    inputs = _CHUNK
    for number, sample in enumerate(samples):
        if inputs >= _CHUNK:
            chunks.append([])
            inputs = 0
        chunks[-1].append(number)
        inputs += sample.inputs
    return chunks
