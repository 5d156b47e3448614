"""What a result was got with: versions, hardware, revision, command."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from sdbench.base.machine import available_cores, gpus, machine_identity, memory_gib, processor_name

REVISION_VARIABLE = "SDBENCH_REVISION"
CONTAINER_VARIABLE = "SDBENCH_CONTAINER"
MACHINE_VARIABLE = "SDBENCH_MACHINE"
"""What a container is told of the machine around it, since it cannot see it."""

_PACKAGES = (
    "sdbench",
    "torch",
    "numpy",
    "scipy",
    "onnxruntime",
    "av",
    "pillow",
    "safetensors",
    "pytest",
    "pytest-benchmark",
)


def describe_environment(root: Path, command: Sequence[str]) -> dict[str, Any]:
    """Versions, hardware, git revision of `root` and the exact `command`, as plain values.

    In a container that sdbench started, also its image and engine, and the machine and revision are those outside.
    """
    container = os.environ.get(CONTAINER_VARIABLE)
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(_bare(part) for part in command),
        "revision": git_revision(root),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "processor": processor_name(),
        "cores": available_cores(),
        "memory_gib": memory_gib(),
        "gpus": gpus(),
        "machine": os.environ.get(MACHINE_VARIABLE) or machine_identity(),
        "container": json.loads(container) if container else "none",
    }


def git_revision(root: Path) -> str:
    """The commit of the working tree at `root`, with "+changes" where it differs from it."""
    if told := os.environ.get(REVISION_VARIABLE):
        return told
    try:
        revision = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
        changes = _output(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return revision + ("+changes" if changes else "")


def sdbench_version() -> str:
    """The version of this package that is installed."""
    return _version("sdbench")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _output(command: list[str]) -> str:
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return run.stdout.strip()


def _bare(part: str) -> str:
    """A part of a command without the folder of the program that runs: that is this machine's."""
    return Path(part).name if part == sys.argv[0] and Path(part).is_absolute() else part
