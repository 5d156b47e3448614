"""One run against an earlier one: what became worse, what became better, and what else changed between them.

A run is worse for one of four reasons, and for no other:

- a case has a worse verdict (decided well, then inconclusive or measured, then not run, then bad, then an error), or is
  new and an error;
- a case is missing, though the run chose no part of the suite and came to its end;
- a value moved: its interval and the earlier one have no point in common (where there are no intervals: the tolerances
  about both values);
- a timed loop is slower by more than its threshold, on the same machine, and not by chance: the faster quarter of its
  rounds is slower than the slower quarter of the earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sdbench.cases.verdicts import Verdict
from sdbench.history.record import CaseRecord, Run, Timing
from sdbench.history.thresholds import Thresholds

_FLOAT_ERROR = 1e-9
"""Relative: numbers that differ by less are the same."""


@dataclass
class Reference:
    """What runs are held against: for every case and timed loop the last good run that has it.

    A run of a few selected cases thus hides nothing of the whole run before it.

    Attributes:
        values_of: the last good run that was asked for the same; None where there is none.
        times_of: the last good run of the same machine that has times; None where there is none.
        cases: id of a case -> its outcome, and the run that it is of.
        timings: name of a timed loop -> its statistics, and the run that they are of.
    """

    values_of: Run | None = None
    times_of: Run | None = None
    cases: dict[str, tuple[CaseRecord, Run]] = field(default_factory=dict)
    timings: dict[str, tuple[Timing, Run]] = field(default_factory=dict)

    def take_values(self, run: Run) -> None:
        """Hold later runs against the values of this one; what a run of the whole suite lacks is then gone for good."""
        self.values_of = run
        kept = {} if run.is_whole else self.cases
        self.cases = kept | {name: (case, run) for name, case in run.cases.items()}

    def take_times(self, run: Run) -> None:
        """Hold later runs against the times of this one."""
        if run.timings:
            self.times_of = run
            self.timings |= {name: (timing, run) for name, timing in run.timings.items()}


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
        reference: the earlier run that it was held against; None where there was none.
        worse: what makes the run bad.
        better: what improved.
        changed: what else is different: versions, hardware, weights, expected values; one phrase each.
        unrecorded: what may differ and is not known, since one of the runs did not record it.
        notes: what was not compared, and why.
    """

    run: Run
    reference: Run | None
    worse: list[Finding] = field(default_factory=list)
    better: list[Finding] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_regression(self) -> bool:
        """Whether the run is worse."""
        return bool(self.worse)


def compare(run: Run, reference: Reference, thresholds: Thresholds) -> Comparison:
    """Hold `run` against earlier runs.

    Args:
        run: the newer one.
        reference: what its values are held against, and its times: those of the same machine.
        thresholds: how much slower a loop may become.
    """
    against = reference.values_of or reference.times_of
    found = Comparison(run, against)
    if against is not None:
        found.changed = changes(against, run)
        found.unrecorded = [f"{what} (of run {each.id})" for each in (against, run) for what in unrecorded(each)]
    for each in (run,) if against is None else (against, run):
        if isinstance(taken := each.environment.get("taken from a cache"), dict):
            found.notes += [f"run {each.id} took from a cache {kind}: {what}" for kind, what in taken.items()]
    if reference.values_of is None:
        found.notes.append("no earlier run was asked for the same, so that no value was compared")
    else:
        _compare_cases(found, run, reference)
    if reference.times_of is not None:
        _compare_times(found, run, reference, thresholds)
    elif run.timings:
        found.notes.append("no earlier run on this machine has times, so that none was compared")
    return found


def rank(verdict: Verdict) -> int:
    """How bad a verdict is: 0 decided well, 1 neither well nor badly, 2 not run, 3 bad, 4 an error."""
    ranks = {Verdict.INCONCLUSIVE: 1, Verdict.MEASURED: 1, Verdict.NOT_RUN: 2, Verdict.ERROR: 4}
    return ranks.get(verdict, 3 if verdict.is_bad else 0)


def _compare_cases(found: Comparison, run: Run, reference: Reference) -> None:
    altered = []
    for name, case in run.cases.items():
        if name not in reference.cases:
            if case.verdict is Verdict.ERROR:
                found.worse.append(Finding(name, "new, and an error"))
            continue
        earlier, of = reference.cases[name]
        worse, better = rank(case.verdict) > rank(earlier.verdict), rank(case.verdict) < rank(earlier.verdict)
        moved = _moved(case, earlier)
        said = [f"{earlier.verdict.value} before, now {case.verdict.value}"] * (worse or better) + moved
        finding = Finding(name, "; ".join(said) + _held_against(of, found))
        if worse or (moved and not better):
            found.worse.append(finding)
        elif better:
            found.better.append(finding)
        if earlier.expected != case.expected:
            altered.append(name)
    if altered:
        found.notes.append(f"what is expected was changed for {len(altered)} cases, {altered[0]} among them")
    _look_for_missing(found, run, reference)


def _look_for_missing(found: Comparison, run: Run, reference: Reference) -> None:
    missing = [name for name in reference.cases if name not in run.cases]
    if run.is_whole:
        for name in missing:
            earlier, of = reference.cases[name]
            said = f"{earlier.verdict.value} before, missing now although the run chose no part of the suite"
            found.worse.append(Finding(name, said + _held_against(of, found)))
    elif missing:
        why = "reached before the run was stopped" if run.interrupted else "selected this time"
        found.notes.append(f"{len(missing)} cases of earlier runs were not {why}, {missing[0]} among them")


def _held_against(of: Run, found: Comparison) -> str:
    """Names the run where it is not the one that the whole comparison names."""
    return "" if of is found.reference else f" (held against run {of.id}, the last good one that has it)"


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


def _compare_times(found: Comparison, run: Run, reference: Reference, thresholds: Thresholds) -> None:
    for loop, timing in run.timings.items():
        if loop not in reference.timings:
            continue
        before, of = reference.timings[loop]
        ratio = thresholds.ratio(loop)
        if ratio is None:
            found.notes.append(f"{loop} has no threshold in benchmarks/thresholds.json, so that it was not compared")
            continue
        said = (
            f"{timing.median / before.median:.2f} times as long: median {_seconds(timing)}, "
            f"{_seconds(before)} before (threshold {ratio:g}){_held_against(of, found)}"
        )
        if timing.median > ratio * before.median and timing.q1 > before.q3:
            found.worse.append(Finding(loop, said))
        elif before.median > ratio * timing.median and before.q1 > timing.q3:
            found.better.append(Finding(loop, said))
    gone = [loop for loop in reference.timings if loop not in run.timings]
    if gone:
        found.notes.append(f"not timed this time: {', '.join(gone)}")


def _seconds(timing: Timing) -> str:
    return f"{timing.median:.4g} s (quarters {timing.q1:.4g} to {timing.q3:.4g}, {timing.rounds:g} rounds)"


_GROUPS = {
    "packages": "",
    "cuda": "CUDA: ",
    "variables": "variable ",
    "assets": "asset ",
    "weights": "weights of ",
    "shown": "what is shown in ",
    "container": "container ",
}
"""Facts of several names -> what stands before a name."""

_OF_A_SELECTION = ("assets", "weights", "shown")
"""Groups in which a name that only one run has says what was selected, not what changed."""

_OTHERWISE_SAID = ("image", "image_digest")
"""Of a container: other ones for each build; what an image is made of is compared by its content."""

_FACTS = {
    "python": "python",
    "python_build": "Python's build",
    "platform": "platform",
    "libc": "C library",
    "processor": "processor",
    "instructions": "the processor's instructions",
    "cores": "cores",
    "gpus": "GPU and driver",
    "machine": "machine",
    "revision": "revision",
    "source": "source",
    "precision": "precision",
    "compile": "compile",
    "measured by": "measured by",
}
"""Facts of one value -> how they are called."""

_WHOLE = "packages_sha256"
"""With it, a run recorded everything that is installed; those before it named ten packages."""

_BASE = ("base", "base_digest")
"""What of a container has to be recorded."""


def changes(earlier: Run, later: Run) -> list[str]:
    """What else differs between two runs, one phrase each: versions, hardware, base image, source, weights.

    What only one of them recorded is no difference: see `unrecorded`.
    """
    old, new = earlier.environment, later.environment
    found = []
    for group, label in _GROUPS.items():
        before, after = (_plain(environment.get(group)) for environment in (old, new))
        in_both = group in _OF_A_SELECTION or (group == "packages" and not (old.get(_WHOLE) and new.get(_WHOLE)))
        names = before.keys() & after.keys() if in_both else before.keys() | after.keys()
        if group not in old or group not in new:
            continue
        if group == "container" and before and after:
            names = names - {*_OTHERWISE_SAID, *(name for name in _BASE if not (before.get(name) and after.get(name)))}
        pairs = [(name, before.get(name, "none"), after.get(name, "none")) for name in sorted(names)]
        found += [f"{label}{name}: {_short(one)} -> {_short(other)}" for name, one, other in pairs if one != other]
    for name, label in _FACTS.items():
        if name in old and name in new and (before_now := _words(old[name])) != (now := _words(new[name])):
            found.append(f"{label}: {_short(before_now)} -> {_short(now)}")
    return found


def unrecorded(run: Run) -> list[str]:
    """What decides a number and is not recorded of a run, in words; empty where everything is."""
    environment = run.environment
    missing = [label for name, label in _FACTS.items() if _words(environment.get(name)) in ("unknown", "")]
    if not environment.get(_WHOLE):
        missing.append("packages but for a few")
    names = {"cuda": "CUDA and cuDNN", "variables": "variables", "weights": "weights", "shown": "what is shown"}
    missing += [label for name, label in names.items() if name not in environment]
    container = environment.get("container")
    if container is None:
        missing.append("container")
    elif isinstance(container, dict):
        missing += [f"container {name}" for name in _BASE if container.get(name) in (None, "", "unknown")]
    return missing


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
