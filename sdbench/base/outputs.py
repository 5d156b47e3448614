"""Files that a command writes: tried before the work, never over what it reads; "-" is the standard output."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sdbench.base.errors import DiskError, InputError, SdbenchError
from sdbench.base.files import PICTURES, check_place, is_stdout, json_text, write_text
from sdbench.base.streams import check_stdout, lasting_streams, printing_to_stderr, write_to_stdout

STDOUT = Path("-")
"""Stands for the standard output where a file to write is named; a file of this name is ./-"""

_ENDINGS = {"json": (".json",), "picture": tuple(PICTURES), "html": (".html", ".htm"), "text": ()}
"""Kind of output -> how the name of such a file ends."""


def add_output(parser: argparse.ArgumentParser, name: str, kind: str, help: str, bare: str | None = None) -> None:
    """Add a file to write: where it cannot be, or is another kind by its ending, is told before the work, not after.

    Args:
        parser: of the command.
        name: "--json", or "output" of one that must be named.
        kind: one of `_ENDINGS`.
        help: what is written.
        bare: the file where the option comes without one; None where it must name one.
    """
    more: dict[str, Any] = {} if bare is None else {"nargs": "?", "const": bare}
    parser.add_argument(name, action=_Output, type=partial(_output, kind), help=help, **more)


class _Output(argparse.Action):
    """Notes each file that is to be written; no two are one."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        outputs: dict[str, Path] = vars(namespace).setdefault("outputs", {})
        for other, path in outputs.items():
            if other != self.dest and _is_one_file(path, values):
                parser.error(f"{option or self.dest} and --{other} name one file, {values}: name two")
        outputs[self.dest] = values
        setattr(namespace, self.dest, values)


def _output(kind: str, text: str) -> Path:
    """A file to write.

    Raises:
        argparse.ArgumentTypeError: it is a folder, cannot be written, or its name ends as that of another kind of file.
    """
    if text == str(STDOUT):
        return STDOUT
    path = Path.cwd() / STDOUT if Path(text) == STDOUT else Path(text)
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"no file can be called {text!r}")
    if not text or text.endswith(os.sep) or os.path.isdir(text):  # noqa: PTH112 - Path.is_dir raises of long names
        raise argparse.ArgumentTypeError(f"expected a file to write; {text or 'an empty name'} is a folder")
    ending, known = path.suffix.lower(), _ENDINGS[kind]
    others = {end for endings in _ENDINGS.values() for end in endings} | {".csv", ".jpg", ".jpeg"}
    if ending not in known and (ending in others or (kind == "picture" and ending)):
        wanted = f"one that ends in {' or '.join(known)}" if known else "a text"
        raise argparse.ArgumentTypeError(f"expected {wanted}; got {text}, which says another kind of file")
    return path


def _is_one_file(one: Path, other: Path) -> bool:
    """Whether two names are of one file; a device takes as many as come."""
    both = (_is_stdout(one) and _is_stdout(other)) or os.path.realpath(one) == os.path.realpath(other)
    return both and (_is_stdout(one) or not one.is_char_device())


def _is_stdout(path: Path) -> bool:
    return path == STDOUT or is_stdout(path)


def check_outputs(options: argparse.Namespace) -> None:
    """See that the files to write can be written, and that none of them is one that the command reads.

    Raises:
        InputError: one is.
        DiskError: one cannot be written.
    """
    outputs: dict[str, Path] = getattr(options, "outputs", {})
    for path in outputs.values():
        if path == STDOUT:
            check_stdout()
        else:
            with refused(path):
                check_place(path)
    read = [value for name, value in vars(options).items() if name not in (*outputs, "outputs")]
    read = [each for value in read for each in (value if isinstance(value, (list, tuple)) else [value])]
    names = {os.path.realpath(part) for each in read if isinstance(each, (str, Path)) for part in _paths_in(str(each))}
    for path in outputs.values():
        if path != STDOUT and path.is_file() and os.path.realpath(path) in names:
            raise InputError(f"{path} is read by this command and would be written over: name another file")


def _paths_in(text: str) -> list[str]:
    """What may be the path in a word: net.py:net, motion.json@3:layer."""
    return [text[:end] for end in range(1, len(text) + 1) if end == len(text) or text[end] in ":@"]


@contextlib.contextmanager
def named_outputs(options: argparse.Namespace) -> Iterator[None]:
    """Meanwhile a script does its work: what it writes was tried, and what it prints stays out of a file on stdout.

    Raises:
        InputError, DiskError: as `check_outputs` does.
    """
    with lasting_streams():
        check_outputs(options)
        with printing_to_stderr() if is_to_stdout(options) else contextlib.nullcontext():
            yield


def is_to_stdout(options: argparse.Namespace) -> bool:
    """Whether a file is written to the standard output, which then holds nothing else."""
    outputs: dict[str, Path] = getattr(options, "outputs", {})
    return any(map(_is_stdout, outputs.values()))


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A path to write what the user wants at `path`; that it cannot be is a sentence.

    It may be the standard output. A file that has other names (hard links) stays the file that they name.

    Raises:
        DiskError: it cannot be written.
    """
    with refused(path):
        if path != STDOUT and not (path.is_file() and path.stat().st_nlink > 1):
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / f"output{path.suffix}"
            yield place
            if path == STDOUT:
                write_to_stdout(place.read_bytes())
            else:
                shutil.copyfile(place, path)


@contextlib.contextmanager
def refused(path: Path) -> Iterator[None]:
    """Say in a sentence why a file that the user named cannot be written.

    Raises:
        DiskError: it cannot.
    """
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name
        if isinstance(error, SdbenchError):
            raise
        named = "the standard output" if path == STDOUT else str(path)[-200:]
        why = getattr(error, "strerror", None) or error
        raise DiskError(f"{named} cannot be written ({why}); name another file") from None


def write_outputs(*wanted: tuple[Path | None, Callable[[Path], None]]) -> None:
    """Write the files that were named; what goes into a pipe comes last, so that its reader's leaving costs no file.

    Args:
        wanted: each file, None where it was not named, and what writes it.

    Raises:
        DiskError: one cannot be written.
    """
    named = [(path, write) for path, write in wanted if path is not None]
    for path, write in sorted(named, key=lambda each: _is_stdout(each[0]) or each[0].is_fifo()):
        with writing(path) as place:
            write(place)


def numbers(content: Any) -> Callable[[Path], None]:
    """What writes numbers as JSON."""
    return lambda place: write_text(place, json_text(content))
