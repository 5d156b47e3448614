"""The outcome as a table of plain text, and in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

from sdbench.cases.verdicts import Case, Verdict

_SHORT = {"dynamic": "D", "static": "S", "joint": "J", "residual": "R", "dead": "dead"}
_FINE = 0.02
"""Below this tolerance one decimal would hide what is compared."""

LEGEND = (
    "D dynamic, S static, J joint, R residual, dead: units that do not change in the pairs of a factor; in percent. "
    "In [ ] where other runs on the same videos would lie, which decides; behind 'other videos' where the value of "
    "other videos would, which decides nothing. "
    "Verdicts: measured, where no value was published to hold it against; "
    "error, where a case broke although what it needs is here"
)

_ORDER = (
    Verdict.ERROR,
    Verdict.CHANGED,
    Verdict.DEVIATES,
    Verdict.FAILS,
    Verdict.INCONCLUSIVE,
    Verdict.REPRODUCED,
    Verdict.HOLDS,
    Verdict.UNCHANGED,
    Verdict.MEASURED,
    Verdict.NOT_RUN,
)
"""What went wrong comes first, what was not run last."""


@dataclass(frozen=True)
class Totals:
    """How many published results and claims are known, whether this run selected them or not."""

    values: int
    claims: int


HEADERS = ("case", "measured", "expected", "tolerance", "verdict", "seconds")


def in_order(cases: Sequence[Case]) -> list[Case]:
    """The cases with what went wrong first and what was not run last; else in their order."""
    return sorted(cases, key=lambda case: _ORDER.index(case.verdict))


def case_table(cases: Sequence[Case], style: str = "simple") -> str:
    """One row a case, in the order of `in_order`; `style` is a table format of tabulate: "simple", "github", ..."""
    newline = "<br>" if style in ("github", "pipe") else "\n"
    rows = [
        (
            case.id,
            newline.join(measured_lines(case)),
            newline.join(expected_lines(case)),
            newline.join(tolerance_lines(case)),
            case.verdict.value,
            f"{case.seconds:.1f}" if case.measured is not None else "",
        )
        for case in in_order(cases)
    ]
    return tabulate(rows, headers=HEADERS, tablefmt=style, disable_numparse=True)


def measured_lines(case: Case) -> list[str]:
    """The measured values of a case, and below them their intervals: of reproduction, then of generalisation."""
    if case.measured is None:
        return ["-"]
    if case.kind.endswith("claim"):
        return [f"margin {min(case.measured.values()):+.1f}"]
    digits = _digits(case)
    lines = _numbers(case.measured, digits)
    for named, intervals in (("", case.interval), ("other videos:", case.generalisation)):
        if intervals and any(high > low for low, high in intervals.values()):
            limits = [f"{short(n)} [{low:.{digits}f}, {high:.{digits}f}]" for n, (low, high) in intervals.items()]
            lines += [*([named] if named else []), *_wrapped(limits)]
    return lines


def expected_lines(case: Case) -> list[str]:
    """The expected values of a case, or what it claims."""
    if case.kind.endswith("claim"):
        return ["every margin > 0"]
    if not case.expected:
        return ["not published"]
    return _numbers({n: v for n, v in case.expected.items() if isinstance(v, (int, float))}, _digits(case))


def tolerance_lines(case: Case) -> list[str]:
    """The half-widths of the bands of a case, said once where they are all the same."""
    if not case.tolerance:
        return [""]
    if len(set(case.tolerance.values())) == 1:
        return [f"±{next(iter(case.tolerance.values())):.2f}"]
    return _numbers(case.tolerance, max(2, _digits(case)), "±")


def _digits(case: Case) -> int:
    """How many decimals tell a value from the edge of its band."""
    return 3 if case.tolerance and min(case.tolerance.values()) < _FINE else 1


def summary_lines(cases: Sequence[Case], totals: Totals) -> list[str]:
    """What was and was not measured, in a few sentences; the first says how many published results were."""
    lines = [
        f"{_measured(cases, 'published value')} of {totals.values} published results and "
        f"{_measured(cases, 'published claim')} of {totals.claims} published claims were measured."
    ]
    counts = Counter(case.verdict for case in cases)
    lines.append(f"{len(cases)} cases: " + ", ".join(f"{counts[v]} {v.value}" for v in Verdict if counts[v]) + ".")
    return lines


def reasons(cases: Sequence[Case], verdicts: Sequence[Verdict]) -> list[tuple[str, list[str]]]:
    """(reason, ids) of the cases with one of `verdicts`; cases that share a reason stand together."""
    grouped: dict[str, list[str]] = {}
    for case in cases:
        if case.verdict in verdicts:
            grouped.setdefault(case.reason, []).append(case.id)
    return list(grouped.items())


def _measured(cases: Sequence[Case], kind: str) -> int:
    return sum(case.kind == kind and case.measured is not None for case in cases)


def short(name: str) -> str:
    """The letter of a factor or class, or the name as it is."""
    return _SHORT.get(name, name)


def _numbers(values: dict[str, float], digits: int, sign: str = "") -> list[str]:
    return _wrapped([f"{short(name)} {sign}{value:.{digits}f}" for name, value in values.items()])


def _wrapped(parts: list[str], at_once: int = 3) -> list[str]:
    return [" ".join(parts[i : i + at_once]) for i in range(0, len(parts), at_once)]
