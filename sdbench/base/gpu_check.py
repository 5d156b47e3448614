"""Whether torch computes on the GPU that is here: `python -m sdbench.base.gpu_check`; where not, why, and the cure."""

from __future__ import annotations

import re
import sys
from pathlib import Path

OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""CUDA's major version -> the first driver that runs what is built for it, by NVIDIA's table of compatibility."""

_DRIVER = Path("/proc/driver/nvidia/version")


def gpu_complaint() -> str | None:
    """Why torch cannot compute on the first GPU, in a sentence; None where it can."""
    import torch  # noqa: PLC0415 - the sentences need none

    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; take a base or an index with a torch that has it"
    try:
        torch.zeros(1, device="cuda").add_(1).item()
    except (RuntimeError, AssertionError) as error:
        return explain_gpu_error(str(error), torch.__version__, torch.version.cuda, driver_version(), _gpu())
    return None


def explain_gpu_error(said: str, torch_version: str, cuda: str, driver: str | None, gpu: str) -> str:
    """What torch's error on a GPU means, and what helps.

    Args:
        said: torch's words.
        torch_version: its version.
        cuda: the version of CUDA that it is built for.
        driver: the version of NVIDIA's driver; None where there is none to be seen.
        gpu: the GPU, and those that torch is built for.
    """
    oldest = OLDEST_DRIVER.get(int(cuda.partition(".")[0]))
    needed = f"a driver of {oldest} or newer" if oldest else "a newer driver"
    built = f"torch {torch_version} is built for CUDA {cuda}, which needs {needed}"
    if driver is None:
        return f"there is no NVIDIA driver to be seen; {built}; install it on the machine around the container"
    if oldest and int(driver.partition(".")[0]) < oldest:
        return f"the driver is {driver}; {built}; update it, or take a torch for an older CUDA"
    if "no kernel image" in said or "not compatible" in said:
        return f"torch {torch_version} has no code for {gpu}; take a torch that is built for it, or another GPU"
    return f"{' '.join(said.split())} (driver {driver}; {built})"


def driver_version() -> str | None:
    """The version of the NVIDIA driver that is loaded, as the system tells."""
    try:
        found = re.search(r"\b\d{3}\.\d+(?:\.\d+)?\b", _DRIVER.read_text(encoding="utf-8"))
    except OSError:
        return None
    return found.group() if found else None


def _gpu() -> str:
    import torch  # noqa: PLC0415

    try:
        major, minor = torch.cuda.get_device_capability()
        name = torch.cuda.get_device_name()
    except (RuntimeError, AssertionError):
        return "this GPU"
    return f"{name} (sm_{major}{minor}), only for {', '.join(torch.cuda.get_arch_list())}"


if __name__ == "__main__":
    complaint = gpu_complaint()
    if complaint is not None:
        sys.exit(complaint)
