"""The picture of an ablation: how a network does without some units of a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdbench.base.figures import new_figure
from sdbench.base.files import write_figure
from sdbench.report.pictures import COLOURS

_COLOURS = {"dynamic": COLOURS["dynamic"], "static": COLOURS["static"], "random": COLOURS["dead"]}
_MARKERS = {"dynamic": "o", "static": "s", "random": "^"}


def ablation_picture(title: str, ablation: Mapping[str, Any], path: Path) -> None:
    """Draw mean IoU against the percentage of units that are set to zero, one line for each way to choose them.

    Args:
        title: above the picture.
        ablation: `Ablation.record()`.
        path: the PNG file to write.
    """
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    points: Sequence[Mapping[str, Any]] = ablation["points"]
    for selection in dict.fromkeys(point["selection"] for point in points):
        line = sorted((point for point in points if point["selection"] == selection), key=lambda p: float(p["percent"]))
        percents = [0.0, *(point["percent"] for point in line)]
        values = [ablation["miou"], *(point["miou"] for point in line)]
        limits = [ablation["interval"], *(point["interval"] for point in line)]
        colour = _COLOURS[selection]
        axes.plot(percents, values, marker=_MARKERS[selection], color=colour, label=selection)
        if all(limits):
            low, high = ([limit[side] for limit in limits] for side in ("low", "high"))
            axes.fill_between(percents, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.axhline(ablation["miou"], color=COLOURS["residual"], linestyle="--", zorder=0)
    axes.annotate(
        "whole network", (1, ablation["miou"]), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", ha="right", fontsize=8, color="#666666",
    )  # fmt: skip
    axes.set_xlabel(f"units of {ablation['layer']} set to zero (%)")
    axes.set_ylabel("mean IoU (%)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False, title="units")
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    write_figure(figure, path)
