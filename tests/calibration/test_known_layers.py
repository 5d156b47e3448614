"""The simulator against its own closed form, and the intervals against its truth, in the small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.interval_coverage import LAYERS, coverage_of, mixed
from benchmarks.known_layers import Population, simulated_study, truth
from sdbench.base.errors import InputError
from sdbench.statistics import FACTORS, SHARE_NAMES, estimate_from_moments, intervals, merge
from sdbench.statistics.counting import MOVES, count_classes


def test_truth_of_a_layer_by_hand() -> None:
    """Two units, one all dynamic, one half joint and half residual: scores 1 and 0, 0.5 and 0.5."""
    known = truth(Population(np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])))
    np.testing.assert_allclose(known.scores, [[1.0, 0.5], [0.0, 0.5]], atol=1e-12)
    powers = np.exp([3 / 4, 1 / 4, 1.0])
    np.testing.assert_allclose(list(known.shares.values()), 100 * powers / powers.sum())
    assert known.classes == {"dynamic": 50, "static": 0, "joint": 0, "residual": 50, "dead": 0}


@pytest.mark.parametrize("skewed", [False, True])
def test_a_large_study_answers_the_closed_form(skewed: bool) -> None:
    generator = np.random.default_rng(0)
    plain = mixed(generator, 24, 8, between=0.3, skewed=skewed)
    styles = 0.5 * generator.standard_normal((4, 24))
    shift = 0.4 * np.sqrt(plain.variances.sum(axis=0))
    population = replace(plain, styles=styles, shuffled_gain=1.5, shuffled_shift=shift)
    known = truth(population)
    found = estimate_from_moments(merge(simulated_study(population, generator, 4000, 3)))
    for name in SHARE_NAMES:
        assert found.shares[name] == pytest.approx(known.shares[name], abs=0.3)
    for position, factor in enumerate(FACTORS):
        np.testing.assert_allclose(found.unit_scores[factor], known.scores[position], atol=0.06)


def test_unlike_frequencies_of_styles_move_the_answer() -> None:
    generator = np.random.default_rng(1)
    plain = mixed(generator, 24, 8)
    population = replace(plain, styles=generator.standard_normal((4, 24)))
    even = estimate_from_moments(merge(simulated_study(population, generator, 400, 3))).shares["static"]
    often = estimate_from_moments(merge(simulated_study(population, generator, 400, 3, (20, 1, 1, 1)))).shares["static"]
    assert often < even - 1


def test_five_hundred_pairs_are_enough_for_half_a_point() -> None:
    found = coverage_of(LAYERS["mixed, 256 units"](np.random.default_rng(2)), np.random.default_rng(3), 125, 4, 10)
    for name in SHARE_NAMES:
        assert abs(found.bias[f"share.{name}"]) < 0.5
    assert max(abs(bias) for bias in found.score_bias.values()) < 0.5


@pytest.mark.parametrize(("videos", "clips"), [(8, 20), (40, 4)])
def test_intervals_cover_the_truth(videos: int, clips: int) -> None:
    """Of 200 studies each quantity's interval misses 2 to 8 %, give or take what 200 studies can tell."""
    population = LAYERS["mixed, 64 units"](np.random.default_rng(4))
    found = coverage_of(population, np.random.default_rng(5), videos, clips, 200)
    for name, covered in found.covered.items():
        assert covered >= 89, name
    assert 92 <= np.mean(list(found.covered.values())) <= 99


def test_counting_takes_the_bias_of_noise_away() -> None:
    """Two scores spread about a point below the threshold, and noise of their own size: too many seem above it."""
    generator = np.random.default_rng(6)
    units, groups, noise = 4000, 30, 0.2
    true = np.arctanh(0.3) + 0.2 * generator.standard_normal((2, units))
    parts = true + noise * np.sqrt(groups) * generator.standard_normal((groups, 2, units))
    z = parts.mean(axis=0)
    without = (groups * z - parts) / (groups - 1)
    pairs = np.ones((groups, 2), dtype=np.int64)
    found = count_classes(np.tanh(z), np.tanh(without), pairs, 0.5, generator.standard_normal((MOVES, groups)))
    counted, moved = found.percent, found.moved
    error = moved.std(axis=0, ddof=1)
    joint = 100 * (true > np.arctanh(0.5)).all(axis=0).mean()
    plain = 100 * (np.tanh(z) > 0.5).all(axis=0).mean()
    assert abs(counted[2] - joint) < 3 * error[2]
    assert abs(counted[2] - joint) < abs(plain - joint) / 2
    assert counted.sum() == pytest.approx(100)


def test_units_without_noise_are_counted_exactly() -> None:
    scores = np.array([[1.0, 0.2, 0.9], [0.1, 0.8, 0.7]])
    moves = np.random.default_rng(0).standard_normal((MOVES, 9))
    found = count_classes(scores, np.broadcast_to(scores, (9, 2, 3)), np.ones((9, 2), dtype=np.int64), 0.5, moves)
    np.testing.assert_allclose(found.percent, [100 / 3, 100 / 3, 100 / 3, 0], atol=1e-9)
    np.testing.assert_allclose(found.moved, 0, atol=1e-9)


def test_few_videos_that_decide_leave_few_degrees_of_freedom() -> None:
    generator = np.random.default_rng(7)
    moves, pairs = generator.standard_normal((MOVES, 40)), np.ones((40, 2), dtype=np.int64)
    scores, noise = np.full((2, 300), 0.4), 0.01 * generator.standard_normal((40, 2, 300))
    alike = count_classes(scores, scores + noise, pairs, 0.5, moves).freedom
    noise[:3] *= 30
    few = count_classes(scores, scores + noise, pairs, 0.5, moves).freedom
    assert few < 4
    assert 15 < alike <= 39


def test_dead_units_are_counted_apart_and_change_nothing_else() -> None:
    population = mixed(np.random.default_rng(7), 20, 8)
    variances = population.variances.copy()
    variances[:, :5] = 0
    groups = simulated_study(replace(population, variances=variances), np.random.default_rng(8), 10, 5)
    living = [
        replace(group, **{name: getattr(group, name)[:, 5:] for name in ("origin", "total", "square", "product")})
        for group in groups
    ]
    found, without = (intervals(sums, 0.5, np.random.default_rng(9)) for sums in (groups, living))
    assert found is not None
    assert without is not None
    assert (found.classes["dead"].low, found.classes["dead"].high) == (25, 25)
    for name in ("dynamic", "static", "joint", "residual"):
        assert found.classes[name].low == pytest.approx(0.75 * without.classes[name].low)
        assert found.classes[name].high == pytest.approx(0.75 * without.classes[name].high)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"variances": np.ones((3, 5))}, r"must have shape \(4, units\)"),
        ({"variances": -np.ones((4, 5))}, "not be negative"),
        ({"between": 1.5}, "fraction from 0 to 1; got 1.5"),
        ({"styles": np.ones((1, 5))}, "a dynamic pair needs two"),
    ],
)
def test_impossible_populations_are_named(change, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Population(**{"variances": np.ones((4, 5)), **change})
