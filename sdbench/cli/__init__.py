"""The command `sdbench`: one file for each group of its commands."""

from __future__ import annotations

import argparse
import contextlib
import errno
import sys
import traceback
from collections.abc import Sequence

from sdbench import __version__
from sdbench.base.errors import SdbenchError
from sdbench.base.memory import is_out_of_memory
from sdbench.base.outputs import check_outputs, is_to_stdout
from sdbench.base.streams import lasting_streams, printing_to_stderr
from sdbench.base.warned import sentences
from sdbench.cli import comparing, doctor, fetching, layers, listing, making, measuring, segmenting
from sdbench.history.command import add_parser as add_history

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0, 1 after an error that the user can act on, 130 after Ctrl-C; `sdbench history compare` also 3 for a regression,
    `sdbench history blame` 4 where no package is the culprit.
    """
    debug = False
    try:
        with lasting_streams():
            options = _parser().parse_args(arguments)
            debug = getattr(options, "debug", False)
            with sentences(), printing_to_stderr() if is_to_stdout(options) else contextlib.nullcontext():
                check_outputs(options)
                status: int | None = options.run(options)
    except SdbenchError as error:
        if debug:
            traceback.print_exc()
        hint = " (--debug shows the traceback)" if error.__cause__ is not None and not debug else ""
        return _end(f"{error}{hint}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if debug:
            traceback.print_exc()
        said = " ".join(str(error).split())[:200] or "it is all in use"
        return _end(f"there is no memory left ({said}); use fewer --workers or smaller inputs")
    except KeyboardInterrupt:
        return _end("interrupted; what was done is kept, run the same command again to go on", 130)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _end("the disk is full; make room and run the same command again to go on")
        where = f"{error.filename}: " if error.filename else ""
        return _end(
            f"{where}{error.strerror or error}; put it right and run the same command again: what is done is kept"
        )
    return status or 0


def _end(sentence: str, status: int = 1) -> int:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # whoever read it has gone
            print(f"sdbench: {sentence}", file=sys.stderr, flush=True)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sdbench",
        description=(
            "Measure how much of what a video network encodes is static (seen in one frame) or dynamic (needs several)."
        ),
    )
    parser.set_defaults(outputs={})
    parser.add_argument("--version", action="version", version=f"sdbench {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (doctor, listing, layers, fetching, measuring, comparing, segmenting, making):
        group.add_commands(commands)
    add_history(commands)
    _add_debug(parser)
    return parser


def _add_debug(parser: argparse.ArgumentParser) -> None:
    """Every command takes --debug, before its words or behind them."""
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="with the traceback of what goes wrong"
    )
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in dict.fromkeys(action.choices.values()):
                _add_debug(command)
