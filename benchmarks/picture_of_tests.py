"""The picture of docs/test_of_tests.md: how often each test orders two networks as their trainings do."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks.ordering import Ordering
from sdbench.base.figures import new_figure
from sdbench.base.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#999999", "#CC79A7")

Panel = tuple[str, Sequence[str], Sequence[tuple[str, dict[str, Ordering]]]]
"""Title, names of tests, and what is compared: in words, and how each test orders it."""


def picture(panels: Sequence[Panel], path: Path) -> None:
    """Draw one panel beside the other: a line a test, points with their intervals, chance as a line at 50 %."""
    figure = new_figure(6.5 * len(panels), 7.6)
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axis, panel)
    figure.supxlabel("pairs of networks that the test orders as their training does, percent", fontsize=10)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=80, format="png")
    with atomic_path(path) as temporary:  # 64 colours are enough for lines and take a third of the bytes
        Image.open(drawn).convert("RGB").quantize(64).save(temporary, format="PNG", optimize=True)


def _draw(axis: Axes, panel: Panel) -> None:
    title, tests, compared = panel
    axis.axvline(50, color="black", linewidth=0.8, linestyle="--")
    for number, (words, found) in enumerate(compared):
        places = [tests.index(test) + 0.17 * (number - (len(compared) - 1) / 2) for test in found]
        axis.hlines(
            places,
            [each.interval.low for each in found.values()],
            [each.interval.high for each in found.values()],
            color=COLOURS[number],
            linewidth=2,
        )
        right = [each.right for each in found.values()]
        axis.plot(right, places, "o", color=COLOURS[number], markersize=4.5, label=words, clip_on=False)
    for place in range(1, len(tests)):
        axis.axhline(place - 0.5, color="black", linewidth=0.3, alpha=0.3)
    axis.set_yticks(range(len(tests)), tests, fontsize=9)
    axis.set_ylim(len(tests) - 0.5, -0.5)
    axis.set_xlim(-2, 102)
    axis.set_xticks([0, 25, 50, 75, 100])
    axis.set_title(title, fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.05), ncols=2, fontsize=9, frameon=False)
