"""What a second worker on Ray saves: two workers of one thread against one worker of one thread, on this machine.

    python -m benchmarks.compare_workers [--seconds 120] [--network i3d]

A network with random weights is shown made-up clips of its own size, as many as take one worker about so many seconds.
The efficiency is t1 / (2 * t2), where t1 and t2 are the seconds of the whole run with one and with two workers, from an
empty cluster to the last part: starting workers and loading the network are counted. The table also says what limits
any number of workers: what the driver does for a part, which nobody does for it, beside what a worker does.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ray
import torch
from tabulate import tabulate
from torch import Tensor

from sdbench import Feed, Network, build
from sdbench.assets import AssetStore
from sdbench.engine import About, Plan, Planned, blocks_of
from sdbench.engine.measuring import Prepared, prepare
from sdbench.engine.passes import SECONDS
from sdbench.engine.placing import Placement
from sdbench.engine.runners import OneProcess, OnRay, Runner
from sdbench.zoo import feed_of

_INPUTS = 64
"""Of a part."""


class Clips:
    """Noise in the form of a network's input; the two views of a sample form a pair of each factor.

    Args:
        parts: how many parts of the engine it is cut into.
    """

    def __init__(self, parts: int) -> None:
        self.samples = parts * _INPUTS // 2

    def plan(self, _feed: Feed, seed: int) -> Plan[Planned]:
        block = blocks_of(range(self.samples))
        samples = tuple(
            Planned(name=str(n), block=block[n], views=2, pairs=((0, 1, 0), (1, 0, 1)), seed=seed)
            for n in range(self.samples)
        )
        about = About(dataset="noise", protocol="made up", unit="clip", units=self.samples, clips=self.samples)
        return Plan(about, samples)

    def draw(self, planned: Planned, feed: Feed) -> Mapping[str, Tensor]:
        generator = torch.Generator().manual_seed(int(planned.name))
        return {feed.argument: torch.randn((2, 3, feed.frames, *feed.height_and_width), generator=generator)}


@dataclass(frozen=True)
class Run:
    """How long a run took, in seconds, and what each of its parts took and had."""

    total: float
    part: float
    merging: float
    driver: float
    size: int


def main() -> None:
    """Take the times, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="how long one worker is to take, about")
    parser.add_argument("--network", default="i3d", help="which network of the suite")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        alone = timed(OneProcess(0), options.network, 1, Path(folder))
        parts = 2 * max(1, round(options.seconds / alone.total / 2))
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        try:
            one, two = (timed(OnRay(workers=n), options.network, parts, Path(folder)) for n in (1, 2))
        finally:
            ray.shutdown()
    print(f"{options.network}, {parts} parts of {_INPUTS} inputs, layers of {one.size / 2**20:.2f} MiB of sums a part")
    rows = [
        (name, run.total, run.part, 1000 * run.merging, 1000 * run.driver)
        for name, run in (("one worker", one), ("two workers", two))
    ]
    print(tabulate(rows, ("", "run, s", "a part, s", "merging it, ms", "the driver's work, ms"), floatfmt=".4g"))
    print(f"efficiency of two workers, t1 / (2 * t2): {one.total / (2 * two.total):.3f}")


def timed(runner: Runner, name: str, parts: int, folder: Path) -> Run:
    """A run with nothing kept of an earlier one."""
    torch.manual_seed(0)
    network = Network(build(name), feed_of(name), name)
    store = AssetStore(folder / type(runner).__name__ / str(time.monotonic_ns()), offline=True, quiet=True)
    given: Prepared = prepare(network, Clips(parts), None, 0, 0.5, Placement(compiling="off"), store)
    sums, merging, seconds, size = given.no_sums(), 0.0, 0.0, 0
    started, worked = time.perf_counter(), time.process_time()
    for arrays in runner.sums(given.job, given.parts, given.kept, lambda _done: None):
        seconds += float(arrays[SECONDS].sum())
        size += sum(values.nbytes for values in arrays.values())
        before = time.perf_counter()
        sums.add(arrays)
        merging += time.perf_counter() - before
    total, worked = time.perf_counter() - started, time.process_time() - worked
    return Run(total, seconds / parts, merging / parts, worked / parts, size // parts)


if __name__ == "__main__":
    main()
