"""Any number of measurements side by side: shares over relative depth as a picture, the last layers as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from tabulate import tabulate

from sdbench.base.files import write_figure
from sdbench.report.comparing import compare, said
from sdbench.report.outcome import LayerOutcome, Outcome
from sdbench.report.pictures import COLOURS
from sdbench.statistics import READING_ORDER

_COLUMNS = 4
"""Networks in a row of the picture."""

_GREY = "#8A8A8A"
MARKS: dict[str, tuple[Literal["-", "--"], str]] = {"dynamic": ("-", "o"), "static": ("--", "s")}
"""How the line of a factor is drawn: told apart in print without colours, and among grey ones."""


def atlas_picture(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw static and dynamic share of every layer over relative depth, a panel for each network.

    Bands are 95 % intervals. Grey lines are controls: the same network with fresh weights, where that is among the
    measurements or was measured beside it. An untrained network without a trained one has a panel of its own.

    Args:
        outcomes: at least one.
        path: the PNG file to write.
    """
    trained = {_key(of) for of in outcomes if not of.untrained}
    beside = [of for of in outcomes if of.untrained and _key(of) in trained]
    panels = [of for of in outcomes if not of.untrained or _key(of) not in trained]
    rows, columns = rows_and_columns(len(panels))
    figure = Figure(figsize=(max(5.2, 3.1 * columns), 2.7 * rows + 1.0), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    any_control = False
    for number, (axes, of) in enumerate(zip(grid.flat, panels, strict=False)):
        controls = [*of.controls, *(other for other in beside if _key(other) == _key(of))]
        for control in controls:
            _draw(axes, control, grey=True)
        _draw(axes, of)
        any_control = any_control or bool(controls)
        axes.set_title(of.network + (" (untrained)" if of.untrained else ""), fontsize=9)
        axes.set_axisbelow(True)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if number % columns == 0:
            axes.set_ylabel("share of the layer (%)")
        if number + columns >= len(panels):
            axes.set_xlabel("relative depth")
            axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    grid[0, 0].set_ylim(bottom=0)
    grid[0, 0].set_xlim(-0.04, 1.04)
    figure.legend(
        handles=list(keys(any_control)), loc="outside lower center", ncols=2 if columns == 1 else 4, frameon=False
    )
    figure.suptitle(_title(panels), fontsize=11)
    write_figure(figure, path)


def rows_and_columns(panels: int) -> tuple[int, int]:
    """How panels are laid out: in no more rows than it takes, with as few places left empty as there can be."""
    rows = math.ceil(panels / _COLUMNS)
    return rows, math.ceil(panels / rows)


def _key(of: Outcome) -> tuple[Any, ...]:
    """The network and what it was shown: what a control has in common with what it is shown beside."""
    return (of.network, *_shown(of))


def _shown(of: Outcome) -> tuple[Any, ...]:
    """What a network was shown, as far as it is known."""
    return (of.study or (of.dataset, of.protocol), of.seed)


def _title(outcomes: Sequence[Outcome]) -> str:
    shown = list(dict.fromkeys(f"{of.dataset}, seed {of.seed}" for of in outcomes))
    return "What each layer encodes, on " + (shown[0] if len(shown) == 1 else f"{len(shown)} different studies")


def keys(any_control: bool = False, names: Mapping[str, str] | None = None) -> Iterable[Line2D]:
    """What the lines of a picture stand for; `names` are what the factors are called, where that is not their own."""
    for name in READING_ORDER:
        line, mark = MARKS[name]
        yield Line2D(
            [], [], color=COLOURS[name], linestyle=line, marker=mark, markersize=4, label=(names or {}).get(name, name)
        )
    if any_control:
        for name in READING_ORDER:
            yield Line2D([], [], color=_GREY, linestyle=MARKS[name][0], label=f"{name}, control")


def _draw(axes: Any, of: Outcome, grey: bool = False) -> None:
    depths = list(of.depths.values())
    for name in READING_ORDER:
        line, mark = MARKS[name]
        colour = _GREY if grey else COLOURS[name]
        values = [layer.shares[name] for layer in of.layers.values()]
        axes.plot(
            depths,
            values,
            color=colour,
            linestyle=line,
            marker="" if grey and len(depths) > 1 else mark,
            markersize=4,
            linewidth=1.2 if grey else 1.6,
            zorder=1 if grey else 3,
        )
        limits = [layer.intervals[name] for layer in of.layers.values() if layer.intervals is not None]
        if len(limits) == len(depths):
            low, high = [limit.low for limit in limits], [limit.high for limit in limits]
            if len(depths) > 1:
                axes.fill_between(depths, low, high, color=colour, alpha=0.2, linewidth=0, zorder=0 if grey else 2)
            else:
                axes.plot([depths[0]] * 2, [low[0], high[0]], color=colour, alpha=0.5, linewidth=3)


def atlas_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """For each measurement its last layer and where the shares are highest, in the order of the rank.

    The rank is that of the dynamic share at the last layer, among those that were shown the same.
    """
    return [_row(of, [other for other in outcomes if _shown(other) == _shown(of)]) for of in _ranked(outcomes)]


def _ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda of: -_last(of).shares["dynamic"])


def _row(of: Outcome, peers: Sequence[Outcome]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rank": 1 + sum(_last(other).shares["dynamic"] > _last(of).shares["dynamic"] for other in peers),
        "of": len(peers),
        "network": of.network,
        "source": of.source,
        "untrained": of.untrained,
        "dataset": of.dataset,
        "last_layer": of.last,
    }
    for name in READING_ORDER:
        peak = max(of.layers, key=lambda layer: of.layers[layer].shares[name])
        row[name] = _last(of).shares[name]
        row[f"most_{name}"] = {"layer": peak, "share": of.layers[peak].shares[name], "depth": of.depths[peak]}
    return row


def atlas_table(outcomes: Sequence[Outcome]) -> str:
    """The same as a table."""
    several = len({_shown(of) for of in outcomes}) > 1
    table = []
    for of, row in zip(_ranked(outcomes), atlas_rows(outcomes), strict=True):
        cells = [f"{row['rank']} of {row['of']}" if several else str(row["rank"])]
        cells.append(of.source + (", untrained" if of.untrained else ""))
        if several:
            cells.append(of.dataset)
        cells.append(of.last)
        cells += [_with_half_width(_last(of), name) for name in READING_ORDER]
        for name in READING_ORDER:
            peak = row[f"most_{name}"]
            cells.append(f"{peak['layer']} ({peak['share']:.1f} %)")
        table.append(cells)
    headers = ["rank", "network", *(["study"] if several else []), "last layer"]
    headers += [f"{name}\nshare %" for name in READING_ORDER] + [f"most {name}" for name in READING_ORDER]
    return tabulate(table, headers=headers, disable_numparse=True)


def _last(of: Outcome) -> LayerOutcome:
    return of.layers[of.last]


def _with_half_width(layer: LayerOutcome, name: str) -> str:
    value = f"{layer.shares[name]:.1f}"
    return value if layer.intervals is None else f"{value} ±{layer.intervals[name].half_width:.1f}"


def controls_sentence(found: Outcome, untrained: Outcome, seeds: int) -> str:
    """What training did to the last layer, in a sentence made from the numbers.

    Args:
        found: of the trained network.
        untrained: of the same with fresh weights, means over seeds.
        seeds: how many.
    """
    difference = compare(found, untrained, [found.last]).differences[0]
    held, before = difference.shares, difference.other_shares
    return (
        f"At its last layer {found.network} holds {held['static']:.0f} % static and {held['dynamic']:.0f} % dynamic; "
        f"untrained it held {before['static']:.0f} % and {before['dynamic']:.0f} % ({seeds} seeds): training moved "
        f"static by {said(difference, 'static')} points and dynamic by {said(difference, 'dynamic')}."
    )
