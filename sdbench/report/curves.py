"""Static and dynamic over relative depth as a picture inside the page.

Matplotlib draws: it is here for the other pictures, it has been kept for twenty years, it makes axes, ticks and bands
that need no looking after, and it writes SVG. What it writes is then fitted to the page: colours become those of the
page's style, so that one picture serves light, dark and paper; letters stay letters; and nothing of one picture's
names or styles reaches another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sdbench.base.figures import new_figure
from sdbench.report.panels import Panel, streams
from sdbench.statistics import READING_ORDER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
"""Line and marker of each path of a network."""

LINES_IN_WORDS = ("solid, round", "dashed, square", "dotted, triangular", "dash-dotted, diamond")

_COLOURS = {
    "static": "#010101",
    "dynamic": "#020202",
    "behind": "#030303",
    "ink": "#040404",
    "grid": "#050505",
}
"""Stand for the colours of the page's style; none of them is ever seen."""

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "font.size": 8,
    "text.color": _COLOURS["ink"],
    "axes.labelcolor": _COLOURS["ink"],
    "axes.edgecolor": _COLOURS["grid"],
    "xtick.color": _COLOURS["grid"],
    "ytick.color": _COLOURS["grid"],
    "xtick.labelcolor": _COLOURS["ink"],
    "ytick.labelcolor": _COLOURS["ink"],
}

_CUT = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<\?xml.*?\?>|<!DOCTYPE.*?>", re.DOTALL)
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^)"]+)')


@dataclass(frozen=True)
class Curve:
    """A factor along one path of a network.

    Attributes:
        factor: "static" or "dynamic".
        path: which of the paths, from 0.
        depths, values: of its layers.
        band: ends of the interval of each; empty where one has none.
    """

    factor: str
    path: int
    depths: tuple[float, ...]
    values: tuple[float, ...]
    band: tuple[tuple[float, float], ...] = ()


def curves_of(panel: Panel) -> list[Curve]:
    """The curves of a panel: two for each path of the network."""
    found = []
    for number, names in enumerate(streams(list(panel.layers)).values()):
        for factor in READING_ORDER:
            limits = [panel.intervals.get(name, {}).get("shares", {}).get(factor) for name in names]
            known = [limit for limit in limits if limit is not None and None not in limit]
            found.append(
                Curve(
                    factor,
                    number,
                    tuple(panel.depths[name] for name in names),
                    tuple(panel.layers[name]["shares"][factor] for name in names),
                    tuple((low, high) for low, high in known) if len(known) == len(names) else (),
                )
            )
    return found


def top_of(panels: Sequence[Panel]) -> float:
    """The upper end of the axis that all pictures share, in percent."""
    values = [
        value
        for panel in panels
        for curve in curves_of(panel)
        for value in (*curve.values, *(high for _, high in curve.band))
        if value is not None and math.isfinite(value)
    ]
    return min(100.0, 10.0 * math.ceil((max(values, default=0) + 1) / 10))


def panel_svg(panel: Panel, behind: Sequence[Panel], top: float, number: int) -> Markup:
    """A panel as an SVG element for the page.

    Args:
        panel: whose curves are drawn.
        behind: whose curves stand behind them, pale.
        top: upper end of the axis, in percent.
        number: of the picture in the page.
    """
    import matplotlib as mpl  # noqa: PLC0415

    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": f"picture {number}"}):
        figure = new_figure(3.7, 2.3)
        axes = figure.subplots()
        for other in behind:
            for curve in curves_of(other):
                _draw(axes, curve, _COLOURS["behind"], pale=True)
        for curve in curves_of(panel):
            _draw(axes, curve, _COLOURS[curve.factor])
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(0, top)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_xlabel("relative depth", labelpad=1)
        axes.set_ylabel("% of the layer", labelpad=2)
        axes.grid(color=_COLOURS["grid"], linewidth=0.5)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        written = StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _fitted(written.getvalue(), f"{panel.title}: {panel.sentence}")


def _draw(axes: Axes, curve: Curve, colour: str, pale: bool = False) -> None:
    line, marker = _STYLES[curve.path % len(_STYLES)]
    if curve.band:
        low, high = zip(*curve.band, strict=True)
        axes.fill_between(curve.depths, low, high, color=colour, alpha=0.18, linewidth=0)
    if pale:
        axes.plot(curve.depths, curve.values, line, color=colour, linewidth=1)
        axes.annotate(curve.factor, (curve.depths[-1], curve.values[-1]), color=colour, fontsize=7, ha="right")
    else:
        axes.plot(curve.depths, curve.values, line, marker=marker, markersize=3, color=colour, linewidth=1.4)


def _fitted(svg: str, label: str) -> Markup:
    """What matplotlib wrote, as an element of the page that does not touch any other."""
    text = _CUT.sub("", svg).strip()
    kept = set(_REFERENCE.findall(text))
    text = re.sub(r' id="([^"]+)"', lambda found: found.group(0) if found.group(1) in kept else "", text)
    for name, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    text = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", text)
    text = re.sub(r"(\.\d)\d+", r"\1", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    head, _, body = text.partition(">")
    box = re.search(r'viewBox="[^"]+"', head)
    assert box is not None  # matplotlib writes one
    opened = Markup('<svg class="curves" role="img" aria-label="{}" {}').format(label, Markup(box.group(0)))  # noqa: S704
    return opened + Markup(">") + Markup(body.replace("xlink:href", "href"))  # noqa: S704 - numbers and words of ours


def lines_in_words(panel: Panel) -> Mapping[str, str]:
    """Path of the network -> how its curves are drawn; empty where there is but one."""
    names = list(streams(list(panel.layers)))
    if len(names) < 2:
        return {}
    return {name or "the rest": LINES_IN_WORDS[number % len(LINES_IN_WORDS)] for number, name in enumerate(names)}
