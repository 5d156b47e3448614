"""Questions are put to a network about every sample once: what it answered lies on disk until all is done."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from sdbench.assets.store import AssetStore
from sdbench.base.cache_keys import Key, cache_key
from sdbench.base.kept import Arrays
from sdbench.base.progress import progress
from sdbench.engine import Finished, Planned
from sdbench.engine.parts import Task, Work, cut, run
from sdbench.engine.placing import placed
from sdbench.networks.network import Network

Question = TypeVar("Question", bound=Hashable)


def asked(
    network: Network,
    samples: Sequence[Planned],
    questions: Mapping[Question, Callable[[], Work]],
    draw: Callable[[Any], Any],
    *,
    doing: str,
    device: torch.device,
    store: AssetStore,
    workers: int | None,
    finished: Finished | None,
) -> dict[Question, Arrays]:
    """What a network answers to each question about all samples; what it has answered before is not asked again.

    A sample is drawn once for all questions that are still open about it.

    Args:
        network: its module comes back as it was given.
        samples: what it is shown, in order.
        questions: a plain value that says all that decides the answers beside the network, its feed and the samples ->
            what starts the work on some of the samples. Its arrays have a row for each sample.
        draw: makes what that work sees of a planned sample.
        doing: what stands before the progress bar.
        device: where the network runs.
        store: parts of unfinished runs lie in its folder.
        workers: processes that draw samples while the network is busy; by default one a core.
        finished: takes the parts of this run, which then stay on disk until the caller discards them; by default they
            go at the end.

    Returns:
        for each question the arrays of all samples.

    Raises:
        InputError: whatever drawing or the work refuses.
        DiskError: what is finished cannot be written.
    """
    parts = cut(samples)
    tasks = []
    for question, begin in questions.items():
        key = _key(question, network, device, (begin, draw))
        tasks.append(Task(store.cache.parts / key, begin, made_by=key))
    resumed = sum(len(part.samples) for part in parts if all(task.is_done(part) for task in tasks))
    with placed(network.module, device), progress(doing, len(samples), resumed, store.quiet) as advance:
        answers = list(run(parts, tasks, draw, workers, advance))
    for task in tasks:
        if finished is None:
            task.discard(parts)
        else:
            finished.add(task, parts)
    return {
        question: _joined(of_parts) for question, of_parts in zip(questions, zip(*answers, strict=True), strict=True)
    }


def _key(question: Hashable, network: Network, device: torch.device, work: tuple[Callable[..., Any], ...]) -> Key:
    return cache_key(
        *("parts of evaluations", question, network.weights, network.feed, str(device)),
        code=(__name__, *work, {type(part) for part in network.module.modules()}, type(network.feed)),
    )


def _joined(parts: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
