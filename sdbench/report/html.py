"""A report, or a user's own measurements, as one HTML page that needs nothing beside it: no network, no JavaScript.

The page holds everything as text and elements; its script only searches, filters and sorts the list of cases. Jinja
fills it in and escapes whatever comes from outside.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup, escape

from sdbench.base.environment import describe_environment
from sdbench.base.files import write_text
from sdbench.base.rehearsal import SENTENCE, marks_of
from sdbench.cases.records import Asked, Claim, ExpectedValue, Record, asked
from sdbench.cases.verdicts import Case, Verdict
from sdbench.report import panels as panel
from sdbench.report.causes import causes
from sdbench.report.comparing import Comparison, said
from sdbench.report.content import Report, Shown
from sdbench.report.curves import lines_in_words, panel_svg, top_of
from sdbench.report.forest import lanes, together
from sdbench.report.headline import verdict_line, where
from sdbench.report.markdown import measurement_sentence
from sdbench.report.outcome import Outcome
from sdbench.report.table import (
    LEGEND,
    expected_lines,
    in_order,
    measured_lines,
    reasons,
    summary_lines,
    tolerance_lines,
)
from sdbench.statistics import FACTORS
from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES
from sdbench.statistics.variance import PART_NAMES

if TYPE_CHECKING:
    from sdbench.engine import Measurement

_GOOD = (Verdict.REPRODUCED, Verdict.HOLDS, Verdict.UNCHANGED)


def render_html(report: Report) -> str:
    """The report as an HTML page; the verdict comes first."""
    listed = in_order(report.cases)
    published = [case for case in listed if case.kind == "published value"]
    claims = [case for case in listed if case.kind.endswith("claim")]
    rows = [_row(case, report.records.get(case.id)) for case in listed]
    return _page("report.html.jinja").render(
        title=f"{marks_of(report.environment)}sdbench report",
        rehearsal=SENTENCE if marks_of(report.environment) else "",
        verdict=verdict_line(report.cases, report.totals),
        bad=any(case.verdict.is_bad for case in report.cases),
        where=where(report.environment),
        summary=summary_lines(report.cases, report.totals),
        wrong=reasons(listed, [v for v in Verdict if v.is_bad]),
        panels=_pictures(panel.panels_of(report)),
        shown=[_shown(shown) for shown in report.shown],
        measured=[_against(case) for case in published if case.measured is not None],
        broken=[_against(case) for case in published if case.verdict is Verdict.ERROR],
        idle=causes(published),
        together=together,
        expected_lines=expected_lines,
        claims=[_claim(case, report.records.get(case.id)) for case in claims if case.verdict is not Verdict.NOT_RUN],
        idle_claims=[
            (cause, [_claim(case, report.records.get(case.id)) for case in cause.cases]) for cause in causes(claims)
        ],
        rows=rows,
        choices={name: list(dict.fromkeys(row[name] for row in rows)) for name in ("verdict", "network", "kind")},
        legend=LEGEND,
        since=report.since,
        timings=report.timings,
        measurements=[measurement_sentence(record) for record in report.measurements],
        environment=report.environment,
    )


def measurements_page(
    measurements: Sequence[Measurement | Outcome],
    path: Path,
    shown: Sequence[Shown] = (),
    compared: Comparison | None = None,
) -> None:
    """Write a page about measurements of one's own: the same pictures, sentences and tables, without cases.

    Args:
        measurements: at least one, or what was read of the files that they were written to; an untrained network or a
            control stands behind those that were shown the same.
        path: the HTML file to write.
        shown: what the networks were shown.
        compared: how the first two differ.
    """
    panels, sentences = [], []
    environment = describe_environment(Path(__file__).parents[2], [Path(sys.argv[0]).name, *sys.argv[1:]])
    for found in measurements:
        if isinstance(found, Outcome):
            panels.append(panel.panel_of_outcome(found))
        else:
            environment["device"] = found.device
            panels.append(panel.panel_of(found))
            sentences.append(measurement_sentence(found.as_record()))
    write_text(
        path,
        _page("measured.html.jinja").render(
            title=f"sdbench: {', '.join(dict.fromkeys(each.title for each in panels))}",
            verdict=panels[0].sentence if compared is None else _difference(compared),
            bad=False,
            rehearsal=SENTENCE if any(SENTENCE in sentence for sentence in sentences) else "",
            where=where(environment),
            panels=_pictures(panels),
            shown=[_shown(each) for each in shown],
            compared=compared,
            said=said,
            measurements=sentences,
            environment=environment,
        ),
    )


def _difference(compared: Comparison) -> str:
    """What a comparison comes to at the deepest layers that were compared."""
    last = compared.differences[-1]
    where = last.layer if last.layer == last.other_layer else f"{last.layer} and {last.other_layer}"
    static, dynamic = said(last, "static"), said(last, "dynamic")
    return f"At {where}, {compared.one} less {compared.other}: static {static} points, dynamic {dynamic} points."


def _page(name: str) -> jinja2.Template:
    files = resources.files("sdbench.report").joinpath("page")

    def text_of(name: str) -> str:
        return files.joinpath(name).read_text(encoding="utf-8")

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(text_of), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made.globals.update(
        style=Markup(text_of("page.css")),  # noqa: S704 - files of this package
        script=Markup(text_of("page.js")),  # noqa: S704
        anchor=anchor,
        breakable=breakable,
        plain=_plain,
    )
    return made.get_template(name)


def anchor(name: str) -> str:
    """What a case is found by behind the # of the page's address: its name without blanks, which no anchor may have."""
    return "case-" + "-".join(name.split())


def breakable(name: str) -> Markup:
    """A name that may be broken behind a stroke where there is no room for it."""
    return Markup(escape(name).replace("/", Markup("/<wbr>")))  # noqa: S704 - it was escaped


def _pictures(panels: Sequence[panel.Panel]) -> list[dict[str, Any]]:
    """Each panel with its picture, its sentence and its numbers."""
    top = top_of(panels)
    backs = [panel.behind(each, panels) for each in panels]
    standing_behind = [other for found in backs for other in found]
    drawn = []
    for number, (each, back) in enumerate(zip(panels, backs, strict=True)):
        if any(each is other for other in standing_behind):
            continue
        drawn.append(
            {
                "title": each.title,
                "svg": panel_svg(each, back, top, number),
                "sentence": each.sentence,
                "remark": each.remark,
                "resampling": each.resampling,
                "lines": lines_in_words(each),
                "behind": [f"{other.title}: {other.remark}" for other in back],
                "variance": each.variance_sentence,
                "headers": [
                    f"{name} {_NOUNS[quantity]}" for quantity, names in _columns((each, *back)) for name in names
                ],
                "numbers": [of for one in (each, *back) for of in _numbers(one, _columns((each, *back)), bool(back))],
            }
        )
    return drawn


_COLUMNS = {
    "variance": PART_NAMES,
    "scores": FACTORS,
    "shares": SHARE_NAMES,
    "units": CLASS_NAMES,
}
_NOUNS = {"variance": "variance", "scores": "score", "shares": "share", "units": "units"}


def _columns(panels: Sequence[panel.Panel]) -> list[tuple[str, Sequence[str]]]:
    """The quantities of a table of these panels, and their parts; shares and units have columns always."""
    known = {quantity for each in panels for values in each.layers.values() for quantity in values}
    return [(name, parts) for name, parts in _COLUMNS.items() if name in known or name in ("shares", "units")]


def _numbers(
    each: panel.Panel, columns: Sequence[tuple[str, Sequence[str]]], named: bool
) -> list[tuple[str, list[str]]]:
    """The rows of a panel's table: each layer, and its values with their intervals."""
    found = []
    for layer, values in each.layers.items():
        cells = []
        for quantity, names in columns:
            limits = each.intervals.get(layer, {}).get(quantity, {})
            for name in names:
                value = values.get(quantity, {}).get(name)
                cell = "" if value is None else f"{value:.2f}" if quantity == "scores" else f"{value:.1f}"
                if value is not None and name in limits and None not in limits[name]:
                    low, high = limits[name]
                    cell += f" [{low:.1f}, {high:.1f}]"
                cells.append(cell)
        found.append((f"{layer} ({each.title})" if named else layer, cells))
    return found


def _shown(shown: Shown) -> dict[str, Any]:
    strips = [
        {
            "factor": strip.factor,
            "says": strip.says,
            "width": strip.width,
            "height": strip.height,
            "data": base64.b64encode(strip.jpeg).decode(),
        }
        for strip in shown.strips
    ]
    return {"title": shown.title, "says": shown.says, "lacking": shown.lacking, "strips": strips}


def _against(case: Case) -> dict[str, Any]:
    return {"id": case.id, **_verdict(case), "lanes": lanes(case), "reason": case.reason}


def _verdict(case: Case) -> dict[str, str]:
    kind = "bad" if case.verdict.is_bad else "good" if case.verdict in _GOOD else "open"
    return {"verdict": case.verdict.value, "class": "idle" if case.verdict is Verdict.NOT_RUN else kind}


def _claim(case: Case, record: Record | None) -> dict[str, Any]:
    statement = record.statement if isinstance(record, Claim) else str(case.expected.get("claim", case.id))
    found = {"id": case.id, **_verdict(case), "statement": statement, "published": case.kind.startswith("published")}
    if case.measured:
        words = min(case.measured, key=lambda name: case.measured[name] if case.measured else 0.0)
        limits = (case.interval or {}).get(words)
        found["margin"] = f"{case.measured[words]:+.1f} points" + (
            f" [{limits[0]:+.1f}, {limits[1]:+.1f}]" if limits else ""
        )
        found["words"] = words
        found["others"] = len(case.measured) - 1
    return found


def _row(case: Case, record: Record | None) -> dict[str, Any]:
    """A case in the list of all: what is always seen, and what it opens to."""
    of = asked(record)[0] if record is not None else Asked("", "", "")
    row = {
        "id": case.id,
        **_verdict(case),
        "kind": case.kind,
        "network": of.network or "not known",
        "measured": measured_lines(case) if case.measured is not None else [],
        "expected": expected_lines(case) if case.expected else [],
        "tolerance": [line for line in tolerance_lines(case) if line],
        "seconds": f"{case.seconds:.1f}" if case.measured is not None else "",
        "reason": case.reason,
        "source": "",
        "why": "",
    }
    if isinstance(record, ExpectedValue):
        told = record.source
        row["source"] = f"{told.reading}: {told.where}" + "".join(
            f", {word}" for word in (told.machine, told.date) if word
        )
        row["why"] = record.tolerance_reason
    elif isinstance(record, Claim):
        row["source"] = record.source
        row["why"] = record.statement
    return row


def _plain(value: Any) -> str:
    """A value of the environment in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items()) or "none"
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return ", ".join(map(str, value)) or "none"
    return str(value)
