"""What a result was got with: versions, hardware, revision, command."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("sdbench", "torch", "numpy", "scipy", "onnxruntime", "av", "pillow", "safetensors", "pytest", "pytest-benchmark")


def describe_environment(root: Path, command: Sequence[str]) -> dict[str, Any]:
    """Versions, hardware, git revision of `root` and the exact `command`, as plain values."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(_quoted(part) for part in command),
        "revision": git_revision(root),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "gpus": _gpus(),
    }


def git_revision(root: Path) -> str:
    """The commit of the working tree at `root`, with "+changes" where it differs from it."""
    try:
        revision = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
        changes = _output(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return revision + ("+changes" if changes else "")


def processor_name() -> str:
    """The processor's model name, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _gpus() -> list[str]:
    """Name and driver of each GPU, asked of nvidia-smi so that torch is not needed."""
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listed = _output(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    except (OSError, subprocess.CalledProcessError):
        return []
    return listed.splitlines()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _output(command: list[str]) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return run.stdout.strip()


def _quoted(part: str) -> str:
    home = Path(sys.argv[0])
    if part == sys.argv[0] and home.is_absolute():
        return home.name
    return f"'{part}'" if " " in part else part
