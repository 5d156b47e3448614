"""Intervals: what is resampled, when there are none, and whether they cover the truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from sdbench.statistics import FEWEST_GROUPS, Moments, beside, estimate_from_moments, intervals, merge, moments

UNITS = 24


def video(generator: np.random.Generator, clips: int, dynamic: float, static: float, within: float) -> Moments:
    """Sums of one video: each clip gives one pair of each factor, and clips of a video resemble each other.

    Every unit is a sum of a dynamic, a static and a residual part with variances `dynamic`, `static` and the rest of 1,
    of which the fraction 1 - `within` is common to the clips of the video.
    """

    def part() -> np.ndarray:
        common, own = generator.standard_normal(UNITS), generator.standard_normal((clips, UNITS))
        return np.sqrt(1 - within) * common + np.sqrt(within) * own

    d, s = part(), part()
    rest = np.sqrt(1 - dynamic - static)
    first = np.sqrt(dynamic) * d + np.sqrt(static) * s + rest * generator.standard_normal((clips, UNITS))
    shares_dynamic = np.sqrt(dynamic) * d + np.sqrt(static) * part() + rest * generator.standard_normal((clips, UNITS))
    shares_static = np.sqrt(dynamic) * part() + np.sqrt(static) * s + rest * generator.standard_normal((clips, UNITS))
    factor = np.repeat([0, 1], clips)
    return moments(np.concatenate([first, first]), np.concatenate([shares_dynamic, shares_static]), factor)


def study(seed: int, videos: int, clips: int = 3) -> list[Moments]:
    generator = np.random.default_rng(seed)
    return [video(generator, clips, 0.2, 0.6, within=0.5) for _ in range(videos)]


def test_no_interval_below_eight_videos() -> None:
    assert intervals(study(0, FEWEST_GROUPS - 1), 0.5, np.random.default_rng(0)) is None
    assert intervals(study(0, FEWEST_GROUPS), 0.5, np.random.default_rng(0)) is not None


def test_no_interval_where_one_video_holds_nearly_all_pairs_of_a_factor() -> None:
    groups = study(0, 9)
    dynamic_only = [
        moments(np.random.default_rng(i).standard_normal((4, UNITS)), np.zeros((4, UNITS)), [0] * 4) for i in range(9)
    ]
    assert intervals([groups[0], *dynamic_only], 0.5, np.random.default_rng(0)) is None


def test_same_generator_same_interval() -> None:
    groups = study(1, 12)
    a, b = (intervals(groups, 0.5, np.random.default_rng(7)) for _ in range(2))
    assert a is not None
    assert b is not None
    assert (a.shares, a.classes) == (b.shares, b.classes)


def test_the_interval_holds_the_estimate_and_shrinks_with_videos() -> None:
    widths = []
    for videos in (10, 160):
        groups = study(2, videos)
        found = intervals(groups, 0.5, np.random.default_rng(0))
        assert found is not None
        share = estimate_from_moments(merge(groups)).shares["static"]
        assert found.shares["static"].low < share < found.shares["static"].high
        widths.append(found.shares["static"].half_width)
    assert widths[1] < widths[0] / 2


def test_clips_of_one_video_do_not_count_as_independent() -> None:
    """Copying every clip five times adds rows and no information: the interval must not shrink."""
    generator = np.random.default_rng(3)
    once, copied = [], []
    for _ in range(20):
        first, second = generator.standard_normal((2, 4, UNITS)) + generator.standard_normal((4, UNITS))
        factor = [0, 1, 0, 1]
        once.append(moments(first, second, factor))
        copied.append(moments(np.tile(first, (5, 1)), np.tile(second, (5, 1)), factor * 5))
    a = intervals(once, 0.5, np.random.default_rng(0))
    b = intervals(copied, 0.5, np.random.default_rng(0))
    assert a is not None
    assert b is not None
    assert b.shares["static"].half_width == pytest.approx(a.shares["static"].half_width, rel=1e-6)


def test_shares_cover_the_truth() -> None:
    """95 % intervals of 200 studies of 20 videos cover the true share about 190 times."""
    powers = np.exp([0.2, 0.6, 1.0])
    truth = 100 * powers / powers.sum()
    hits = 0
    for seed in range(200):
        found = intervals(study(seed, 20), 0.5, np.random.default_rng(seed), replicates=20)
        assert found is not None
        hits += found.shares["static"].low <= truth[1] <= found.shares["static"].high
    assert 180 <= hits <= 199


def test_replicates_of_two_layers_are_drawn_alike() -> None:
    """A layer and its units twice over share every replicate, so that layers of any size can be compared."""
    groups = study(4, 12)
    one, other = (
        intervals(layer, 0.5, np.random.default_rng(5)) for layer in (groups, [beside([g, g]) for g in groups])
    )
    assert one is not None
    assert other is not None
    for name, values in one.replicates.items():
        np.testing.assert_allclose(other.replicates[name], values, err_msg=name)
        assert name == "units.dead" or values.std() > 0, f"{name} is not resampled"


def test_dead_units_are_counted_as_the_replicates_count_them() -> None:
    """Units that change in a few videos only are dead in the replicates that lack these."""
    generator = np.random.default_rng(6)
    groups = []
    for number in range(12):
        first, second = generator.standard_normal((2, 4, UNITS))
        for part in (first, second):
            part[:, :3] = 1.0
            part[:, 3 : 3 + number] = 0.5
        groups.append(moments(first, second, [0, 1, 0, 1]))
    found = intervals(groups, 0.5, np.random.default_rng(0))
    assert found is not None
    dead = found.replicates["units.dead"]
    assert len(set(dead)) > 2
    whole = estimate_from_moments(merge(groups)).unit_classes["dead"]
    width = found.classes["dead"].high - 100 * whole / UNITS
    assert width == pytest.approx(scipy.stats.t.ppf(0.975, 11) * np.sqrt(12 / 11) * dead.std(ddof=1))
