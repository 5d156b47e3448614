"""Halving, with made-up changes and a trial that knows the culprits."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from sdbench.history.halving import Culprits, Outcome, find_culprits, most_trials, sorted_changes

SAME, MOVED, BROKEN = Outcome


def names(number: int) -> list[str]:
    return [f"p{each:02}" for each in range(number)]


class Trials:
    """Counts trials of sets that were not tried before; what moves and what is broken is said by functions."""

    def __init__(self, moves: Callable[[frozenset[str]], bool], broken: Callable[[frozenset[str]], bool] | None = None):
        self.moves, self.broken = moves, broken or (lambda changed: False)
        self.tried: dict[frozenset[str], Outcome] = {}
        self.promised: list[int] = []

    def __call__(self, changed: frozenset[str], asked: int, left: int) -> Outcome:
        if changed not in self.tried:
            self.tried[changed] = MOVED if self.moves(changed) else BROKEN if self.broken(changed) else SAME
            self.promised.append(left)
        return self.tried[changed]

    def find(self, number: int, takes: dict[str, list[str]] | None = None) -> Culprits:
        return find_culprits(sorted_changes(names(number), takes or {}), self)


@pytest.mark.parametrize("number", [1, 2, 3, 7, 16, 33])
def test_one_package_is_found_in_the_logarithm_of_their_number(number: int) -> None:
    for culprit in names(number):
        trials = Trials(lambda changed, culprit=culprit: culprit in changed)  # type: ignore[misc]
        found = trials.find(number)
        assert [each.names for each in found.found] == [{culprit}]
        assert found.rest is SAME
        assert len(trials.tried) <= most_trials(number)
        assert all(left >= len(trials.tried) - done for done, left in enumerate(trials.promised, 1))


def test_two_packages_that_move_it_only_together() -> None:
    for pair in itertools.combinations(names(9), 2):
        trials = Trials(lambda changed, pair=pair: changed.issuperset(pair))  # type: ignore[misc]
        (found,) = trials.find(9).found
        assert found.names == set(pair)
        assert len(trials.tried) <= 2 * most_trials(9)


def test_each_of_two_packages_that_move_it_for_themselves() -> None:
    for pair in itertools.combinations(names(6), 2):
        found = Trials(lambda changed, pair=pair: bool(changed & set(pair))).find(6)  # type: ignore[misc]
        assert {each.names for each in found.found} == {frozenset([name]) for name in pair}
        assert found.rest is SAME


def test_what_it_finds_moves_it_and_no_part_of_that_does_whatever_the_rule() -> None:
    rng = random.Random(0)
    for _ in range(200):
        causes = [frozenset(rng.sample(names(8), rng.randint(1, 3))) for _ in range(rng.randint(1, 3))]

        def moves(changed: frozenset[str], causes: list[frozenset[str]] = causes) -> bool:
            return any(cause <= changed for cause in causes)

        found = Trials(moves).find(8)
        for culprit in found.found:
            assert moves(culprit.names)
            assert not any(moves(culprit.names - {name}) for name in culprit.names)
        assert found.rest is SAME


def test_packages_that_only_go_together_are_one_change() -> None:
    takes = {"p01": ["p04"], "p04": ["p02"], "p02": ["p01"], "p05": ["p03"]}
    changes = sorted_changes(names(7), takes)
    assert {"p01", "p02", "p04"} in [change.names for change in changes]
    together: set[str] = set()
    for change in changes:
        together |= change.names
        assert change.takes <= together, "every beginning goes together"
    allowed = Trials(lambda changed: "p04" in changed, lambda changed: pytest.fail(f"apart: {sorted(changed)}"))
    allowed.broken = lambda changed: bool(changed & {"p01", "p02"}) or ("p05" in changed and "p03" not in changed)
    (found,) = allowed.find(7, takes).found
    assert found.names == {"p01", "p02", "p04"}
    assert BROKEN not in allowed.tried.values()


def test_what_a_culprit_takes_with_it_is_named_and_not_accused() -> None:
    (found,) = Trials(lambda changed: "p05" in changed).find(8, {"p05": ["p03"]}).found
    assert found.names == {"p05"}
    assert found.with_them == {"p03"}


@pytest.mark.parametrize("culprit", names(8))
def test_a_set_that_cannot_be_tried_is_no_evidence(culprit: str) -> None:
    def broken(changed: frozenset[str]) -> bool:  # these three run only together, which no requirement says
        return 0 < len(changed & {"p03", "p04", "p05"}) < 3

    trials = Trials(lambda changed: culprit in changed and not broken(changed), broken)
    (found,) = trials.find(8).found
    if culprit in ("p03", "p04", "p05"):
        assert found.names == {"p03", "p04", "p05"}
        assert found.undivided == (frozenset({"p03", "p04", "p05"}),)
    else:
        assert found.names == {culprit}
        assert not found.undivided
