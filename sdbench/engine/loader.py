"""Samples are drawn ahead, by worker processes, while the network is busy with those before."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from torch.utils.data import DataLoader, Dataset

from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.machine import available_cores
from sdbench.engine.study import Planned

_CHUNK = 8
"""Inputs that one worker draws in a row: neighbours are often drawn from the same file."""

_FEW = 64
"""Fewer inputs than these are drawn sooner than a worker has started."""

_MOST_WORKERS = 8


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


def drawn(draw: Callable[[Any], Any], samples: Sequence[Planned], workers: int | None) -> Generator[Drawn, None, None]:
    """Draw samples in their order.

    Args:
        draw: makes a sample of what was planned.
        samples: what was planned.
        workers: how many processes draw ahead; 0 draws here. By default one a core, or none for a few samples and
            where processes cannot be forked.

    Raises:
        InputError: the number of workers is negative; and whatever `draw` raises, when its sample's turn comes.
    """
    if workers is None:
        few = sum(sample.inputs for sample in samples) < _FEW
        workers = 0 if few or not sys.platform.startswith("linux") else min(available_cores(), _MOST_WORKERS)
    if workers < 0:
        raise InputError(f"the number of workers must be 0 or more; got {workers}")
    return _in_order(_Samples(draw, samples), _chunks(samples), workers if samples else 0)


def _in_order(dataset: _Samples, chunks: list[list[int]], workers: int) -> Generator[Drawn, None, None]:
    if workers == 0:
        for chunk in chunks:
            for number in chunk:
                yield _raised(dataset[number])
        return
    with warnings.catch_warnings():
        # Python warns of threads when it forks; workers use one thread and touch nothing that another holds.
        warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="This DataLoader will create .* worker processes")  # as asked for
        batches = iter(
            DataLoader(
                dataset,
                batch_sampler=chunks,
                num_workers=min(workers, len(chunks)),
                collate_fn=_as_they_are,
                worker_init_fn=_quiet_at_the_end,
                multiprocessing_context="fork",
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
        started = time.perf_counter()
        planned = self.samples[number]
        try:
            value = self.draw(planned)
        except (SdbenchError, OSError) as error:
            return _Failed(error)
        return Drawn(planned, value, time.perf_counter() - started)


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
