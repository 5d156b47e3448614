"""Pictures of what each layer encodes, and of where the objects of a data set are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sdbench.base.figures import new_figure
from sdbench.base.files import write_figure
from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES

# Okabe and Ito's palette: told apart by readers with any colour vision.
COLOURS = {"dynamic": "#D55E00", "static": "#0072B2", "joint": "#009E73", "residual": "#BBBBBB", "dead": "#333333"}
"""What a factor or a class of units is drawn in."""


def layers_picture(title: str, layers: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Draw the shares and the unit classes of every layer, from input to answer.

    Args:
        title: above the picture.
        layers: layer -> "shares" and "units" -> name -> percent.
        path: the PNG file to write.
    """
    names = list(layers)
    figure = new_figure(max(7.0, 0.55 * len(names) + 2.5), 6.4)
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
    ticks = [_cut(name, 40) for name in names]
    units.set_xticks(positions, ticks, rotation=45, ha="right", fontsize=8, parse_math=False)
    for axes in (shares, units):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(_cut(title, 100), parse_math=False)
    write_figure(figure, path)


def _cut(text: str, most: int) -> str:
    """A name of somebody else's may be longer than there is room for."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def centre_picture(title: str, mean: npt.NDArray[np.float64], centre: tuple[float, float], path: Path) -> None:
    """Draw the mean of masks, the middle of the frame and the centre of mass.

    Args:
        title: above the picture.
        mean: (H, W) in [0, 1]: the part of the masks that cover each pixel.
        centre: centre of mass, from the top and from the left as parts of height and width.
        path: the PNG file to write.
    """
    height, width = mean.shape
    figure = new_figure(8.6, 8.6 * height / width * 0.82 + 0.8)
    axes = figure.subplots()
    shown = axes.imshow(mean, cmap="viridis", vmin=0, extent=(0, width, height, 0), interpolation="nearest")
    axes.plot(width / 2, height / 2, "+", color="white", markersize=14, label="middle of the frame")
    down, right = centre
    axes.plot(
        right * width, down * height, "o", markerfacecolor="none", color="white", markersize=10, label="centre of mass"
    )
    axes.legend(loc="lower right", labelcolor="white", facecolor="black", framealpha=0.5)
    axes.set_xlabel("pixels")
    axes.set_ylabel("pixels")
    axes.set_title(title)
    figure.colorbar(shown, ax=axes, label="part of the masks that cover the pixel", fraction=0.03)
    write_figure(figure, path)
