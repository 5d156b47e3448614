"""Pairs: what they share, how they are balanced, what they cost."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sdbench.studies.clips import DYNAMIC, STATIC, plan_balanced

from sdbench.base.errors import InputError
from sdbench.data.clip import Clip

STYLES = ("a", "b", "c", "d")


def samples(count: int, length: int = 16) -> list[tuple[Clip, int]]:
    return [(Clip(f"video{i}", 0, 0, length, 112, 112), 0) for i in range(count)]


def plans(count: int, seed: int = 0, pairs: int | None = None):
    return plan_balanced(samples(count), STYLES, np.random.default_rng(seed), pairs)


def test_a_clip_costs_three_views_for_a_pair_of_each_factor() -> None:
    for plan in plans(30):
        assert len(plan.views) == len(set(plan.views)) == 3
        (a, b, dynamic), (c, d, static) = plan.pairs
        assert (dynamic, static) == (DYNAMIC, STATIC)
        first, other_style, shuffled = plan.views[a], plan.views[b], plan.views[d]
        assert a == c, "both pairs share their first member"
        assert first.order is None
        assert other_style.order is None
        assert first.style != other_style.style
        assert shuffled.style == first.style
        assert sorted(shuffled.order) == list(range(16))
        assert shuffled.order != tuple(range(16))


def test_every_pair_of_styles_comes_equally_often() -> None:
    counts = Counter((plan.views[plan.pairs[0][0]].style, plan.views[plan.pairs[0][1]].style) for plan in plans(48))
    assert len(counts) == 12
    assert set(counts.values()) == {4}


def test_same_seed_same_plan() -> None:
    assert plans(20, seed=3) == plans(20, seed=3)
    assert plans(20, seed=3) != plans(20, seed=4)


def test_fewer_pairs_take_a_part_of_the_clips() -> None:
    few = plans(20, pairs=5)
    assert len(few) == 5
    assert [plan.clip for plan in few] == sorted((plan.clip for plan in few), key=lambda c: int(c.video[5:]))
    assert {plan.clip for plan in few} != {plan.clip for plan in plans(20, seed=1, pairs=5)}


def test_more_pairs_go_through_the_clips_again() -> None:
    many = plans(10, pairs=25)
    assert sum(factor == DYNAMIC for plan in many for *_, factor in plan.pairs) == 25
    assert sum(factor == STATIC for plan in many for *_, factor in plan.pairs) == 25
    assert Counter(len(plan.pairs) for plan in many) == {4: 5, 6: 5}
    for plan in many:
        assert len(set(plan.views)) == len(plan.views), "a view that two pairs share is listed once"


@pytest.mark.parametrize(
    ("count", "pairs", "said"),
    [(5, 1, "got 1: ask for more pairs"), (1, None, "got 1: add videos"), (0, None, "got 0"), (0, 9, "no clips")],
)
def test_too_few_pairs_are_refused(count: int, pairs: int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        plans(count, pairs=pairs)


def test_one_frame_cannot_be_shuffled_and_one_style_makes_no_pair() -> None:
    with pytest.raises(InputError, match="one frame cannot be shuffled"):
        plan_balanced(samples(3, length=1), STYLES, np.random.default_rng(0))
    with pytest.raises(InputError, match="needs two styles"):
        plan_balanced(samples(3), STYLES[:1], np.random.default_rng(0))
