"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdbench.base.errors import counted
from sdbench.base.rehearsal import SENTENCE, marks_of
from sdbench.cases.verdicts import Verdict
from sdbench.report.content import Report
from sdbench.report.table import LEGEND, case_table, in_order, reasons, summary_lines


def render_markdown(report: Report, pictures: Sequence[str]) -> str:
    """The report as a Markdown document; `pictures` are file names beside it."""
    cases = report.cases
    marked = [f"**{SENTENCE}.**"] if marks_of(report.environment) else []
    summary = "\n".join(f"**{line}**  " for line in summary_lines(cases, report.totals))
    parts = [f"# {marks_of(report.environment)}sdbench report", *marked, summary]
    for verdicts, title in (
        ([verdict for verdict in Verdict if verdict.is_bad], "What went wrong"),
        ([Verdict.INCONCLUSIVE], "What could not be decided"),
    ):
        if found := reasons(in_order(cases), verdicts):
            parts += [f"## {title}", _listed(found)]
    apart = (Verdict.MEASURED, Verdict.NOT_RUN)
    decided = [case for case in cases if case.verdict not in apart]
    measured, idle = ([case for case in cases if case.verdict is verdict] for verdict in apart)
    if decided:
        parts += ["## Outcomes", case_table(decided, "github")]
    if measured:
        parts += ["## Measured, where no value was published", case_table(measured, "github")]
    if decided or measured:
        parts.append(LEGEND + ".")
    parts += [f"![Shares and units of each layer]({name})" for name in pictures]
    if report.measurements:
        parts += [
            "## Measurements",
            "\n".join(f"- {sentence}" for sentence in map(measurement_sentence, report.measurements)),
        ]
    if idle:
        parts += ["## Not run", case_table(idle, "github"), _listed(reasons(cases, (Verdict.NOT_RUN,)))]
    parts += ["## Environment", _environment(report.environment)]
    return "\n\n".join(parts) + "\n"


def measurement_sentence(record: dict[str, Any]) -> str:
    """What one measurement did, in a sentence."""
    spent = [f"{stage} {seconds:.0f} s" for stage, seconds in record["seconds"].items() if stage != "total"]
    stages = ", ".join(spent[:-1]) + f" and {spent[-1]}"
    sentence = (
        f"{record['network']} on {record['dataset']}: {counted(record['clips'], 'clip')}, "
        f"{counted(record['samples'], 'sample')}, "
        f"at least {counted(record['pairs'], 'pair')} of each factor, "
        f"{counted(record['passes'], 'forward pass', 'forward passes')}, "
        f"protocol {record['protocol']}, "
        f"{_styles(record)}{_seeds(record)}; {record['resampling']}; in {record['precision']}; "
        f"{record['seconds']['total']:.0f} s, of which {stages}."
    )
    if record["compiled"]:
        sentence += f" Passes: {record['compiled']}."
    if record.get("check"):
        check = record["check"]
        sentence += f" {check[:1].upper()}{check[1:]}."
    if record.get("resumed"):
        sentence += (
            f" {record['resumed']} of {record['samples']} samples are from an earlier run, interrupted or a slice."
        )
    if record["skipped"]:
        sentence += f" Left out: {'; '.join(record['skipped'])}."
    if record.get("notes"):
        sentence += f" Note: {'; '.join(record['notes'])}."
    return sentence


def _styles(record: dict[str, Any]) -> str:
    return f"styles {', '.join(record['styles'])}, " if record["styles"] else ""


def _seeds(record: dict[str, Any]) -> str:
    first, count = record["seed"], record["seeds"]
    if record["networks"]:
        return f"seed {first}, means over {count} networks"
    return f"seed {first}" if count == 1 else f"means over seeds {first} to {first + count - 1}"


def _listed(found: Sequence[tuple[str, list[str]]]) -> str:
    return "\n".join(f"- {', '.join(f'`{name}`' for name in ids)}: {reason}" for reason, ids in found)


def _environment(environment: dict[str, Any]) -> str:
    return "\n".join(f"- {key}: {_plain(value)}" for key, value in environment.items())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)
