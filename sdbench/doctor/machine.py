"""Cores, memory, shared memory, disk, the folders that are written, the container engine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sdbench.assets.store import CACHE_VARIABLE, AssetStore
from sdbench.base.files import check_place
from sdbench.base.machine import available_cores, free_memory, memory_gib, processor_name
from sdbench.doctor.finding import Finding

GIB = 1 << 30

_LEAST_MEMORY = 2.0
"""GiB: a run with two workers on the packaged data takes 1.5 to 2."""

_LEAST_SHARED = 256 << 20
"""Bytes of /dev/shm: workers pass clips through it, and a container gives 64 MiB where nothing is said."""

_LEAST_DISK = 3 * GIB
"""For the packages of a run without CUDA, assets and what is made of them."""

_DISK_WITH_CUDA = 12 * GIB
"""The same where torch comes with CUDA."""

_BUSY = 1.5
"""Processes for each core that run or wait."""

_PATIENCE = 0.7
"""Seconds of counting files in the cache."""


def size_text(size: float) -> str:
    """Bytes as a person reads them."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / (1 << 20):.0f} MiB"


def processor_finding(load: float | None = None) -> Finding:
    """Processor, the cores that may be used, and whether they are busy with other work.

    Args:
        load: processes that ran or waited in the last minute; None where the system does not tell.
    """
    cores = available_cores()
    said, values = f"{processor_name()}, {cores} cores", {"cores": cores, "load": load}
    if load is not None and load > _BUSY * cores:
        cure = "what is timed now is slower than it would be alone"
        return Finding("processor", "note", f"{said}; busy with other work (load {load:.0f})", cure, values=values)
    return Finding("processor", "ok", said, values=values)


def memory_finding(free: int | None, whole: float | None) -> Finding:
    """Whether there is enough memory for the default run."""
    if free is None:
        return Finding("memory", "note", "the system does not tell how much there is")
    values = {"free_bytes": free}
    said = f"{size_text(free)} free" + (f" of {whole:.1f} GiB" if whole else "")
    if free < _LEAST_MEMORY * GIB:
        cure = "end other programs, or run with --workers 0 and fewer cases at once (-k)"
        return Finding("memory", "note", f"{said}: little", cure, values=values)
    return Finding("memory", "ok", said, values=values)


def shared_memory_finding(place: Path = Path("/dev/shm"), usage: Callable[[Path], Any] = shutil.disk_usage) -> Finding:  # noqa: S108
    """Whether workers can pass clips to the network."""
    try:
        free = int(usage(place).free)
    except OSError:
        return Finding("shared memory", "note", f"there is no {place}: where workers fail, run with --workers 0")
    if free < _LEAST_SHARED:
        cure = "start the container with --shm-size 1g, or run with --workers 0"
        return Finding("shared memory", "note", f"{size_text(free)} free in {place}: little", cure)
    return Finding("shared memory", "ok", f"{size_text(free)} free in {place}", values={"free_bytes": free})


def disk_findings(
    root: Path, cache: Path, has_packages: bool, usage: Callable[[Path], Any] = shutil.disk_usage
) -> list[Finding]:
    """Whether there is room for what the default run installs and keeps.

    Args:
        root: the checkout, in which the run's packages are installed.
        cache: the cache.
        has_packages: whether they are installed already.
        usage: the free bytes of a disk, as `shutil.disk_usage` tells.
    """
    findings = []
    for subject, folder, least in (
        ("disk of the checkout", root, GIB if has_packages else _LEAST_DISK),
        ("disk of the cache", cache, GIB),
    ):
        try:
            free = int(usage(_nearest(folder)).free)
        except OSError as error:
            findings.append(Finding(subject, "note", f"not known ({error.strerror or error})"))
            continue
        said, values = f"{size_text(free)} free", {"free_bytes": free}
        if free < least:
            cure = f"make room: at least {size_text(least)}" + (
                f", or name another folder for the cache in {CACHE_VARIABLE}" if folder == cache else ""
            )
            findings.append(Finding(subject, "fails", f"{said}: too little", cure, needed=True, values=values))
        elif folder == root and not has_packages and free < _DISK_WITH_CUDA:
            cure = f"with a torch for CUDA have {size_text(_DISK_WITH_CUDA)}; without one this is enough"
            findings.append(Finding(subject, "note", said, cure, values=values))
        else:
            findings.append(Finding(subject, "ok", said, values=values))
    return findings


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def writing_finding(subject: str, folder: Path, cure: str) -> Finding:
    """Whether a folder can be written to, or made."""
    try:
        check_place(folder.absolute() / "sdbench.tmp")
    except (OSError, StopIteration) as error:
        why = getattr(error, "strerror", None) or error
        return Finding(subject, "fails", f"{folder} cannot be written ({why})", cure, needed=True)
    return Finding(subject, "ok", f"{folder} can be written")


def cache_findings(store: AssetStore) -> list[Finding]:
    """Where the cache is, whether it can be written, and how large it is."""
    cure = f"make it writable, or name another folder in {CACHE_VARIABLE}"
    finding = writing_finding("cache", store.folder, cure)
    size, whole = _size_of(store.folder)
    said = f"{finding.said}; it holds {'' if whole else 'more than '}{size_text(size)}"
    return [Finding("cache", finding.state, said, finding.cure, finding.needed, {"bytes": size})]


def _size_of(folder: Path) -> tuple[int, bool]:
    """Bytes of a folder, and whether all of it was counted in time."""
    until, size = time.monotonic() + _PATIENCE, 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                size += (Path(parent) / name).lstat().st_size
            except OSError:
                continue
        if time.monotonic() > until:
            return size, False
    return size, True


def checkout_finding(root: Path) -> Finding:
    """Whether the package lies in a checkout, which the sessions of nox need."""
    missing = [
        name for name in ("noxfile.py", "pyproject.toml", "expected", "benchmarks") if not (root / name).exists()
    ]
    if missing:
        cure = "run this in a clone of the repository: the sessions of nox and the expected values are there"
        return Finding("checkout", "fails", f"{root} has no {', '.join(missing)}", cure, needed=True)
    return Finding("checkout", "ok", str(root))


def engine_findings(has_gpu: bool, information: Callable[[], Mapping[str, Any]] | None = None) -> list[Finding]:
    """The container engine, and whether it gives a GPU to containers. The default run does without one.

    Args:
        has_gpu: whether there is an NVIDIA GPU.
        information: asks the engine about itself; by default the one that a run would use.
    """
    try:
        found = (information or _ask_engine)()
    except ImportError:
        said = "the package docker is not installed in this Python (nox -s reproduce installs it for itself)"
        return [
            Finding("container engine", "missing", said, 'python -m pip install -c constraints.txt -e ".[container]"')
        ]
    except Exception as error:  # of the engine, its client or the connection: a run would say the same
        said = " ".join(str(error).split())
        what, _, cure = said.partition("; ")
        return [Finding("container engine", "missing", what[:300], cure)]
    findings = [Finding("container engine", "ok", f"version {found.get('ServerVersion', 'unknown')} answers")]
    if has_gpu:
        knows = "nvidia" in (found.get("Runtimes") or {}) or "nvidia" in str(found.get("DiscoveredDevices") or "")
        if knows or shutil.which("nvidia-ctk"):
            findings.append(Finding("NVIDIA container toolkit", "ok", "is here"))
        else:
            cure = "install the NVIDIA container toolkit, run `nvidia-ctk runtime configure`, restart the engine"
            said = "not seen: containers get no GPU (--where host --device cuda works without)"
            findings.append(Finding("NVIDIA container toolkit", "missing", said, cure))
    return findings


def _ask_engine() -> Mapping[str, Any]:
    from sdbench.container.engine import connect  # noqa: PLC0415 - the package docker may not be here

    information: Mapping[str, Any] = connect().info()
    return information


def machine_findings(root: Path, report: Path, store: AssetStore) -> list[Finding]:
    """All of it but the engine, of this machine."""
    has_packages = (root / ".nox" / "reproduce").is_dir()
    return [
        processor_finding(os.getloadavg()[0] if hasattr(os, "getloadavg") else None),
        memory_finding(free_memory(), memory_gib()),
        shared_memory_finding(),
        checkout_finding(root),
        writing_finding(
            "report", report, "make it writable, or name another folder: nox -s reproduce -- --report FOLDER"
        ),
        *cache_findings(store),
        *disk_findings(root, store.folder, has_packages),
    ]
