"""One run against an earlier one: what became worse, what became better, and what else changed between them.

A run is worse for one of three reasons, and for no other:

- a case has a worse verdict (decided well, then open, then not run, then bad);
- a value moved: its interval and the earlier one have no point in common (where there are no intervals: the tolerances
  about both values);
- a timed loop is slower by more than its threshold, on the same machine, and not by chance: the faster quarter of its
  rounds is slower than the slower quarter of the earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sdbench.history.record import CaseRecord, Run, Timing
from sdbench.history.thresholds import Thresholds
from sdbench.verdict import Verdict

_FLOAT_ERROR = 1e-9
"""Relative: numbers that differ by less are the same."""


@dataclass(frozen=True)
class Finding:
    """One thing that became worse or better: which case or loop, and how, in words."""

    name: str
    said: str


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        run: the run that was looked at.
        reference: the earlier run whose values it was held against; None where there was none.
        timed_by: the earlier run whose times it was held against; None where there was none.
        worse: what makes the run bad.
        better: what improved.
        changed: what else is different: versions, hardware, weights, expected values; one phrase each.
        notes: what was not compared, and why.
    """

    run: Run
    reference: Run | None
    timed_by: Run | None
    worse: list[Finding] = field(default_factory=list)
    better: list[Finding] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_regression(self) -> bool:
        """Whether the run is worse."""
        return bool(self.worse)


def compare(run: Run, reference: Run | None, timed_by: Run | None, thresholds: Thresholds) -> Comparison:
    """Hold `run` against earlier runs.

    Args:
        run: the newer one.
        reference: what its values are held against.
        timed_by: what its times are held against; it must be of the same machine.
        thresholds: how much slower a loop may become.
    """
    found = Comparison(run, reference, timed_by)
    if reference is None:
        found.notes.append("no earlier run was asked for the same, so that no value was compared")
    else:
        _compare_cases(found, run, reference)
        found.changed = changes(reference, run)
    if timed_by is None:
        if run.timings:
            found.notes.append("no earlier run on this machine has times, so that none was compared")
    else:
        _compare_times(found, run, timed_by, thresholds)
    return found


def rank(verdict: Verdict) -> int:
    """How bad a verdict is: 0 decided well, 1 open, 2 not run, 3 bad."""
    if verdict.is_bad:
        return 3
    return {Verdict.NOT_RUN: 2, Verdict.INCONCLUSIVE: 1}.get(verdict, 0)


def _compare_cases(found: Comparison, run: Run, reference: Run) -> None:
    for name, case in run.cases.items():
        earlier = reference.cases.get(name)
        if earlier is None:
            continue
        worse, better = rank(case.verdict) > rank(earlier.verdict), rank(case.verdict) < rank(earlier.verdict)
        verdicts = f"{earlier.verdict.value} before, now {case.verdict.value}"
        moved = _moved(case, earlier)
        said = "; ".join([verdicts] * (worse or better) + moved)
        if worse or (moved and not better):
            found.worse.append(Finding(name, said))
        elif better:
            found.better.append(Finding(name, said))
    altered = [name for name, case in run.cases.items() if _expects(reference, name) not in (None, case.expected)]
    if altered:
        found.notes.append(f"what is expected was changed for {len(altered)} cases, {altered[0]} among them")
    gone = [name for name in reference.cases if name not in run.cases]
    if gone:
        found.notes.append(f"{len(gone)} cases of the earlier run were not selected this time, {gone[0]} among them")


def _expects(run: Run, name: str) -> dict[str, float | str | None] | None:
    return run.cases[name].expected if name in run.cases else None


def _moved(case: CaseRecord, earlier: CaseRecord) -> list[str]:
    """The values of a case whose bands have no point in common, in words."""
    moved = []
    for name, value in (case.measured or {}).items():
        before = (earlier.measured or {}).get(name)
        if before is None:
            continue
        if value is None:
            moved.append(f"{name} was {before:.2f} and is not a number now")
            continue
        band, band_before = case.band(name), earlier.band(name)
        if band is None or band_before is None:
            continue
        slack = _FLOAT_ERROR * max(abs(value), abs(before))
        if band[0] > band_before[1] + slack or band[1] < band_before[0] - slack:
            moved.append(
                f"{name} moved by {value - before:+.2f}: "
                f"{_shown(before, band_before)} before, {_shown(value, band)} now"
            )
    return moved


def _shown(value: float, band: tuple[float, float]) -> str:
    return f"{value:.2f} in [{band[0]:.2f}, {band[1]:.2f}]"


def _compare_times(found: Comparison, run: Run, earlier: Run, thresholds: Thresholds) -> None:
    for loop, timing in run.timings.items():
        before = earlier.timings.get(loop)
        ratio = thresholds.ratio(loop)
        if before is None:
            continue
        if ratio is None:
            found.notes.append(f"{loop} has no threshold in benchmarks/thresholds.json, so that it was not compared")
            continue
        said = (
            f"{timing.median / before.median:.2f} times as long: median {_seconds(timing)}, "
            f"{_seconds(before)} before (threshold {ratio:g})"
        )
        if timing.median > ratio * before.median and timing.q1 > before.q3:
            found.worse.append(Finding(loop, said))
        elif before.median > ratio * timing.median and before.q1 > timing.q3:
            found.better.append(Finding(loop, said))
    gone = [loop for loop in earlier.timings if loop not in run.timings]
    if gone:
        found.notes.append(f"not timed this time: {', '.join(gone)}")


def _seconds(timing: Timing) -> str:
    return f"{timing.median:.4g} s (quarters {timing.q1:.4g} to {timing.q3:.4g}, {timing.rounds:g} rounds)"


def changes(earlier: Run, later: Run) -> list[str]:
    """What else differs between two runs, one phrase each: versions, hardware, image, revision, weights."""
    old, new = earlier.environment, later.environment
    found = []
    for group, label in (("packages", ""), ("assets", "asset "), ("container", "container ")):
        before, after = (_plain(environment.get(group)) for environment in (old, new))
        common = before.keys() & after.keys() if group == "assets" else before.keys() | after.keys()
        found += [
            f"{label}{name}: {_short(before.get(name, 'none'))} -> {_short(after.get(name, 'none'))}"
            for name in sorted(common)
            if before.get(name) != after.get(name)
        ]
    for name in ("python", "platform", "processor", "cores", "gpus", "machine", "revision"):
        words_before, words_after = _words(old.get(name)), _words(new.get(name))
        if words_before != words_after:
            label = "GPU and driver" if name == "gpus" else name
            found.append(f"{label}: {_short(words_before)} -> {_short(words_after)}")
    return found


def _plain(group: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in group.items()} if isinstance(group, dict) else {}


def _words(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)


def _short(text: str) -> str:
    """Hashes are cut; two that differ do so in their first characters."""
    start, _, rest = text.partition(":") if text.startswith("sha256:") else ("", "", text)
    word, space, more = rest.partition(" ")
    if len(word) >= 40:
        word = f"{word[:12]}{'+changes' if word.endswith('+changes') else ''}"
    return f"{start}:{word}" if start else f"{word}{space}{more}"
