"""How much this suite saves over one run a stage, and how little a run takes beyond its longer half: ratios of seconds.

    python -m benchmarks.compare_passes [--only i3d,x3d_m,stylised,segmentation,painting] [--videos 8] [--device cpu]

Everything is made up, timed in one run on one machine, and printed as one table with what was aimed at.

`i3d`, `x3d_m`: the published code measures a network five times, once for each stage. `one_stage_at_a_time` does the
same with this suite's own network: each time it builds the network, loads everything anew, passes it eagerly in torch's
usual layout, stops at that stage, and estimates. Against it: all stages in one compiled pass, channels last, as
`sdbench.measure` makes it. Compiling takes the same time whatever the number of videos; it is measured without anything
kept of earlier runs, and left out and counted.

`stylised`, `segmentation`, `painting`: a whole run against the longer of its halves, loading alone and the network
alone. A network on a device of its own shares nothing with what loads. On a CPU the two would fight for cores, so here
each has one: the network one thread on the first core, loading one worker process on the last, in all three timings.
Nothing is compiled. Shots are found and pictures are hashed before.

`painting` also says how many frames a second are painted by all cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
import torch
from PIL import Image
from tabulate import tabulate
from torch import Tensor

from benchmarks import compare_vos
from sdbench import Feed, build, estimate, studies, units
from sdbench.assets import AssetStore
from sdbench.data import StylisedDataset, stylised_diving48
from sdbench.data.layouts import LAYOUTS, STYLE_FOLDERS
from sdbench.engine import Plan, Planned, Study, measure
from sdbench.engine.compiling import Choice, choose
from sdbench.engine.loader import Drawn, drawn
from sdbench.engine.parts import cut
from sdbench.engine.passes import UnitSums, passes_of
from sdbench.engine.placing import Placement
from sdbench.networks import Network
from sdbench.studies import StylisedStudy
from sdbench.video.frames import Frames
from sdbench.video.paint import Painter
from sdbench.zoo import feed_of

STAGES = ("stage1", "stage2", "stage3", "stage4", "stage5")
GOALS = {"i3d": 6, "x3d_m": 10}
_WHOLE = "<= 1.1"
_BATCH = 8
_ROUNDS = 3
_SIZE = (256, 340)

Row = tuple[str, float, str, float | None, float, str]
"""What took how many seconds, against what, how many that took, the ratio of the two, and what was aimed at."""


def main() -> None:
    """Make up data, take the times, print the table."""
    known: dict[str, Callable[[Here], list[Row]]] = {
        "i3d": lambda here: stages("i3d", here),
        "x3d_m": lambda here: stages("x3d_m", here),
        "stylised": stylised,
        "segmentation": segmentation,
        "painting": painting,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(known), help="which comparisons, separated by commas")
    parser.add_argument("--videos", type=int, default=8, help="how many; of segmentation, frames of four sequences")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if wrong := set(chosen) - set(known):
        parser.error(f"unknown comparison {', '.join(sorted(wrong))}; there are {', '.join(known)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "compiled")
        for name in chosen:
            print(f"timing {name}", file=sys.stderr, flush=True)
            rows += known[name](Here(Path(folder) / name, options.videos, options.device))
    print(tabulate(rows, headers=("what", "seconds", "against", "seconds", "ratio", "goal"), floatfmt=".3f"))


@dataclass(frozen=True)
class Here:
    """Where a comparison is made, and of how many videos."""

    folder: Path
    videos: int
    device: str

    def store(self) -> AssetStore:
        """A cache in which nothing was painted, hashed or scanned before; assets are those of the user's own."""
        store = AssetStore(self.folder / "cache", quiet=True)
        own = AssetStore(quiet=True)
        store.folder.mkdir(parents=True, exist_ok=True)
        for name in ("assets", "converted"):
            if (own.folder / name).exists() and not (store.folder / name).exists():
                (store.folder / name).symlink_to(own.folder / name)
        return store


def stages(name: str, here: Here) -> list[Row]:
    """All stages one at a time against all in one pass; a pass that reads all against a bare one."""
    feed, store = feed_of(name), here.store()
    study = StylisedStudy(stylised_videos(here), store, "corrected")
    one_stage_at_a_time(name, feed, study, here.device, STAGES[:1])  # a process's first pass also pays torch's start
    apart = seconds_of(lambda: one_stage_at_a_time(name, feed, study, here.device, STAGES))
    compiling = 0.0

    def timed(*given: Any) -> Choice:
        nonlocal compiling
        started = time.perf_counter()
        choice = choose(*given)
        compiling = time.perf_counter() - started
        return choice

    def together() -> None:
        network = Network(build(name), feed, name, STAGES)
        found = measure(network, study, device=here.device, compiling="on", store=store)
        print(f"{name}: {found.compiled}")

    with mock.patch("sdbench.engine.passes.choose", timed):
        counted = seconds_of(together)
    left_out = counted - compiling

    module = build(name).to(here.device).eval()
    sample = study.plan(feed, 0).samples[0]
    inputs = {
        argument: torch.rand(4, *of.shape[1:], device=here.device) for argument, of in study.draw(sample, feed).items()
    }
    with torch.no_grad():
        bare = best(lambda: module(**inputs), here.device)
        reading = best(lambda: units(module, inputs), here.device)
    published, passed = f"{name}: one stage at a time, as published", "all in one pass"
    return [
        (published, apart, f"{passed}, compiling left out", left_out, apart / left_out, f">= {GOALS[name]}"),
        (published, apart, f"{passed}, compiling counted", counted, apart / counted, ""),
        (f"{name}: compiling", compiling, "the rest of the run", left_out, compiling / left_out, ""),
        (f"{name}: a pass that reads every layer", reading, "a bare forward pass", bare, reading / bare, ""),
    ]


def one_stage_at_a_time(name: str, feed: Feed, study: StylisedStudy, device: str, wanted: tuple[str, ...]) -> None:
    """What the published code does: everything anew for each stage, and the unit values of all videos kept."""
    for stage in wanted:
        torch.manual_seed(0)
        module = build(name).to(device).eval()
        plan = study.plan(feed, 0)
        answers: list[Tensor] = []
        waiting: list[Mapping[str, Tensor]] = []
        for sample in drawn(lambda planned: study.draw(planned, feed), plan.samples, None):
            waiting.append(sample.value)
            if sum(len(next(iter(views.values()))) for views in waiting) >= _BATCH:
                answers.append(passed(module, waiting, stage, device))
                waiting = []
        if waiting:
            answers.append(passed(module, waiting, stage, device))
        values = torch.cat(answers).cpu().numpy().reshape(len(plan.samples), 2, -1)
        pairs = [pair for sample in plan.samples for pair in sample.pairs]
        first, second = (np.stack([of[pair[k]] for of, pair in zip(values, pairs, strict=True)]) for k in range(2))
        estimate(first, second, [factor for *_, factor in pairs])


def passed(module: torch.nn.Module, waiting: list[Mapping[str, Tensor]], stage: str, device: str) -> Tensor:
    inputs = {name: torch.cat([views[name] for views in waiting]).to(device) for name in waiting[0]}
    return units(module, inputs, [stage])[stage]


def stylised(here: Here) -> list[Row]:
    """I3D and clips of a stylised data set."""
    store = here.store()
    study = StylisedStudy(stylised_videos(here), store, "corrected")
    return [whole("stylised clips, i3d", Network(build("i3d"), feed_of("i3d"), "i3d", STAGES), study, store, here)]


def segmentation(here: Here) -> list[Row]:
    """FusionSeg and painted sequences with flow."""
    root, store = compare_vos.made_up(here.folder / "data"), here.store()
    study = studies.davis(
        root / "davis2016", root / "stylized_davis", protocol="corrected", seeds=1, frames=here.videos, store=store
    )
    feed = replace(feed_of("fusionseg"), size=(240, 427))
    return [whole("segmentation, fusionseg", Network(build("fusionseg"), feed, "fusionseg"), study, store, here)]


def painting(here: Here) -> list[Row]:
    """I3D and clips that are painted when they are drawn; and painting alone."""
    store = here.store()
    folder = here.folder / "videos"
    folder.mkdir()
    feed = feed_of("i3d")
    clip = moving(0, feed.span + 4)
    for number in range(here.videos):
        write_video(folder / f"video{number}.mp4", moving(number, feed.span + 4))
    study = studies.clips(folder, styles=("style5", "style10"), pairs=max(2, here.videos), store=store)
    row = whole("clips with painting, i3d", Network(build("i3d"), feed, "i3d", STAGES), study, store, here)
    painter = Painter(store.path("styles26"), device=here.device)
    painter.paint(clip[:4], "style5")
    frames = clip[:16]
    seconds = seconds_of(lambda: painter.paint(frames, "style5"))
    size = f"{frames.shape[2]} x {frames.shape[1]}"
    return [row, (f"painting {len(frames)} frames of {size}", seconds, "frames a second", None, 16 / seconds, "")]


def whole(what: str, network: Network, study: Study, store: AssetStore, here: Here) -> Row:
    """A whole run against the longer of loading alone and the network alone, each with a core of its own."""
    plan = study.plan(network.feed, 0)
    apart = Apart(study)
    with one_core():
        sample, *_ = drawn(lambda planned: study.draw(planned, network.feed), plan.samples[:1], 0)
        network_alone(network, plan, sample, here, 1)  # the first pass also pays torch's start
        alone = seconds_of(lambda: network_alone(network, plan, sample, here, len(plan.samples)))
        forget_painted(store)
        loading = seconds_of(lambda: all_of(drawn(lambda p: apart.draw(p, network.feed), plan.samples, 1)))
        forget_painted(store)
        run = seconds_of(lambda: measure(network, apart, device=here.device, compiling="off", workers=1, store=store))
    longer = max(loading, alone)
    against = f"the longer of loading ({loading:.2f} s) and network ({alone:.2f} s)"
    return (what, run, against, longer, run / longer, _WHOLE)


class Apart:
    """A study that is drawn on the machine's last core by other processes than this one."""

    def __init__(self, study: Study) -> None:
        self.study, self.process = study, os.getpid()

    def plan(self, feed: Feed, seed: int) -> Plan[Any]:
        return self.study.plan(feed, seed)

    def draw(self, planned: Planned, feed: Feed) -> Mapping[str, Tensor]:
        if os.getpid() != self.process and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {ALL_CORES[-1]})
        return self.study.draw(planned, feed)


ALL_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process uses one thread of torch and the first core alone; those that it starts may go elsewhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {ALL_CORES[0]})
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, ALL_CORES)


def network_alone(network: Network, plan: Plan[Any], sample: Drawn, here: Here, samples: int) -> None:
    """All passes and sums of a run, as the engine makes them, of one sample that was drawn before."""
    inputs = sum(planned.inputs for planned in plan.samples)
    with passes_of(network, Placement(here.device, "float32", "off"), inputs, inputs, here.folder / "alone") as made:
        for part in cut(plan.samples[:samples]):
            work = UnitSums(made)
            for planned in part.samples:
                rows = {
                    name: values[:1].expand(_rows(planned, sample, values), *values.shape[1:])
                    for name, values in sample.value.items()
                }
                work.see(Drawn(planned, rows, 0.0))
            work.finish()


def _rows(planned: Planned, sample: Drawn, values: Tensor) -> int:
    """How many rows a tensor of this sample has, where one was drawn of another."""
    return len(values) // sample.planned.inputs * planned.inputs


def forget_painted(store: AssetStore) -> None:
    shutil.rmtree(store.cache.painted, ignore_errors=True)


def all_of(samples: Iterator[Drawn]) -> None:
    for _ in samples:
        pass


def moving(seed: int, frames: int) -> Frames:
    """(frames, 256, 340, 3): a mosaic that drifts."""
    ground = np.random.default_rng(seed).integers(0, 200, (32, 43, 3)).repeat(8, 0).repeat(8, 1)[: _SIZE[0], : _SIZE[1]]
    return np.stack([np.roll(ground, (position, 2 * position), axis=(0, 1)) for position in range(frames)]).astype(
        np.uint8
    )


def stylised_videos(here: Here) -> StylisedDataset:
    """Videos of 80 frames in four tints, as JPEG in the layout of Diving48."""
    layout, folder = LAYOUTS["diving48"], here.folder / "data"
    for video in range(here.videos):
        frames = moving(video, 80)
        for number, style in enumerate(STYLE_FOLDERS):
            target = folder / style / f"video{video:03d}"
            target.mkdir(parents=True)
            for position, frame in enumerate(frames):
                Image.fromarray(np.roll(frame, number, axis=2)).save(target / layout.frame_name(position), quality=90)
    entries = [{"vid_name": f"video{video:03d}", "label": 0} for video in range(here.videos)]
    (folder / layout.annotations[0]).write_text(json.dumps(entries), encoding="utf-8")
    return stylised_diving48(folder)


def write_video(path: Path, frames: Frames) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


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
