"""Rendered scenes: what is rendered, what the study plans and draws for every kind of network, and measuring it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy
import torch
from torch import Tensor

from sdbench import studies
from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.engine import Measurement, measure
from sdbench.networks import Network, VideoNetwork
from sdbench.statistics import Moments
from sdbench.studies.rendered_study import PlannedScene, RenderedStudy, RenderedVideos
from sdbench.video.feed import Feed
from sdbench.video.flow import draw_flow
from sdbench.video.render import LOOKS

BYTES: dict[str, Any] = {"mean": 0.0, "std": 1 / 255}
"""Feeds values from 0 to 255, as they are drawn."""

FEED = Feed(frames=4, size=24)
TEXTURES = ("noise", "checks")


def videos(scenes: int = 10, seed: int = 0, **options) -> RenderedVideos:
    given = {"size": (24, 32), "frames": 4, "textures": TEXTURES, **options}
    return RenderedVideos(scenes, np.random.default_rng(seed), **given)


def of_plan(planned: PlannedScene, feed: Feed, frames: int) -> RenderedVideos:
    """The videos that a planned scene is one of."""
    return RenderedVideos(3, None, feed.height_and_width, frames, textures=TEXTURES, origin=planned.origin)


def as_pictures(rows: Tensor) -> np.ndarray:
    """(..., 3, H, W) in 0 to 255 as (..., H, W, 3) uint8."""
    return rows.movedim(-3, -1).round().to(torch.uint8).numpy()


class Means(VideoNetwork):
    """Answers the mean colour of its video, first of a frame in which nothing has moved yet, then of all.

    Args:
        stop_after: raise KeyboardInterrupt in the pass after so many.
    """

    layers = ("first", "all")

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.passes, self.stop_after = 0, stop_after

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        if self.passes == self.stop_after:
            raise KeyboardInterrupt
        self.passes += 1
        yield "first", video[:, :, 0].flatten(2).mean(dim=2)
        yield "all", video.flatten(2).mean(dim=2)


@pytest.fixture
def store(tmp_path) -> AssetStore:
    return AssetStore(tmp_path, quiet=True)


def measured(store: AssetStore, scenes: int = 60, module: Means | None = None, **options) -> Measurement:
    return measure(Network(module or Means(), FEED), RenderedStudy(scenes, textures=TEXTURES), store=store, **options)


def arrays_of(part: Moments) -> tuple[np.ndarray, ...]:
    assert part.crossed is not None
    return part.product, part.total, part.square, part.crossed.parts, part.crossed.swapped


def sums(found: Measurement) -> dict[object, bytes]:
    return {
        (layer, block): b"".join(values.tobytes() for values in arrays_of(part))
        for layer, blocks in found.sums.items()
        for block, part in blocks.items()
    }


def test_scenes_are_the_same_whenever_they_are_asked_for() -> None:
    a, b, other = videos(), videos(), videos(seed=1)
    assert a.identity == b.identity != other.identity
    np.testing.assert_array_equal(b.clip(b.scene(7), 1, 1).frames, a.clip(a.scene(7), 1, 1).frames)
    assert (a.clip(a.scene(7)).frames != other.clip(other.scene(7)).frames).any()
    again = RenderedVideos(10, None, (24, 32), 4, textures=TEXTURES, origin=a.origin)
    np.testing.assert_array_equal(again.clip(again.scene(7)).frames, a.clip(a.scene(7)).frames)


@pytest.mark.parametrize("look", LOOKS)
def test_the_four_clips_of_a_scene_are_crossed(look: str) -> None:
    data = videos(looks=(look,))
    scene = data.scene(0)
    clips = {(a, m): data.clip(scene, a, m) for a in (0, 1) for m in (0, 1)}
    for (appearance, motion), clip in clips.items():
        assert clip.appearance is scene.appearances[appearance]
        assert clip.motion is scene.motions[motion]
    for appearance in (0, 1):
        np.testing.assert_array_equal(clips[appearance, 0].frames[0], clips[appearance, 1].frames[0])
    assert (clips[0, 0].flow(1) != clips[0, 1].flow(1)).any()
    assert (clips[0, 0].frames[0] != clips[1, 0].frames[0]).any()


def test_all_four_of_a_scene_are_drawn_apart() -> None:
    """No look, kind or speed of one says anything of another: chi-square of pairs of kinds, correlation of speeds."""
    data = videos(scenes=1500)
    scenes = [data.scene(number) for number in range(data.count)]
    looks = [[each.look for each in scene.appearances] for scene in scenes]
    kinds = [[each.kind for each in scene.motions] for scene in scenes]
    for pairs in (looks, kinds, [[a[0], b[0]] for a, b in zip(looks, kinds, strict=True)]):
        rows, columns = (sorted(set(side)) for side in zip(*pairs, strict=True))
        table = [[sum(pair == [row, column] for pair in pairs) for column in columns] for row in rows]
        assert np.min(table) > 100
        assert scipy.stats.chi2_contingency(table).pvalue > 1e-3
    speeds = np.array([[np.hypot(*each.figure.velocity) for each in scene.motions] for scene in scenes])
    assert abs(np.corrcoef(speeds.T)[0, 1]) < 0.1


def test_every_scene_is_planned_once_and_resampled_alone() -> None:
    plan = studies.rendered(12).plan(FEED, 0)
    assert [sample.number for sample in plan.samples] == list(range(12))
    assert len({sample.block for sample in plan.samples}) == plan.about.units == 12
    assert plan.about.clips == 48
    assert {sample.pairs for sample in plan.samples} == {((0, 1, 0), (2, 3, 0), (0, 2, 1), (1, 3, 1))}
    assert all(sample.crossed for sample in plan.samples)
    assert plan.samples == studies.rendered(12).plan(FEED, 0).samples
    other = studies.rendered(12).plan(FEED, 1).samples
    assert all(one.origin != two.origin for one, two in zip(plan.samples, other, strict=True))


def test_what_decides_the_pictures_decides_what_a_planned_scene_is() -> None:
    """Finished parts of a study must not be taken for those of one that renders otherwise."""
    feed = Feed(frames=4, size=24, stride=2)
    others = (
        RenderedStudy(3),
        RenderedStudy(4),
        RenderedStudy(3, frames=8),
        RenderedStudy(3, textures=("noise",)),
        RenderedStudy(3, motions=("rotation",)),
        RenderedStudy(3, looks=("sprite",)),
        RenderedStudy(3, dot=3),
    )
    planned = [study.plan(feed, 0).samples[0] for study in others]
    planned.append(RenderedStudy(3).plan(Feed(frames=4, size=32), 0).samples[0])
    assert len(set(planned)) == len(planned)


@pytest.mark.parametrize(
    ("feed", "rows", "shapes"),
    [
        (Feed(4, 24), 1, {"video": (4, 3, 4, 24, 24)}),
        (Feed(4, 24, order="BTCHW", argument="x"), 1, {"x": (4, 4, 3, 24, 24)}),
        (Feed(4, 24, stride=8), 1, {"video": (4, 3, 4, 24, 24)}),
        (Feed(8, 24, alpha=4), 1, {"slow": (4, 3, 2, 24, 24), "fast": (4, 3, 8, 24, 24)}),
        (Feed(1, (24, 32), fit="stretch", flow="forward"), 5, {"image": (20, 3, 24, 32), "flow": (20, 3, 24, 32)}),
        (Feed(1, 24, flow="both"), 5, {"image": (20, 2, 3, 24, 24), "flow": (20, 2, 6, 24, 24)}),
    ],
)
def test_every_kind_of_network_is_fed(feed: Feed, rows: int, shapes: dict[str, tuple[int, ...]]) -> None:
    study = RenderedStudy(3, textures=TEXTURES)
    planned = study.plan(feed, 0).samples[2]
    assert planned.rows == rows
    assert planned.inputs == 4 * rows
    assert {name: tuple(values.shape) for name, values in study.draw(planned, feed).items()} == shapes


def test_views_are_two_appearances_in_two_motions() -> None:
    study, feed = RenderedStudy(3, textures=TEXTURES), Feed(8, 24, alpha=4, **BYTES)
    planned = study.plan(feed, 0).samples[1]
    data = of_plan(planned, feed, 8)
    drawn = study.draw(planned, feed)
    for view, (appearance, motion) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        frames = data.clip(data.scene(1), appearance, motion).frames
        np.testing.assert_array_equal(as_pictures(drawn["fast"][view].transpose(0, 1)), frames)
        np.testing.assert_array_equal(as_pictures(drawn["slow"][view].transpose(0, 1)), frames[[0, 7]])


def test_frames_have_the_flow_to_the_next() -> None:
    study, feed = RenderedStudy(3, textures=TEXTURES), Feed(1, 24, flow="forward", **BYTES)
    planned = study.plan(feed, 0).samples[0]
    data = of_plan(planned, feed, 6)
    clip = data.clip(data.scene(0), 1, 0)
    drawn = {name: as_pictures(values[5:10]) for name, values in study.draw(planned, feed).items()}
    np.testing.assert_array_equal(drawn["image"], clip.frames[:5])
    np.testing.assert_array_equal(drawn["flow"], [draw_flow(clip.flow(time)) for time in range(5)])


def test_pairs_of_frames_have_flow_both_ways() -> None:
    study, feed = RenderedStudy(3, frames=5, textures=TEXTURES), Feed(1, 24, flow="both", **BYTES)
    planned = study.plan(feed, 0).samples[0]
    data = of_plan(planned, feed, 5)
    clip = data.clip(data.scene(0))
    assert planned.rows == 2
    drawn = study.draw(planned, feed)
    for row, frame, time in ((0, 0, 1), (0, 1, 2), (1, 0, 2), (1, 1, 3)):
        np.testing.assert_array_equal(as_pictures(drawn["image"][row, frame]), clip.frames[time])
        forward, backward = drawn["flow"][row, frame].chunk(2)
        np.testing.assert_array_equal(as_pictures(forward), draw_flow(clip.flow(time)))
        np.testing.assert_array_equal(as_pictures(backward), draw_flow(clip.flow(time, time - 1)))


def test_a_network_that_sees_colours_is_found_static(store: AssetStore) -> None:
    found = measured(store)
    assert (found.dataset, found.protocol, found.resampling_unit) == ("rendered-2", "crossed", "scene")
    assert (found.resampling_units, found.samples, found.pairs, found.passes) == (60, 60, 120, 240)
    first = found.layer("first")
    assert first.estimate.unit_scores["static"] == pytest.approx(np.ones(3)), "it begins with the very same frame"
    assert (found.layer("all").estimate.unit_scores["static"] > 0.9).all()
    assert (np.abs(found.layer("all").estimate.unit_scores["dynamic"]) < 0.4).all()
    assert first.intervals is not None
    assert first.variance is not None
    assert first.variance.parts == {"appearance": 100, "motion": 0, "both": 0}, "to the last bit"
    every = found.layer("all").variance
    assert every is not None
    assert sum(every.parts.values()) == pytest.approx(100, abs=1e-9)


def test_workers_change_no_bit_and_another_seed_all(store: AssetStore) -> None:
    here, beside, other = measured(store, workers=0), measured(store, workers=2), measured(store, seed=1)
    assert sums(here) == sums(beside)
    assert not set(sums(here).values()) & set(sums(other).values())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_measurement_goes_on(store: AssetStore, workers: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        measured(store, module=Means(stop_after=1), workers=workers)
    whole = measured(AssetStore(store.folder / "another", quiet=True))
    rest = Means()
    found = measured(store, module=rest, workers=workers)
    assert whole.resumed == 0
    assert 0 < found.resumed < 60
    assert rest.passes == 3, "of four parts one was done"
    assert sums(found) == sums(whole)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scenes": 0}, "at least 1 scene"),
        ({"size": (8, 32)}, "8 x 32 pixels"),
        ({"frames": 1}, "1 frames"),
        ({"dot": 0}, "dots of 0"),
        ({"textures": ()}, "at least one texture is needed"),
        ({"textures": ("noise", "wood")}, "unknown texture 'wood'"),
        ({"motions": ("spin",)}, "unknown motion 'spin'"),
        ({"looks": ()}, "at least one look is needed"),
        ({"looks": ("sprites",)}, "unknown look 'sprites'; did you mean sprite"),
        ({"origin": 3}, "give one of them"),
    ],
)
def test_bad_videos_are_named(options, said: str) -> None:
    with pytest.raises(InputError, match=said):
        videos(**options)


@pytest.mark.parametrize(
    ("options", "feed", "said"),
    [
        ({"frames": 3}, Feed(1, 24, flow="both"), "clips of at least 4 frames; got 3"),
        ({"frames": 1}, Feed(1, 24, flow="forward"), "1 frames"),
        ({"frames": 6}, FEED, "fed 4 frames, taken from 4; got clips of 6"),
        ({"textures": ("wood",)}, FEED, "unknown texture 'wood'"),
        ({}, Feed(4, 8), "8 x 8 pixels"),
        ({}, Feed(1, 24), "1 frames"),
    ],
)
def test_what_does_not_fit_the_network_is_named_before_anything_is_drawn(options, feed: Feed, said: str) -> None:
    with pytest.raises(InputError, match=said):
        RenderedStudy(3, **options).plan(feed, 0)


def test_too_few_scenes_are_named() -> None:
    with pytest.raises(InputError, match="at least 2 scenes are needed for a covariance; got 1"):
        studies.rendered(1)
