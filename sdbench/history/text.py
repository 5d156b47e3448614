"""The history in words: a table of runs, one case over time, the outcome of a comparison, the text of an issue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tabulate import tabulate

from sdbench.cases.verdicts import Verdict
from sdbench.history.comparing import Comparison, Finding
from sdbench.history.record import Run, Timing
from sdbench.history.standing import Standing

_MOST_NAMED = 20
"""So many findings stand in an issue; the rest is counted."""


def runs_table(standings: Sequence[Standing]) -> str:
    """One row a run: when, what with, verdicts, and whether it is good."""
    rows = []
    for standing in standings:
        environment = standing.run.environment
        counts = Counter(case.verdict for case in standing.run.cases.values())
        rows.append(
            (
                standing.run.id,
                standing.run.date[:16].replace("T", " "),
                str(environment.get("revision", "unknown"))[:8],
                str((environment.get("packages") or {}).get("torch", "unknown")),
                "; ".join(map(str, environment.get("gpus") or ())) or str(environment.get("processor", "unknown")),
                ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]),
                _state(standing),
            )
        )
    return tabulate(
        rows,
        headers=("run", "date", "revision", "torch", "ran on", "cases", "state"),
        disable_numparse=True,
        maxcolwidths=[None, None, None, None, 28, 40, 40],
    )


def _state(standing: Standing) -> str:
    if standing.accepted is not None:
        return f"accepted: {standing.accepted}"
    if standing.run.interrupted:
        return "interrupted"
    worse = len(standing.comparison.worse)
    return f"worse in {worse} of its results" if worse else "good"


def case_table(runs: Sequence[Run], name: str) -> str:
    """One row a run that knows the case or timed loop `name`: its values with their bands, or its times."""
    rows = []
    for run in runs:
        if name in run.timings:
            rows.append((run.id, run.date[:16].replace("T", " "), "", _times(run.timings[name])))
        elif name in run.cases:
            case = run.cases[name]
            parts = []
            for key, value in (case.measured or {}).items():
                band = case.band(key)
                shown = "not a number" if value is None else f"{value:.2f}"
                parts.append(f"{key} {shown}" + (f" [{band[0]:.2f}, {band[1]:.2f}]" if band else ""))
            rows.append((run.id, run.date[:16].replace("T", " "), case.verdict.value, "\n".join(parts) or "-"))
    return tabulate(rows, headers=("run", "date", "verdict", "measured"), disable_numparse=True)


def _times(timing: Timing) -> str:
    return f"median {timing.median:.4g} s [{timing.q1:.4g}, {timing.q3:.4g}], {timing.rounds:g} rounds"


def comparison_text(found: Comparison) -> str:
    """The outcome of a comparison, for a terminal; its first line says it all."""
    lines = [headline(found)]
    for title, findings in (("worse", found.worse), ("better", found.better)):
        lines += [f"{title}: {finding.name}: {finding.said}" for finding in findings]
    if found.changed:
        lines.append("what else changed:")
        lines += [f"  {phrase}" for phrase in found.changed]
    elif found.reference is not None and not found.unrecorded:
        lines.append(f"nothing else changed: {_SAME} are the same")
    lines += [unrecorded_text(found)] * bool(found.unrecorded)
    lines += [f"note: {note}" for note in found.notes]
    return "\n".join(lines)


_SAME = (
    "all packages, Python's build, C library, CUDA, driver, hardware, variables, base image, source, weights and what "
    "is shown"
)


def unrecorded_text(found: Comparison) -> str:
    """What may have changed unseen, in a sentence; "" where all was recorded."""
    if not found.unrecorded:
        return ""
    known = "" if found.changed else "nothing that is recorded changed; "
    return (
        f"{known}what else may have changed is not known, since these were not recorded: {', '.join(found.unrecorded)}"
    )


def headline(found: Comparison) -> str:
    """The outcome in one sentence."""
    against = found.reference
    if against is None:
        return f"run {found.run.id}: nothing to compare with yet; later runs are held against it"
    outcome = f"worse in {len(found.worse)} of its results" if found.worse else "not worse"
    return f"run {found.run.id} of {found.run.date}: {outcome} than run {against.id} of {against.date}"


def issue_text(found: Comparison) -> str:
    """A comparison that found something worse as the text of an issue, in Markdown; the first line is its title."""
    parts = [f"# Regression: {headline(found)}", "## What became worse", _listed(found.worse)]
    parts += [
        "## What else changed",
        "\n".join(f"- {phrase}" for phrase in found.changed)
        or f"Nothing{' that is recorded' * bool(found.unrecorded)}.",
    ]
    if found.unrecorded:
        said = unrecorded_text(found)
        parts.append(f"{said[:1].upper()}{said[1:]}.")
    if found.better:
        parts += ["## What became better", _listed(found.better)]
    if found.notes:
        parts += ["## What was not compared", "\n".join(f"- {note}" for note in found.notes)]
    parts += [
        "## What to do",
        f"Repair it, or, if the new results are right: `sdbench history accept {found.run.id} --because REASON`. "
        "Until then later runs are held against the last good one.",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(findings: Sequence[Finding]) -> str:
    lines = [f"- `{finding.name}`: {finding.said}" for finding in findings[:_MOST_NAMED]]
    if len(findings) > _MOST_NAMED:
        lines.append(f"- and {len(findings) - _MOST_NAMED} more")
    return "\n".join(lines)
