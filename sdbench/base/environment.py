"""What a result was got with: versions, hardware, revision, command."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from sdbench.base.files import sha256_of
from sdbench.base.machine import (
    available_cores,
    gpus,
    instruction_sets,
    machine_identity,
    memory_gib,
    processor_name,
)

COMMAND_VARIABLE = "SDBENCH_COMMAND"
CONTAINER_VARIABLE = "SDBENCH_CONTAINER"
MACHINE_VARIABLE = "SDBENCH_MACHINE"
REVISION_VARIABLE = "SDBENCH_REVISION"
SOURCE_VARIABLE = "SDBENCH_SOURCE"
"""What a container is told of the machine around it, since it cannot see it."""

_DECIDING = re.compile(
    r"""(ATEN|BLIS|CUBLAS|CUDA|CUDNN|DNNL|GOMP|HIP|KMP|MIOPEN|MKL|NCCL|NUMEXPR|NVIDIA|OMP|ONEDNN|OPENBLAS|OPENCV|ORT
    |PYTORCH|ROCM|TORCH|TORCHINDUCTOR|TRITON)_ | LD_PRELOAD$ | PYTHONHASHSEED$""",
    re.VERBOSE,
)
"""Variables that say how libraries compute: with how many threads, which instructions, which kernels."""

_SOURCES = ("benchmarks", "expected", "sdbench")
"""Folders of a checkout that decide what a run measures, and what it is held against."""


def describe_environment(root: Path, command: Sequence[str]) -> dict[str, Any]:
    """Versions, hardware, git revision of `root` and the exact `command`, as plain values.

    In a container that sdbench started, also its image, its base and its engine; the command, the machine, the revision
    and the sources are then those outside.
    """
    container = os.environ.get(CONTAINER_VARIABLE)
    packages = installed_packages()
    build = (platform.python_implementation(), *platform.python_build(), platform.python_compiler())
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": os.environ.get(COMMAND_VARIABLE) or shlex.join(_bare(part) for part in command),
        "revision": git_revision(root),
        "source": source_digest(root),
        "python": platform.python_version(),
        "python_build": " ".join(build),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()).strip() or "unknown",
        "packages": packages,
        "packages_sha256": hashlib.sha256(repr(sorted(packages.items())).encode()).hexdigest(),
        "cuda": _cuda(),
        "processor": processor_name(),
        "instructions": instruction_sets(),
        "cores": available_cores(),
        "memory_gib": memory_gib(),
        "gpus": gpus(),
        "machine": os.environ.get(MACHINE_VARIABLE) or machine_identity(),
        "variables": {name: value for name, value in sorted(os.environ.items()) if _DECIDING.match(name)},
        "container": json.loads(container) if container else "none",
    }


@functools.cache
def installed_packages() -> dict[str, str]:
    """Everything that is installed beside this interpreter, with its version; of two of a name the one that is used."""
    found: dict[str, str] = {}
    for each in metadata.distributions():
        name = str(each.metadata["Name"]).lower().replace("_", "-").replace(".", "-")
        found.setdefault(name, each.version)
    return dict(sorted(found.items()))


def _cuda() -> dict[str, str]:
    """The libraries of the GPU that torch computes with, as they were loaded; empty where torch was not."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return {}
    built = torch.version.cuda or getattr(torch.version, "hip", None)
    return {
        "runtime": str(built or "none"),
        "cudnn": str(torch.backends.cudnn.version() or "none"),
        "nccl": ".".join(map(str, torch.cuda.nccl.version())) if built and torch.distributed.is_available() else "none",
    }


def git_revision(root: Path) -> str:
    """The commit of the working tree at `root`, with "+changes" where it differs from it.

    A file that git does not know is such a change where it would go into an image: see .dockerignore.
    """
    if told := os.environ.get(REVISION_VARIABLE):
        return told
    try:
        revision = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
        changed = _output(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
        unknown = _output(["git", "-C", str(root), "ls-files", "--others", "--exclude-standard", "--", *_taken(root)])
    except (OSError, subprocess.SubprocessError):
        return "not a git checkout"
    return revision + ("+changes" if changed or unknown else "")


def _taken(root: Path) -> list[str]:
    """What of a checkout goes into an image: everything, where the list of that is missing."""
    listed = root / ".dockerignore"
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    return [line[1:] for line in lines if line.startswith("!")] or ["."]


@functools.cache
def source_digest(root: Path) -> str:
    """Hash of the files of a checkout that decide what a run measures, but for those that git ignores."""
    if told := os.environ.get(SOURCE_VARIABLE):
        return told
    try:
        listing = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
        listed = _output([*listing, *_SOURCES]).split("\0")
    except (OSError, subprocess.SubprocessError):
        listed = [path.relative_to(root).as_posix() for name in _SOURCES for path in (root / name).rglob("*")]
    digest = hashlib.sha256()
    for name in sorted({name for name in listed if "__pycache__" not in name}):
        if (root / name).is_file():
            digest.update(f"{name} {sha256_of(root / name)}\n".encode())
    return digest.hexdigest()


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
