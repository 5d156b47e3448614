"""How far does making pairs by painting and shuffling move the answer? Print a table, write stylisation.png.

    python benchmarks/compare_stylisation.py [--scenes 128] [--out docs]

The same rendered clips are measured twice with i3d_inception: with exact pairs (another appearance in the same motion,
the same appearance in another motion), and with the paper's way of making pairs (another painted style; the frames in
a random order).
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sdbench.assets.store import AssetStore
from sdbench.base.files import atomic_path
from sdbench.engine import Measurement, measure
from sdbench.statistics import FACTORS, SHARE_NAMES
from sdbench.studies import RenderedStudy, clips
from sdbench.studies.rendered_study import PlannedScene, RenderedVideos
from sdbench.zoo import network_named

matplotlib.use("agg")

NETWORK = "i3d_inception"
TEXTURES = ("noise", "blobs", "checks", "leaves")
LOOKS = ("field", "sprite")
WAYS = ("exact", "painted")
COLOURS = {"dynamic": "#D55E00", "static": "#0072B2", "residual": "#888888"}


def both_ways(scenes: int, store: AssetStore) -> dict[str, Measurement]:
    network = network_named(NETWORK, store=store)
    study = RenderedStudy(scenes, textures=TEXTURES, looks=LOOKS)
    planned = study.plan(network.feed, 0).samples[0]
    assert isinstance(planned, PlannedScene)
    videos = RenderedVideos(
        scenes,
        None,
        network.feed.height_and_width,
        network.feed.frames,
        textures=TEXTURES,
        looks=LOOKS,
        origin=planned.origin,
    )
    filmed = {scene.name: videos.clip(scene).frames for scene in map(videos.scene, range(scenes))}
    return {
        "exact": measure(network, study, store=store),
        "painted": measure(network, clips(filmed, store=store), store=store),
    }


def table(found: dict[str, Measurement]) -> str:
    header = [f"{name}, {way}" for name in (*SHARE_NAMES, *(f"{f} score" for f in FACTORS)) for way in WAYS]
    lines = [f"| layer | {' | '.join(header)} |", "| --- |" + " --- |" * len(header)]
    for layer in found["exact"].layers:
        estimates = {way: found[way].layer(layer).estimate for way in WAYS}
        cells = [f"{estimates[way].shares[name]:.1f}" for name in SHARE_NAMES for way in WAYS]
        cells += [f"{estimates[way].layer_scores[name]:.2f}" for name in FACTORS for way in WAYS]
        lines.append(f"| {layer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(found: dict[str, Measurement], path: Path) -> None:
    layers = found["exact"].layers
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    for axes, quantity in zip(figure.subplots(1, 2), ("shares", "classes"), strict=True):
        for name, colour in COLOURS.items():
            for way, style in zip(WAYS, ("-o", "--s"), strict=True):
                read = [found[way].layer(layer) for layer in layers]
                if quantity == "shares":
                    values = [layer.estimate.shares[name] for layer in read]
                else:
                    values = [100 * float(np.mean(layer.estimate.unit_labels == name)) for layer in read]
                axes.plot(range(len(layers)), values, style, ms=3, color=colour, label=f"{name}, {way} pairs")
        axes.set_title("shares (%)" if quantity == "shares" else "units by class (%)", fontsize=10)
        axes.set_xticks(range(len(layers)), layers, rotation=60, ha="right", fontsize=7)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=80, format="png")
    with atomic_path(path) as temporary:
        Image.open(drawn).convert("RGB").quantize(64).save(temporary, format="PNG", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    given = parser.parse_args()
    found = both_ways(given.scenes, AssetStore())
    print(table(found))
    for way, measurement in found.items():
        limits = [measurement.layer(name).intervals for name in measurement.layers]
        half = max((layer.shares["static"].half_width for layer in limits if layer), default=float("nan"))
        print(f"{way}: {measurement.resampling}, static shares +- {half:.1f} at most, {measurement.seconds}")
    picture(found, given.out / "stylisation.png")


if __name__ == "__main__":
    main()
