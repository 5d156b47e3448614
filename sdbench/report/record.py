"""One run's report: JSON for programs, Markdown and HTML for people."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sdbench.base.files import write_text
from sdbench.cases.records import Claim, ExpectedValue, Record, asked
from sdbench.report.content import Report
from sdbench.report.html import render_html
from sdbench.report.markdown import render_markdown
from sdbench.report.pictures import layers_picture

_LONGEST = 100
"""So many letters of a title stand in the name of a file."""


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write report.json, report.md, report.html and one picture for each network into `folder`; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("layers-*.png"):
        stale.unlink()
    pictures = {folder / f"layers-{_as_file(name)}.png": (name, layers) for name, layers in report.layers.items()}
    paths = [folder / "report.json", folder / "report.md", folder / "report.html"]
    write_text(paths[0], json.dumps(as_json(report), indent=1, allow_nan=False) + "\n")
    write_text(paths[1], render_markdown(report, [path.name for path in pictures]))
    write_text(paths[2], render_html(report))
    for path, (name, layers) in pictures.items():  # they take longest, and are missed least
        layers_picture(name, layers, path)
    return [*paths, *pictures]


def _as_file(title: str) -> str:
    """A title as a part of a file's name; where letters had to go, part of its hash keeps two of them apart."""
    plain = title.replace("/", "-").replace(" ", "-")
    kept = re.sub(r"[^\w.,()+-]", "-", plain)[:_LONGEST]
    return kept if kept == plain else f"{kept}-{hashlib.sha256(title.encode()).hexdigest()[:8]}"


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain values: the content of report.json."""
    cases = []
    for case in report.cases:
        fields = asdict(case)
        fields["verdict"] = case.verdict.value
        fields["seconds"] = round(case.seconds, 3)
        fields["about"] = _about(report.records.get(case.id))
        cases.append(finite(fields))
    return {
        "environment": finite(report.environment),
        "cases": cases,
        "measurements": finite(list(report.measurements)),
        "layers": finite(report.layers),
        "timings": finite(report.timings),
        "intervals": finite(report.intervals),
        "trained_on": dict(report.trained_on),
    }


def _about(record: Record | None) -> dict[str, Any] | None:
    """What a case was about and where its number is from; None where that was not told."""
    if record is None:
        return None
    named = ("network", "trained_on", "dataset")
    about = {"asked": [{name: getattr(each, name) for name in named} for each in asked(record)]}
    if isinstance(record, Claim):
        return {**about, "statement": record.statement, "source": record.source}
    told: dict[str, Any] = {**about, "quantity": record.quantity, "layer": record.layer}
    if isinstance(record, ExpectedValue):
        told["source"] = record.source.model_dump(exclude_none=True)
        told["tolerance_reason"] = record.tolerance_reason
    return told


def finite(value: Any) -> Any:
    """Plain values for JSON, which has no NaN: what has no value becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
