"""Margins of claims: whether their intervals cover the truth, for shares and for counts of units."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.interval_coverage import mixed, near_the_threshold
from benchmarks.known_layers import simulated_study, truth
from sdbench.base.errors import InputError
from sdbench.statistics import estimate_from_moments, intervals, merge
from sdbench.statistics.jackknife import paired_difference, unpaired_difference
from sdbench.statistics.margins import Side, margin, side, value_of
from sdbench.statistics.quantities import read_quantity

VIDEOS = 20


def sides(groups, names: tuple[str, ...], draws: int = 0) -> list[Side]:
    found, estimate = intervals(groups, 0.5, np.random.default_rng(draws), 2), estimate_from_moments(merge(groups))
    assert found is not None
    given = []
    for quantity in names:
        kind, name = quantity.split(".")
        value = value_of(name, read_quantity(kind, estimate, None, None))
        given.append(side(kind, name, found, value, value))
    return given


@pytest.mark.slow
@pytest.mark.parametrize(
    ("greater", "lesser"), [("shares.static", "shares.dynamic"), ("units.static", "units.dynamic")]
)
def test_the_margin_of_two_numbers_of_a_layer_covers_the_truth(greater: str, lesser: str) -> None:
    """What plain percentiles of bootstrap replicates covered in 76 to 88 % of such studies."""
    generator = np.random.default_rng(0)
    population = mixed(generator, 64, 16)
    known = truth(population)
    values = known.shares if greater.startswith("shares") else known.classes
    right = values["static"] - values["dynamic"]
    covered = []
    for number in range(160):
        one, other = sides(simulated_study(population, generator, VIDEOS, 10), (greater, lesser), number)
        found = margin(one, other, paired=True)
        covered.append(found.low <= right <= found.high)
    assert np.mean(covered) >= 0.88


def test_no_difference_is_seldom_called_one_and_never_half_of_the_time() -> None:
    """Two networks with the same truth on videos of their own: a margin apart from 0 in about one of twenty."""
    generator = np.random.default_rng(1)
    population = near_the_threshold(generator, 64, 16, 0.12)
    apart = []
    for number in range(40):
        one, other = (
            sides(simulated_study(population, generator, VIDEOS, 10), ("units.dynamic",), number)[0] for _ in range(2)
        )
        found = margin(one, other, paired=False)
        apart.append(found.low > 0 or found.high < 0)
    assert np.mean(apart) <= 0.12


def test_margins_of_shares_are_those_of_the_jackknife() -> None:
    generator = np.random.default_rng(2)
    both = [simulated_study(mixed(generator, 16, 8), generator, count, 4) for count in (VIDEOS, VIDEOS)]
    one, other = (sides(groups, ("shares.static",))[0] for groups in both)
    resampled = []
    for groups in both:
        known = intervals(groups, 0.5, np.random.default_rng(0), 2)
        assert known is not None
        shares = np.array(list(estimate_from_moments(merge(groups)).shares.values()))
        resampled.append((shares[1:2], known.without[:, 1:2]))
    for paired, formula in ((True, paired_difference), (False, unpaired_difference)):
        (expected,) = formula(resampled[0], resampled[1])
        found = margin(one, other, paired)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_what_a_layer_does_to_itself_takes_itself_away() -> None:
    groups = simulated_study(mixed(np.random.default_rng(3), 32, 8), np.random.default_rng(4), VIDEOS, 5)
    for name in ("shares.dynamic", "units.joint", "units.imbalance"):
        one, other = sides(groups, (name, name))
        found = margin(one, other, paired=True)
        assert (found.low, found.high) == (0, 0)
        assert margin(one, other, paired=False).half_width > 0


def test_a_balance_that_rests_on_few_units_is_not_known() -> None:
    """Of 98 joint and 2 other units of a hundred nobody can say how they divide; of 40 and 40 everybody can."""
    generator = np.random.default_rng(5)
    reach = []
    for few in (True, False):
        population = mixed(generator, 100, 16, (1, 1, 30, 1) if few else (6, 6, 0.5, 1))
        (found,) = sides(simulated_study(population, generator, VIDEOS, 10), ("units.imbalance",))
        reach.append(found.error)
    assert reach[0] > 15 > reach[1]


def test_other_quantities_are_refused() -> None:
    groups = simulated_study(mixed(np.random.default_rng(6), 8, 4), np.random.default_rng(6), 9, 3)
    found = intervals(groups, 0.5, np.random.default_rng(0), 2)
    assert found is not None
    for kind, name in (("units", "dead"), ("shares", "imbalance"), ("scores", "dynamic")):
        with pytest.raises(InputError, match=f"unknown side of a claim: {kind}.{name}"):
            side(kind, name, found, 0.0, 0.0)
