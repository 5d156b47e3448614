"""Pairs of clips: what they share, how they are balanced, what they cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sdbench import Feed, studies
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.data.clip import Clip
from sdbench.engine import Plan
from sdbench.engine.study import MOST_BLOCKS
from sdbench.studies import ClipStudy
from sdbench.studies.own_clips import PlannedClip
from sdbench.studies.views import DYNAMIC, STATIC
from sdbench.video.frames import Frames
from tests.conftest import moving_squares

STYLES = ("style1", "style2", "style3", "style4")
FEED = Feed(4, 16)
FILMED = (("video", (0, 1, 2, 3)),)

pytestmark = pytest.mark.assets


def plans(
    store: AssetStore, count: int, seed: int = 0, pairs: int | None = None, feed: Feed = FEED
) -> tuple[PlannedClip, ...]:
    videos = {f"video{i:02d}": moving_squares(feed.span, 16, 16, seed=i) for i in range(count)}
    return studies.clips(videos, styles=STYLES, pairs=pairs, store=store).plan(feed, seed).samples


def test_a_clip_costs_three_views_for_a_pair_of_each_factor(store: AssetStore) -> None:
    for plan in plans(store, 30):
        assert plan.views == len(plan.shown) == len(set(plan.shown)) == 3
        (a, b, dynamic), (c, d, static) = plan.pairs
        assert (dynamic, static) == (DYNAMIC, STATIC)
        first, other_style, shuffled = plan.shown[a], plan.shown[b], plan.shown[d]
        assert a == c, "both pairs share their first member"
        assert first.frames == other_style.frames == FILMED
        assert first.style != other_style.style
        assert shuffled.style == first.style
        assert shuffled.positions == (0, 1, 2, 3)
        assert shuffled.frames != FILMED


def test_every_pair_of_styles_comes_equally_often(store: AssetStore) -> None:
    counts = Counter((p.shown[p.pairs[0][0]].style, p.shown[p.pairs[0][1]].style) for p in plans(store, 48))
    assert len(counts) == 12
    assert set(counts.values()) == {4}


def test_frames_are_shuffled_into_any_order(store: AssetStore) -> None:
    orders = {plan.shown[plan.pairs[1][1]].frames for plan in plans(store, 48)}
    assert len(orders) > 14, "20 of the 23 orders of four frames that are not as filmed are expected"


def test_same_seed_same_plan(store: AssetStore) -> None:
    assert plans(store, 20, seed=3) == plans(store, 20, seed=3)
    assert plans(store, 20, seed=3) != plans(store, 20, seed=4)


def test_fewer_pairs_take_a_part_of_the_clips(store: AssetStore) -> None:
    few = plans(store, 20, pairs=5)
    assert len(few) == 5
    assert [plan.clip.video for plan in few] == sorted(plan.clip.video for plan in few)
    assert {plan.clip for plan in few} != {plan.clip for plan in plans(store, 20, seed=1, pairs=5)}


def test_more_pairs_go_through_the_clips_again(store: AssetStore) -> None:
    many = plans(store, 10, pairs=25)
    assert sum(factor == DYNAMIC for plan in many for *_, factor in plan.pairs) == 25
    assert sum(factor == STATIC for plan in many for *_, factor in plan.pairs) == 25
    assert Counter(len(plan.pairs) for plan in many) == {4: 5, 6: 5}
    for plan in many:
        assert len(set(plan.shown)) == len(plan.shown), "a view that two pairs share is listed once"


class Cut:
    """Videos of some shots of two clips each, which are never read."""

    name, skipped, notes, assets = "cut", (), (), ()

    def __init__(self, videos: int, shots: int) -> None:
        self.clips = tuple(
            Clip(f"video{video}", shot, 4 * start, 4, 16, 16)
            for video in range(videos)
            for shot in range(shots)
            for start in (2 * shot, 2 * shot + 1)
        )

    def digest_of(self, video: str) -> str:
        return video

    def source_of(self, video: str) -> str:
        return video

    def read(self, clip: Clip) -> Frames:
        raise AssertionError(f"{clip} is read before it is drawn")


def test_copies_of_a_video_are_resampled_together(store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Cut(10, 1)
    monkeypatch.setattr(cut, "source_of", lambda video: "video0" if video in ("video4", "video7") else video)
    plan: Plan[PlannedClip] = ClipStudy(lambda _length, _side: cut, store, STYLES).plan(FEED, 0)
    assert (plan.about.unit, plan.about.units) == ("video", 8)
    blocks = {sample.clip.video: sample.block for sample in plan.samples}
    assert blocks["video0"] == blocks["video4"] == blocks["video7"]
    assert len(set(blocks.values())) == 8


@pytest.mark.parametrize(
    ("videos", "shots", "unit", "units"),
    [(8, 3, "video", 8), (3, 1, "video", 3), (3, 4, "shot", 12), (300, 1, "video", 300)],
)
def test_clips_of_a_video_or_where_videos_are_few_of_a_shot_share_a_block(
    store: AssetStore, videos: int, shots: int, unit: str, units: int
) -> None:
    cut = Cut(videos, shots)
    plan: Plan[PlannedClip] = ClipStudy(lambda _length, _side: cut, store, STYLES).plan(FEED, 0)
    assert (plan.about.unit, plan.about.units) == (unit, units)
    things: dict[tuple[str, int], set[str]] = {}
    for sample in plan.samples:
        thing = (sample.clip.video, sample.clip.shot if unit == "shot" else 0)
        things.setdefault(thing, set()).add(sample.block)
    assert len(things) == units
    assert {len(blocks) for blocks in things.values()} == {1}
    assert len(set.union(*things.values())) == min(units, MOST_BLOCKS)


def test_paths_are_shuffled_each_in_its_own_order(store: AssetStore) -> None:
    feed = Feed(8, 16, alpha=2)
    for plan in plans(store, 10, feed=feed):
        shuffled = dict(plan.shown[plan.pairs[1][1]].frames)
        filmed = feed.choose()
        assert sorted(shuffled["slow"]) == sorted(filmed["slow"])
        assert sorted(shuffled["fast"]) == sorted(filmed["fast"])
        assert shuffled["slow"] != filmed["slow"]
        assert shuffled["fast"] != filmed["fast"]


@pytest.mark.parametrize(
    ("count", "pairs", "said"), [(5, 1, "got 1: ask for more pairs"), (1, None, "got 1: add videos")]
)
def test_too_few_pairs_are_refused(store: AssetStore, count: int, pairs: int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        plans(store, count, pairs=pairs)


def test_what_cannot_be_paired_is_refused(store: AssetStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one frame cannot be shuffled"):
        plans(store, 3, feed=Feed(1, 16))
    with pytest.raises(InputError, match="needs two styles"):
        studies.clips({"a": moving_squares(4, 16, 16)}, styles=STYLES[:1], store=store)
    with pytest.raises(InputError, match="no clips given"):
        studies.clips({}, store=store)
    with pytest.raises(InputError, match="no folder at"):
        studies.clips(tmp_path / "nothing", store=store)
    with pytest.raises(InputError, match="together with their optical flow, not plain videos"):
        plans(store, 3, feed=Feed(1, 16, flow="forward"))
