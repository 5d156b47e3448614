"""The command `sdbench doctor`: what this machine can and cannot do."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdbench.base.errors import InputError
from sdbench.base.outputs import STDOUT, add_output, numbers, write_outputs

if TYPE_CHECKING:
    from sdbench.doctor.finding import Finding

_ROOT = Path(__file__).parents[2]
_MOST_COLUMNS = 110
_MARKS = {"ok": "ok", "note": "note", "missing": "missing", "fails": "FAILS"}
_COLOURS = {"ok": 32, "note": 33, "missing": 33, "fails": 31}
"""Of a terminal: green, yellow, red."""


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    doctor = commands.add_parser(
        "doctor",
        help="what this machine can and cannot do, and the cure",
        description=(
            "Looks at this machine, changes nothing, and takes some seconds. Exit status: 0 where the default run, "
            "nox -s reproduce, would work here; 1 where it would not; 2 a wrong command line."
        ),
    )
    doctor.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("SDBENCH_DATA"),
        help="folder of your own data sets (default: SDBENCH_DATA)",
    )
    doctor.add_argument(
        "--report", type=Path, default=_ROOT / "reports" / "latest", help="folder that the report would be written to"
    )
    doctor.add_argument(
        "--device", choices=("cpu", "cuda"), help="where a forward pass is timed (default: a GPU that works, else cpu)"
    )
    add_output(
        doctor, "--json", "json", "also write what was found to this file; without a name, print that alone", "-"
    )
    doctor.set_defaults(run=_doctor, json=None)


def _doctor(options: argparse.Namespace) -> int:
    try:
        from sdbench.doctor.examine import examine, works
        from sdbench.doctor.software import as_values
    except ImportError as error:
        raise InputError(
            f"a package that sdbench requires does not import ({error}); "
            "run: python -m pip install -c constraints.txt -e ."
        ) from None
    found = examine(_ROOT, options.report, None if options.data is None else Path(options.data), options.device)
    values = {"works": works(found), "findings": {heading: as_values(of) for heading, of in found.items()}}
    width = min(shutil.get_terminal_size((_MOST_COLUMNS, 0)).columns, _MOST_COLUMNS)
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if options.json != STDOUT:
        print("\n".join(lines(found, width, coloured)))
    write_outputs((options.json, numbers(values)))
    return 0 if works(found) else 1


def lines(found: Mapping[str, Sequence[Finding]], width: int, coloured: bool = False) -> list[str]:
    """Findings as a person reads them: by heading, each with its cure below it, and the outcome last."""
    shown: list[str] = []
    label = max(len(finding.subject) for of in found.values() for finding in of)
    behind = " " * (label + 12)
    for heading, of in found.items():
        if of:
            shown += ["", heading] if shown else [heading]
        for finding in of:
            start = f"  {_MARKS[finding.state]:<8}{finding.subject:<{label}}  "
            first, *others = _wrapped(finding.said, width, start, behind)
            if coloured:
                mark = _MARKS[finding.state]
                first = first.replace(mark, f"\x1b[1;{_COLOURS[finding.state]}m{mark}\x1b[0m", 1)
            shown += [first, *others]
            if finding.cure:
                shown += _wrapped(finding.cure, width, f"{behind}-> ", f"{behind}   ")
    stops = [finding.subject for of in found.values() for finding in of if finding.stops]
    outcome = (
        f"The default run, nox -s reproduce, would not work here: see {', '.join(stops)}."
        if stops
        else "The default run, nox -s reproduce, would work here."
    )
    return [*shown, "", *_wrapped(outcome, width, "", "")]


def _wrapped(text: str, width: int, first: str, others: str) -> list[str]:
    wide = max(width, len(others) + 30)
    options: Any = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, wide, initial_indent=first, subsequent_indent=others, **options) or [first]
