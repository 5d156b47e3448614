"""How many rendered scenes does it take? Print a table; draw some of them into ruler.png.

    python benchmarks/measure_ruler.py [--scenes 1280] [--networks i3d_inception,transnetv2] [--out docs]

Each network is measured once, on the largest number of scenes; what fewer would have given is read from the first of
its resampling blocks. `--scenes 0` draws the picture only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sdbench.assets.store import AssetStore
from sdbench.base.files import atomic_path
from sdbench.calibration.tasks import feed_of
from sdbench.calibration.trained import kind_named, load_trained
from sdbench.engine import Measurement, measure
from sdbench.networks import Network
from sdbench.statistics import FACTORS, FEWEST_GROUPS, Interval
from sdbench.statistics.variance import PART_NAMES
from sdbench.studies import RENDERED, RenderedStudy
from sdbench.studies.rendered_study import SCENES, RenderedVideos
from sdbench.studies.views import CROSSED_VIEWS
from sdbench.video.feed import Feed
from sdbench.video.render import LOOKS, MOTIONS

matplotlib.use("agg")

FEWEST = 64
"""Scenes: below this nobody would want intervals."""

SHOWN = Feed(frames=16, size=64)
TIMES = (0, 5, 10, 15)


def fewer(found: Measurement) -> Iterator[tuple[int, Measurement]]:
    """Numbers of scenes, halved from the largest on, and what was measured on the first so many."""
    blocks = {block for parts in found.sums.values() for block in parts}
    each = found.samples // len(blocks)
    scenes = found.samples
    while scenes >= max(FEWEST, FEWEST_GROUPS * each) and scenes // each * each == scenes:
        kept = range(scenes // each)
        sums = {
            layer: {block: part for block, part in parts.items() if int(block[1]) in kept}
            for layer, parts in found.sums.items()
        }
        yield scenes, replace(found, sums=sums)
        scenes //= 2


def widest(found: Measurement, quantity: str, name: str) -> tuple[float, str]:
    """The widest half width of the 95 % intervals of a share or a part of variance, in points, and the layer."""
    limits: dict[str, Mapping[str, Interval] | None] = {}
    for layer in found.layers:
        of = found.layer(layer)
        if quantity == "shares":
            limits[layer] = of.intervals.shares if of.intervals else None
        else:
            limits[layer] = of.variance.intervals if of.variance else None
    return max((limit[name].half_width, layer) for layer, limit in limits.items() if limit is not None)


COLUMNS = (*(("shares", name) for name in FACTORS), *(("variance", name) for name in PART_NAMES))


def table(measured: list[Measurement]) -> str:
    names = [f"{quantity}, {name}: widest ±" for quantity, name in COLUMNS]
    lines = [f"| network | scenes | {' | '.join(names)} | seconds |", "|" + " --- |" * (len(COLUMNS) + 3)]
    for found in measured:
        for scenes, part in fewer(found):
            cells = ["{:.2f} ({})".format(*widest(part, *column)) for column in COLUMNS]
            seconds = found.seconds["total"] * scenes / found.samples
            lines.append(f"| {found.network} | {scenes} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines)


def picture(path: Path) -> None:
    """For one scene of each look and each motion, some frames of its four clips."""
    size, frames = SHOWN.height_and_width, SHOWN.frames
    origin = RenderedStudy(2).plan(SHOWN, 0).samples[0].origin
    videos = RenderedVideos(999, None, size, frames, origin=origin)
    figure = Figure(figsize=(11.5, 3.4), layout="constrained")
    axes = figure.subplots(len(LOOKS), len(CROSSED_VIEWS))
    for row, look, other, motion in zip(axes, LOOKS, (*LOOKS[1:], LOOKS[0]), MOTIONS, strict=True):
        number, scene = next(
            (number, scene)
            for number, scene in enumerate(map(videos.scene, range(999)))
            if [each.look for each in scene.appearances] == [look, other] and scene.motions[0].kind == motion
        )
        for place, view in zip(row, CROSSED_VIEWS, strict=True):
            shown = np.pad(
                videos.clip(scene, *view).frames[list(TIMES)], ((0, 0), (0, 0), (0, 3), (0, 0)), constant_values=255
            )
            place.imshow(np.concatenate(list(shown), axis=1)[:, :-3], interpolation="nearest")
            place.set_xticks([])
            place.set_yticks([])
        row[0].set_ylabel(f"scene {number}", fontsize=8)
    titles = ("A in M", "A' in M: the dynamic partner", "A in M': the static partner", "A' in M'")
    for place, title in zip(axes[0], titles, strict=True):
        place.set_title(title, fontsize=9)
    figure.suptitle(f"{RENDERED}, seed 0: frames {', '.join(map(str, TIMES))} of {frames}", fontsize=9)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100, format="png")
    with atomic_path(path) as temporary:
        Image.open(drawn).convert("RGB").quantize(128).save(temporary, format="PNG", optimize=True)


def network_of(name: str) -> str | Network:
    """A network of the suite, or one that comes with the package, trained on a task from seed 0."""
    small, _, task = name.partition(":")
    return Network(load_trained(small, task, 0), feed_of(kind_named(small)), name) if task else name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument(
        "--networks",
        default="i3d_inception,transnetv2",
        help="names of the suite, or NAME:TASK of a small network that comes with the package",
    )
    parser.add_argument("--workers", type=int, help="processes that draw ahead (default: one a core)")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    given = parser.parse_args()
    picture(given.out / "ruler.png")
    if given.scenes:
        store, study = AssetStore(), RenderedStudy(given.scenes)
        names = given.networks.split(",")
        print(table([measure(network_of(name), study, store=store, workers=given.workers) for name in names]))


if __name__ == "__main__":
    main()
