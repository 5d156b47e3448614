"""Memory that a pass frees is kept for the next."""

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
