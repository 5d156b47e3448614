"""`python -m sdbench.report FOLDER`: write the report of what a run had finished when it was killed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from sdbench.base.errors import SdbenchError
from sdbench.report.from_lines import rescue


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1 or given[0].startswith("-"):
        print("usage: python -m sdbench.report FOLDER    (of the report, with cases.jsonl)", file=sys.stderr)
        return 2
    folder = Path(given[0])
    try:
        found = rescue(folder, "the run was killed")
    except (SdbenchError, OSError) as error:
        print(f"sdbench: {error}", file=sys.stderr)
        return 1
    if found is None:
        print(f"sdbench: no unfinished run is in {folder}: its report is written, or none was begun", file=sys.stderr)
        return 1
    print(f"{found} cases: {folder / 'report.html'}" if found else "no case had ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
