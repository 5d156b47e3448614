"""One run in a container: mounts, limits, output, Ctrl-C, exit status."""

from __future__ import annotations

import codecs
import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import docker
import requests
from docker.types import Mount

from sdbench.base.environment import CONTAINER_VARIABLE, MACHINE_VARIABLE, REVISION_VARIABLE, git_revision
from sdbench.base.errors import InputError
from sdbench.base.journal import JOURNAL, is_over, read_lines
from sdbench.base.machine import gpus, machine_identity
from sdbench.base.supervisor import LIFELINE
from sdbench.container.engine import (
    STOPS_WITHIN,
    EngineError,
    explained,
    gpu_requests,
    new_name,
    owner_label,
    remove,
    user_of,
)
from sdbench.container.image import Image

CACHE, REPORT, DATA, EXPECTED, LOCK = "/cache", "/report", "/data", "/expected", "/lock.json"
"""Where things of this machine are seen inside."""

GIB = 1 << 30

_TEMPORARY = {"/tmp": "rw,nosuid,nodev,size=2g,mode=1777"}  # noqa: S108 - the container's own
_MOST_PROCESSES = 4096
_PASSED_ON = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""Variables that decide how a run computes."""

_PATIENCE = STOPS_WITHIN - 1.0
"""Seconds that are waited for a run that was told to end, so that the container is gone when others lose patience."""


_SIGNALLED = 128
"""An exit status above this one is that of a process that a signal ended, whose number is added to it."""


class Stopped(BaseException):
    """The run was told to end by a signal other than Ctrl-C's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class Job:
    """What to run and what it may see.

    Attributes:
        arguments: of pytest, with paths as they are inside.
        cache: the asset cache; its folder of assets cannot be written from inside.
        report: the folder of the report, made by the caller.
        data: the user's data sets, read only; None where there are none.
        expected: the user's own expected values, read only; None where there are none.
        lock: the lock file of first-seen hashes, read only; None for the one in the cache.
        device: as pytest's --device.
        memory: the most memory it may use, in bytes; None for nine tenths of the engine's.
        shared_memory: the size of /dev/shm in bytes.
    """

    arguments: Sequence[str]
    cache: Path
    report: Path
    data: Path | None = None
    expected: Path | None = None
    lock: Path | None = None
    device: str = "cpu"
    memory: int | None = None
    shared_memory: int = GIB


@dataclass(frozen=True)
class Outcome:
    """The exit status of a run, and how many seconds it took from its start to its end."""

    status: int
    seconds: float


def run(client: docker.DockerClient, image: Image, job: Job, root: Path) -> Outcome:
    """Run the benchmarks in a container without a network, and remove it.

    What it says is passed on as it comes. After Ctrl-C or a termination signal the run is told to stop, has time
    to write the report of what is done, and is removed in any case. Where this process is killed, the run's standard
    input ends, which this process holds, and the run with it.

    Args:
        client: the engine.
        image: what to run in.
        job: what to run.
        root: the checkout, whose revision the report names.

    Raises:
        EngineError: the container could not be made or started, or used more memory than it may.
        KeyboardInterrupt: after Ctrl-C, when the container is gone.
        Stopped: after SIGTERM or SIGHUP, when the container is gone.
    """
    name, stopped = new_name(), False
    with _signals_as_exceptions():
        try:
            options = {**settings(client, image, job, root), "stdin_open": True}
            options["environment"] |= {LIFELINE: "0"}
            container = client.containers.create(image.id, **options, name=name)
            lifeline = container.attach_socket(params={"stdin": 1, "stream": 1})
            output = _Output(container.attach(stdout=True, stderr=True, stream=True, logs=True, demux=True))
            try:
                container.start()
                output.start()
                output.wait()
                status = int(container.wait()["StatusCode"])
            except (KeyboardInterrupt, Stopped):
                stopped = True
                _stop(container, output)
                raise
            container.reload()
            lifeline.close()
        except (docker.errors.DockerException, requests.RequestException) as error:
            # A stopping engine may still answer where it was asked before, and nowhere else.
            if not isinstance(error, requests.ConnectionError) and _answers(client):
                raise explained(error, "running the container") from None
            _wait_for_report(job.report)
            raise EngineError(
                "the container engine stopped in the middle of the run; start it and run the same command again, which "
                "removes what is left of the container"
            ) from None
        finally:
            remove(client, name)
            if stopped:
                _say("the container is gone")
    state = container.attrs.get("State", {})
    if state.get("OOMKilled"):
        limit = f"at its limit of {options['mem_limit'] / GIB:.1f} GiB of memory"
        cure = "give it more with --memory, or run fewer cases at once with -k"
        if status > _SIGNALLED:
            raise EngineError(f"the run was killed {limit}; {cure}")
        _say(f"a process of the run was killed {limit}; {cure}")
    return Outcome(status, _seconds_between(state.get("StartedAt", ""), state.get("FinishedAt", "")))


def _seconds_between(start: str, end: str) -> float:
    """Between two of the engine's times, which have nanoseconds; not a number where one is not a time."""
    try:
        first, last = (datetime.fromisoformat(f"{moment[:19]}+00:00") for moment in (start, end))
        return (last - first).total_seconds() + float(f"0.{_fraction(end)}") - float(f"0.{_fraction(start)}")
    except ValueError:
        return math.nan


def _fraction(moment: str) -> str:
    return moment[19:].lstrip(".").rstrip("Z") or "0"


def settings(client: docker.DockerClient, image: Image, job: Job, root: Path) -> dict[str, Any]:
    """How the container is made: it can write the cache, the report and its own memory, and nothing else."""
    information = client.info()
    most = int(information["MemTotal"])
    memory = job.memory or most * 9 // 10
    for option, size in (("--memory", memory), ("--shared-memory", job.shared_memory)):
        if size > most:
            raise InputError(f"{option} {size / GIB:.1f} GiB is more than the engine has, {most / GIB:.1f} GiB")
    mounts = [
        Mount(CACHE, str(job.cache), type="bind"),
        Mount(f"{CACHE}/assets", str(job.cache / "assets"), type="bind", read_only=True),
        Mount(REPORT, str(job.report), type="bind"),
    ]
    if job.data is not None:
        mounts.append(Mount(DATA, str(job.data), type="bind", read_only=True))
    if job.expected is not None:
        mounts.append(Mount(EXPECTED, str(job.expected), type="bind", read_only=True))
    if job.lock is not None:
        mounts.append(Mount(LOCK, str(job.lock), type="bind", read_only=True))
    environment = {
        "SDBENCH_CACHE": CACHE,
        "SDBENCH_OFFLINE": "1",
        "HOME": "/tmp",  # noqa: S108 - the container's own, and the only place that any user may write
        "USER": "sdbench",
        CONTAINER_VARIABLE: json.dumps(_about(information, image)),
        MACHINE_VARIABLE: machine_identity(),
        REVISION_VARIABLE: git_revision(root),
        **{variable: os.environ[variable] for variable in _PASSED_ON if variable in os.environ},
    }
    if job.lock is not None:
        environment["SDBENCH_LOCK"] = LOCK
    security = ["no-new-privileges"]
    if any("selinux" in option for option in information.get("SecurityOptions") or ()):
        security.append("label=disable")  # else the mounted folders could not be read without being relabelled
    # Where the engine maps users to others, ours would not own what it writes.
    mapped = any("name=userns" in option for option in information.get("SecurityOptions") or ())
    return {
        "userns_mode": "host" if mapped else None,
        "command": list(job.arguments),
        "environment": environment,
        "mounts": mounts,
        "user": user_of(information, os.getuid(), os.getgid()),
        "network_mode": "none",
        "read_only": True,
        "tmpfs": _TEMPORARY,
        "cap_drop": ["ALL"],
        "security_opt": security,
        "mem_limit": memory,
        "memswap_limit": memory,
        "shm_size": job.shared_memory,
        "pids_limit": _MOST_PROCESSES,
        "device_requests": gpu_requests(job.device),
        "labels": owner_label(),
        # Passes signals on and reaps processes; an engine that has none does not name one.
        "init": bool(information.get("InitBinary")),
    }


def _about(information: Mapping[str, Any], image: Image) -> dict[str, str]:
    """What the report says of the container, beside what it can see itself."""
    return {
        "image": image.name,
        "image_digest": image.id,
        "base": image.base,
        "base_digest": image.base_digest,
        "engine": str(information.get("ServerVersion", "unknown")),
        "gpus_of_host": "; ".join(gpus()) or "none",
    }


class _Output:
    """Passes on what a container says, in a thread of its own, so that a signal is heard at once.

    Its end is an event: a thread whose join a signal interrupts counts as ended in Pythons before 3.13.
    """

    def __init__(self, parts: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        self._parts = parts
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._pass_on, name="sdbench-output", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float = math.inf) -> None:
        """Wait until everything was said, or for so many seconds."""
        until = time.monotonic() + seconds
        while not self._ended.wait(0.2) and time.monotonic() < until:
            pass

    def _pass_on(self) -> None:
        # A character may come in two parts.
        decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(2)]
        try:
            for parts in self._parts:
                for content, decoder, stream in zip(parts, decoders, (sys.stdout, sys.stderr), strict=True):
                    if content:
                        stream.write(decoder.decode(content))
                        stream.flush()
        except (OSError, ValueError, docker.errors.DockerException, requests.RequestException):
            pass  # nobody listens any more, or the engine went away: the container's status says how the run ended
        finally:
            self._ended.set()


def _stop(container: Any, output: _Output) -> None:
    """Tell the run to stop, and give it time to write its report."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it comes behind Ctrl-C where a CI runner cancels
    _say("stopping the container; it writes the report of what is done")
    with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
        container.kill(signal="SIGINT")
        output.wait(_PATIENCE)


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Stopped in the main thread while the block runs; Ctrl-C is heard in any case."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {signal.SIGTERM: stop, signal.SIGHUP: stop, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(client: docker.DockerClient) -> bool:
    """Whether the engine is still there."""
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, requests.RequestException, OSError):
        return False


def _wait_for_report(folder: Path) -> None:
    """An engine that stops tells its containers to end, and they write their report."""
    until = time.monotonic() + STOPS_WITHIN
    while time.monotonic() < until and not is_over(read_lines(folder / JOURNAL)):
        time.sleep(0.2)


def _say(words: str) -> None:
    print(f"sdbench: {words}", file=sys.stderr, flush=True)
