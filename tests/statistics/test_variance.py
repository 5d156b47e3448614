"""Parts of variance: they add up in any data, are unbiased, 0 where nothing is, and their intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.statistics.sums import Crossed, crossed, merge_crossed, swapped
from sdbench.statistics.variance import PART_NAMES, Variance, simultaneous, variance_of

TRUTH = {"appearance": 50.0, "motion": 30.0, "both": 20.0}


def blocks(scenes: int, seed: int, units: int = 3, truth: dict[str, float] = TRUTH, mean: float = 0.0) -> list[Crossed]:
    """One block a scene, of units with parts that are known: a + m + product of two standard normals, each scaled."""
    generator = np.random.default_rng(seed)
    a, m, b, c = generator.standard_normal((4, 2, scenes, 1, units))
    scale = {name: np.sqrt(part / 100) for name, part in truth.items()}
    values = np.stack(
        [
            mean + scale["appearance"] * a[i] + scale["motion"] * m[j] + scale["both"] * b[i] * c[j]
            for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))
        ]
    )
    found = [crossed(values[:, scene]) for scene in range(scenes)]
    return [merge_crossed([own, swapped(values[:, scene], values[:, scene - 1])]) for scene, own in enumerate(found)]


def measured(*given: object, **options: object) -> Variance:
    return variance_of([blocks(*given, **options)])  # type: ignore[arg-type]


@pytest.mark.parametrize("scenes", [1, 2, 40])
def test_parts_add_up_in_any_data(scenes: int) -> None:
    values = np.random.default_rng(scenes).standard_cauchy((4, scenes, 5))
    found = variance_of([[crossed(values)]])
    assert sum(found.parts.values()) == pytest.approx(100, abs=1e-9)
    assert sum(found.by_unit.values()) == pytest.approx(100, abs=1e-9)
    every = ((values[0] - values[3]) ** 2 + (values[1] - values[2]) ** 2).sum(axis=0) / 4
    np.testing.assert_allclose(crossed(values).parts.sum(axis=0), every)


def test_parts_are_what_was_built_in_and_few_scenes_bias_nothing() -> None:
    large = measured(20_000, 0)
    for name, part in TRUTH.items():
        assert large.parts[name] == pytest.approx(part, abs=1.0)
        assert large.by_unit[name] == pytest.approx(part, abs=1.0)
    sums = np.mean([merge_crossed(blocks(2, seed)).parts.sum(axis=1) / (2 * 3) for seed in range(4000)], axis=0)
    np.testing.assert_allclose(100 * sums, list(TRUTH.values()), atol=2.5)


def test_what_is_not_there_is_0_to_the_last_bit() -> None:
    generator = np.random.default_rng(1)
    looks, moves = generator.standard_normal((2, 2, 30, 4)).astype(np.float32)
    only = {
        "appearance": variance_of([[crossed(looks[[0, 1, 0, 1]])]]),
        "motion": variance_of([[crossed(moves[[0, 0, 1, 1]])]]),
    }
    for name, found in only.items():
        assert found.parts == {part: 100.0 * (part == name) for part in PART_NAMES}


def test_parts_do_not_depend_on_the_mean() -> None:
    near, far = measured(50, 3), measured(50, 3, mean=1e4)
    for name in PART_NAMES:
        assert far.parts[name] == pytest.approx(near.parts[name], abs=1e-6)


def test_sums_add_up_however_they_are_cut() -> None:
    whole = np.random.default_rng(4).standard_normal((4, 30, 6))
    pieces = merge_crossed([crossed(whole[:, a:b]) for a, b in ((0, 1), (1, 17), (17, 30))])
    one = crossed(whole)
    assert pieces.quads == one.quads == 30
    np.testing.assert_allclose(pieces.parts, one.parts)
    np.testing.assert_allclose(pieces.square, one.square)


def test_rescaled_channels_move_the_layer_and_not_the_mean_unit_and_it_is_said() -> None:
    generator = np.random.default_rng(5)
    looks, moves = generator.standard_normal((2, 2, 60, 1, 8))
    gain = np.r_[np.full(4, 30.0), np.ones(4)]
    values = np.stack(
        [np.concatenate([looks[i][..., :4], moves[j][..., 4:]], axis=-1) for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
    )
    plain, scaled = (variance_of([[crossed(of[:, n]) for n in range(60)]]) for of in (values, gain * values))
    assert plain.parts["appearance"] == pytest.approx(50, abs=12)
    assert scaled.parts["appearance"] > 99
    assert scaled.by_unit == pytest.approx(plain.by_unit)
    assert plain.disagreeing == ()
    assert set(scaled.disagreeing) == {"appearance", "motion"}


def test_chance_is_about_nothing() -> None:
    found = measured(3000, 6)
    assert found.chance is not None
    assert found.chance_intervals is not None
    for name, value in found.chance.items():
        half = found.chance_intervals[name].half_width
        assert abs(value) < 2 * half
        assert half < 5


def test_intervals_cover() -> None:
    """In 300 studies of 24 scenes; a product of two normals has long tails, and its part is covered in nine of ten."""
    hits = np.zeros(len(PART_NAMES))
    for seed in range(300):
        found = measured(24, seed)
        assert found.intervals is not None
        hits += [found.intervals[name].low <= part <= found.intervals[name].high for name, part in TRUTH.items()]
    assert (hits / 300 > (0.92, 0.92, 0.84)).all(), hits
    assert (hits / 300 < 0.99).all(), hits


def test_dead_units_count_nowhere_and_few_scenes_have_no_interval() -> None:
    values = np.random.default_rng(7).standard_normal((4, 9, 2))
    dead = np.concatenate([values, np.full((4, 9, 1), 7.3)], axis=2)
    with_dead, without = (variance_of([[crossed(of[:, [n]]) for n in range(9)]]) for of in (dead, values))
    assert with_dead.parts == pytest.approx(without.parts)
    assert with_dead.by_unit == pytest.approx(without.by_unit)
    assert np.isnan(with_dead.unit_parts["motion"][2])
    assert with_dead.intervals is not None
    assert variance_of([[crossed(values[:, [n]]) for n in range(7)]]).intervals is None
    with pytest.raises(InputError, match="none of the 1 units changes"):
        variance_of([[crossed(dead[..., 2:])]])


def test_several_networks_are_means_of_theirs() -> None:
    one, other = blocks(20, 8), blocks(20, 9)
    both = variance_of([one, other])
    for name in PART_NAMES:
        assert both.parts[name] == pytest.approx(
            (variance_of([one]).parts[name] + variance_of([other]).parts[name]) / 2
        )
    assert both.unit_parts["both"].shape == (6,)
    with pytest.raises(InputError, match="as many blocks"):
        variance_of([one, other[1:]])


@pytest.mark.slow
def test_simultaneous_intervals_hold_all_at_once() -> None:
    """Of 12 means that hang together, all lie in theirs in 95 of 100 studies; with single intervals fewer do."""
    generator = np.random.default_rng(10)
    groups, count, studies = 40, 12, 400
    mixing = generator.standard_normal((count, count)) + 1
    at_once = each = 0
    for _ in range(studies):
        rows = generator.standard_normal((groups, count)) @ mixing
        centre = rows.mean(axis=0)
        without = (rows.sum(axis=0) - rows) / (groups - 1)
        reach = simultaneous(centre, [without[:, :5], without[:, 5:]])
        at_once += (np.abs(centre) < reach).all()
        each += (np.abs(centre) < 2.05 * rows.std(axis=0, ddof=1) / np.sqrt(groups)).all()
    assert 0.91 < at_once / studies < 0.985
    assert each / studies < 0.85
