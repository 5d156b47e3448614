"""How many rendered scenes does it take? Print a table; draw some of them into ruler.png.

    python benchmarks/measure_ruler.py [--scenes 1280] [--networks i3d_inception,transnetv2] [--out docs]

Each network is measured once, on the largest number of scenes; what fewer would have given is read from the first of
its resampling blocks. `--scenes 0` draws the picture only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sdbench.assets.store import AssetStore
from sdbench.base.files import atomic_path
from sdbench.engine import Measurement, measure
from sdbench.statistics import FACTORS
from sdbench.studies import RENDERED, RenderedStudy
from sdbench.studies.rendered_study import SCENES, RenderedVideos
from sdbench.video.feed import Feed
from sdbench.video.render import MOTIONS

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
    while scenes >= FEWEST and scenes // each * each == scenes:
        kept = range(scenes // each)
        sums = {
            layer: {block: part for block, part in parts.items() if int(block[1]) in kept}
            for layer, parts in found.sums.items()
        }
        yield scenes, replace(found, sums=sums)
        scenes //= 2


def widest(found: Measurement, factor: str) -> tuple[float, str]:
    """The widest half width of the 95 % intervals of a share, in points, and the layer that has it."""
    limits = {name: found.layer(name).intervals for name in found.layers}
    return max((limit.shares[factor].half_width, name) for name, limit in limits.items() if limit is not None)


def table(measured: list[Measurement]) -> str:
    lines = ["| network | scenes | dynamic shares, widest ± | static shares, widest ± | seconds |", "|" + " --- |" * 5]
    for found in measured:
        for scenes, part in fewer(found):
            cells = ["{:.2f} ({})".format(*widest(part, factor)) for factor in FACTORS]
            seconds = found.seconds["total"] * scenes / found.samples
            lines.append(f"| {found.network} | {scenes} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines)


def picture(path: Path) -> None:
    """For one scene of each kind of motion: some frames of the clip, of its dynamic and of its static partner."""
    size, frames = SHOWN.height_and_width, SHOWN.frames
    origin = RenderedStudy(2).plan(SHOWN, 0).samples[0].origin
    videos = RenderedVideos(999, None, size, frames, origin=origin)
    figure = Figure(figsize=(9.2, 5.2), layout="constrained")
    axes = figure.subplots(len(MOTIONS), 3)
    for row, motion in zip(axes, MOTIONS, strict=True):
        number, scene = next(
            (number, scene)
            for number, scene in enumerate(map(videos.scene, range(999)))
            if scene.motions[0].kind == motion
        )
        for place, view in zip(row, ((0, 0), (1, 0), (0, 1)), strict=True):
            shown = np.pad(
                videos.clip(scene, *view).frames[list(TIMES)], ((0, 0), (0, 0), (0, 3), (0, 0)), constant_values=255
            )
            place.imshow(np.concatenate(list(shown), axis=1)[:, :-3], interpolation="nearest")
            place.set_xticks([])
            place.set_yticks([])
        row[0].set_ylabel(f"{motion}\nscene {number}", fontsize=8)
    titles = ("the clip", "dynamic partner: same motion", "static partner: same appearance")
    for place, title in zip(axes[0], titles, strict=True):
        place.set_title(title, fontsize=9)
    figure.suptitle(f"{RENDERED}, seed 0: frames {', '.join(map(str, TIMES))} of {frames}", fontsize=9)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=100, format="png")
    with atomic_path(path) as temporary:
        Image.open(drawn).convert("RGB").quantize(128).save(temporary, format="PNG", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--networks", default="i3d_inception,transnetv2")
    parser.add_argument("--workers", type=int, help="processes that draw ahead (default: one a core)")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    given = parser.parse_args()
    picture(given.out / "ruler.png")
    if given.scenes:
        store, study = AssetStore(), RenderedStudy(given.scenes)
        names = given.networks.split(",")
        print(table([measure(name, study, store=store, workers=given.workers) for name in names]))


if __name__ == "__main__":
    main()
