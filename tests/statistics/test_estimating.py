"""The estimator against what the published code answers, and against its own definition."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdbench
from sdbench.base.errors import InputError
from sdbench.statistics import CLASS_NAMES, FACTORS, beside, estimate, estimate_from_moments, merge, moments
from tests.conftest import CONFORMANCE

CASES = json.loads((CONFORMANCE / "estimator_cases.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_published_estimator(name: str) -> None:
    arrays = np.load(CONFORMANCE / "estimator_cases.npz")
    found = sdbench.estimate(arrays[f"{name}.first"], arrays[f"{name}.second"], arrays[f"{name}.factor"])
    published = CASES[name]
    assert list(found.dimensions.values()) == published["dimensions"]
    assert list(found.published_percent.values()) == published["percent"]
    assert {key: found.unit_classes[key] for key in published["units"]} == published["units"]
    for position, factor in enumerate(FACTORS):
        np.testing.assert_allclose(found.unit_scores[factor][:16], published["unit_scores"][position], atol=1e-5)


def by_definition(first: np.ndarray, second: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Layer scores (2,) and unit scores (2, C), term by term as the method describes them, all rows at once."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    total = np.concatenate([first, second]).var(axis=0).sum()
    layer, units = [], []
    for code in range(2):
        a, b = first[factor == code], second[factor == code]
        middle = (a.mean(axis=0) + b.mean(axis=0)) / 2
        covariance = ((a - middle) * (b - middle)).mean(axis=0)
        layer.append(covariance.sum() / total)
        units.append(covariance / np.concatenate([a, b]).var(axis=0))
    return np.array(layer), np.array(units)


def sample(
    seed: int, pairs: int = 60, units: int = 12, offset: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    common = generator.standard_normal((pairs, units))
    first = common + generator.standard_normal((pairs, units)) + offset
    second = common + generator.standard_normal((pairs, units)) + offset
    return first, second, np.arange(pairs) % 2


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_follows_the_definition_even_far_from_zero(offset: float) -> None:
    first, second, factor = sample(0, offset=offset)
    layer, units = by_definition(first - offset, second - offset, factor)
    found = estimate(first, second, factor)
    np.testing.assert_allclose(list(found.layer_scores.values()), layer, rtol=1e-8)
    np.testing.assert_allclose(np.stack([found.unit_scores[f] for f in FACTORS]), units, rtol=1e-6, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 59), max_size=6, unique=True))
def test_streaming_in_any_pieces_gives_the_same_sums(seed: int, cuts: list[int]) -> None:
    first, second, factor = sample(seed, offset=5.0)
    pieces = np.split(np.arange(60), sorted(cuts))
    streamed = estimate_from_moments(merge([moments(first[p], second[p], factor[p]) for p in pieces]))
    at_once = estimate(first, second, factor)
    layer, units = by_definition(first, second, factor)
    for found in (streamed, at_once):
        np.testing.assert_allclose(list(found.layer_scores.values()), layer, rtol=1e-10)
    np.testing.assert_allclose(
        np.stack([streamed.unit_scores[f] for f in FACTORS]), units, rtol=1e-10, atol=1e-10 * np.abs(units).max()
    )


def test_merging_parts_that_lack_a_factor() -> None:
    first, second, factor = sample(1)
    parts = [moments(first[factor == code], second[factor == code], factor[factor == code]) for code in (1, 0)]
    assert estimate_from_moments(merge(parts)).shares == pytest.approx(estimate(first, second, factor).shares)


def test_shares_sum_to_a_hundred_and_dimensions_to_the_units() -> None:
    found = estimate(*sample(2, units=17))
    assert sum(found.shares.values()) == pytest.approx(100)
    assert sum(found.dimensions.values()) == 17
    assert sum(found.unit_classes.values()) == 17
    assert list(found.unit_classes) == list(CLASS_NAMES)


def test_factors_by_name_and_by_number_are_the_same() -> None:
    first, second, factor = sample(3)
    names = [FACTORS[code] for code in factor]
    assert estimate(first, second, names).shares == estimate(first, second, factor).shares


def test_a_unit_that_never_changes_is_dead_and_counted() -> None:
    first, second, factor = sample(4)
    first[:, 3] = second[:, 3] = 0.1
    found = estimate(first, second, factor)
    assert found.unit_classes["dead"] == 1
    assert found.unit_labels[3] == "dead"
    assert np.isnan(found.unit_scores["dynamic"][3])
    assert np.isfinite(np.delete(found.unit_scores["static"], 3)).all()


def test_a_unit_that_is_dead_in_one_factor_only_counts_as_dead() -> None:
    first, second, factor = sample(5)
    first[factor == 1, 0] = second[factor == 1, 0] = 2.0
    found = estimate(first, second, factor)
    assert found.unit_labels[0] == "dead"
    assert np.isfinite(found.unit_scores["dynamic"][0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, b, f: (a, b[:, :-1], f), "must both have shape"),
        (lambda a, b, f: (a[0], b[0], f), "must both have shape"),
        (lambda a, b, f: (a, b, f[:-1]), "one factor a pair"),
        (lambda a, b, f: (a, b, f + 1), "must be one of dynamic, static"),
        (lambda a, b, f: (a, b, ["dynamics"] * len(f)), "'dynamics'"),
        (lambda a, b, f: (np.where(a == a[3, 2], np.nan, a), b, f), "first has nan in row 3, unit 2"),
        (lambda a, b, f: (a, np.where(b == b[5, 1], np.inf, b), f), "second has inf in row 5, unit 1"),
        (lambda a, b, f: (a[:1], b[:1], f[:1]), "1 dynamic, 0 static"),
        (lambda a, b, f: (a[f == 0], b[f == 0], f[f == 0]), "0 static"),
        (lambda a, b, f: (a * 0 + 1, b * 0 + 1, f), "none of the 12 units changes"),
        (lambda a, b, f: (a.astype(str), b.astype(str), f), "must hold real numbers"),
    ],
)
def test_bad_input_is_named(change, said: str) -> None:
    with pytest.raises(InputError, match=said):
        estimate(*change(*sample(6)))


@pytest.mark.parametrize("threshold", [5, -0.1, float("nan"), "0.5", [0.5]])
def test_a_threshold_that_no_score_can_have_is_refused(threshold: object) -> None:
    with pytest.raises(InputError, match="threshold of scores must be a number from 0 to 1"):
        estimate(*sample(6), threshold=threshold)  # type: ignore[arg-type]


def test_layers_of_different_size_cannot_be_merged() -> None:
    with pytest.raises(InputError, match=r"\[12, 13\]"):
        merge([moments(*sample(0)), moments(*sample(0, units=13))])
    with pytest.raises(InputError, match="nothing to merge"):
        merge([])


def test_layers_side_by_side_are_one_layer_of_all_their_units() -> None:
    generator = np.random.default_rng(5)
    first, second = generator.standard_normal((2, 40, 6))
    factor = np.arange(40) % 2
    together = estimate_from_moments(
        beside([moments(first[:, :2], second[:, :2], factor), moments(first[:, 2:], second[:, 2:], factor)])
    )
    whole = estimate(first, second, factor)
    assert together.shares == pytest.approx(whole.shares)
    np.testing.assert_allclose(together.unit_scores["static"], whole.unit_scores["static"])
    with pytest.raises(InputError, match="shown the same pairs"):
        beside([moments(first, second, factor), moments(first[:20], second[:20], factor[:20])])
