"""`python -m sdbench.history`: the command `sdbench history` where the networks' packages are not installed."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

from sdbench.base.errors import SdbenchError
from sdbench.base.outputs import check_outputs, is_to_stdout
from sdbench.base.streams import lasting_streams, printing_to_stderr
from sdbench.history.command import add_parts, run


def parser() -> argparse.ArgumentParser:
    """The parser of its command line."""
    made = argparse.ArgumentParser(prog="python -m sdbench.history", description="Keep runs and tell regressions.")
    add_parts(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, as `sdbench history` does."""
    try:
        with lasting_streams():
            options = parser().parse_args(arguments)
            with printing_to_stderr() if is_to_stdout(options) else contextlib.nullcontext():
                check_outputs(options)
                return run(options)
    except SdbenchError as error:
        print(f"sdbench: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
