"""Where random draws come from."""

from __future__ import annotations

import zlib

import numpy as np


def generator_for(seed: int, purpose: str) -> np.random.Generator:
    """The source of the draws for one purpose; another purpose draws independently from the same seed."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(purpose.encode())]))
