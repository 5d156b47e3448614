"""Whether passes are compiled, and that a compiler which is not there or fails costs no more than saying so."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn

from sdbench.base.errors import counted
from sdbench.base.files import write_text
from sdbench.base.kept import disk_error

Read = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""From a batch of inputs, by name, to the unit values of each layer."""

_CHOICE = "compiled.json"
_LOCK = "compiled.lock"
_ATTEMPTS = 5

_START_SECONDS = 15.0
_SECONDS_A_LAYER = 0.15
"""What compiling costs, at first: two cores took 29 s for I3D (107 layers with weights), 28 s for X3D-M (169)."""

_SAVED = 0.3
_SAVED_WITHOUT_CONVOLUTIONS = 0.1
"""The part of a pass that compiling is expected to save, at first: that of the networks where it saves little."""


@dataclass(frozen=True)
class Choice:
    """How the passes of a measurement are made; the same for all of its parts, whoever does them.

    Attributes:
        compiled: whether they are compiled.
        why: in a sentence.
    """

    compiled: bool
    why: str


def choose(
    mode: str, module: nn.Module, passes: int, seconds: Callable[[], float], compiled: Callable[[], float]
) -> Choice:
    """Decide whether passes are compiled.

    Args:
        mode: one of `sdbench.engine.placing.COMPILING`.
        module: the network.
        passes: how many are to come.
        seconds: makes a pass as it stands and says how long it took.
        compiled: compiles, makes a pass and says how long that took, compiling not counted.
    """
    several = counted(passes, "pass", "passes")
    if mode == "off":
        return Choice(False, "not compiled, as asked for")
    if mode == "auto":
        eager = seconds()
        expected, cost = eager * passes * _saved_by(module), _cost_of(module)
        if expected < cost:
            return Choice(
                False,
                f"not compiled: {several} of {eager:.2g} s save less than the {cost:.0f} s that compiling takes",
            )
    started = time.perf_counter()
    try:
        faster = compiled()
    except Exception as error:  # whatever a compiler of another project raises
        return Choice(False, f"not compiled: torch.compile failed ({type(error).__name__}: {_cause(error)})")
    spent = time.perf_counter() - started
    if mode == "on":
        return Choice(True, f"compiled, as asked for: {spent:.0f} s, then {faster:.2g} s a pass")
    if faster >= eager:
        return Choice(False, f"not compiled: a pass takes {eager:.2g} s, compiled {faster:.2g} s")
    return Choice(
        True,
        f"compiled in {spent:.0f} s: {several} take {faster:.2g} s each in place of {eager:.2g} s",
    )


def _cause(error: Exception) -> str:
    """The line of an error that says something; torch's first one may only say which compiler raised it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return next((line for line in lines if not line.endswith("raised:")), lines[0])[:200]


def _saved_by(module: nn.Module) -> float:
    convolves = any(isinstance(part, (nn.Conv2d, nn.Conv3d)) for part in module.modules())
    return _SAVED if convolves else _SAVED_WITHOUT_CONVOLUTIONS


def _cost_of(module: nn.Module) -> float:
    with_weights = sum(next(part.parameters(recurse=False), None) is not None for part in module.modules())
    return _START_SECONDS + _SECONDS_A_LAYER * with_weights


def compiled(read: Read) -> Read:
    """The same reader, compiled by torch for inputs of one shape."""
    return torch.compile(read, dynamic=False)


@contextlib.contextmanager
def compiler() -> Iterator[None]:
    """Meanwhile torch may compile; afterwards it forgets what it compiled, and holds no module of it."""
    with warnings.catch_warnings():
        # What torch says of its own parts is nothing that a user of this package can act on.
        warnings.filterwarnings("ignore", module=r"torch\b.*")
        yield
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


def known_choice(folder: Path) -> Choice | None:
    """What was chosen for the measurement whose parts lie in this folder; None where nothing was, yet.

    Raises:
        DiskError: it cannot be read.
    """
    place = folder / _CHOICE
    try:
        return Choice(**json.loads(place.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error(place, "read", error) from None


def keep_choice(folder: Path, choice: Choice) -> Choice:
    """Keep a choice, unless another worker was first: then that one holds.

    Raises:
        DiskError: it cannot be written.
    """
    try:
        for _ in range(_ATTEMPTS):
            # Another process that made the same measurement may remove the folder the moment that it is there.
            with contextlib.suppress(FileNotFoundError):
                return _first_choice(folder, choice)
        return _first_choice(folder, choice)
    except OSError as error:
        raise disk_error(folder / _CHOICE, "written", error) from None


def _first_choice(folder: Path, choice: Choice) -> Choice:
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK):
        first = known_choice(folder)
        if first is None:
            write_text(folder / _CHOICE, json.dumps(asdict(choice)) + "\n")
    return first or choice


def forget_choice(folder: Path) -> None:
    """The measurement is over."""
    for name in (_CHOICE, _LOCK):
        (folder / name).unlink(missing_ok=True)
