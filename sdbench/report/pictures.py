"""Pictures of what each layer encodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from sdbench.assets.files import atomic_path
from sdbench.statistics.estimate import CLASS_NAMES, SHARE_NAMES

matplotlib.use("agg")

# Okabe and Ito's palette: told apart by readers with any colour vision.
COLOURS = {"dynamic": "#D55E00", "static": "#0072B2", "joint": "#009E73", "residual": "#BBBBBB", "dead": "#333333"}


def layers_picture(title: str, layers: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Draw the shares and the unit classes of every layer, from input to answer.

    Args:
        title: above the picture.
        layers: layer -> "shares" and "units" -> name -> percent.
        path: the PNG file to write.
    """
    names = list(layers)
    figure = Figure(figsize=(max(7.0, 0.55 * len(names) + 2.5), 6.4), layout="constrained")
    shares, units = figure.subplots(2, 1, sharex=True)
    positions = range(len(names))
    for name in SHARE_NAMES:
        values = [layers[layer]["shares"][name] for layer in names]
        shares.plot(positions, values, marker="o", color=COLOURS[name], label=name)
    shares.set_ylabel("share of the layer (%)")
    shares.set_ylim(bottom=0)
    shares.grid(axis="y", alpha=0.3)
    shares.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    bottom = [0.0] * len(names)
    for name in CLASS_NAMES:
        values = [layers[layer]["units"][name] for layer in names]
        if any(values):
            units.bar(positions, values, bottom=bottom, color=COLOURS[name], label=name, width=0.8)
            bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    units.set_ylabel("units by class (%)")
    units.set_ylim(0, 100)
    units.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    units.set_xticks(positions, names, rotation=45, ha="right", fontsize=8)
    for axes in (shares, units):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
