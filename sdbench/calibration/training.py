"""Training the small networks from nothing: `python -m sdbench.calibration`, or `nox -s train-calibration`.

Each training runs on one thread and follows from its seed. What is finished is kept, so that an interrupted run goes
on with the training that it was in; a training that does not learn its task ends the run with an error.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sdbench.assets.store import AssetStore
from sdbench.base.cache_keys import Key, cache_key
from sdbench.base.environment import git_revision
from sdbench.base.errors import InputError, SdbenchError, unknown_name
from sdbench.base.files import atomic_path
from sdbench.calibration.scenes import SIDE as SCENE_SIDE
from sdbench.calibration.tasks import FRAMES, SIDE, draw_batch, training_textures, unseen_textures
from sdbench.calibration.trained import (
    FOLDER,
    KINDS,
    SEEDS,
    Kind,
    Training,
    alive,
    kind_named,
    rounded,
    save_trained,
)
from sdbench.networks import VideoNetwork

_TESTED = {False: 512, True: 192}  # videos, scenes
_TEST_BATCH = 64
_WARM_UP = 0.2  # of the steps: the rate rises, then falls
_DECAY = 0.01
_DROPOUT = 0.2  # the published half is too much for so few units
_LARGEST_GRADIENT = 5.0
_TEST_SEED = 2


class TrainingError(SdbenchError):
    """Networks that did not learn their task, or a training that could not go on."""


def train(
    name: str,
    task: str,
    seed: int,
    steps: int | None = None,
    watch: Callable[[int, VideoNetwork], object] | None = None,
) -> Training:
    """Train one network from nothing, on one thread.

    Args:
        name: one of `KINDS`.
        task: one of its tasks.
        seed: of its first weights and of all that it is shown.
        steps: number of batches; by default as many as its kind takes.
        watch: is given the network before the training (0) and after each batch (its number, from 1).

    Returns:
        The training; `about` holds what it scored with its stored numbers, in percent, and how fast frames were drawn
        and taken.

    Raises:
        InputError: the network or the task is unknown.
    """
    kind = kind_named(name)
    if task not in kind.tasks:
        raise unknown_name(f"task of {name}", task, kind.tasks)
    steps = kind.steps if steps is None else steps
    generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(f"{name} {task}".encode())]))
    textures = training_textures()
    seconds = {"drawing": 0.0, "network": 0.0}
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator.integers(2**31)))
        module = kind.build().train()
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = min(part.p, _DROPOUT)
        optimiser = torch.optim.AdamW(module.parameters(), lr=kind.rate, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, kind.rate, total_steps=max(steps, 2), pct_start=_WARM_UP
        )
        if watch is not None:
            watch(0, module)
        for step in range(1, steps + 1):
            started = time.process_time()
            inputs, answer = draw_batch(kind, task, textures, kind.batch, generator)
            drawn = time.process_time()
            optimiser.zero_grad()
            _loss(kind, module(**inputs), answer).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(module.parameters(), _LARGEST_GRADIENT)
            optimiser.step()
            schedule.step()
            seconds["drawing"] += drawn - started
            seconds["network"] += time.process_time() - drawn
            if watch is not None:
                watch(step, module)
        answering = alive(module)
        state = rounded({entry: value for entry, value in module.state_dict().items() if entry in answering})
        module.load_state_dict(state, strict=False)
        reached = score(kind, module.eval(), task)
    frames = steps * kind.batch * (FRAMES if not kind.segments else 2 if kind.paired else 1)
    about = {
        "score": round(reached, 2),
        "measured": "mean intersection over union, percent" if kind.segments else "right answers, percent",
        "data": data_of(kind),
        "steps": steps,
        "seconds": round(sum(seconds.values()), 1),
        "frames_drawn_a_second": round(frames / max(seconds["drawing"], 1e-9)),
        "frames_taken_a_second": round(frames / max(seconds["network"], 1e-9)),
    }
    return Training(name, task, seed, state, about)


def score(kind: Kind, module: VideoNetwork, task: str) -> float:
    """What a network scores on unseen textures, in percent: right answers, or mean intersection over union of masks."""
    generator = np.random.Generator(np.random.PCG64(_TEST_SEED))
    textures, scores = unseen_textures(), []
    with torch.no_grad():
        for _ in range(_TESTED[kind.segments] // _TEST_BATCH):
            inputs, answer = draw_batch(kind, task, textures, _TEST_BATCH, generator)
            scores.append(score_of(kind, module(**inputs), answer))
    return 100 * float(torch.cat(scores).mean())


def score_of(kind: Kind, answered: Tensor, answer: Tensor) -> Tensor:
    """(B,) in 0 to 1: whether a class is right, or the intersection over union of a mask."""
    if not kind.segments:
        return (answered.argmax(dim=1) == answer).float()
    found, true = _probability(answered) > 0.5, answer > 0.5
    common, either = ((found & true).flatten(1).sum(dim=1), (found | true).flatten(1).sum(dim=1))
    return common / either.clamp(min=1)


def _probability(answered: Tensor) -> Tensor:
    """(B, H, W): of object. FusionSeg answers logits of background and object, the others probabilities."""
    return answered.softmax(dim=1)[:, 1] if answered.shape[1] == 2 else answered[:, 0]


def data_of(kind: Kind) -> str:
    """What a network was trained on, in words."""
    if kind.segments:
        return f"drawn: sdbench.calibration.scenes, {SCENE_SIDE} x {SCENE_SIDE} pixels"
    return f"drawn: sdbench.calibration.drawing, {FRAMES} frames of {SIDE} x {SIDE} pixels"


def _loss(kind: Kind, answered: Tensor, answer: Tensor) -> Tensor:
    if not kind.segments:
        return F.cross_entropy(answered, answer)
    found = _probability(answered).clamp(1e-5, 1 - 1e-5)
    # The overlap counts beside the pixels: else, with little object, no object is a good answer for long.
    common, sizes = (found * answer).flatten(1).sum(dim=1), (found + answer).flatten(1).sum(dim=1)
    return F.binary_cross_entropy(found, answer) + (1 - (2 * common + 1) / (sizes + 1)).mean()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """With more threads sums are split otherwise, and a seed no longer says what comes out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


Job = tuple[str, str, int]
"""Network, task, seed."""


def jobs(names: Sequence[str] = tuple(KINDS)) -> list[Job]:
    """All trainings of the named networks."""
    return [(name, task, seed) for name in names for seed in range(SEEDS) for task in kind_named(name).tasks]


def kept(job: Job, folder: Path, steps: int) -> Training | None:
    """What an earlier run kept of a training of so many steps; None where there is nothing that can be used."""
    try:
        with safe_open(_part(job, folder), framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
    return Training(*job, state, about) if about.get("steps") == steps else None


def keep(training: Training, folder: Path) -> None:
    """Keep a finished training for `kept`, atomically."""
    job = (training.network, training.task, training.seed)
    with atomic_path(_part(job, folder)) as temporary:
        state = {name: value.contiguous() for name, value in training.state.items()}
        save_file(state, temporary, metadata={"about": json.dumps(training.about)})


def _part(job: Job, folder: Path) -> Path:
    name, task, seed = job
    return folder / f"{name}.{task}.{seed}.safetensors"


def shortfall(training: Training) -> str | None:
    """What is to be said of a training that scored less than its kind has to; None where it learned its task."""
    enough, reached = kind_named(training.network).enough, training.about["score"]
    if reached >= enough:
        return None
    return (
        f"{training.network} trained on {training.task} with seed {training.seed} reaches {reached:.1f} % "
        f"({training.about['measured']}); at least {enough:g} are expected: it did not learn its task"
    )


def train_all(wanted: Sequence[Job], parts: Path, processes: int, describe: dict[str, Any]) -> Iterator[Training]:
    """Train what is not finished, several at a time; yields every training as it is there, finished ones first.

    One that did not learn its task (see `shortfall`) is yielded as well, but not kept.

    Args:
        wanted: the trainings.
        parts: folder of finished trainings.
        processes: how many train side by side, each on one thread.
        describe: what to note with every new one.

    Raises:
        TrainingError: a process died.
    """
    left: list[Job] = []
    for job in wanted:
        done = kept(job, parts, kind_named(job[0]).steps)
        if done is None:
            left.append(job)
        else:
            yield done
    # Fresh processes: a copy of this one could inherit locks of torch's threads. They inherit that Ctrl-C is ignored;
    # this process hears it and ends them.
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _ignore_ctrl_c)
    try:
        waiting, running = iter(left), set[Future[Training]]()
        while True:
            with _children_ignore_ctrl_c():
                while len(running) < processes and (following := next(waiting, None)) is not None:
                    running.add(pool.submit(train, *following))
            if not running:
                break
            done_now, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done_now:
                found = future.result()
                found = replace(found, about={**found.about, **describe})
                if shortfall(found) is None:
                    keep(found, parts)
                yield found
    except BrokenProcessPool:
        raise TrainingError("a training process ended unexpectedly (out of memory?); run again to go on") from None
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _children_ignore_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def recipe() -> Key:
    """The key of all that decides what trainings give, but their seeds: those of another one are not gone on with."""
    return cache_key("trainings", code=__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, test and store all small networks; the exit status is 1 where a training fails, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sdbench.calibration", description=__doc__)
    parser.add_argument(
        "--only", action="append", metavar="NETWORK", help=f"one of {', '.join(KINDS)}; may be repeated"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="trainings side by side")
    parser.add_argument("--parts", type=Path, help="folder of finished trainings (default: in the cache)")
    parser.add_argument("--output", type=Path, default=FOLDER, help=f"folder of the weights (default: {FOLDER})")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        if options.processes < 1:
            raise InputError(f"--processes must be at least 1; got {options.processes}")
        names = tuple(options.only or KINDS)
        parts = options.parts or AssetStore().cache.trainings / recipe()
        wanted = jobs(names)
        describe = {
            "revision": git_revision(Path(__file__).parents[2]),
            "command": "nox -s train-calibration",
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        }
        there: dict[Job, Training] = {}
        failed: list[str] = []
        for training in train_all(wanted, parts, options.processes, describe):
            job = (training.network, training.task, training.seed)
            there[job] = training
            _say(
                f"[{len(there):2}/{len(wanted)}] {training.network} on {training.task}, seed {training.seed}: "
                f"{training.about['score']:.1f} % in {training.about['seconds']:.0f} s"
            )
            failed += [said] if (said := shortfall(training)) else []
        if failed:
            raise TrainingError("; ".join(failed))
        for name in names:
            of_name = {(task, seed): there[name, task, seed] for task in KINDS[name].tasks for seed in range(SEEDS)}
            path = options.output / f"{name}.safetensors"
            save_trained(path, of_name)
            _say(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    except SdbenchError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted; run again to go on")
        return 130
    _say(f"done in {(time.perf_counter() - started) / 60:.1f} minutes")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
