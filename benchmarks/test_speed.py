"""How fast the inner loops are. Timings for pytest-benchmark; nothing here has a verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sdbench import build, estimate, units
from sdbench.statistics import merge, moments


@pytest.mark.parametrize("network", ["i3d_inception", "transnetv2"])
def test_reading_all_layers(network: str, benchmark: Any, pytestconfig: pytest.Config) -> None:
    """Three clips of 16 frames, every layer."""
    device = pytestconfig.getoption("--device")
    generator = torch.Generator().manual_seed(0)
    if network == "transnetv2":
        video = torch.randint(0, 256, (3, 16, 27, 48, 3), generator=generator, dtype=torch.uint8)
    else:
        video = torch.rand((3, 3, 16, 112, 112), generator=generator) * 2 - 1
    module = build(network).to(device)
    inputs = {"video": video.to(device)}

    def read() -> None:
        units(module, inputs)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()

    benchmark.pedantic(read, rounds=3, warmup_rounds=1)


def test_estimator_streaming(benchmark: Any) -> None:
    """3,000 pairs of 2,048 units, in batches of 50."""
    generator = np.random.default_rng(0)
    first = generator.standard_normal((3000, 2048), dtype=np.float32)
    second = first + generator.standard_normal((3000, 2048), dtype=np.float32)
    factor = np.arange(3000) % 2

    def stream() -> None:
        sums = moments(first[:50], second[:50], factor[:50])
        for start in range(50, 3000, 50):
            rows = slice(start, start + 50)
            sums = merge([sums, moments(first[rows], second[rows], factor[rows])])

    benchmark.pedantic(stream, rounds=3, warmup_rounds=1)


def test_estimator_at_once(benchmark: Any) -> None:
    """The same pairs in one array."""
    generator = np.random.default_rng(0)
    first = generator.standard_normal((3000, 2048), dtype=np.float32)
    second = first + generator.standard_normal((3000, 2048), dtype=np.float32)
    benchmark.pedantic(estimate, args=(first, second, np.arange(3000) % 2), rounds=3, warmup_rounds=1)
