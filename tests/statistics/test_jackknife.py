"""Differences of layers: whether their intervals cover the truth, and what pairing gains."""

from __future__ import annotations

import numpy as np
import pytest

from sdbench.statistics import SHARE_NAMES, Moments, beside, estimate_from_moments, intervals, merge, moments
from sdbench.statistics.jackknife import (
    freedom_of,
    jackknifed,
    limits_of,
    paired_difference,
    reaches,
    unpaired_difference,
)

UNITS, VIDEOS, CLIPS = 16, 40, 3
LAYERS = {"one": (0.2, 0.6), "other": (0.4, 0.3)}
"""Fractions of the variance that are dynamic and static."""

Resampled = tuple[np.ndarray, np.ndarray]


def truth(layer: str) -> np.ndarray:
    powers = np.exp([*LAYERS[layer], 1.0])
    return 100 * powers / powers.sum()


def studies(seed: int, common: bool) -> dict[str, list[Moments]]:
    """Two layers that are shown the same videos, and answer to the same in them where it is `common`."""
    generator = np.random.default_rng(seed)

    def part() -> np.ndarray:
        shared, own = generator.standard_normal((VIDEOS, 1, UNITS)), generator.standard_normal((VIDEOS, CLIPS, UNITS))
        return np.sqrt(0.5) * (shared + own)

    def drawn() -> list[np.ndarray]:
        rests = [generator.standard_normal((VIDEOS, CLIPS, UNITS)) for _ in range(3)]
        return [part() for _ in range(4)] + rests

    found, values = {}, drawn()
    for layer, (dynamic, static) in LAYERS.items():
        d, s, other_d, other_s, *rests = values
        rest = np.sqrt(1 - dynamic - static)
        first = np.sqrt(dynamic) * d + np.sqrt(static) * s + rest * rests[0]
        same_dynamic = np.sqrt(dynamic) * d + np.sqrt(static) * other_s + rest * rests[1]
        same_static = np.sqrt(dynamic) * other_d + np.sqrt(static) * s + rest * rests[2]
        factor = np.repeat([0, 1], CLIPS)
        found[layer] = [
            moments(np.concatenate([a, a]), np.concatenate([b, c]), factor)
            for a, b, c in zip(first, same_dynamic, same_static, strict=True)
        ]
        values = values if common else drawn()
    return found


def resampled(groups: list[Moments]) -> Resampled:
    found = intervals(groups, 0.5, np.random.default_rng(0), replicates=2)
    assert found is not None
    return np.array(list(estimate_from_moments(merge(groups)).shares.values())), found.without


def test_shares_without_a_group_are_those_of_the_others() -> None:
    groups = studies(0, common=True)["one"]
    _, without = resampled(groups)
    assert without.shape == (VIDEOS, 3)
    for number in (0, 7, VIDEOS - 1):
        left = merge([group for other, group in enumerate(groups) if other != number])
        shares = estimate_from_moments(left).shares
        np.testing.assert_allclose(without[number], [shares[name] for name in SHARE_NAMES], rtol=0, atol=1e-9)


def test_the_jackknife_of_a_mean_and_of_a_variance_is_known() -> None:
    """Of a mean the usual standard error; of a variance over n, that over n - 1."""
    values = np.random.default_rng(0).exponential(size=9)
    left = np.stack([np.delete(values, number) for number in range(len(values))])
    centre, error = jackknifed(
        np.array([values.mean(), values.var()]), np.stack([left.mean(axis=1), left.var(axis=1)], axis=1)
    )
    np.testing.assert_allclose(centre, [values.mean(), values.var(ddof=1)])
    assert error[0] == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)))


def test_freedom_is_what_the_groups_that_decide_leave() -> None:
    """All groups alike: one less than there are. One decides: about two, however many there are. None moves: all."""
    alike = np.tile([[1.0], [-1.0]], (20, 1))
    one = np.full((40, 1), -1.0)
    one[0] = 39
    assert freedom_of(np.concatenate([alike, one, np.zeros((40, 1))], axis=1)) == pytest.approx(
        [39, 2 * 40 / ((39**3 + 1) / (39 * 40) - 1), 39]
    )
    normal = np.random.default_rng(0).standard_normal((4000, 1))
    assert freedom_of(normal) == pytest.approx(3999, rel=0.15), "a kurtosis of 3"


def test_an_interval_reaches_further_to_the_side_of_the_long_tail() -> None:
    symmetric = np.array([[-2.0], [-1.0], [1.0], [2.0]] * 3)
    below, above = reaches(symmetric)
    assert below == pytest.approx(above)
    skewed = np.random.default_rng(1).exponential(size=(30, 1)) - 1
    below, above = reaches(skewed - skewed.mean())
    assert above > 1.2 * below
    low, high = limits_of(np.zeros(1), -(skewed - skewed.mean()))
    assert high > 1.2 * -low > 0, "a group that raises the estimate leaves it lower when it is left out"
    mirrored = reaches(skewed.mean() - skewed)
    assert mirrored[1] == pytest.approx(below)
    assert mirrored[0] == pytest.approx(above)


@pytest.mark.slow
def test_paired_intervals_cover_the_true_difference() -> None:
    """95 % intervals of 300 studies; over many more of them it is 95.0, 95.4 and 94.4 %."""
    true, hits = truth("one") - truth("other"), np.zeros(3)
    for seed in range(300):
        one, other = (resampled(groups) for groups in studies(seed, common=True).values())
        limits = paired_difference(one, other)
        hits += [limit.low <= value <= limit.high for limit, value in zip(limits, true, strict=True)]
    assert (hits >= 0.93 * 300).all(), hits
    assert (hits <= 0.97 * 300).all(), hits


def test_pairing_gains_what_is_common_to_both() -> None:
    for common, narrowest, widest in ((True, 0.2, 0.5), (False, 0.9, 1.1)):
        widths = []
        for seed in range(20):
            one, other = (resampled(groups) for groups in studies(seed, common).values())
            both = (paired_difference(one, other), unpaired_difference(one, other))
            widths.append([[limit.half_width for limit in limits] for limits in both])
        paired, unpaired = np.mean(widths, axis=0)
        assert (paired > narrowest * unpaired).all(), (common, paired / unpaired)
        assert (paired < widest * unpaired).all(), (common, paired / unpaired)


def test_a_layer_does_not_differ_from_itself() -> None:
    one = resampled(studies(1, common=True)["one"])
    for limits in paired_difference(one, one):
        assert (limits.low, limits.high) == (0, 0)
    for limits in unpaired_difference(one, one):
        assert limits.low < 0 < limits.high


def test_what_is_common_to_two_layers_takes_itself_away() -> None:
    """A layer beside its copy has the same shares whatever the videos: the difference is certain."""
    groups = studies(2, common=True)["one"]
    doubled = [beside([group, group]) for group in groups]
    for limits in paired_difference(resampled(groups), resampled(doubled)):
        assert limits.low == pytest.approx(0, abs=1e-9)
        assert limits.high == pytest.approx(0, abs=1e-9)
