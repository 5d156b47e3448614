"""The interval of reproduction: what other draws on the same videos do, and nothing of what other videos would."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sdbench.statistics import (
    CLASS_NAMES,
    SHARE_NAMES,
    Moments,
    estimate_from_moments,
    intervals,
    merge,
    moments,
    stack,
)
from sdbench.statistics.counting import MOVES
from sdbench.statistics.jackknife import jackknifed
from sdbench.statistics.quantities import read_quantity
from sdbench.statistics.reproduction import DrawError, draw_error, interval_of_runs

UNITS, VIDEOS, CLIPS, SEEDS = 40, 20, 4, 3


def videos(generator: np.random.Generator) -> np.ndarray:
    """(3, VIDEOS, CLIPS, UNITS): the dynamic, the static and the common part of each clip: what all seeds share."""
    common, own = generator.standard_normal((3, VIDEOS, 1, UNITS)), generator.standard_normal((3, VIDEOS, CLIPS, UNITS))
    scale = np.sqrt([generator.uniform(0.1, 0.4, UNITS) for _ in range(3)])[:, None, None]
    return scale * (2 * common + 0.5 * own)


def seed(parts: np.ndarray, generator: np.random.Generator) -> list[Moments]:
    """The sums of each video for one seed, which draws the factor of each clip and what is put in the other's place."""
    dynamic, static, common = parts
    found = []
    for number in range(VIDEOS):
        factor = generator.permutation(np.arange(CLIPS) % 2)
        noise = generator.standard_normal((2, CLIPS, UNITS))
        first = dynamic[number] + static[number] + common[number]
        shared = np.where((factor == 0)[:, None], dynamic[number], static[number])
        found.append(moments(first + 0.3 * noise[0], shared + common[number] + noise[1], factor))
    return found


def error_of(runs: list[list[Moments]]) -> DrawError:
    cells = [part for run in runs for part in run]
    places = np.tile(np.arange(VIDEOS), len(runs))
    found = draw_error(stack(cells), places, 0.5, np.random.default_rng(0).standard_normal((MOVES, len(cells))))
    assert found is not None
    return found


def test_it_covers_the_mean_over_other_draws_of_the_same_videos() -> None:
    generator = np.random.default_rng(1)
    covered, widths, over_videos = [], [], []
    for _ in range(3):
        parts = videos(generator)
        runs = [seed(parts, generator) for _ in range(SEEDS * 8)]
        shares = np.array([list(estimate_from_moments(merge(run)).shares.values()) for run in runs])
        classes = np.array([[estimate_from_moments(merge(run)).unit_classes[c] for c in CLASS_NAMES] for run in runs])
        for start in range(0, len(runs), SEEDS):
            error = error_of(runs[start : start + SEEDS])
            reach = np.array([*error.shares.values(), *error.classes.values()])
            every = np.concatenate([shares, 100 * classes / UNITS], axis=1)
            off = every[start : start + SEEDS].mean(axis=0) - every.mean(axis=0)
            # The mean of all draws holds this run too, and so moves with it.
            covered.append(np.abs(off) <= reach * np.sqrt(1 - SEEDS / len(runs)))
            widths.append(reach[0])
        whole = intervals([merge(parts_) for parts_ in zip(*runs[:SEEDS], strict=True)], 0.5, generator)
        assert whole is not None
        over_videos.append(whole.shares["dynamic"].half_width)
    assert np.mean(covered, axis=0)[: len(SHARE_NAMES)].min() > 0.85
    assert 0.9 < np.mean([each[:-1] for each in covered]) < 0.995
    assert np.mean(widths) < 0.6 * np.mean(over_videos), "the videos are common, and do not count"


def test_the_interval_is_about_the_value_itself() -> None:
    runs = [seed(videos(np.random.default_rng(2)), np.random.default_rng(number)) for number in range(SEEDS)]
    cells = [part for run in runs for part in run]
    together = estimate_from_moments(merge(cells))
    estimates = [estimate_from_moments(merge(run)) for run in runs]
    reading = read_quantity("shares", together, None, error_of(runs), estimates)
    assert reading.generalisation is None
    assert reading.reproduction is not None
    for name in SHARE_NAMES:
        limits = reading.reproduction[name]
        assert (limits.low + limits.high) / 2 == pytest.approx(reading.values[name])
        assert reading.values[name] == pytest.approx(np.mean([each.shares[name] for each in estimates]))


def test_equal_seeds_leave_no_error_and_one_seed_takes_the_whole_of_it() -> None:
    one = seed(videos(np.random.default_rng(3)), np.random.default_rng(3))
    same = error_of([one, one])
    assert max(same.shares.values()) == pytest.approx(0, abs=1e-9)
    assert max(same.classes.values()) == pytest.approx(0, abs=1e-9)
    alone, whole = error_of([one]), intervals(one, 0.5, np.random.default_rng(0))
    assert whole is not None
    _, error = jackknifed(np.zeros(len(SHARE_NAMES)), whole.without)
    for name, expected in zip(SHARE_NAMES, error * stats.t.ppf(0.975, VIDEOS - 1), strict=True):
        assert alone.shares[name] == pytest.approx(expected)


def test_networks_that_were_trained_alike_spread_by_their_values() -> None:
    runs = [seed(videos(np.random.default_rng(n)), np.random.default_rng(n)) for n in range(3)]
    estimates = [estimate_from_moments(merge(run)) for run in runs]
    reading = read_quantity("shares", estimates[0], None, None, estimates, networks=True)
    assert reading.reproduction is not None
    values = [each.shares["static"] for each in estimates]
    expected = interval_of_runs(values)
    assert reading.reproduction["static"] == expected
    assert expected.half_width == pytest.approx(4.302653 * np.std(values, ddof=1) / np.sqrt(3), rel=1e-5)


def test_where_one_cell_holds_nearly_all_pairs_there_is_no_interval() -> None:
    first, second = np.random.default_rng(0).standard_normal((2, 4, 3))
    dynamic, both = moments(first, second, [0] * 4), moments(first, second, [0, 0, 1, 1])
    assert draw_error(stack([both, dynamic]), np.array([0, 1]), 0.5, np.ones((2, 2))) is None


def test_intervals_of_published_units_stay_within_a_hundred_where_units_are_dead() -> None:
    """Half of the units never change; the others are all joint: 100 % of what the published code counts."""
    generator = np.random.default_rng(4)
    groups = []
    for _ in range(VIDEOS):
        z = generator.standard_normal((6, 40))
        first, second = (z + 0.3 * generator.standard_normal((6, 40)) for _ in range(2))
        first[:, 20:] = second[:, 20:] = 0
        groups.append(moments(first, second, [0, 0, 0, 1, 1, 1]))
    found = intervals(groups, 0.5, generator)
    error = draw_error(stack(groups), np.arange(VIDEOS), 0.5, generator.standard_normal((MOVES, VIDEOS)))
    reading = read_quantity("published_units", estimate_from_moments(merge(groups)), found, error)
    assert reading.values["joint"] == 100
    for limits in (reading.generalisation, reading.reproduction):
        assert limits is not None
        assert all(0 <= each.low <= each.high <= 100 for each in limits.values())
        assert limits["joint"].high == 100
