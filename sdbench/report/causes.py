"""What did not run, by cause: what is lacking, said once, with the commands that get it, once each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sdbench.cases.verdicts import NEEDS, Case, Verdict

_NEVER = re.compile(r"^weights of (.+) were never published$")
_DATA = re.compile(r"^data set (\S+) is not ")
_LABELLED = re.compile(r"(?:^|: )(?=(?:weights|data): )")
_FETCH = re.compile(r"^(weights|data): (sdbench fetch) ([\w.+-]+(?: [\w.+-]+)*)(?: \((.+?)\))?(?:; (.+))?$")

_UNHAD = "weights that were never published: nobody but their makers can run these"


@dataclass(frozen=True)
class Cause:
    """Why some cases did not run.

    Attributes:
        says: what is lacking, in a few words.
        commands: what gets it, as "weights: sdbench fetch NAME NAME".
        sentences: what else would, or what is lacking in full.
        cases: the cases.
    """

    says: str
    commands: tuple[str, ...]
    sentences: tuple[str, ...]
    cases: tuple[Case, ...]


def causes(cases: Sequence[Case]) -> list[Cause]:
    """Those of `cases` that did not run, by what they lack, the most frequent cause first.

    Where weights were never published nothing else matters: those cases stand together and last, whatever data they
    lack. The others stand by the data that they lack, or by their whole reason.
    """
    found: dict[str, list[Case]] = {}
    for case in cases:
        if case.verdict is Verdict.NOT_RUN:
            found.setdefault(_cause(case.reason), []).append(case)
    listed = [Cause(says, *_needs(says, of), tuple(of)) for says, of in found.items()]
    return sorted(listed, key=lambda cause: (cause.says == _UNHAD, -len(cause.cases)))


def _lacks(reason: str) -> list[str]:
    return reason.partition(NEEDS)[0].split("; ")


def _cause(reason: str) -> str:
    lacking = _lacks(reason)
    if any(_NEVER.match(lack) for lack in lacking):
        return _UNHAD
    data = list(dict.fromkeys(found.group(1) for lack in lacking if (found := _DATA.match(lack))))
    if not data or len(data) < len(lacking):
        return "; ".join(lacking)
    several = len(data) > 1
    return f"data set{'s' if several else ''} {' and '.join(data)} {'are' if several else 'is'} not here"


def _needs(says: str, cases: Sequence[Case]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the cases of a cause need: commands, those that fetch joined to one, and sentences; each once."""
    if says == _UNHAD:
        named = (found.group(1) for case in cases for lack in _lacks(case.reason) if (found := _NEVER.match(lack)))
        return (), ("; ".join(dict.fromkeys(named)),)
    fetched: dict[str, list[str]] = {}
    sentences: list[str] = []
    for need in dict.fromkeys(need for case in cases for need in _wanted(case.reason.partition(NEEDS)[2])):
        if found := _FETCH.match(need):
            label, command, names, *more = found.groups()
            fetched.setdefault(f"{label}: {command}", []).extend(names.split())
            sentences += filter(None, more)
        else:
            sentences.append(need)
    commands = [f"{command} {' '.join(dict.fromkeys(names))}" for command, names in fetched.items()]
    return tuple(commands), tuple(dict.fromkeys(sentences))


def _wanted(needs: str) -> list[str]:
    """The needs that a reason lists, each from its word "weights:" or "data:" on, without the network that it is of."""
    wanted: list[str] = []
    for part in needs.split("; ") if needs else []:
        labelled = _LABELLED.split(part, maxsplit=1)
        if len(labelled) > 1 or not wanted:
            wanted.append(labelled[-1])
        else:
            wanted[-1] += f"; {part}"  # a sentence that has a semicolon of its own
    return wanted
