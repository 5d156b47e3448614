"""A picture of what a network encodes while it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdbench.base.figures import new_figure
from sdbench.base.files import write_figure
from sdbench.report.atlas import IN_WORDS, MARKS, crossed, keys, rows_and_columns, value_of
from sdbench.report.outcome import Outcome
from sdbench.report.pictures import COLOURS
from sdbench.statistics import READING_ORDER


def tracked_picture(history: Sequence[tuple[int, Outcome]], path: Path) -> None:
    """Draw what each layer encodes over the steps of a training, a panel for each layer; bands are 95 % intervals.

    Where scenes are crossed these are the parts of variance that appearance and motion alone explain, else the static
    and the dynamic share.

    Args:
        history: (step, what was measured), at least one, all of the same layers.
        path: the PNG file to write.
    """
    steps = [step for step, _ in history]
    parts = crossed(outcome for _, outcome in history)
    last = history[-1][1]
    rows, columns = rows_and_columns(len(last.layers))
    figure = new_figure(max(5.2, 3.1 * columns), 2.7 * rows + 0.9)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for number, (axes, name) in enumerate(zip(grid.flat, last.layers, strict=False)):
        of_layer = [outcome.layers[name] for _, outcome in history]
        for factor in READING_ORDER:
            line, mark = MARKS[factor]
            values, limits = zip(*(value_of(layer, factor, parts) for layer in of_layer), strict=True)
            axes.plot(
                steps,
                values,
                color=COLOURS[factor],
                linestyle=line,
                marker=mark,
                markersize=4,
                zorder=3,
            )
            known = [(step, limit) for step, limit in zip(steps, limits, strict=True) if limit is not None]
            axes.fill_between(
                [step for step, _ in known],
                [limit.low for _, limit in known],
                [limit.high for _, limit in known],
                color=COLOURS[factor],
                alpha=0.2,
                linewidth=0,
                zorder=2,
            )
        axes.set_title(name, fontsize=9)
        axes.set_axisbelow(True)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if number % columns == 0:
            axes.set_ylabel("part of the variance (%)" if parts else "share of the layer (%)")
        if number + columns >= len(last.layers):
            axes.set_xlabel("step")
            axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(last.layers) :]:
        axes.set_visible(False)
    grid[0, 0].set_ylim(bottom=None if parts else 0)
    names = IN_WORDS if parts else {}
    figure.legend(handles=list(keys(names=names)), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"{last.network}: each layer during training, on {last.dataset}", fontsize=11)
    write_figure(figure, path)
