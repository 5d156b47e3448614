"""Any number of measurements side by side: shares over relative depth as a picture, the last layers as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tabulate import tabulate

from sdbench.base.figures import new_figure
from sdbench.base.files import write_figure
from sdbench.report.comparing import compare, said
from sdbench.report.outcome import LayerOutcome, Outcome, PartsOutcome
from sdbench.report.pictures import COLOURS
from sdbench.statistics import READING_ORDER, Interval

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

_COLUMNS = 4
"""Networks in a row of the picture."""

_GREY = "#8A8A8A"
IN_WORDS = {"static": "appearance alone", "dynamic": "motion alone"}
"""How the parts of variance are called that are drawn as the shares of these factors are elsewhere."""

PARTS = {"static": "appearance", "dynamic": "motion"}
"""Factor -> the part of variance that it alone explains."""

MARKS: dict[str, tuple[Literal["-", "--"], str]] = {"dynamic": ("-", "o"), "static": ("--", "s")}
"""How the line of a factor is drawn: told apart in print without colours, and among grey ones."""


def atlas_picture(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw what the static and the dynamic factor hold of every layer over relative depth, a panel for each network.

    Where all were shown crossed scenes these are the parts of variance that appearance and motion alone explain, else
    the shares.

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
    figure = new_figure(max(5.2, 3.1 * columns), 2.7 * rows + 1.0)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    any_control, parts = False, crossed((*outcomes, *(control for of in panels for control in of.controls)))
    for number, (axes, of) in enumerate(zip(grid.flat, panels, strict=False)):
        controls = [*of.controls, *(other for other in beside if _key(other) == _key(of))]
        for control in controls:
            _draw(axes, control, parts, grey=True)
        _draw(axes, of, parts)
        any_control = any_control or bool(controls)
        axes.set_title(of.network + (" (untrained)" if of.untrained else ""), fontsize=9)
        axes.set_axisbelow(True)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if number % columns == 0:
            axes.set_ylabel("part of the variance (%)" if parts else "share of the layer (%)")
        if number + columns >= len(panels):
            axes.set_xlabel("relative depth")
            axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    grid[0, 0].set_ylim(bottom=None if parts else 0)
    grid[0, 0].set_xlim(-0.04, 1.04)
    figure.legend(
        handles=list(keys(any_control, IN_WORDS if parts else {})),
        loc="outside lower center",
        ncols=2 if columns == 1 else 4,
        frameon=False,
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
    from matplotlib.lines import Line2D  # noqa: PLC0415

    for name in READING_ORDER:
        line, mark = MARKS[name]
        yield Line2D(
            [], [], color=COLOURS[name], linestyle=line, marker=mark, markersize=4, label=(names or {}).get(name, name)
        )
    if any_control:
        for name in READING_ORDER:
            yield Line2D([], [], color=_GREY, linestyle=MARKS[name][0], label=f"{name}, control")


def _draw(axes: Any, of: Outcome, parts: bool, grey: bool = False) -> None:
    depths = list(of.depths.values())
    for name in READING_ORDER:
        line, mark = MARKS[name]
        colour = _GREY if grey else COLOURS[name]
        held = [value_of(layer, name, parts) for layer in of.layers.values()]
        axes.plot(
            depths,
            [value for value, _ in held],
            color=colour,
            linestyle=line,
            marker="" if grey and len(depths) > 1 else mark,
            markersize=4,
            linewidth=1.2 if grey else 1.6,
            zorder=1 if grey else 3,
        )
        limits = [limit for _, limit in held if limit is not None]
        if len(limits) == len(depths):
            low, high = [limit.low for limit in limits], [limit.high for limit in limits]
            if len(depths) > 1:
                axes.fill_between(depths, low, high, color=colour, alpha=0.2, linewidth=0, zorder=0 if grey else 2)
            else:
                axes.plot([depths[0]] * 2, [low[0], high[0]], color=colour, alpha=0.5, linewidth=3)


def atlas_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """For each measurement its last layer and where each factor is most, in the order of the rank.

    The rank is that of the last layer among those that were shown the same: by the part of its variance that motion
    alone explains where all were shown crossed scenes, else by its dynamic share.
    """
    parts = crossed(outcomes)
    return [_row(of, [other for other in outcomes if _shown(other) == _shown(of)], parts) for of in _ranked(outcomes)]


def crossed(outcomes: Iterable[Outcome]) -> bool:
    """Whether the parts of the variance of all layers are known."""
    return all(layer.variance is not None for of in outcomes for layer in of.layers.values())


def value_of(layer: LayerOutcome, factor: str, parts: bool) -> tuple[float, Interval | None]:
    """What a factor holds of a layer, in percent, with its interval: the part of the variance, or the share."""
    held: LayerOutcome | PartsOutcome = layer
    if parts:
        assert layer.variance is not None
        held, factor = layer.variance, PARTS[factor]
    values = held.parts if isinstance(held, PartsOutcome) else held.shares
    return values[factor], held.intervals[factor] if held.intervals is not None else None


def _ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    parts = crossed(outcomes)
    return sorted(outcomes, key=lambda of: -value_of(_last(of), "dynamic", parts)[0])


def _row(of: Outcome, peers: Sequence[Outcome], parts: bool) -> dict[str, Any]:
    held = value_of(_last(of), "dynamic", parts)[0]
    row: dict[str, Any] = {
        "rank": 1 + sum(value_of(_last(other), "dynamic", parts)[0] > held for other in peers),
        "of": len(peers),
        "network": of.network,
        "source": of.source,
        "untrained": of.untrained,
        "dataset": of.dataset,
        "last_layer": of.last,
    }
    for kind in (True, False) if parts else (False,):
        for factor in READING_ORDER:
            values = {layer: value_of(each, factor, kind)[0] for layer, each in of.layers.items()}
            peak = max(values, key=values.__getitem__)
            name = PARTS[factor] if kind else factor
            row[name] = values[of.last]
            row[f"most_{name}"] = {"layer": peak, "part" if kind else "share": values[peak], "depth": of.depths[peak]}
    return row


def atlas_table(outcomes: Sequence[Outcome]) -> str:
    """The same as a table."""
    several = len({_shown(of) for of in outcomes}) > 1
    parts = crossed(outcomes)
    kinds = (True, False) if parts else (False,)
    table = []
    for of, row in zip(_ranked(outcomes), atlas_rows(outcomes), strict=True):
        cells = [f"{row['rank']} of {row['of']}" if several else str(row["rank"])]
        cells.append(of.source + (", untrained" if of.untrained else ""))
        if several:
            cells.append(of.dataset)
        cells.append(of.last)
        cells += [_with_half_width(value_of(_last(of), name, kind)) for kind in kinds for name in READING_ORDER]
        for name in READING_ORDER:
            peak = row[f"most_{PARTS[name] if parts else name}"]
            cells.append(f"{peak['layer']} ({peak['part' if parts else 'share']:.1f} %)")
        table.append(cells)
    headers = ["rank", "network", *(["study"] if several else []), "last layer"]
    headers += [f"{PARTS[name]}\nalone %" for name in READING_ORDER] if parts else []
    headers += [f"{name}\nshare %" for name in READING_ORDER]
    headers += [f"most {PARTS[name] if parts else name}" for name in READING_ORDER]
    return tabulate(table, headers=headers, disable_numparse=True)


def _last(of: Outcome) -> LayerOutcome:
    return of.layers[of.last]


def _with_half_width(found: tuple[float, Interval | None]) -> str:
    value, interval = found
    return f"{value + 0.0:.1f}" if interval is None else f"{value + 0.0:.1f} ±{interval.half_width:.1f}"


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
