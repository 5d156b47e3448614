"""One run's report: JSON for programs, Markdown and HTML for people."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sdbench.base.files import write_text
from sdbench.report.content import Report
from sdbench.report.html import render_html
from sdbench.report.markdown import render_markdown
from sdbench.report.pictures import layers_picture


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write report.json, report.md, report.html and one picture for each network into `folder`; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("layers-*.png"):
        stale.unlink()
    pictures = []
    for name, layers in report.layers.items():
        path = folder / f"layers-{name.replace('/', '-').replace(' ', '-')}.png"
        layers_picture(name, layers, path)
        pictures.append(path)
    paths = [folder / "report.json", folder / "report.md", folder / "report.html"]
    write_text(paths[0], json.dumps(as_json(report), indent=1, allow_nan=False) + "\n")
    names = [path.name for path in pictures]
    write_text(paths[1], render_markdown(report, names))
    write_text(paths[2], render_html(report, pictures))
    return [*paths, *pictures]


def as_json(report: Report) -> dict[str, Any]:
    """The report as plain values: the content of report.json."""
    cases = []
    for case in report.cases:
        fields = asdict(case)
        fields["verdict"] = case.verdict.value
        fields["seconds"] = round(case.seconds, 3)
        cases.append(_finite(fields))
    return {
        "environment": _finite(report.environment),
        "cases": cases,
        "measurements": _finite(list(report.measurements)),
        "layers": _finite(report.layers),
        "timings": _finite(report.timings),
    }


def _finite(value: Any) -> Any:
    """JSON has no NaN: what has no value becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
