"""The container engine: reaching it, and what it says when something is wrong, in sentences that help."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import docker
import requests
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.types import DeviceRequest
from docker.utils import kwargs_from_env

from sdbench.base.errors import SdbenchError
from sdbench.base.machine import machine_identity

HOST_WORKS = "--where host runs without a container"

_CAPABILITIES = [["gpu"]]

_SCHEMES = ("unix", "http+unix", "tcp", "http", "https")

OWNER_LABEL = "sdbench.owner"
"""Label of a container with the process that started it, and removes it: as JSON its host, number and start."""

STOPS_WITHIN = 10
"""Seconds that a run has, once told to end, to write its report: as many as `docker stop` and CI runners give."""


class EngineError(SdbenchError):
    """The container engine is not there, refuses, or could not do what was asked."""


def connect() -> docker.DockerClient:
    """A client of the engine at `DOCKER_HOST`, of Docker's current context, or of the first usual place that has one.

    Raises:
        EngineError: there is none, or it may not be used.
    """
    if platform.system() == "Windows":
        raise EngineError(f"containers are started from Linux or macOS only; run this inside WSL; {HOST_WORKS}")
    failures = []
    for where, options in _places():
        try:
            client = docker.DockerClient(timeout=60, **options)
            client.ping()
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            failures.append((where, error))
        else:
            return client
    where, failure = failures[0]
    if "Permission denied" in str(failure) or "PermissionError" in str(failure):
        raise EngineError(
            f"a container engine is at {where}, but this user may not use it; join its group (usually `docker`, "
            f"then log in again), or name another engine in DOCKER_HOST; {HOST_WORKS}"
        )
    raise EngineError(
        f"no container engine answers at {where} ({_cause(failure)}); start Docker or `podman system service`, or "
        f"name another address in DOCKER_HOST; {HOST_WORKS}"
    )


def _places() -> list[tuple[str, dict[str, Any]]]:
    """Where an engine may be, in words and as the SDK wants it: DOCKER_HOST, else Docker's context, else as usual."""
    if host := os.environ.get("DOCKER_HOST"):
        return [(_checked(f"DOCKER_HOST={host}", host), {**kwargs_from_env()})]
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name != "default":
        try:
            context = ContextAPI.get_context(name)
        except Exception as error:  # of many kinds, where its files are damaged
            raise EngineError(f"Docker's context {name!r} cannot be read ({said_by(error)}); {HOST_WORKS}") from None
        if context is None:
            raise EngineError(f"Docker's context {name!r} is not known here; see `docker context ls`; {HOST_WORKS}")
        where = _checked(f"{context.Host} (Docker's context {name!r})", context.Host or "")
        return [(where, {"base_url": context.Host, **({"tls": context.TLSConfig} if context.TLSConfig else {})})]
    found = [path for path in usual_sockets() if path.exists()] or usual_sockets()[:1]
    return [(f"{path} (DOCKER_HOST is not set)", {"base_url": f"unix://{path}"}) for path in found]


def usual_sockets() -> list[Path]:
    """Where engines listen that nobody was told of: Docker, Docker without root or of Desktop, Podman."""
    mine = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    return [
        Path("/var/run/docker.sock"),
        mine / "docker.sock",
        Path.home() / ".docker/run/docker.sock",
        mine / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    ]


def _checked(where: str, address: str) -> str:
    """`where`, if an engine that can mount folders of this machine may be at `address`."""
    scheme, _, rest = address.partition("://")
    if scheme == "ssh":
        raise EngineError(
            f"{where} is an engine on another machine, which cannot mount this machine's folders (cache, report, "
            f"data); run this command there, or name an engine of this machine; {HOST_WORKS}"
        )
    if scheme not in _SCHEMES or not rest:
        raise EngineError(
            f"{where} is no address of a container engine; expected unix:///PATH or tcp://HOST:PORT; {HOST_WORKS}"
        )
    return where


def _cause(error: BaseException) -> str:
    """The innermost reason of an error, which the SDK hides in several others."""
    while inner := next((part for part in error.args if isinstance(part, BaseException)), None) or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or said_by(error)


def explained(error: Exception, what: str) -> EngineError:
    """What the engine said when it could not do `what`, with what can be done about it."""
    said = said_by(error)
    lowered = said.lower()
    if is_disk_full(said):
        return EngineError(
            f"the engine's disk is full: {what} failed ({said}); an image takes about 10 GB with CUDA, 2 GB without; "
            f"make room with `docker system prune`, then run the same command again; {HOST_WORKS}"
        )
    if "could not select device driver" in lowered or "nvidia-container" in lowered or "cdi device" in lowered:
        return EngineError(
            f"the engine cannot give a GPU to a container ({said}); install the NVIDIA container toolkit (for Podman "
            f"also run `nvidia-ctk cdi generate`) and restart the engine, or leave out --device cuda; {HOST_WORKS}"
        )
    return EngineError(f"{what} failed: {said}; {HOST_WORKS}")


def said_by(error: BaseException) -> str:
    """The words of an error, in one line."""
    return " ".join(str(getattr(error, "explanation", None) or error).split())


def say(words: str) -> None:
    """A line about what is done, beside the output of the run."""
    print(f"sdbench: {words}", file=sys.stderr, flush=True)


def is_disk_full(said: object) -> bool:
    """Whether something failed since a disk is full."""
    lowered = str(said).lower()
    return any(words in lowered for words in ("no space left on device", "errno 28", "disk quota exceeded"))


def gpu_requests(device: str) -> list[DeviceRequest]:
    """What to ask the engine for so that torch finds `device`: all GPUs for CUDA, else none."""
    return [DeviceRequest(count=-1, capabilities=_CAPABILITIES)] if device.partition(":")[0] == "cuda" else []


def check_gpu(client: docker.DockerClient, image: str) -> None:
    """See that torch in the image computes on the GPU that the engine gives to a container.

    An engine does not say beforehand: its list of runtimes need not name what `--gpus` uses, and only torch knows
    which drivers and GPUs it was built for.

    Raises:
        EngineError: the engine gives none, or torch cannot use it.
    """
    wanted = {"entrypoint": ["python", "-m", "sdbench.base.gpu_check"], "network_mode": "none"}
    try:
        status, said = run_briefly(client, image, **wanted, device_requests=gpu_requests("cuda"))
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise explained(error, "starting a container with a GPU") from None
    if status:
        last = said.strip().splitlines()[-1:] or [f"the check ended with exit status {status}"]
        raise EngineError(f"torch in the image cannot use the GPU: {last[0]}; or leave out --device cuda; {HOST_WORKS}")


def run_briefly(client: docker.DockerClient, image: str, **options: Any) -> tuple[int, str]:
    """Run a container to its end and remove it whatever happens; its exit status, and what it said."""
    name = new_name()
    try:
        container = client.containers.create(image, name=name, **{"labels": owner_label(), **options})
        container.start()
        status = int(container.wait()["StatusCode"])
        return status, container.logs().decode(errors="replace")
    finally:
        remove(client, name)


def new_name() -> str:
    """A name for a container: known before it is made, so that it can be removed even if making it is interrupted."""
    return f"sdbench-{uuid.uuid4().hex[:12]}"


def remove(client: docker.DockerClient, name: str) -> None:
    """Remove the container of this name, killing it if need be; none is no error."""
    for _ in range(2):
        try:
            client.api.remove_container(name, force=True)
        except KeyboardInterrupt:
            continue  # once more: an impatient second Ctrl-C must not leave it running
        except (docker.errors.DockerException, requests.RequestException):
            return
        return


def user_of(information: dict[str, Any], user: int, group: int) -> str:
    """Who the processes of a container must be so that the caller (`user`, `group`) owns the files they write.

    A rootless engine maps its caller to root inside.
    """
    rootless = any("rootless" in option for option in information.get("SecurityOptions") or ())
    return "0:0" if rootless else f"{user}:{group}"


def owner_label() -> dict[str, str]:
    """The label of containers that this process starts."""
    owner = {"host": _host(), "process": os.getpid(), "start": _start_of(os.getpid())}
    return {OWNER_LABEL: json.dumps(owner)}


def remove_orphans(client: docker.DockerClient) -> list[str]:
    """Remove containers whose owner on this machine is gone; returns a sentence for each.

    One that still runs is told to end first, so that it can write its report. What was started elsewhere stays.

    Raises:
        EngineError: the engine does not say which there are.
    """
    said = []
    try:
        found = client.api.containers(all=True, filters={"label": OWNER_LABEL})
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise explained(error, "looking for containers of runs that are gone") from None
    for each in found:
        owner = {}
        with contextlib.suppress(ValueError):
            owner = json.loads(each["Labels"][OWNER_LABEL])
        if owner.get("host") != _host() or owner.get("start") in (None, _start_of(owner.get("process", 0))):
            continue
        name = each["Names"][0].lstrip("/") if each.get("Names") else each["Id"][:12]
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
            if each.get("State") == "running":
                client.api.stop(each["Id"], timeout=STOPS_WITHIN)
        remove(client, each["Id"])
        said.append(f"removed container {name} ({each.get('Status', 'left over').lower()}): its run is gone")
    return said


def _host() -> str:
    """This machine since it started, and which of its processes are seen: numbers are those of one such view."""
    parts = [machine_identity()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()[:8]]
        parts += [str(Path("/proc/self/ns/pid").readlink())]
    return " ".join(parts)


def _start_of(process: int) -> str | None:
    """When a process started, in the system's words; None where there is none: numbers are used again."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    if Path("/proc/self/stat").exists():
        return None
    run = subprocess.run(["ps", "-o", "lstart=", "-p", str(process)], capture_output=True, text=True, check=False)
    return run.stdout.strip() or None
