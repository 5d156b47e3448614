"""Memory: what a pass frees is kept for the next, and how it is seen that there is none left."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -2, -3, -4, -8
"""The parameters of glibc's mallopt, by the names of its header."""

_KEPT = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26), (_ARENA_MAX, 1))
_USUAL = ((_MMAP_MAX, 65536), (_TRIM_THRESHOLD, 2**26), (_TOP_PAD, 2**17), (_MMAP_THRESHOLD, 2**25), (_ARENA_MAX, 0))


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Meanwhile memory that is freed stays with the process; afterwards what is free is given back.

    On Linux, large blocks are otherwise given back at once, and the system clears every page of the next anew: for
    activations of many megabytes that is up to a third of a pass on a CPU. Elsewhere nothing is changed.
    """
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):  # another libc, such as musl
        yield
        return
    for parameter, value in _KEPT:
        libc.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _USUAL:
            libc.mallopt(parameter, value)
        libc.malloc_trim(0)


_NONE_LEFT = (
    *("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad allocation"),
    *("bad_alloc", "alloc_failed"),
)
"""What allocators say: of torch on the CPU and on other devices, of CUDA's libraries, and of C++."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, whoever raises it: Python, NumPy, torch or a device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _NONE_LEFT)
