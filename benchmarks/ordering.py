"""How often a test orders two networks as their trainings do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.ordering_bounds import disjoint, least_rate, least_rate_of_disjoint
from sdbench.base.errors import InputError
from sdbench.statistics import Interval

_REPLICATES = 2000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """What a test says of one network, the more the more it sees motion, with its 95 % interval."""

    value: float
    low: float
    high: float


Pairing = tuple[Sequence[Scored], Sequence[Scored]]
"""Networks trained alike of which the first are to score more than the second; every first one is compared with every
second one."""


@dataclass(frozen=True)
class Ordering:
    """How a test orders pairs of networks.

    Attributes:
        right: percent of the pairs that it orders as their trainings do; a tie counts half. Chance: 50.
        interval: the middle 95 % of that over bootstrap samples of trainings.
        told: percent of the pairs that it orders right with the intervals of the two networks apart.
        mistaken: percent of the pairs that it orders wrong with these intervals apart.
        pairs: how many there are.
        least: where all pairs are ordered right, the least true rate in percent that this fits (see
            `benchmarks.ordering_bounds`); None where they are not.
    """

    right: float
    interval: Interval
    told: float
    mistaken: float
    pairs: int
    least: float | None = None


def ordering(pairings: Sequence[Pairing], generator: np.random.Generator, replicates: int = _REPLICATES) -> Ordering:
    """How a test orders the pairs of one or several pairings, which count alike.

    Trainings are what is resampled, those of each side of each pairing for themselves. Where all pairs are ordered
    right, all bootstrap samples are, and the interval is a point: `least` says what can be said then.

    Args:
        pairings: of networks of one kind each.
        generator: source of the bootstrap samples.
        replicates: how many samples.

    Raises:
        InputError: there is no pairing, a side of one is empty, or a score is not a number.
    """
    if not pairings or any(not more or not less for more, less in pairings):
        raise InputError("an ordering needs at least one network on each side of each pairing; got an empty one")
    if not np.isfinite([scored.value for sides in pairings for side in sides for scored in side]).all():
        raise InputError("a score is NaN or infinite; networks for which a test is not defined cannot be ordered by it")
    rights = [ordered_right(_values(more), _values(less)) for more, less in pairings]
    samples = np.mean([drawn_means(right, generator, replicates) for right in rights], axis=0)
    low, high = 100 * np.percentile(samples, (2.5, 97.5))
    told, mistaken = (
        100 * float(np.mean([_apart(*sides).mean() for sides in which]))
        for which in (pairings, [(less, more) for more, less in pairings])
    )
    all_right = all((right == 1).all() for right in rights)
    return Ordering(
        100 * float(np.mean([right.mean() for right in rights])),
        Interval(float(low), float(high)),
        told,
        mistaken,
        sum(right.size for right in rights),
        least_rate(tuple((len(more), len(less)) for more, less in pairings)) if all_right else None,
    )


def _values(side: Sequence[Scored]) -> Floats:
    return np.array([scored.value for scored in side])


def ordered_right(more: Floats, less: Floats) -> Floats:
    """(M, L) 1 where the first is the larger, one half where both are equal, else 0."""
    return 0.5 * (1 + np.sign(more[:, None] - less))


def _apart(more: Sequence[Scored], less: Sequence[Scored]) -> npt.NDArray[np.bool_]:
    """(M, L) whether the first one's interval lies above the second one's."""
    return np.array([scored.low for scored in more])[:, None] > np.array([scored.high for scored in less])


def drawn_means(right: Floats, generator: np.random.Generator, replicates: int) -> Floats:
    """(replicates,) means over the pairs of trainings drawn with replacement."""
    often = [generator.multinomial(count, np.full(count, 1 / count), replicates) / count for count in right.shape]
    return np.asarray(((often[0] @ right) * often[1]).sum(axis=1))


def agreement(
    groups: Sequence[Sequence[tuple[Scored, Scored]]], generator: np.random.Generator, replicates: int = _REPLICATES
) -> Ordering:
    """How often a test orders two networks as another number does, where that tells them apart.

    Args:
        groups: of networks that are compared with each other: what the test says of each, and the other number.
        generator: source of the bootstrap samples, of networks within each group.
        replicates: how many samples.

    Raises:
        InputError: the other number tells no two networks of a group apart.
    """
    right, sampled, weighed, apart = np.zeros(2), np.zeros((2, replicates)), 0, 0
    told = mistaken = 0
    for group in groups:
        tests, truths = ([each[side] for each in group] for side in (0, 1))
        above = _apart(truths, truths)  # (N, N) the first is told to be more
        agreed = ordered_right(_values(tests), _values(tests))
        right += [(agreed * above).sum(), above.sum()]
        told += int((_apart(tests, tests) & above).sum())
        mistaken += int((_apart(tests, tests).T & above).sum())
        counts = generator.multinomial(len(group), np.full(len(group), 1 / len(group)), replicates)
        sampled += [((counts @ of) * counts).sum(axis=1) for of in (agreed * above, above.astype(np.float64))]
        weighed += int(above.sum())
        apart += disjoint([(int(one), int(other)) for one, other in np.argwhere(above)])
    if not weighed:
        raise InputError("no two networks of a group are told apart; there is nothing that a test could order")
    some = sampled[1] > 0  # a sample may have nothing to compare
    low, high = 100 * np.percentile(sampled[0, some] / sampled[1, some], (2.5, 97.5))
    return Ordering(
        100 * float(right[0] / right[1]),
        Interval(float(low), float(high)),
        100 * told / weighed,
        100 * mistaken / weighed,
        weighed,
        least_rate_of_disjoint(apart) if right[0] == right[1] else None,
    )
