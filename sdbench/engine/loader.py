"""Samples are drawn ahead, by worker processes or threads, while the network is busy with those before."""

from __future__ import annotations

import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.machine import available_cores
from sdbench.engine.study import Planned

_CHUNK = 8
"""Inputs that one worker draws in a row: neighbours are often drawn from the same file."""

_FEW = 64
"""Fewer inputs than these are drawn sooner than a worker has started."""

_MOST_WORKERS = 8

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
    if workers < 0:
        raise InputError(f"the number of workers must be 0 or more; got {workers}")
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
    with warnings.catch_warnings():
        # Python warns of threads when it forks; workers use one thread and touch nothing that another holds.
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="This DataLoader will create .* worker processes")  # as asked for
        batches = iter(
            DataLoader(
                dataset,
                batch_sampler=chunks,
                num_workers=min(workers, len(chunks)),
                prefetch_factor=_AHEAD,
                collate_fn=_as_they_are,
                worker_init_fn=_quiet_at_the_end,
                multiprocessing_context="fork",
                pin_memory=pinned,
            )
        )
    for batch in batches:
        for sample in batch:
            yield _raised(sample)


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
