"""What a rehearsal came to: a table by group, and what was not as it must be."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.rehearsal.known import MOVED, PREFIX, TRUE
from sdbench.base.rehearsal import MARK

NEVER = "never published"
"""Stands in the reason of a case whose weights nobody can get."""

_WANTED = {TRUE: "reproduced", MOVED: "deviates"}

ONE_ANSWER = {"action/shuffle/slow_r50_8x8/kinetics400": "reproduced", "action/shuffle/slow_r50_8x8/ssv2": "deviates"}
"""Cases of networks that always answer the same, whose accuracy does not change where frames are shuffled.

Published are changes of 0 % and of -59.8 %.
"""

MOST_DISK, MOST_MEMORY = 12e9, 8e9
"""Bytes that a rehearsal has to do with."""


@dataclass(frozen=True)
class Rehearsed:
    """One case: its group, its verdict, and the reason that was given."""

    id: str
    group: str
    verdict: str
    reason: str

    @property
    def is_apart(self) -> bool:
        """Whether it could not run since its weights were never published."""
        return self.verdict == "not run" and NEVER in self.reason


def cases_of(report: Path) -> list[Rehearsed]:
    """The cases of a report.json."""
    content = json.loads(report.read_text(encoding="utf-8"))
    return [Rehearsed(case["id"], _group(case), case["verdict"], case["reason"]) for case in content["cases"]]


def _group(case: Mapping[str, Any]) -> str:
    """Data set and quantity, or that it is a claim."""
    if case["id"].startswith(PREFIX):
        return "networks built by hand"
    about = case.get("about") or {}
    kind = "claims" if case["id"].startswith("claim/") else str(about.get("quantity", "")).replace("_", " ")
    datasets = sorted({each["dataset"] for each in about.get("asked", [])})
    return f"{' and '.join(datasets) if len(datasets) < 3 else 'stylised data sets'}, {kind}"


def table(cases: Iterable[Rehearsed]) -> str:
    """A line for each group: how many cases, what became of them, and how many were never published."""
    rows: list[list[str | int]] = []
    listed = list(cases)
    for group in [*dict.fromkeys(case.group for case in listed), "all"]:
        of = [case for case in listed if group in (case.group, "all")]
        counts = Counter(case.verdict for case in of if not case.is_apart)
        said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
        rows.append([group, len(of), sum(counts.values()) - counts["not run"], said, sum(case.is_apart for case in of)])
    return tabulate(rows, ["group", "cases", "ran", "verdicts", NEVER], tablefmt="github")


def wrong_cases(cases: Sequence[Rehearsed]) -> list[str]:
    """What should not be: cases that did not run although they could have, broke, or were misjudged."""
    found = []
    for case in cases:
        if case.id.startswith(PREFIX) or case.id in ONE_ANSWER:
            wanted = ONE_ANSWER.get(case.id) or _WANTED[case.id.rpartition("/")[2]]
            if case.verdict != wanted:
                found.append(f"{case.id}: {case.verdict}, expected {wanted}: {case.reason}")
        elif case.verdict == "error" or (case.verdict == "not run" and not case.is_apart):
            found.append(f"{case.id}: {case.verdict}: {case.reason}")
    return found


def unmarked(report: Path) -> list[str]:
    """Files of a report that do not say that it is of a rehearsal."""
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    lacking = [] if content["environment"].get("rehearsal") is True else ["report.json"]
    for name in ("report.md", "report.html", "junit.xml"):
        text = (report / name).read_text(encoding="utf-8")
        if (MARK if name != "junit.xml" else 'name="rehearsal" value="True"') not in text:
            lacking.append(name)
    return lacking
