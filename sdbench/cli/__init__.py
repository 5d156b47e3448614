"""The command `sdbench`: one file for each group of its commands."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence

from sdbench import __version__
from sdbench.base.errors import SdbenchError
from sdbench.base.warned import sentences
from sdbench.cli import comparing, fetching, layers, listing, making, measuring, segmenting
from sdbench.history.command import add_parser as add_history

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0, 1 after an error that the user can act on, 130 after Ctrl-C; `sdbench history compare` also 3 for a regression.
    """
    options = _parser().parse_args(arguments)
    try:
        with sentences():
            status: int | None = options.run(options)
    except SdbenchError as error:
        print(f"sdbench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("sdbench: interrupted; what was done is kept, run the same command again to go on", file=sys.stderr)
        return 130
    except OSError as error:
        if error.errno == errno.ENOSPC:
            print("sdbench: the disk is full; make room and run the same command again to go on", file=sys.stderr)
            return 1
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # the reader has seen enough; Python would complain once more on exit
            return 0
        raise
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdbench",
        description=(
            "Measure how much of what a video network encodes is static (seen in one frame) or dynamic (needs several)."
        ),
    )
    parser.add_argument("--version", action="version", version=f"sdbench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (listing, layers, fetching, measuring, comparing, segmenting, making):
        group.add_commands(commands)
    add_history(commands)
    return parser
