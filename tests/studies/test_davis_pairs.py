from collections import Counter

import numpy as np
import pytest

from sdbench import InputError
from sdbench.data.segmentation import VideoSequence
from sdbench.studies.sequences import draw_sequences
from sdbench.studies.views import DYNAMIC, STATIC

STYLES = ("a", "b", "c", "d")


def sequences(count, frames=12):
    return [VideoSequence(f"s{i}", tuple(map(str, range(frames)))) for i in range(count)]


def plans(protocol="published", count=20, paired=False, seed=0, frames=12, **options):
    return draw_sequences(protocol, sequences(count, frames), STYLES, paired, np.random.default_rng(seed), **options)


def members(plan):
    return [(plan.views[first], plan.views[second], factor) for first, second, factor in plan.pairs]


@pytest.mark.parametrize("protocol", ["published", "corrected"])
def test_every_sequence_has_five_pairs_and_half_of_all_are_of_each_factor(protocol):
    made = plans(protocol)
    assert [len(plan.pairs) for plan in made] == [5] * 20
    factors = Counter(factor for plan in made for *_, factor in plan.pairs)
    assert factors[DYNAMIC] == factors[STATIC] == 50
    for first, second, factor in (pair for plan in made for pair in members(plan)):
        assert first.jitter is None
        if factor == DYNAMIC:
            assert first.style != second.style
            assert second.jitter is None
        else:
            assert first.style == second.style
            assert second.jitter is not None
        assert first.offset == second.offset


def test_published_factors_alternate_over_all_draws_and_not_within_a_sequence():
    by_sequence = {tuple(sorted(factor for *_, factor in plan.pairs)) for plan in plans()}
    assert len(by_sequence) > 2
    assert {sum(factor for *_, factor in plan.pairs) for plan in plans("corrected")} == {2, 3}


def test_every_frame_but_the_last_gives_a_row_and_for_backward_flow_not_the_first():
    assert plans()[0].rows == tuple(range(11))
    assert plans(paired=True)[0].rows == tuple(range(1, 11))
    assert plans(frames=11)[0].rows == tuple(range(10))


def test_a_view_that_pairs_share_is_there_once_and_jitters_are_not_shared():
    for plan in plans():
        assert len(set(plan.views)) == len(plan.views)
        jittered = [view for view in plan.views if view.jitter is not None]
        assert len(jittered) == sum(factor == STATIC for *_, factor in plan.pairs)


def test_the_second_frame_lies_on_the_ring_of_rows():
    for plan in plans(paired=True):
        for first, _, _ in members(plan):
            assert {plan.partner(row, first.offset) for row in plan.rows} == set(plan.rows)
    offsets = {
        view.offset for seed in range(40) for plan in plans(paired=True, seed=seed, frames=30) for view in plan.views
    }
    assert offsets == {offset % 28 for offset in range(-10, 10)}
    corrected = plans("corrected", paired=True, frames=30)
    assert 0 not in {view.offset for plan in corrected for view in plan.views}
    assert {view.offset for plan in plans() for view in plan.views} == {None}


def test_corrected_styles_are_balanced():
    dynamic = [(a.style, b.style) for plan in plans("corrected") for a, b, f in members(plan) if f == DYNAMIC]
    for position in (0, 1):
        counts = Counter(pair[position] for pair in dynamic)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_fewer_frames_are_spread_over_the_sequence():
    plan = plans(frames=41)[0]
    assert len(plan.rows) == 40
    few = draw_sequences("published", sequences(2, 41), STYLES, False, np.random.default_rng(0), frames=3)[0]
    assert few.rows == (0, 20, 39)
    assert few.ring == tuple(range(40))


def test_the_seed_decides_everything():
    assert plans(seed=1, paired=True) == plans(seed=1, paired=True)
    assert plans(seed=1) != plans(seed=2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"protocol": "other"}, "unknown protocol 'other'"),
        ({"frames": 1}, "s0 has 1 frame; at least 2 are needed: leave it out"),
        ({"frames": 3, "paired": True}, "s0 has 3 frames; at least 4 are needed"),
        ({"draws": 0}, "at least 1 draw"),
        ({"count": 1, "draws": 1, "frames": 2}, "the draw gave 0 dynamic pairs of frames, at least 2 are needed"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, told):
    with pytest.raises(InputError, match=told):
        plans(**options)


def test_one_style_is_refused():
    with pytest.raises(InputError, match="a dynamic pair needs two styles; got 1"):
        draw_sequences("published", sequences(3), ("a",), False, np.random.default_rng(0))
