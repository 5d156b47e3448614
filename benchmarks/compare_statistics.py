"""What estimate and intervals cost beside the passes of the network: seconds, and the share of a run they are.

    python benchmarks/compare_statistics.py [--layers 20] [--units 2048] [--blocks 256] [--run-seconds 100]

The sums are made up: every block is a few pairs of each factor, and every unit has a dynamic, a static and a residual
part of its own sizes. Prints how long all layers take: once for estimate and intervals, once for the bootstrap
replicates, which only a claim that compares layers asks for. Then what it takes to bring the unit values of every
sample of the run into the sums, as they come. The share is that of a run of --pairs pairs, whose passes take
--run-seconds, or, where that is not given, as long as this machine takes for them with I3D and clips of 8 x 256 x 256,
not compiled.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from typing import cast

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from sdbench import build, units
from sdbench.engine import Measurement, Planned
from sdbench.engine.loader import Drawn
from sdbench.engine.measuring import Collected
from sdbench.engine.passes import Passes, UnitSums
from sdbench.engine.sums import Sums
from sdbench.statistics import Moments, moments

_PAIRS_A_BLOCK = 6
_NEIGHBOURS = 12  # samples in a row that share a block: 3,000 videos in 256 blocks
_SAMPLES = 32
_ROUNDS = 3
_SHOWN = 15  # functions of a profile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--units", type=int, default=2048)
    parser.add_argument("--blocks", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3000, help="pairs of the run, two inputs each")
    parser.add_argument("--run-seconds", type=float, help="how long the passes of the run take")
    parser.add_argument("--profile", action="store_true", help="print where the time for the layers goes")
    options = parser.parse_args()
    passes = options.run_seconds or seconds_of_a_pass() * 2 * options.pairs
    found = measured(made_up(options.layers, options.units, options.blocks))
    with cProfile.Profile() as profile:
        started = time.perf_counter()
        for layer in found.layers:
            found.layer(layer)
        statistics = time.perf_counter() - started
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(_SHOWN)
    started = time.perf_counter()
    for layer in found.layers:
        limits = found.layer(layer).intervals
        assert limits is None or limits.replicates
    replicates = time.perf_counter() - started
    summing = seconds_of_a_sample(options.layers, options.units) * options.pairs
    rows = [
        ("passes of the network", passes, 1.0),
        ("estimate and intervals", statistics, statistics / passes),
        ("bootstrap replicates", replicates, replicates / passes),
        ("unit values into sums", summing, summing / passes),
    ]
    print(tabulate(rows, headers=("what", "seconds", "of the passes"), floatfmt=(".1f", ".2f", ".2%")))


def made_up(layers: int, count: int, blocks: int) -> Sums:
    """Layers of `count` units whose sums are those of a few pairs of each factor in every block."""
    sums: Sums = {}
    for number in range(layers):
        generator = np.random.default_rng(number)
        dynamic, static, residual = np.sqrt(generator.dirichlet((1, 1.5, 1), count).T)
        mean = generator.normal(3, 1, count)
        sums[f"layer{number}"] = {
            (0, str(block)): block_of(generator, dynamic, static, residual, mean) for block in range(blocks)
        }
    return sums


def block_of(
    generator: np.random.Generator, dynamic: np.ndarray, static: np.ndarray, residual: np.ndarray, mean: np.ndarray
) -> Moments:
    shape = (2 * _PAIRS_A_BLOCK, len(mean))
    factor = np.arange(shape[0]) % 2
    one, other = ([generator.standard_normal(shape, dtype=np.float32) for _ in range(3)] for _ in range(2))
    other[0][factor == 0], other[1][factor == 1] = one[0][factor == 0], one[1][factor == 1]
    first, second = (
        (dynamic * parts[0] + static * parts[1] + residual * parts[2] + mean).astype(np.float32)
        for parts in (one, other)
    )
    return moments(first, second, factor)


def measured(sums: Sums) -> Measurement:
    blocks = len(next(iter(sums.values())))
    return Measurement(
        network="made up",
        dataset="made up",
        protocol="",
        device="cpu",
        seed=0,
        styles=(),
        threshold=0.5,
        sums=sums,
        resampling_unit="block",
        resampling_units=blocks,
        clips=blocks,
        samples=blocks,
        pairs=blocks * _PAIRS_A_BLOCK,
        passes=0,
        skipped=(),
        assets={},
        weights="",
        seconds={},
        resumed=0,
    )


class Answered:
    """In place of passes of a network: answers that are there already."""

    def __init__(self, layers: int, count: int) -> None:
        self.answers = {f"layer{number}": torch.randn(1, count) for number in range(layers)}

    def read(self, _batch: dict[str, Tensor], inputs: int, *_how: object) -> dict[str, Tensor]:
        return {layer: values.expand(inputs, -1) for layer, values in self.answers.items()}


def seconds_of_a_sample(layers: int, count: int) -> float:
    """How long it takes to bring the answers to one sample, of one pair, into the sums of a part and of the run."""
    planned = [
        Planned(name="", block=str(number // _NEIGHBOURS), views=2, pairs=((0, 1, number % 2),))
        for number in range(_SAMPLES)
    ]
    samples = [Drawn(sample, {"video": torch.rand(2, 1)}, 0.0) for sample in planned]
    times = []
    for _ in range(_ROUNDS):
        collected = Collected({f"layer{number}": {} for number in range(layers)})
        started = time.perf_counter()
        work = UnitSums(cast(Passes, Answered(layers, count)))
        for sample in samples:
            work.see(sample)
        collected.add(work.finish())
        times.append((time.perf_counter() - started) / _SAMPLES)
    return min(times)


def seconds_of_a_pass() -> float:
    """How long one input of I3D takes, in a batch of two."""
    module = build("i3d").eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    video = torch.rand(2, 3, 8, 256, 256).contiguous(memory_format=torch.channels_last_3d)
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        units(module, {"video": video})
        times.append((time.perf_counter() - started) / len(video))
    return min(times)


if __name__ == "__main__":
    main()
