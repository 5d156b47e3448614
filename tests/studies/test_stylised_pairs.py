"""Pairs of stylised data sets: the published draws with their quirks, and the corrected ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.data.stylised import StylisedVideo
from sdbench.studies.stylised_study import MOST_VIDEOS, DrawnPair, draw_pairs, draw_start
from sdbench.studies.views import DYNAMIC, STATIC, View
from sdbench.video.feed import Feed
from sdbench.zoo import feed_of

STYLES = ("style_1", "style_2", "style_3", "style_4")
C2D, SLOWFAST = feed_of("c2d"), feed_of("slowfast_r50_8x8")
BOTH = pytest.mark.parametrize("protocol", ["published", "corrected"])


def videos(count: int, frames: int = 200, start: int | None = None) -> list[StylisedVideo]:
    return [StylisedVideo(f"video{i}", frames, start, "x") for i in range(count)]


def plans(
    protocol: str, listed: list[StylisedVideo], seed: int = 0, feed: Feed = C2D, pairs: int | None = None
) -> tuple[DrawnPair, ...]:
    return draw_pairs(protocol, listed, STYLES, feed, np.random.default_rng(seed), pairs)


def members(plan: DrawnPair) -> tuple[View, View, int]:
    first, second, factor = plan.pair
    return plan.shown[first], plan.shown[second], factor


def first_start(view: View) -> int:
    return view.frames[0][1][0]


@BOTH
def test_what_a_pair_shares(protocol: str) -> None:
    for plan in plans(protocol, videos(200, 64, 0)):
        first, second, factor = members(plan)
        shown, other = dict(first.frames)["video"], dict(second.frames)["video"]
        assert shown == (0, 9, 18, 27, 36, 45, 54, 63)
        if factor == DYNAMIC:
            assert first.style != second.style
            assert shown == other
        else:
            assert first.style == second.style
            assert sorted(other) == list(shown)
        assert second.positions == shown


@BOTH
def test_the_two_paths_of_slowfast_are_shuffled_independently(protocol: str) -> None:
    found = [members(p) for p in plans(protocol, videos(60), feed=SLOWFAST)]
    static = [(first, second) for first, second, factor in found if factor == STATIC]
    for first, second in static:
        for (name, shown), (same, shuffled) in zip(first.frames, second.frames, strict=True):
            assert name == same
            assert sorted(shuffled) == sorted(shown)
        slow, fast = dict(second.frames)["slow"], dict(second.frames)["fast"]
        assert (len(slow), len(fast)) == (8, 32)
    slower = np.array([dict(second.frames)["slow"] for _, second in static], float)
    faster = np.array([dict(second.frames)["fast"] for _, second in static], float)
    eighths = faster.reshape(len(static), 8, 4).mean(axis=2)
    of_clip = slower.mean(axis=1, keepdims=True)
    assert abs(np.corrcoef((slower - of_clip).ravel(), (eighths - of_clip).ravel())[0, 1]) < 0.2


@BOTH
def test_same_seed_same_plan(protocol: str) -> None:
    assert plans(protocol, videos(50), 3) == plans(protocol, videos(50), 3)
    assert plans(protocol, videos(50), 3) != plans(protocol, videos(50), 4)


@BOTH
def test_one_video_gives_one_pair_up_to_3000(protocol: str) -> None:
    assert len(plans(protocol, videos(40))) == 40
    listed = videos(MOST_VIDEOS[protocol] + 50)
    found = [plan.video for plan in plans(protocol, listed)]
    assert len(set(found)) == MOST_VIDEOS[protocol]
    assert found == sorted(found, key=lambda video: int(video.name[5:])), "in the order in which they are read"
    assert len(plans(protocol, videos(40), pairs=9)) == 18


@BOTH
def test_random_starts_are_uniform_over_those_that_leave_a_window_or_8_frames(protocol: str) -> None:
    generator = np.random.default_rng(0)
    long, short = videos(1, 70)[0], videos(1, 12)[0]
    assert Counter(draw_start(long, 64, generator, protocol) for _ in range(700)).keys() == set(range(7))
    counts = Counter(draw_start(short, 64, generator, protocol) for _ in range(1000))
    assert counts.keys() == set(range(5))
    assert min(counts.values()) > 150
    assert draw_start(videos(1, 64, 40)[0], 64, generator, protocol) == 40
    with pytest.raises(InputError, match="video0 has 7 frames; a random start needs 8"):
        draw_start(videos(1, 7)[0], 64, generator, protocol)


@BOTH
def test_frames_after_an_annotated_start_repeat(protocol: str) -> None:
    first, _, _ = members(plans(protocol, videos(8, 50, 40), seed=1)[0])
    assert dict(first.frames)["video"] == tuple(40 + i % 10 for i in (0, 9, 18, 27, 36, 45, 54, 63))


def test_quirk_1_a_start_of_0_is_drawn_again_for_the_second_member() -> None:
    listed = videos(2000, 73)
    for protocol, moved in (("published", True), ("corrected", False)):
        dynamic = [(a, b) for a, b, factor in map(members, plans(protocol, listed)) if factor == DYNAMIC]
        from_0 = [first_start(b) for a, b in dynamic if first_start(a) == 0]
        elsewhere = [first_start(b) == first_start(a) for a, b in dynamic if first_start(a) != 0]
        assert all(elsewhere), "other starts are kept"
        assert len(from_0) > 50
        assert (len(set(from_0)) == 10) is moved, "of 10 starts that leave 64 of 73 frames"


def test_quirk_1_leaves_annotated_starts_alone() -> None:
    for a, b, factor in map(members, plans("published", videos(300, 200, 0))):
        if factor == DYNAMIC:
            assert first_start(a) == first_start(b) == 0


def test_quirk_6_published_draws_are_not_balanced_and_corrected_ones_are() -> None:
    for count in (41, 64, 103):
        found = [members(plan) for plan in plans("corrected", videos(count))]
        factors = Counter(factor for *_, factor in found)
        assert abs(factors[DYNAMIC] - factors[STATIC]) <= 1
        for factor in (DYNAMIC, STATIC):
            first = Counter(a.style for a, _, f in found if f == factor)
            assert max(first.values()) - min(first[s] for s in STYLES) <= 1
        second = Counter(b.style for _, b, f in found if f == DYNAMIC)
        assert max(second.values()) - min(second[s] for s in STYLES) <= 1
    spread = []
    for seed in range(20):
        found = [members(plan) for plan in plans("published", videos(64), seed)]
        spread.append(abs(sum(1 if factor else -1 for *_, factor in found)))
    assert max(spread) > 8, "a fair coin each"


def test_published_orders_may_be_the_filmed_one_and_corrected_ones_not() -> None:
    x3d = feed_of("x3d_xs")
    for protocol, some in (("published", True), ("corrected", False)):
        static = [p for p in plans(protocol, videos(1000), feed=x3d) if p.pair[2] == STATIC]
        alike = [p for p in static if len(p.shown) == 1]
        assert bool(alike) is some
        for plan in alike:
            assert plan.pair == (0, 0, STATIC), "shown once: the view goes through the network once"


def test_corrected_makes_no_static_pair_of_frames_that_are_all_the_same() -> None:
    listed = videos(40, 9, 0) + videos(10, 64, 0)  # every ninth of nine frames that repeat is the first
    found = [(plan.video.frames, plan.pair[2]) for plan in plans("corrected", listed)]
    assert Counter(found) == {(9, DYNAMIC): 40, (64, STATIC): 10}


def for_any_seed(protocol: str, count: int, pairs: int | None) -> None:
    """Four pairs may by chance be two of each factor."""
    for seed in range(20):
        plans(protocol, videos(count), seed, pairs=pairs)


@pytest.mark.parametrize(
    ("protocol", "count", "pairs", "said"),
    [
        ("publishd", 40, None, "unknown protocol 'publishd'; did you mean published"),
        ("published", 40, 21, "21 pairs of each factor take 42 videos, and there are 40; ask for fewer"),
        ("published", 3, None, "at least 2 pairs of each factor are needed, one of each video; got 3 videos"),
        ("corrected", 40, -1, "got 0 videos"),
        ("published", 4, None, r"the draw gave [01] (dynamic|static) pairs of 4 videos, at least 2 are needed"),
    ],
)
def test_pairs_that_cannot_be_drawn_are_refused(protocol: str, count: int, pairs: int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        for_any_seed(protocol, count, pairs)


def test_videos_that_all_stand_still_give_no_static_pairs() -> None:
    with pytest.raises(
        InputError, match="gave 0 static pairs of 40 videos, at least 2 are needed; use more videos, or longer"
    ):
        plans("corrected", videos(40, 9, 0))


def test_one_style_makes_no_pair() -> None:
    with pytest.raises(InputError, match="needs two styles; got 1"):
        draw_pairs("published", videos(40), STYLES[:1], C2D, np.random.default_rng(0))
