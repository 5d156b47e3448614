"""How much memory a measurement takes at most: of many clips against few, of a long video against a short one.

    python -m benchmarks.compare_memory [--only clips,video] [--clips 100,1000,10000] [--seconds 10,3600]

Each row is a process of its own. Peaks are what was resident at once: in the process itself, and in the largest of the
workers that draw for it. `clips` are made up, drawn by two workers, and go through a small made-up network. `video` is
one video of that many seconds, 160 x 120 at 10 frames a second with a cut every 20 seconds: its shots are found by
TransNet V2, and four clips of it are painted in two styles and measured. Nothing is compiled: only long runs are, and
the compiler takes some 200 MB of its own, once, whatever the number of clips. Ratios are to the first row, the largest
of five runs: what a network's passes leave free in pieces differs from run to run by a tenth. Aimed at is no more
than 5 % above it. The hour takes some ten minutes on two cores: TransNet V2 looks at all of it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor, nn

from sdbench import Feed, Layer, studies
from sdbench.assets import AssetStore
from sdbench.engine import About, Plan, Planned, Study, blocks_of, measure
from sdbench.networks import Network
from sdbench.video.frames import Frames

_GOAL = 1.05
_FIRST_RUNS = 5
_RATE = 10
_SIZE = (120, 160)
_SHOT = 200  # frames between two cuts
_FEED = Feed(frames=8, size=32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="clips,video", help="which comparisons, separated by commas")
    parser.add_argument("--clips", default="100,1000,10000", help="numbers of clips, separated by commas")
    parser.add_argument("--seconds", default="10,3600", help="lengths of videos, separated by commas")
    parser.add_argument("--alone", nargs=3, metavar=("COMPARISON", "SIZE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        name, size, folder = options.alone
        print(json.dumps(alone(name, int(size), Path(folder))))
        return
    sizes = {"clips": options.clips, "video": options.seconds}
    rows = [row for name in options.only.split(",") for row in compare(name, sizes[name].split(","))]
    headers = ("what", "process, MB", "ratio", "largest worker, MB", "ratio", "goal")
    print(tabulate(rows, headers=headers, floatfmt=("", ".1f", ".3f", ".1f", ".3f")))


def compare(name: str, sizes: list[str]) -> Iterator[tuple[str, float, float, float, float, str]]:
    """Peaks of a process for each size, and their ratios to those of the first."""
    unit = "clips" if name == "clips" else "seconds of video"
    first = tuple(max(of) for of in zip(*(peaks(name, sizes[0]) for _ in range(_FIRST_RUNS)), strict=True))
    for size in sizes:
        own, worker = first if size == sizes[0] else peaks(name, size)
        yield f"{size} {unit}", own, own / first[0], worker, worker / first[1], f"<= {_GOAL}"


def peaks(name: str, size: str) -> tuple[float, float]:
    """What `alone` answers in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if name == "video":
            write_video(Path(folder) / "videos" / "video.mp4", int(size) * _RATE)
        command = [sys.executable, "-m", "benchmarks.compare_memory", "--alone", name, size, folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    own, worker = json.loads(done.stdout.splitlines()[-1])
    return own, worker


def alone(name: str, size: int, folder: Path) -> tuple[float, float]:
    """Peak of this process and of the largest of its children, in MB, for one size."""
    torch.manual_seed(0)
    store = AssetStore(folder / "cache", quiet=True)
    study: Study = MadeUp(size)
    if name == "video":
        take_assets(store)
        study = studies.clips(folder / "videos", styles=("style5", "style10"), pairs=4, store=store)
    measure(Network(Small(), _FEED, "small", LAYERS), study, compiling="off", store=store, workers=2)
    return peak_of_this_process(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


def peak_of_this_process() -> float:
    """In MB; of Linux by what the process itself had, since ru_maxrss may be that of whoever started it."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


LAYERS = (Layer("0"), Layer("2"))


class Small(nn.Sequential):
    """Two layers of 64 and 128 units."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(3, 64, 3, stride=2, padding=1), nn.ReLU(), nn.Conv3d(64, 128, 3, stride=2, padding=1)
        )


@dataclass(frozen=True, kw_only=True)
class PlannedNoise(Planned):
    """A clip of noise."""

    number: int


class MadeUp:
    """Clips of noise, each shown in three views of two pairs."""

    def __init__(self, clips: int) -> None:
        self.clips = clips

    def plan(self, _feed: Feed, seed: int) -> Plan[Any]:
        block = blocks_of(range(self.clips))
        samples = tuple(
            PlannedNoise(
                name=f"clip {number}",
                block=block[number],
                views=3,
                pairs=((0, 1, 0), (0, 2, 1)),
                seed=seed,
                content="made up",
                number=number,
            )
            for number in range(self.clips)
        )
        about = About(dataset="noise", protocol="made up", unit="clip", units=self.clips, clips=self.clips)
        return Plan(about, samples)

    def draw(self, planned: PlannedNoise, feed: Feed) -> Mapping[str, Tensor]:
        generator = np.random.default_rng(planned.number)
        views = generator.integers(0, 256, (planned.views, feed.frames, *_FEED.height_and_width, 3), dtype=np.uint8)
        drawn = [feed(view) for view in views]
        return {name: torch.cat([view[name] for view in drawn]) for name in drawn[0]}


def take_assets(store: AssetStore) -> None:
    """Assets are those of the user's own cache; nothing that was painted or scanned before is."""
    own = AssetStore(quiet=True)
    store.folder.mkdir(parents=True, exist_ok=True)
    for asset in ("transnetv2", "styles26"):
        own.path(asset)
    for name in ("assets", "converted"):
        if (own.folder / name).exists():
            (store.folder / name).symlink_to(own.folder / name)


def write_video(path: Path, frames: int) -> None:
    """A mosaic that drifts, another one after each cut."""
    path.parent.mkdir()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=_RATE)
        stream.height, stream.width, stream.pix_fmt = *_SIZE, "yuv420p"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(frame_of(number), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def frame_of(number: int) -> Frames:
    ground = np.random.default_rng(number // _SHOT).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    return np.roll(ground.repeat(8, 0).repeat(8, 1), (number, 2 * number), axis=(0, 1))


if __name__ == "__main__":
    main()
