"""Simulate studies whose truth is known; print tables, write coverage.png and study_size.png.

    python -m benchmarks.simulate_coverage [--studies 500] [--processes 2] [--out docs] [--kept FOLDER]

What is done is kept in a folder, one file a layer and design, and not done again.

The numbers of docs/calibration.md come from here; 500 studies of every layer with 8 videos, 200
with more and 31 a point of the curves take about 10 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

from benchmarks.interval_coverage import LAYERS, coverage_of, mixed
from benchmarks.known_layers import Population, simulated_study, truth
from sdbench.base.draws import generator_for
from sdbench.base.files import atomic_path
from sdbench.statistics import SHARE_NAMES, estimate_from_moments, merge

matplotlib.use("agg")

DESIGNS = ((8, 60), (30, 10), (100, 5))
SIZES = tuple((videos, clips) for clips in (1, 3, 10) for videos in (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 300, 500))
SIZE_LAYERS = ("mixed, 256 units", "many near the threshold")
POWERS = (0.5, 0.8)
DIFFERENCE = 5.0
Task = tuple[str, int, int, int]


def layer(name: str) -> Population:
    return LAYERS[name](generator_for(0, name))


def simulate(task: Task, kept: Path) -> dict[str, Any]:
    """The coverage of one layer and design; read from `kept` where it is known already."""
    name, videos, clips, studies = task
    path = kept / f"{name.replace(', ', '_').replace(' ', '_')}.{videos}x{clips}.{studies}.json"
    if path.exists():
        known: dict[str, Any] = json.loads(path.read_text())
        return known
    found = coverage_of(layer(name), generator_for(1, f"{name} {videos} {clips}"), videos, clips, studies)
    row = {"layer": name, "videos": videos, "clips": clips, **asdict(found)}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(row, indent=1) + "\n")
    return row


def shared_variance() -> list[dict[str, float]]:
    """What one variance for both factors does when shuffled clips vary more, or about another mean: closed form."""
    rows = []
    plain = layer("mixed, 256 units")
    total = plain.variances.sum(axis=0)
    for gain, shift in ((1.0, 0.0), (1.5, 0.0), (2.0, 0.0), (1.0, 0.5), (1.0, 1.0), (1.5, 0.5)):
        known = truth(replace(plain, shuffled_gain=gain, shuffled_shift=shift * np.sqrt(total)))
        moved = {name: known.shares[name] - known.own_variance_shares[name] for name in SHARE_NAMES}
        rows.append({"gain": gain, "shift": shift, **moved})
    return rows


def integer_cut() -> list[dict[str, float]]:
    """What the cut to whole units does, averaged over studies of layers of C units."""
    rows = []
    for units in (8, 64, 256, 2048):
        moved = []
        for number in range(100):
            generator = generator_for(number, f"cut {units}")
            found = estimate_from_moments(merge(simulated_study(mixed(generator, units, 8), generator, 30, 3)))
            moved.append([100 * found.dimensions[name] / units - found.shares[name] for name in SHARE_NAMES])
        rows.append({"units": units, **dict(zip(SHARE_NAMES, np.mean(moved, axis=0).tolist(), strict=True))})
    return rows


def style_balance() -> list[dict[str, float]]:
    """What it does when one of four styles is drawn more often than the others; styles hold a fifth of the variance."""
    plain = layer("mixed, 256 units")
    generator = generator_for(0, "styles")
    styles = generator.standard_normal((4, plain.units)) * np.sqrt(0.25 * plain.variances.sum(axis=0))
    population = replace(plain, styles=styles - styles.mean(axis=0))
    rows = []
    for often in (1, 2, 4, 8):
        shares = []
        for number in range(200):
            groups = simulated_study(population, generator_for(number, "studies"), 200, 3, (often, 1, 1, 1))
            shares.append(list(estimate_from_moments(merge(groups)).shares.values()))
        rows.append({"often": often, **dict(zip(SHARE_NAMES, np.mean(shares, axis=0).tolist(), strict=True))})
    return [{**row, **{n: row[n] - rows[0][n] for n in SHARE_NAMES}} for row in rows]


def smallest(sizes: list[dict[str, Any]], quantities: tuple[str, ...]) -> list[dict[str, Any]]:
    """Fewest videos for which a 5-point difference of two measurements on separate videos is found with each power."""
    rows = []
    for name in SIZE_LAYERS:
        for clips in sorted({row["clips"] for row in sizes}):
            for quantity in quantities:
                found: dict[str, Any] = {"layer": name, "clips": clips, "quantity": quantity}
                for power in POWERS:
                    enough = []
                    for row in sizes:
                        if (row["layer"], row["clips"]) == (name, clips):
                            t = stats.t.ppf(0.975, row["videos"] - 1)
                            needed = np.sqrt(2) * row["half_width"][quantity] * (1 + stats.norm.ppf(power) / t)
                            if needed <= DIFFERENCE:
                                enough.append(row["videos"])
                    found[f"videos, power {power:g}"] = min(enough, default=None)
                rows.append(found)
    return rows


def coverage_picture(rows: list[dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axes = figure.subplots(1, len(DESIGNS), sharey=True)
    names = list(LAYERS)
    for axis, (videos, clips) in zip(axes, DESIGNS, strict=True):
        axis.axvspan(92, 98, color="#009E73", alpha=0.15, lw=0)
        for row in rows:
            if (row["videos"], row["clips"]) == (videos, clips):
                for kind, colour, offset in (("share", "#0072B2", -0.15), ("units", "#D55E00", 0.15)):
                    values = [v for q, v in row["covered"].items() if q.startswith(kind) and row["truth"][q] > 0]
                    axis.plot(values, [names.index(row["layer"]) + offset] * len(values), "o", ms=4, color=colour)
        axis.set_title(f"{videos} videos of {clips} clips", fontsize=10)
        axis.set_xlim(70, 100.5)
        axis.set_xlabel("intervals that cover the truth (%)", fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    axes[0].invert_yaxis()
    figure.suptitle("shares (blue, above) and unit classes (orange, below); band: 92 to 98 %", fontsize=10)
    save(figure, path)


def size_picture(rows: list[dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True)
    for column, (quantity, title) in enumerate((("share.static", "static share"), ("units.static", "static units"))):
        for clips, style in ((1, ":"), (3, "--"), (10, "-")):
            for name, colour in zip(SIZE_LAYERS, ("#0072B2", "#D55E00"), strict=True):
                chosen = [r for r in rows if (r["layer"], r["clips"]) == (name, clips)]
                videos = [r["videos"] for r in chosen]
                label = f"{name}, {clips} clip{'s' if clips > 1 else ''} a video"
                for axis, key in ((axes[0, column], "bias"), (axes[1, column], "half_width")):
                    axis.plot(videos, [r[key][quantity] for r in chosen], style, color=colour, label=label)
        axes[0, column].set_title(title, fontsize=10)
        axes[0, column].axhline(0, color="black", lw=0.6)
        axes[1, column].set_xlabel("videos")
        axes[1, column].set_yscale("log")
        axes[1, column].set_xscale("log")
        axes[1, column].set_xticks([8, 16, 32, 64, 128, 500], ["8", "16", "32", "64", "128", "500"])
        limits = axes[1, column].get_ylim()
        steps = [step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if limits[0] <= step <= limits[1]]
        axes[1, column].set_yticks(steps, [f"{step:g}" for step in steps])
        axes[1, column].minorticks_off()
        for axis in axes[:, column]:
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("bias of the estimate (points)")
    axes[1, 0].set_ylabel("half width of the interval (points)")
    axes[0, 1].legend(fontsize=7, frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    drawn = BytesIO()
    figure.savefig(drawn, dpi=80, format="png")
    with atomic_path(path) as temporary:  # 64 colours are enough for lines and take a third of the bytes
        Image.open(drawn).convert("RGB").quantize(64).save(temporary, format="PNG", optimize=True)


def table(rows: list[dict[str, Any]], design: tuple[int, int]) -> str:
    """Markdown: the least and the most covered quantity of each kind, for one design."""
    lines = ["| layer | shares | unit classes |", "| --- | --- | --- |"]
    for row in rows:
        if (row["videos"], row["clips"]) == design:
            cells = [_range(row["covered"], row["truth"], kind) for kind in ("share", "units")]
            lines.append(f"| {row['layer']} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _range(covered: Mapping[str, float], true: Mapping[str, float], kind: str) -> str:
    values = [value for name, value in covered.items() if name.startswith(kind) and true[name] > 0]
    return f"{min(values):.0f} to {max(values):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--kept", type=Path, default=Path("reports/calibration"))
    given = parser.parse_args()
    given.kept.mkdir(parents=True, exist_ok=True)
    few, fewer = max(2, given.studies * 2 // 5), max(2, given.studies // 16)
    tasks: list[Task] = [
        (name, *design, given.studies if design == DESIGNS[0] else few) for design in DESIGNS for name in LAYERS
    ]
    size_tasks: list[Task] = [(name, *size, fewer) for name in SIZE_LAYERS for size in SIZES]
    with ProcessPoolExecutor(given.processes) as pool:
        every = list(pool.map(partial(simulate, kept=given.kept), [*tasks, *size_tasks]))
    rows, sizes = every[: len(tasks)], every[len(tasks) :]
    found = {
        "smallest": smallest(sizes, ("share.static", "units.static")),
        "shared_variance": shared_variance(),
        "integer_cut": integer_cut(),
        "style_balance": style_balance(),
    }
    coverage_picture(rows, given.out / "coverage.png")
    size_picture(sizes, given.out / "study_size.png")
    for design in DESIGNS:
        print(design, table(rows, design), sep="\n")
    for name in ("smallest", "shared_variance", "integer_cut", "style_balance"):
        print(name, *found[name], sep="\n")


if __name__ == "__main__":
    main()
