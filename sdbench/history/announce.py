"""Tell people of a night: an issue a regression, a summary with the trend, a check, a webhook.

An issue is found again by a mark in its text, and only among those with the label of the nightly. It is opened when its
case becomes worse, brought up to date each night, commented on when what is wrong changes, and closed when the case is
good again. A night in which very much became worse has one issue for all of it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from sdbench.cases.verdicts import Verdict
from sdbench.history.comparing import Comparison
from sdbench.history.forge import Forge, in_code
from sdbench.history.record import Run
from sdbench.history.standing import Standing
from sdbench.history.text import headline, issue_text

MOST_ISSUES = 8
"""So many results that became worse have an issue each; more have one together."""

_NIGHTS = 14
"""Runs of the trend."""

_VALUES = 3
"""Cases whose values the trend shows."""

_LONGEST = 60_000
"""Letters: a forge takes 65,536 of an issue or a check."""


@dataclass(frozen=True)
class Wrong:
    """Something that an issue is about.

    Attributes:
        key: tells it from others; in the issue's mark.
        title: of the issue.
        said: what is wrong, in a sentence.
        body: of the issue.
    """

    key: str
    title: str
    said: str
    body: str


@dataclass
class Night:
    """What there is to tell of one night.

    Attributes:
        job: which nightly: "pinned", "newest".
        standings: all runs of its history.
        trouble: why there is no new run, or what went wrong beside it; None where all went well.
        link: where its log and report are.
        is_new: whether the last run of the history is of this night.
    """

    job: str
    standings: Sequence[Standing]
    trouble: str | None = None
    link: str | None = None
    is_new: bool = True

    @property
    def last(self) -> Standing | None:
        """The run of this night; None where it gave none."""
        return self.standings[-1] if self.standings and self.is_new else None

    @property
    def state(self) -> str:
        """How it was: "good", "worse" or "no result"."""
        if self.last is None or self.last.run.interrupted:
            return "no result"
        return "good" if self.last.is_good else "worse"

    @property
    def was_good(self) -> bool:
        """Whether the run before was good, or there was none."""
        earlier = self.standings[:-1] if self.is_new else self.standings
        return not earlier or earlier[-1].is_good

    @property
    def title(self) -> str:
        """The night in one sentence."""
        if self.last is None:
            return f"{self.job} nightly: no result ({self.trouble or 'the run added nothing to the history'})"
        accepted = f"; accepted: {self.last.accepted}" if self.last.accepted else ""
        cut = "; it was interrupted" if self.last.run.interrupted else ""
        more = f"; {self.trouble}" if self.trouble else ""
        return f"{self.job} nightly: {headline(self.last.comparison)}{accepted}{cut}{more}"


def wrongs(night: Night) -> list[Wrong]:
    """What issues are to be open after this night."""
    if night.state == "no result":
        return [_silence(night)]
    assert night.last is not None
    if night.state == "good":
        return []
    found = night.last.comparison
    if len(found.worse) > MOST_ISSUES:
        title = f"{_prefix(night)}{len(found.worse)} results, {found.worse[0].name} among them"
        said = f"{len(found.worse)} results became worse"
        return [Wrong("many", title, said, _body(night, found))]
    return [
        Wrong(finding.name, f"{_prefix(night)}{finding.name}", finding.said, _body(night, found, finding.name))
        for finding in found.worse
    ]


def _prefix(night: Night) -> str:
    return "Regression: " if night.job == "pinned" else f"Regression with the {night.job} versions: "


_NOTHING = ("the run added nothing to the history", "the run was interrupted before its end")


def _silence(night: Night) -> Wrong:
    said = night.trouble or _NOTHING[night.last is not None]
    advice = (
        "Nothing is known of this night. Look at the log of the run; `sdbench doctor` on the machine says what is "
        "missing there."
    )
    return Wrong("no result", f"The {night.job} nightly has no result", said, "\n\n".join([said, advice, _link(night)]))


def _body(night: Night, found: Comparison, name: str | None = None) -> str:
    others = [finding for finding in found.worse if finding.name != name]
    text = issue_text(replace(found, worse=others)).partition("\n\n")[2]
    if name is not None:
        text = text.replace("## What became worse", "## What else became worse", 1)
        text = text if others else text[text.index("## What else changed") :]
    about = [] if name is None else [f"{in_code(name)} became worse: {_said(found, name)}."]
    trend = [] if name is None else [values_over_time(name, [standing.run for standing in night.standings])]
    return "\n\n".join(filter(None, [*about, *trend, _link(night), text]))


def _said(found: Comparison, name: str) -> str:
    return "; ".join(finding.said for finding in found.worse if finding.name == name)


def _link(night: Night) -> str:
    return f"[Log, report and history of this night]({night.link})" if night.link else ""


def _mark(job: str, key: str) -> str:
    """What an issue is found again by; of no letters that end a comment."""
    return f"<!-- sdbench {job}: {key.replace('--', '- -')} -->"


def _state_mark(said: str) -> str:
    return f"<!-- said: {said.replace('--', '- -')} -->"


def tell_issues(night: Night, forge: Forge) -> list[str]:
    """Open, update and close issues; what was done, a sentence each.

    Raises:
        TellingError: the forge does not take it.
    """
    done = []
    known = {found.group(): issue for issue in forge.issues() if (found := _MARK.search(issue.body))}
    wanted = wrongs(night)
    for wrong in wanted:
        mark = _mark(night.job, wrong.key)
        body = f"{wrong.body[:_LONGEST]}\n\n{mark}\n{_state_mark(wrong.said)}\n"
        if mark not in known:
            done.append(f"opened issue {forge.open(wrong.title, body)}: {wrong.title}")
            continue
        issue = known[mark]
        if _state_mark(wrong.said) not in issue.body:
            forge.comment(issue.number, f"Now: {wrong.said}\n\n{_link(night)}")
        forge.change(issue.number, title=wrong.title, body=body)
        done.append(f"updated issue {issue.number}: {wrong.title}")
    if night.state == "no result":  # nothing is known of the others
        return done
    assert night.last is not None
    open_marks = {_mark(night.job, wrong.key) for wrong in wanted}
    worse = {finding.name for finding in night.last.comparison.worse}
    for mark, issue in known.items():
        key = mark.removeprefix(f"<!-- sdbench {night.job}: ").removesuffix(" -->")
        if mark in open_marks or not mark.startswith(f"<!-- sdbench {night.job}: "):
            continue
        if night.state == "worse" and (key in worse or not _is_measured(key, night.last.run)):
            continue  # it stands in the issue of many, or was not looked at
        if night.state == "good" and not night.last.accepted and not _is_measured(key, night.last.run):
            continue
        if night.last.accepted:
            why = f"accepted: {night.last.accepted}"
        else:
            why = "what is left has issues of its own" if key == "many" and night.state == "worse" else "good again"
        forge.comment(issue.number, f"{why[0].upper()}{why[1:]}, in run {night.last.run.id}. {_link(night)}".strip())
        forge.change(issue.number, state="closed")
        done.append(f"closed issue {issue.number}: {issue.title}")
    return done


_MARK = re.compile(r"<!-- sdbench \w+: .*? -->")


def _is_measured(key: str, run: Run) -> bool:
    """Whether a run has what an issue is about; one about a whole night is closed by the next that has a result."""
    known = {name.replace("--", "- -") for name in (*run.cases, *run.timings)}
    return key in ("no result", "many", "overdue") or key in known or run.is_whole


def summary(night: Night, report: Path) -> str:
    """The night in Markdown: the outcome, the report's first screen, the trend."""
    parts = [f"## {night.title}"]
    if night.last is not None:
        text = issue_text(night.last.comparison).partition("\n\n")[2].partition("## What to do")[0].strip()
        if night.last.comparison.worse or night.last.comparison.changed:
            parts.append(text.replace("## ", "### "))
        if (first := first_screen(report)) is not None:
            parts.append(f"### Report\n\n{first}")
    if night.standings:
        parts.append(f"### The last {min(_NIGHTS, len(night.standings))} nights\n\n{trend(night.standings[-_NIGHTS:])}")
    if night.last is not None:
        runs = [standing.run for standing in night.standings[-_NIGHTS:]]
        for finding in night.last.comparison.worse[:_VALUES]:
            parts.append(f"{in_code(finding.name)}\n\n{values_over_time(finding.name, runs)}")
    return "\n\n".join([*parts, _link(night)]).strip() + "\n"


def first_screen(report: Path) -> str | None:
    """What a report's Markdown says before its tables; None where there is none."""
    try:
        text = (report / "report.md").read_text(encoding="utf-8")
    except OSError:
        return None
    start = re.split(r"^## (?:Outcomes|Measure)", text, maxsplit=1, flags=re.MULTILINE)[0]
    return start.partition("\n")[2].strip().replace("## ", "#### ")[:_LONGEST]


def trend(standings: Sequence[Standing]) -> str:
    """The newest runs as a table in Markdown, the newest first."""
    rows = ["| night | run | cases | state |", "| --- | --- | --- | --- |"]
    for standing in reversed(standings):
        counts = Counter(case.verdict for case in standing.run.cases.values())
        cases = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
        worse = len(standing.comparison.worse)
        state = "good" if standing.is_good else f"**worse in {worse}**" if worse else "**interrupted**"
        accepted = " (accepted)" if standing.accepted else ""
        rows.append(f"| {standing.run.date[:16].replace('T', ' ')} | {standing.run.id} | {cases} | {state}{accepted} |")
    return "\n".join(rows)


def values_over_time(name: str, runs: Sequence[Run]) -> str:
    """The values of a case, or the median of a timed loop, in the newest runs, as a table in Markdown."""
    known = [run for run in runs if name in run.cases or name in run.timings][-_NIGHTS:]
    rows = ["| night | verdict | measured |", "| --- | --- | --- |"]
    for run in reversed(known):
        if name in run.timings:
            verdict, measured = "", f"median {run.timings[name].median:.4g} s"
        else:
            case = run.cases[name]
            verdict = case.verdict.value
            values = (case.measured or {}).items()
            measured = ", ".join(f"{key} {'not a number' if v is None else f'{v:.2f}'}" for key, v in values)
        rows.append(f"| {run.date[:10]} | {verdict} | {measured.replace('|', '/') or '-'} |")
    return "\n".join(rows) if known else ""


@dataclass
class Counts:
    """Tests of a JUnit file."""

    tests: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: int = 0


def junit_counts(file: Path) -> Counts | None:
    """What a JUnit file counts; None where there is none, or it was not finished."""
    try:
        root = Xml.fromstring(file.read_bytes())  # noqa: S314 - written by this machine's own run
    except (OSError, Xml.ParseError):
        return None
    found = Counts()
    for case in root.iter("testcase"):
        found.tests += 1
        if case.find("failure") is not None or case.find("error") is not None:
            found.failed.append(str(case.get("name")))
        elif case.find("skipped") is not None:
            found.skipped += 1
    return found


def tell_check(night: Night, report: Path, commit: str, text: str, forge: Forge) -> str:
    """Make a check of the commit from the JUnit file and the comparison; what was done.

    Raises:
        TellingError: the forge does not take it.
    """
    counts = junit_counts(report / "junit.xml")
    bad = night.state != "good" or counts is None or counts.failed
    title = (
        "no JUnit file: the run did not come to its end"
        if counts is None
        else f"{counts.tests} cases, {len(counts.failed)} failed, {counts.skipped} not run; {night.state}"
    )
    forge.check(commit, f"{night.job} nightly", "failure" if bad else "success", title, text[:_LONGEST])
    return f"made a check: {title}"


def overdue(runs: Sequence[Run], now: datetime, hours: float) -> str | None:
    """Why the last night is too long ago; None where it is not."""
    if not runs:
        return "the history has no night at all"
    age = now - runs[-1].added
    if age <= timedelta(hours=hours):
        return None
    return (
        f"the last night in the history, run {runs[-1].id}, was added {age / timedelta(hours=1):.0f} hours ago, and "
        f"{hours:g} are allowed: the machine is off, its runner offline, or each run fails before its end"
    )


def tell_overdue(job: str, why: str | None, forge: Forge, link: str | None) -> list[str]:
    """Open an issue where nights are missing, and close it when they are there again.

    Raises:
        TellingError: the forge does not take it.
    """
    mark = _mark(job, "overdue")
    known = next((issue for issue in forge.issues() if mark in issue.body), None)
    more = f"\n\n[The job that noticed]({link})" if link else ""
    if why is None:
        if known is None:
            return []
        forge.comment(known.number, f"Nights are there again.{more}")
        forge.change(known.number, state="closed")
        return [f"closed issue {known.number}"]
    body = f"{why[0].upper()}{why[1:]}.{more}\n\n{mark}\n"
    if known is not None:
        forge.change(known.number, body=body)
        return [f"updated issue {known.number}"]
    return [f"opened issue {forge.open(f'The {job} nightly is overdue', body)}"]
