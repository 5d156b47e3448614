"""A picture of one case or one timed loop over many runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sdbench.base.figures import new_figure
from sdbench.base.files import write_figure
from sdbench.history.record import Run

# Okabe and Ito's palette: told apart by readers with any colour vision. Values come as dynamic, static, ...: the first
# two are drawn in the colours that they have in a report.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def history_picture(name: str, runs: Sequence[Run], path: Path) -> None:
    """Draw every value of the case `name` with its interval, and what is expected, over the runs that measured it.

    Of a timed loop the median is drawn, with its quarters. Runs stand at equal distances, in the history's order, so
    that a night without a run leaves no gap; a cross marks a bad verdict.

    Args:
        name: a case, or a timed loop.
        runs: the history.
        path: the PNG file to write.
    """
    figure = new_figure(max(7.0, 0.45 * len(runs) + 2.5), 4.2)
    axes = figure.subplots()
    if any(name in run.timings for run in runs):
        known = [run for run in runs if name in run.timings]
        _draw_times(axes, name, known)
        axes.set_ylabel("seconds a round")
        axes.set_ylim(bottom=0)
    else:
        known = [run for run in runs if name in run.cases and run.cases[name].measured]
        _draw_values(axes, name, known)
        axes.set_ylabel("measured")
    axes.set_xticks(
        range(len(known)), [_day(run) for run in known], rotation=45 if len(known) > 4 else 0, ha="right", fontsize=8
    )
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.suptitle(name)
    write_figure(figure, path)


def _draw_values(axes: Any, name: str, runs: Sequence[Run]) -> None:
    cases = [run.cases[name] for run in runs]
    keys = list(dict.fromkeys(key for case in cases for key in case.measured or {}))
    for number, key in enumerate(keys):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [
            (position, value, case.band(key), case.verdict.is_bad)
            for position, case in enumerate(cases)
            if (value := (case.measured or {}).get(key)) is not None
        ]
        places, values = [point[0] for point in points], [point[1] for point in points]
        axes.plot(places, values, marker="o", color=colour, label=key)
        for place, _, band, _ in points:
            if band is not None:
                axes.plot([place, place], band, color=colour, alpha=0.5, linewidth=3)
        bad = [(place, value) for place, value, _, is_bad in points if is_bad]
        if bad:
            axes.plot([p for p, _ in bad], [v for _, v in bad], "x", color="black", markersize=11)
        expected = cases[-1].expected.get(key) if cases else None
        if isinstance(expected, (int, float)):
            axes.axhline(expected, color=colour, linestyle=":", linewidth=1)


def _draw_times(axes: Any, name: str, runs: Sequence[Run]) -> None:
    """One line a machine: times of different machines are not to be compared."""
    machines = list(dict.fromkeys(run.machine for run in runs))
    for number, machine in enumerate(machines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(place, run.timings[name]) for place, run in enumerate(runs) if run.machine == machine]
        label = machine[3] or machine[1]
        axes.plot([p for p, _ in points], [t.median for _, t in points], marker="o", color=colour, label=label)
        for place, timing in points:
            axes.plot([place, place], [timing.q1, timing.q3], color=colour, alpha=0.5, linewidth=3)


def _day(run: Run) -> str:
    try:
        return datetime.fromisoformat(run.date).strftime("%Y-%m-%d")
    except ValueError:
        return run.date[:10]
