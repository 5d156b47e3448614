"""How much one pass for all layers saves, and what reading and loading cost: ratios of seconds, taken in one run.

    python benchmarks/compare_passes.py [--network i3d] [--videos 8] [--device cpu]

Prints a table of three comparisons: what took how many seconds, against what, and the ratio of the two.

The published code measures a network five times, once for each stage: each time it builds the network, loads everything
anew and stops at that stage. Here all stages are read in one pass. Both are timed with this suite's own network and the
same pairs, from frames on disk; then a pass that reads every layer against a bare forward pass, and the whole run
against reading alone and the network alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate

from sdbench import build, units
from sdbench.assets import AssetStore
from sdbench.data import StylisedDataset, stylised_diving48
from sdbench.data.layouts import LAYOUTS, STYLE_FOLDERS
from sdbench.engine import measure
from sdbench.networks import Network
from sdbench.studies import StylisedStudy
from sdbench.zoo import feed_of

STAGES = ("stage1", "stage2", "stage3", "stage4", "stage5")
_ROUNDS = 5


def main() -> None:
    """Make a data set, take the times, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="i3d")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder) / "data", options.videos)
        store = AssetStore(Path(folder) / "cache", quiet=True)
        rows = compare(options.network, dataset, store, options.device)
    print(tabulate(rows, headers=("what", "seconds", "against", "seconds", "ratio"), floatfmt=".3f"))


def make_dataset(folder: Path, videos: int) -> StylisedDataset:
    """Videos of 80 frames of 340 x 256 pixels in four tints, as JPEG in the layout of Diving48."""
    layout = LAYOUTS["diving48"]
    generator = np.random.default_rng(0)
    for video in range(videos):
        ground = generator.integers(0, 200, (32, 43, 3)).repeat(8, 0).repeat(8, 1)[:256, :340]
        for number, style in enumerate(STYLE_FOLDERS):
            target = folder / style / f"video{video:03d}"
            target.mkdir(parents=True)
            for position in range(80):
                frame = np.roll(ground, (position, 2 * position, number), axis=(0, 1, 2)).astype(np.uint8)
                Image.fromarray(frame).save(target / layout.frame_name(position), quality=90)
    entries = [{"vid_name": f"video{video:03d}", "label": 0} for video in range(videos)]
    (folder / layout.annotations[0]).write_text(json.dumps(entries), encoding="utf-8")
    return stylised_diving48(folder)


def compare(
    network: str, dataset: StylisedDataset, store: AssetStore, device: str
) -> list[tuple[str, float, str, float, float]]:
    """(what, seconds, against what, seconds, ratio) of each comparison."""
    feed = feed_of(network)
    study = StylisedStudy(dataset, store, "corrected")

    def run(layers: tuple[str, ...]) -> tuple[float, float]:
        """Seconds with building the network, and without."""
        started = time.perf_counter()
        torch.manual_seed(0)
        found = measure(Network(build(network), feed, network, layers), study, device=device, store=store)
        return time.perf_counter() - started, found.seconds["total"]

    run(STAGES[:1])  # the first pass of a process also pays for torch's own start
    together, loop = run(STAGES)
    apart = sum(run((stage,))[0] for stage in STAGES)

    module = build(network).to(device).eval()
    samples = study.plan(feed, 0).samples
    drawn = study.draw(samples[0], feed)
    inputs = {name: torch.rand(4, *values.shape[1:], device=device) for name, values in drawn.items()}
    with torch.no_grad():
        bare = best(lambda: module(**inputs), device)
        reading = best(lambda: units(module, inputs), device)

    passes = reading * -(-sum(sample.inputs for sample in samples) // 4)
    started = time.perf_counter()
    for sample in samples:
        study.draw(sample, feed)
    loading = time.perf_counter() - started
    longer = max(loading, passes)
    return [
        ("one stage at a time, as published", apart, "all stages in one pass", together, apart / together),
        ("a pass that reads every layer", reading, "a bare forward pass", bare, reading / bare),
        ("reading while the network works", loop, "the longer of the two alone", longer, loop / longer),
    ]


def best(work: Callable[[], object], device: str) -> float:
    """The shortest of a few timings, in seconds."""
    times = []
    for _ in range(_ROUNDS + 1):
        started = time.perf_counter()
        work()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times[1:])


if __name__ == "__main__":
    main()
