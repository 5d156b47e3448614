"""What reading, transforming, jittering and summing cost beside the bare network: a ratio of seconds, taken in one run.

    python benchmarks/compare_vos.py [--network fusionseg] [--size 240x427] [--frames 3] [--device cpu] [--data DATA]

Sequences are those of `DATA/davis2016` and `DATA/stylized_davis`, or made-up ones of 480 x 854 pixels. A measurement of
one seed is timed from its first frame to its last number, loading included; then the bare network, without anything of
this suite around it, on as many inputs of the same size, a sample a batch. Prints a row for each: seconds,
inputs, milliseconds an input, and the ratio to the bare network.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate
from torch import Tensor

from sdbench import build, studies, units
from sdbench.assets import AssetStore
from sdbench.data.davis_check import PUBLISHED_STYLES
from sdbench.engine import Measurement, measure
from sdbench.networks import Network
from sdbench.video.flow import draw_flow, flow_folder
from sdbench.zoo import feed_of

_SEQUENCES = 4
_LENGTH = 6


def main() -> None:
    """Take the times, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="fusionseg")
    parser.add_argument("--size", default="240x427", help="height x width of what the network is fed")
    parser.add_argument("--frames", type=int, default=3, help="frames of each sequence")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", type=Path, help="folder that holds davis2016 and stylized_davis")
    options = parser.parse_args()
    height, width = (int(part) for part in options.size.split("x"))
    feed = replace(feed_of(options.network), size=(height, width))
    torch.manual_seed(0)
    network = Network(build(options.network).to(options.device).eval(), feed, options.network)
    with tempfile.TemporaryDirectory() as folder:
        root = options.data or made_up(Path(folder) / "data")
        store = AssetStore(Path(folder) / "cache", quiet=True)
        study = studies.davis(
            *(root / "davis2016", root / "stylized_davis"),
            protocol="corrected",
            seeds=1,
            frames=options.frames,
            store=store,
        )

        def measured() -> tuple[float, Measurement]:
            started = time.perf_counter()
            found = measure(network, study, device=options.device, store=store)
            return time.perf_counter() - started, found

        measured()  # the first run of a process also pays for torch's own start
        seconds, found = measured()
        passes, module = found.passes, network.module
        shape = (feed.flow == "both", (height, width), passes, passes // found.samples, options.device)
        alone = bare(lambda inputs: module(**inputs), *shape)
        last = network.read[-1].name
        until = bare(lambda inputs: units(module, inputs, [last]), *shape)
    rows = [
        ("measuring, loading included", seconds, passes, 1000 * seconds / passes, seconds / alone),
        ("the bare network", alone, passes, 1000 * alone / passes, 1.0),
        (f"the bare network up to {last}", until, passes, 1000 * until / passes, until / alone),
    ]
    print(tabulate(rows, headers=("what", "seconds", "inputs", "ms an input", "ratio"), floatfmt=".3f"))


def bare(
    network: Callable[[dict[str, Tensor]], object],
    paired: bool,
    size: tuple[int, int],
    inputs: int,
    batch: int,
    device: str,
) -> float:
    """Seconds of the network alone for `inputs` inputs in batches of about `batch`."""
    frames = (2,) if paired else ()
    image = torch.randn(batch, *frames, 3, *size, device=device)
    flow = torch.randn(batch, *frames, 6 if paired else 3, *size, device=device)
    with torch.no_grad():
        network({"image": image, "flow": flow})
        started = time.perf_counter()
        done = 0
        while done < inputs:
            part = min(batch, inputs - done)
            network({"image": image[:part], "flow": flow[:part]})
            done += part
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started


def made_up(folder: Path) -> Path:
    """Sequences of moving noise in DAVIS's folders, in four tints, with flow pictures; nothing of it is real."""
    generator = np.random.default_rng(0)
    lines = []
    for number in range(_SEQUENCES):
        ground = generator.integers(0, 200, (60, 107, 3)).repeat(8, 0).repeat(8, 1)[:480, :854]
        for position in range(_LENGTH):
            name = f"sequence{number}/{position:05d}"
            frame = np.roll(ground, (position, 2 * position), axis=(0, 1)).astype(np.uint8)
            save(folder / f"davis2016/JPEGImages/480p/{name}.jpg", frame)
            save(folder / f"davis2016/Annotations/480p/{name}.png", np.zeros((480, 854), np.uint8))
            lines.append(f"/JPEGImages/480p/{name}.jpg /Annotations/480p/{name}.png\n")
            for tint, style in enumerate(PUBLISHED_STYLES):
                save(folder / f"stylized_davis/JPEGImages/{style}/{name}.jpg", np.roll(frame, tint, axis=2))
            flow = generator.normal(size=(60, 107, 2)).repeat(8, 0).repeat(8, 1)[:480, :854].astype(np.float32)
            for backward in (False, True):
                if position != (0 if backward else _LENGTH - 1):
                    save(folder / "davis2016" / flow_folder(backward) / f"{name}.png", draw_flow(flow))
    listed = folder / "davis2016/ImageSets/480p/val.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("".join(lines), encoding="utf-8")
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


if __name__ == "__main__":
    main()
