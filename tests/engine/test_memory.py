"""Memory that a pass frees is used by the next, and given back at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
import torch
from sdbench.base.memory import kept_memory

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

faults(1)
usual = faults(8)
with kept_memory():
    faults(24)  # until no small block lies in the way of the next large one
    kept = faults(8)
    during = resident()
print(usual, kept, during - resident())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems keep memory by their own rules")
def test_pages_are_not_cleared_anew() -> None:
    if os.confstr("CS_GNU_LIBC_VERSION") is None:
        pytest.skip("needs glibc")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    usual, kept, given_back = map(int, done.stdout.split())
    assert kept < usual / 4, "64 MiB eight times"
    assert given_back > 10_000, "pages of 4 KiB"
