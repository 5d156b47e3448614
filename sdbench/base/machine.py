"""What this machine is, asked of the system and not of torch."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """The processor's model name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def instruction_sets() -> str:
    """Twelve characters that tell which instructions the processor has, which one of the same name may lack."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, told = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return hashlib.sha256(" ".join(sorted(told.split())).encode()).hexdigest()[:12]
    return "unknown"


def memory_gib() -> float | None:
    """The machine's memory in GiB, as far as the system tells."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def free_memory() -> int | None:
    """Bytes of memory that may still be taken, or that the container may have; None where the system does not tell."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        found.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    for place in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # "max": there is no limit
            found.append(int(Path("/sys/fs/cgroup", place).read_text(encoding="utf-8")))
    if not found:
        whole = memory_gib()
        return None if whole is None else int(whole * 2**30)
    return min(found)


def machine_identity() -> str:
    """Twelve characters that tell this machine from others, and nothing else about it."""
    told = platform.node()
    with contextlib.suppress(OSError):  # where there is no such file, the name has to do
        told += Path("/etc/machine-id").read_text(encoding="utf-8")
    return hashlib.sha256(f"sdbench machine {told}".encode()).hexdigest()[:12]


def gpus() -> list[str]:
    """Name and driver of each GPU, asked of nvidia-smi so that torch is not needed."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        run = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return run.stdout.splitlines()
