"""Measure a small network while it is trained, where only motion and where only texture helps; draw both.

    python -m benchmarks.track_training [--every 35] [--blocks 128] [--out FOLDER]

Writes tracked_motion.json and .png, tracked_texture.json and .png; prints the last layer's shares and the seconds that
each training and its measurements took.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from sdbench import Network, Tracker, compare
from sdbench.calibration.measuring import SceneStudy
from sdbench.calibration.tasks import feed_of
from sdbench.calibration.trained import kind_named
from sdbench.calibration.training import train
from sdbench.networks import VideoNetwork

NETWORK = "calibration_resnet3d"


def tracked(task: str, every: int, blocks: int, out: Path) -> Tracker:
    """Train with a tracker, and say what it saw."""
    kind = kind_named(NETWORK)
    found: list[Tracker] = []

    def watch(step: int, module: VideoNetwork) -> None:
        if not found:
            network = Network(module, feed_of(kind), f"a small ResNet that learns {task}", module.layers[:-1])
            found.append(Tracker(network, SceneStudy(kind, blocks), every=every))
        found[0].step(step)

    started = time.perf_counter()
    training = train(NETWORK, task, 0, watch=watch)
    seconds = time.perf_counter() - started
    (tracker,) = found
    tracker.save(out / f"tracked_{task}.json")
    tracker.picture(out / f"tracked_{task}.png")
    measuring = sum(record["seconds"] for record in tracker.history)
    print(f"{task}: {training.about['score']:.1f} % right; {len(tracker.history)} measurements of {blocks} blocks took")
    print(f"{measuring:.1f} s of {seconds:.1f} s, {measuring / len(tracker.history):.2f} s each")
    for record in tracker.history:
        shares = record["layers"][kind.layer]["shares"]
        print(f"  step {record['step']:3}: {kind.layer} static {shares['static']:.1f}, dynamic {shares['dynamic']:.1f}")
    return tracker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=35, help="batches between two measurements")
    parser.add_argument("--blocks", type=int, default=128, help="blocks of each measurement")
    parser.add_argument("--out", type=Path, default=Path(), help="folder to write to")
    options = parser.parse_args()
    motion, texture = (tracked(task, options.every, options.blocks, options.out) for task in ("motion", "texture"))
    print(compare(motion.history[-1], texture.history[-1]))


if __name__ == "__main__":
    main()
