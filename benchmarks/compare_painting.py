"""What painting a frame costs with onnxruntime and with torch: seconds a frame, and ratios, taken in one run.

    python benchmarks/compare_painting.py [--size 256] [--frames 16] [--rounds 3] [--device cpu]

Prints a table: seconds a frame with onnxruntime on the CPU (one thread a frame, as many frames at once as there are
cores) and with the module of torch on a device, one frame and eight at a time, channels outermost and innermost. The
last column says how many times as long as with onnxruntime that is. Rounds are interleaved, and the shortest counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from tabulate import tabulate

from sdbench.assets import AssetStore
from sdbench.base.machine import available_cores
from sdbench.engine.placing import device_named
from sdbench.video.paint import FrameByFrame
from sdbench.video.style_network import read_style_network

STYLE = 5
LAYOUTS = {"outermost": torch.contiguous_format, "innermost": torch.channels_last}


def main() -> None:
    """Take the times, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="height and width of a frame (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="where torch paints (default: %(default)s)")
    options = parser.parse_args()
    found = compare(options.size, options.frames, options.rounds, device_named(options.device))
    usual = next(iter(found.values()))
    rows = [(what, seconds, seconds / usual) for what, seconds in found.items()]
    print(tabulate(rows, headers=("what", "seconds a frame", "ratio"), floatfmt=("", ".4f", ".2f")))


def compare(size: int, frames: int, rounds: int, device: torch.device) -> dict[str, float]:
    """What paints -> seconds a frame."""
    content = AssetStore().path("styles26").read_bytes()
    clip = np.random.default_rng(0).integers(0, 256, (frames, size, size, 3), dtype=np.uint8)
    brush = FrameByFrame(content, "styles26", available_cores())
    ways: dict[str, Callable[[], object]] = {
        f"onnxruntime, {brush.threads} frames at once": lambda: list(brush.paint(clip, [STYLE] * frames))
    }
    network = read_style_network(content, "styles26").to(device)
    images = torch.from_numpy(clip).permute(0, 3, 1, 2).float().to(device) / 255

    def painting(batch: int, layout: torch.memory_format) -> Callable[[], None]:
        styles = torch.full((batch,), STYLE, device=device)
        pieces = [piece.contiguous(memory_format=layout) for piece in torch.split(images, batch)]

        def paint() -> None:
            for piece in pieces:
                network(piece, styles[: len(piece)])
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return paint

    for batch in (1, 8):
        for name, layout in LAYOUTS.items():
            ways[f"torch on {device}, {batch} at a time, channels {name}"] = painting(batch, layout)
    best = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for number in range(rounds + 1):
            for what, paint in ways.items():
                started = time.perf_counter()
                paint()
                if number:  # the first round also pays for what is made once
                    best[what] = min(best[what], (time.perf_counter() - started) / frames)
    return best


if __name__ == "__main__":
    main()
