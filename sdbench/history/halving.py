"""Find which of many changes moved a result, by halving: the smallest set of changes that moves it alone.

Changes that only go together are one `Change`, and each says which others it takes with it. They are sorted so that
every beginning of the list goes together: halving tries beginnings, and needs log2 of their number of trials.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass


class Outcome(str, enum.Enum):
    """What a trial came to: the result as it was, moved, or none at all."""

    SAME = "same"
    MOVED = "moved"
    BROKEN = "broken"


@dataclass(frozen=True)
class Change:
    """Packages that are changed in one go.

    Attributes:
        names: the packages.
        takes: these and all packages that have to be changed with them.
    """

    names: frozenset[str]
    takes: frozenset[str]


@dataclass(frozen=True)
class Culprit:
    """Changes that move the result together, and none of which can be left out.

    Attributes:
        names: their packages.
        with_them: packages that had to be changed with them.
        undivided: sets among the packages of which no trial could change a part alone.
    """

    names: frozenset[str]
    with_them: frozenset[str]
    undivided: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class Culprits:
    """All that was found.

    Attributes:
        found: each moves the result for itself.
        rest: what a trial of all other changes came to.
    """

    found: tuple[Culprit, ...]
    rest: Outcome


Trial = Callable[[frozenset[str], int, int], Outcome]
"""Changes some packages; is also told how many are in question, and how many trials may follow this one."""


def sorted_changes(names: Collection[str], takes: Mapping[str, Collection[str]]) -> list[Change]:
    """Group packages that only change together, sorted so that every beginning of the list goes together.

    Args:
        names: the packages that change.
        takes: package -> those that have to be changed with it.

    >>> needed = {"torch": ["cublas"], "cublas": ["torch"], "numpy": ["scipy"]}
    >>> [sorted(change.names) for change in sorted_changes(["cublas", "numpy", "scipy", "torch"], needed)]
    [['scipy'], ['cublas', 'torch'], ['numpy']]
    """
    reached = {name: {name} for name in names}
    for name, seen in reached.items():
        waiting = [name]
        while waiting:
            new = set(takes.get(waiting.pop(), ())) & reached.keys() - seen
            seen.update(new)
            waiting += new
    groups = {frozenset(other for other in all_of_it if name in reached[other]) for name, all_of_it in reached.items()}
    changes = [Change(names, frozenset(reached[min(names)])) for names in groups]
    # Whoever takes another with it takes all that this one takes, and itself.
    return sorted(changes, key=lambda change: (len(change.takes), min(change.names)))


def most_trials(changes: int) -> int:
    """How many trials one culprit among so many changes takes, where all of them can be made.

    >>> [most_trials(number) for number in (1, 2, 5, 64)]
    [0, 3, 5, 8]
    """
    return math.ceil(math.log2(changes)) + 2 if changes > 1 else 0


def find_culprits(changes: Sequence[Change], trial: Trial) -> Culprits:
    """Find the changes that move a result, where none of them leaves it as it was and all of them move it.

    Each culprit is confirmed: it moves the result alone, and without all culprits nothing does. A trial that comes to
    nothing is no evidence: another place to cut is taken, and what cannot be divided stays together.

    Args:
        changes: as `sorted_changes` makes them.
        trial: makes some of the changes.
    """
    found: list[Culprit] = []
    rest = list(changes)
    while True:
        found.append(_smallest(rest, trial))
        guilty = frozenset().union(*(culprit.names for culprit in found))
        rest = [change for change in changes if not change.takes & guilty]
        outcome = trial(_names(rest), len(rest), 0) if rest else Outcome.SAME
        if outcome is not Outcome.MOVED:
            return Culprits(tuple(found), outcome)


def _smallest(changes: Sequence[Change], trial: Trial) -> Culprit:
    """The smallest set among changes that move the result together."""
    rest, chosen, undivided = list(changes), list[Change](), list[frozenset[str]]()
    while True:
        # What was chosen moves the result beside the rest: one change of the rest after the other is found necessary.
        wanted = frozenset().union(*(change.takes for change in chosen))
        if chosen and (not rest or trial(wanted, len(chosen), 1) is Outcome.MOVED):
            names = _names(chosen)
            return Culprit(names, wanted - names, tuple(undivided))
        low, high = _halve(rest, wanted, trial)
        chosen += rest[low:high]
        if high - low > 1:
            undivided.append(_names(rest[low:high]))
        rest = rest[:low]


def _halve(changes: Sequence[Change], beside: frozenset[str], trial: Trial) -> tuple[int, int]:
    """Where the result begins to move: not with the first `low` changes, but with the first `high`."""
    low, high = 0, len(changes)
    while high - low > 1:
        middle = (low + high) // 2
        for cut in sorted(range(low + 1, high), key=lambda place, middle=middle: abs(place - middle)):  # type: ignore[misc]
            left = math.ceil(math.log2(high - low)) + 1
            outcome = trial(beside | _names(changes[:cut]), high - low, left)
            if outcome is not Outcome.BROKEN:
                break
        else:
            break
        low, high = (low, cut) if outcome is Outcome.MOVED else (cut, high)
    return low, high


def _names(changes: Sequence[Change]) -> frozenset[str]:
    return frozenset().union(*(change.names for change in changes))
