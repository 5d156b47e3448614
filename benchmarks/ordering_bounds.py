"""What "all pairs are ordered right" says: the least true rate of ordering right that it fits."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from itertools import combinations

import numpy as np
import scipy

LEVEL = 0.025
"""Chance that all pairs are ordered right where the true rate is at the bound: one-sided, as each end of a 95 %
interval."""


def all_right(rate: float, more: int, less: int) -> float:
    """The chance that all of `more` scores lie above all of `less`, where one lies above one with chance `rate`.

    Scores of either side follow normal distributions of one width.
    """
    shift = float(np.sqrt(2) * scipy.stats.norm.ppf(rate))

    def density(highest: float) -> float:
        below = less * scipy.stats.norm.pdf(highest) * scipy.stats.norm.cdf(highest) ** (less - 1)
        return float(below * scipy.stats.norm.sf(highest - shift) ** more)

    return float(scipy.integrate.quad(density, -8, 8 + abs(shift), epsabs=1e-10, limit=200)[0])


@cache
def least_rate(sides: tuple[tuple[int, int], ...], level: float = LEVEL) -> float:
    """The least true rate, in percent, that all pairs ordered right fit.

    Args:
        sides: of each kind of network that is put together, how many are on either side.
        level: the chance of it at that rate.
    """

    def excess(rate: float) -> float:
        return float(np.prod([all_right(rate, *each) for each in sides])) - level

    return 100 * float(scipy.optimize.brentq(excess, 1e-6, 1 - 1e-9))


def least_rate_of_disjoint(pairs: int, level: float = LEVEL) -> float:
    """The same of so many pairs without a network in common, each right by itself with the true rate."""
    return 100 * float(level ** (1 / pairs))


def disjoint(pairs: Collection[tuple[int, int]]) -> int:
    """The largest number of pairs that have no member in common."""
    given = sorted({(min(pair), max(pair)) for pair in pairs})
    for size in range(len(given), 0, -1):
        # At most half of the members: larger choices need not be looked at.
        if 2 * size > len({member for pair in given for member in pair}):
            continue
        for chosen in combinations(given, size):
            if len({member for pair in chosen for member in pair}) == 2 * size:
                return size
    return 0
