"""Which part of a layer's variance each group of pairs carries."""

from __future__ import annotations

import numpy as np
import pytest

from sdbench.statistics import FACTORS, estimate_from_moments, merge, moments, stack
from sdbench.statistics.variance_parts import parts_of_variance


def test_parts_are_those_of_the_vectors_themselves() -> None:
    generator = np.random.default_rng(0)
    factors = [np.arange(count) % 2 for count in (6, 9, 4, 1)]
    groups = [
        [generator.normal(3.0, scale, (len(factor), 5)) for _ in range(2)]
        for scale, factor in zip((1.0, 4.0, 0.1, 2.0), factors, strict=True)
    ]
    every = np.concatenate([member for pair in groups for member in pair])
    expected = [((np.concatenate(pair) - every.mean(axis=0)) ** 2).sum() for pair in groups]
    stacked = stack([moments(one, other, factor) for (one, other), factor in zip(groups, factors, strict=True)])
    np.testing.assert_allclose(parts_of_variance(stacked), np.array(expected) / sum(expected), rtol=1e-12)
    assert parts_of_variance(stacked).sum() == pytest.approx(1)


def test_a_far_mean_takes_no_digits() -> None:
    generator = np.random.default_rng(1)
    near = [generator.normal(size=(2, 8, 3)) for _ in range(9)]
    factor = np.arange(8) % len(FACTORS)
    parts = [
        parts_of_variance(stack([moments(first + far, second + far, factor) for first, second in near]))
        for far in (0.0, 1e6)
    ]
    np.testing.assert_allclose(parts[0], parts[1], rtol=1e-6)


def test_where_nothing_varies_nothing_is_known() -> None:
    still = np.ones((4, 3))
    stacked = stack([moments(still, still, [0, 1, 0, 1]) for _ in range(8)])
    assert np.isnan(parts_of_variance(stacked)).all()


def test_one_lively_video_takes_most_and_the_estimate_is_of_it() -> None:
    generator = np.random.default_rng(2)
    scales = [1.0] * 15 + [10.0]
    factor = np.arange(10) % 2
    drawn = [scale * generator.normal(size=(2, 10, 16)) for scale in scales]
    groups = [moments(one, other, factor) for one, other in drawn]
    parts = parts_of_variance(stack(groups))
    assert parts.argmax() == 15
    assert parts[15] == pytest.approx(100 / 115, abs=0.05)
    assert estimate_from_moments(merge(groups), 0.5).shares["residual"] > 0
