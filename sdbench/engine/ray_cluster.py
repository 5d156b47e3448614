"""The parts of a measurement on a Ray cluster, or on several processes of this machine.

This process, the driver, hands out parts and keeps what comes back; it draws nothing and passes nothing. A worker is an
actor that loads the network once: only the names and paths of samples travel to it, and only sums travel back. A part
may be done twice, where a worker takes it over from one that may be lost: its bits are the same whoever does it, the
first that come are kept, and the others are forgotten.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sdbench.base.checks import number, text, whole
from sdbench.base.errors import InputError
from sdbench.base.kept import Arrays
from sdbench.engine.compiling import keep_choice, known_choice
from sdbench.engine.parts import Kept, Part
from sdbench.engine.ray_worker import AT_ONCE, Outcome, known_here, part_worker
from sdbench.engine.running import Job
from sdbench.zoo.adapters.own import by_value

_JOINING_SECONDS = 18.0
"""Ray itself goes on for more than ten minutes to look for a cluster that is not there."""

_LOOK_EVERY = 2.0
_SAY_AFTER = 10.0

_TRIES = 4
"""So many workers may end over a part, or be lost with it, before it is taken to be at fault."""

_LOADING = -1
"""In place of the number of a part: what a worker does before its first."""

_CHATTER = "Task PartWorker|Raylet is terminated|has been marked dead|worker died or was killed while executing"
"""What Ray prints of lost workers on standard output, with pages of its logs; here one sentence says it."""

_NO_CLUSTER = 3

_JOIN = f"""
import logging, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
except ConnectionError as error:
    print(error)
    sys.exit({_NO_CLUSTER})
except Exception as error:
    print(error)
    sys.exit(1)
"""
"""Tried by another process first: this one could not give it up."""


@dataclass(frozen=True)
class OnRay:
    """Workers on a Ray cluster do the parts; or on this machine, where no cluster runs.

    Every node needs the same sdbench, torch and so on, and must find the videos under the same paths. The bits are
    those of one process whose torch uses `cpus_per_worker` threads, on equal hardware. Where `ray.init` was called
    before, that cluster is used, and left as it is.

    Attributes:
        address: host:port of the cluster's head node; "auto" joins the one that runs here or that `RAY_ADDRESS` names,
            and otherwise starts one on this machine for the time of the measurement; "local" always starts one.
        workers: how many, at most; those that find a place on the cluster begin.
        gpus_per_worker: GPUs of a worker; 0.5 lets two share one.
        cpus_per_worker: cores of a worker, which are also the threads of its torch.

    Raises:
        InputError: a number is out of range.
    """

    address: str = "auto"
    workers: int = 2
    gpus_per_worker: float = 0.0
    cpus_per_worker: int = 1

    def __post_init__(self) -> None:
        text("address", self.address, ("auto",))
        for name in ("workers", "cpus_per_worker"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        object.__setattr__(self, "gpus_per_worker", number("gpus_per_worker", self.gpus_per_worker))
        if self.workers < 1 or self.cpus_per_worker < 1:
            raise InputError(
                "at least one worker with at least one core is needed; got "
                f"workers={self.workers}, cpus_per_worker={self.cpus_per_worker}"
            )
        if self.gpus_per_worker < 0 or (self.gpus_per_worker > 1 and self.gpus_per_worker % 1):
            raise InputError(
                "a worker has a part of one GPU or a whole number of them: give gpus_per_worker from 0 to 1, or "
                f"2, 3, ...; got {self.gpus_per_worker}"
            )

    def sums(
        self, job: Job, parts: Sequence[Part], kept: Kept, advance: Callable[[int], None]
    ) -> Generator[Arrays, None, None]:
        """See `sdbench.engine.running.Runner`; every part is kept as soon as it comes in, whichever it is."""
        if job.placement.device.startswith("cuda") and not self.gpus_per_worker:
            raise InputError(
                f"Ray shows no GPU to workers with gpus_per_worker=0, and {job.placement.device} is asked for: give "
                "OnRay(gpus_per_worker=1), or 0.5 for two workers on each GPU"
            )
        with contextlib.ExitStack() as stack:
            crew: _Crew | None = None
            for part in parts:
                arrays = kept.read(part)
                while arrays is None:
                    if crew is None:  # nothing is started for a run whose parts are all there
                        ray, lent = stack.enter_context(_joined(self))
                        crew = _Crew(ray, self, job, parts, kept, advance)
                        if lent:  # otherwise they end with the connection, and Ray complains of none
                            stack.callback(crew.end)
                    crew.finish(part)
                    arrays = kept.read(part)
                yield arrays

    @property
    def needs(self) -> str:
        """What a worker needs, in words."""
        return _amounts(self.cpus_per_worker, self.gpus_per_worker)


@contextlib.contextmanager
def _joined(runner: OnRay) -> Iterator[tuple[Any, bool]]:
    """The module ray, connected to a cluster, and whether the connection is the caller's own.

    Afterwards what was begun here is ended, and nothing else.
    """
    ray = _imported()
    if ray.is_initialized():
        yield ray, True
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    with _own_signals():
        try:
            if runner.address == "local" or not _is_reached(runner.address):
                ray.init("local", num_cpus=runner.workers * runner.cpus_per_worker, include_dashboard=False, **quiet)
            else:
                ray.init(runner.address, **quiet)
            yield ray, False
        finally:
            ray.shutdown()


def _imported() -> Any:
    """The module ray."""
    # Otherwise Ray ships the folder in which `uv run` was called to all workers, and makes them an environment of it.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray reads this once, when it is imported; a setting of the user's own holds.
    ours = "RAY_DEDUP_LOGS_SKIP_REGEX" not in os.environ
    if ours:
        os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = _CHATTER
    try:
        return import_module("ray")
    except ImportError:
        raise InputError("Ray is not installed; to run on a cluster: pip install 'sdbench[ray]'") from None
    finally:
        if ours:
            del os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"]


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray has a handler of its own for the end of the process: afterwards it is again what it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


def _is_reached(address: str) -> bool:
    """Whether there is a cluster; False where none was named and none runs.

    Raises:
        InputError: the one that was named cannot be joined.
    """
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _JOIN, address],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=_JOINING_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = f"it did not answer within {_JOINING_SECONDS:.0f} s"
    else:
        if tried.returncode == 0:
            return True
        if tried.returncode == _NO_CLUSTER and address == "auto" and not os.environ.get("RAY_ADDRESS"):
            return False
        why = " ".join(tried.stdout.split())[:400] or f"Ray ended with status {tried.returncode}"
    named = os.environ.get("RAY_ADDRESS", "auto") if address == "auto" else address
    raise InputError(
        f"the Ray cluster at {named} cannot be joined ({why}); expected host:port of its head node, as "
        '`ray start --head` says it, or "auto"'
    )


class _Crew:
    """The workers of a run, and what each of them is busy with.

    Args:
        ray: the module, connected to a cluster.
        runner: how many workers, and what each needs.
        job: what they do.
        parts: all parts of the run.
        kept: where what comes of them is kept.
        advance: called with the number of samples that are done.

    Raises:
        InputError: no node can hold a worker, or the job cannot be sent to one.
    """

    def __init__(
        self, ray: Any, runner: OnRay, job: Job, parts: Sequence[Part], kept: Kept, advance: Callable[[int], None]
    ) -> None:
        self._ray, self._runner, self._kept, self._advance = ray, runner, kept, advance
        self._todo = deque(part for part in parts if not kept.is_done(part))
        self._done = {part.number for part in parts} - {part.number for part in self._todo}
        self._samples = sum(len(part.samples) for part in parts if part.number in self._done)
        self._choice = known_choice(kept.folder)
        undecided = self._choice is None and job.placement.compiling != "off"
        self._first = _deciding(self._todo) if undecided else None
        self._failures: dict[int, Exception] = {}
        self._lost: Counter[int] = Counter()
        self._node_of: dict[Any, str] = {}
        self._flying: dict[Any, tuple[Any, Part | None]] = {}
        self._begun = self._looked = time.monotonic()
        self._said = False
        self._alive = self._places()
        kind = part_worker(ray, runner.cpus_per_worker, runner.gpus_per_worker)
        self._job = [_put(ray, job)]  # Ray unpacks a reference only where it stands alone
        self._workers = [kind.remote(known_here()) for _ in range(min(runner.workers, len(parts)))]
        for worker in self._workers:
            self._flying[worker.placed.remote()] = (worker, None)

    def end(self) -> None:
        """End all workers, whatever they are busy with."""
        for worker in self._workers:
            with contextlib.suppress(Exception):  # one that cannot be reached any more ends with this process's job
                self._ray.kill(worker)

    def finish(self, part: Part) -> None:
        """Return when this part is kept; meanwhile whatever else comes in is kept too.

        Raises:
            InputError: what drawing or the network refuses, in the lowest of the parts that were begun; no node can
                hold a worker; or a worker has other versions than the driver.
            DiskError: a part cannot be kept.
        """
        if part.number in self._done:  # what was kept of it turned out to be damaged
            self._done.remove(part.number)
            self._samples -= len(part.samples)
            self._todo.appendleft(part)
        while part.number not in self._done:
            self._hand_out()
            if self._failures and not self._under_way():
                raise self._failures[min(self._failures)]
            ready, _ = self._ray.wait(list(self._flying), timeout=_LOOK_EVERY)
            for reference in ready:
                self._take(reference)
            self._look()

    def _under_way(self) -> list[Part]:
        """The parts that somebody is busy with and that are still wanted, the oldest first."""
        given = {part.number: part for _, part in self._flying.values() if part is not None}
        return [part for n, part in given.items() if n not in self._done and n not in self._failures]

    def _hand_out(self) -> None:
        """Give parts to those who have room: to each a first before anybody gets a second."""
        for room in range(1, AT_ONCE + 1):
            for worker in self._node_of:
                busy_with = self._parts_of(worker)
                if len(busy_with) >= room or any(self._lost[part.number] for part in busy_with):
                    continue
                without = sum(not self._parts_of(other) for other in self._workers)
                if busy_with and len(self._todo) <= without:
                    continue  # the last parts are for those who have none, also if they are still starting
                if part := self._next(idle=not busy_with):
                    given = self._ray.cloudpickle.dumps((part, self._choice))
                    self._flying[worker.do.remote(self._job, given)] = (worker, part)

    def _parts_of(self, worker: Any) -> list[Part]:
        return [part for other, part in self._flying.values() if other is worker and part is not None]

    def _next(self, idle: bool) -> Part | None:
        """A part that nobody has; or, for a worker with nothing else to do, one of another, who may be lost with it."""
        if self._failures:
            return None  # what is under way is finished, by those who have it
        taken = self._under_way()
        if self._todo:
            if self._lost[self._todo[0].number] and not idle:
                return None  # a part that may have ended its worker is done alone, so that no other is blamed
            if self._first is None:
                return self._todo.popleft()
            # Whether passes are compiled is decided once, with this part, and all others wait for that.
            if self._first in self._todo:
                self._todo.remove(self._first)
                return self._first
            holders = [worker for worker, part in self._flying.values() if part is self._first]
            taken = [] if any(self._node_of.get(worker) in self._alive for worker in holders) else taken
        if not idle or not taken:
            return None
        held = Counter(part.number for _, part in self._flying.values() if part is not None)
        return min(reversed(taken), key=lambda part: held[part.number])  # the last given has hardly been begun

    def _take(self, reference: Any) -> None:
        """See what became of something that a worker was given."""
        worker, part = self._flying.pop(reference)
        errors = self._ray.exceptions
        try:
            came = self._ray.get(reference)
        except errors.RayTaskError as error:
            self._fail(part, error.cause if isinstance(error.cause, Exception) else error)
        except (errors.RayActorError, errors.ObjectLostError) as error:
            self._again(worker, part, error)
        except errors.RayError as error:
            self._fail(part, _ended(part, error))
        else:
            if part is None and worker not in self._node_of:
                self._node_of[worker] = came
                self._flying[worker.load.remote(self._job)] = (worker, None)
            elif isinstance(came, str):
                self._fail(None, InputError(came))
            elif isinstance(came, Outcome) and part is not None:
                self._keep(part, came)

    def _keep(self, part: Part, outcome: Outcome) -> None:
        if part.number in self._done:
            return
        if outcome.arrays is None:
            assert outcome.error is not None
            self._fail(part, outcome.error)
            return
        if self._choice is None and outcome.choice is not None:
            self._choice = keep_choice(self._kept.folder, outcome.choice)
        if part is self._first:
            self._first = None
        self._kept.keep(part, outcome.arrays)
        self._done.add(part.number)
        self._samples += len(part.samples)
        self._advance(self._samples)

    def _fail(self, part: Part | None, error: Exception) -> None:
        number = _LOADING if part is None else part.number
        if number not in self._done:
            self._failures.setdefault(number, error)

    def _again(self, worker: Any, part: Part | None, error: Exception) -> None:
        """A worker ended, or what it did is lost on its way here: as soon as it is back, it gets parts again."""
        if part is None and worker not in self._node_of:
            self._fail(None, _ended(None, error))
        elif worker in self._node_of:
            del self._node_of[worker]
            said = f"sdbench: a worker on the Ray cluster ended ({type(error).__name__}); its parts are given again"
            print(said, file=sys.stderr)
            self._flying[worker.placed.remote()] = (worker, None)
        if part is None or part.number in self._done:
            return
        self._lost[part.number] += 1
        if self._lost[part.number] >= _TRIES:
            self._fail(part, _ended(part, error))
        elif part not in self._todo and part not in self._under_way():
            self._todo.appendleft(part)

    def _look(self) -> None:
        """Now and then, look at the cluster."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked, self._alive = now, self._places()
        waiting = len(self._workers) - len(self._node_of)
        if waiting and not self._said and now - self._begun >= _SAY_AFTER:
            self._said = True
            going_on = f"the other {len(self._node_of)} go on" if self._node_of else "nothing can begin before"
            print(
                f"sdbench: {waiting} of {len(self._workers)} workers wait for a place on the Ray cluster, each for "
                f"{self._runner.needs}; {going_on}",
                file=sys.stderr,
            )

    def _places(self) -> set[str]:
        """The nodes that are there.

        Raises:
            InputError: none of them could hold a worker even if it had nothing else to do.
        """
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        amounts = [(node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0)) for node in nodes]
        if not any(c >= self._runner.cpus_per_worker and g >= self._runner.gpus_per_worker for c, g in amounts):
            there = ", ".join(
                f"{node['NodeManagerHostname']} with {_amounts(*has)}" for node, has in zip(nodes, amounts, strict=True)
            )
            raise InputError(
                f"a worker needs {self._runner.needs}, and no node of the Ray cluster has that (there is "
                f"{there or 'no node'}): ask for less with OnRay(cpus_per_worker=..., gpus_per_worker=...), or start a "
                "node that has it, then run the same command again: what is finished is kept"
            )
        return {node["NodeID"] for node in nodes}


@contextlib.contextmanager
def _with_code(ray: Any) -> Iterator[None]:
    """Meanwhile what is pickled of a user's own files holds their code: workers cannot import them."""
    modules = by_value()
    for module in modules:
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            ray.cloudpickle.unregister_pickle_by_value(module)


def _put(ray: Any, job: Job) -> Any:
    """A reference to the job, for any number of workers."""
    try:
        with _with_code(ray):
            content = ray.cloudpickle.dumps(job)
    except Exception as error:  # whatever a module or a study of a user's own raises
        raise InputError(
            f"the network and the study must be picklable to be sent to workers; {type(error).__name__}: {error}: "
            "leave open files, locks and lambdas of compiled code out of them"
        ) from error
    try:
        return ray.put(content)
    except ray.exceptions.RayError as error:
        raise InputError(
            f"Ray's object store has no room for the network, {len(content) / 2**20:.0f} MiB ({_line(error)}): start "
            "Ray with a larger --object-store-memory, or make room in its folder for spilled objects"
        ) from None


def _deciding(parts: Iterable[Part]) -> Part | None:
    """The first part with a sample that may go through in a compiled pass."""
    return next((part for part in parts if not all(sample.together for sample in part.samples)), None)


def _ended(part: Part | None, error: Exception) -> InputError:
    if part is None:
        return InputError(f"a worker could not be started on the Ray cluster ({_line(error)}); see Ray's logs there")
    return InputError(
        f"the worker that did {part.samples[0].name} to {part.samples[-1].name} ended {_TRIES} times ({_line(error)}); "
        "mostly that is a lack of memory: have fewer workers on a node, with a larger cpus_per_worker, then run the "
        "same command again: what is finished is kept"
    )


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def _amounts(cpus: float, gpus: float) -> str:
    return f"{cpus:g} {'CPU' if cpus == 1 else 'CPUs'} and {gpus:g} {'GPU' if gpus == 1 else 'GPUs'}"
