"""The first lines of a page: the verdict, and where it was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sdbench.cases.verdicts import Case, Verdict
from sdbench.report.table import Totals

_WRONG = {
    Verdict.DEVIATES: ("deviates", "deviate"),
    Verdict.FAILS: ("fails", "fail"),
    Verdict.CHANGED: ("has changed", "have changed"),
    Verdict.ERROR: ("error", "errors"),
}
"""Of one case, and of several."""


def verdict_line(cases: Sequence[Case], totals: Totals) -> str:
    """Whether anything is wrong, and how much of what was published could be looked at, in one sentence."""
    counts = Counter(case.verdict for case in cases)
    wrong = [f"{counts[v]} {_WRONG[v][counts[v] != 1]}" for v in _WRONG if counts[v]]
    of_paper = [case for case in cases if case.kind == "published value"]
    done = sum(case.measured is not None for case in of_paper)
    idle = sum(case.verdict is Verdict.NOT_RUN for case in of_paper)
    unasked = max(totals.values - len(of_paper), 0)
    parts = [f"{done} of {totals.values} published results could be measured here"]
    if idle:
        parts.append(f"{idle} {'needs' if idle == 1 else 'need'} weights or data")
    if unasked:
        parts.append(f"{unasked} {'was' if unasked == 1 else 'were'} not asked for")
    return f"{', '.join(wrong) or 'Nothing deviates'}; {', '.join(parts)}."


def where(environment: Mapping[str, Any]) -> str:
    """Which state of the source ran, on what machine and when; what is not known is left out."""
    parts = []
    if revision := environment.get("revision"):
        parts.append(_short(str(revision)))
    gpus = environment.get("gpus") or ()
    processor, cores = environment.get("processor"), environment.get("cores")
    machine = "; ".join(map(str, gpus)) or (f"{processor}, {cores} cores" if processor and cores else processor)
    if machine:
        parts.append(f"on {machine}")
    if device := environment.get("device"):
        parts.append(f"device {device}")
    if date := environment.get("date"):
        parts.append(_day(str(date)))
    return ", ".join(map(str, parts))


def _short(revision: str) -> str:
    if len(revision) < 40:  # no hash, but a sentence
        return revision
    return f"revision {revision[:10]}{' with changes' if revision.endswith('+changes') else ''}"


def _day(date: str) -> str:
    try:
        told = datetime.fromisoformat(date)
    except ValueError:
        return date
    return f"{told.day} {told:%B %Y}"
