"""What a version of the rendered scenes shows is held; and which measurements on it can be paired."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from sdbench import Feed, Network, measure
from sdbench.assets import AssetStore
from sdbench.networks import VideoNetwork
from sdbench.studies import RENDERED, RenderedStudy, rendered
from sdbench.video import render, textures
from tests.studies.rendered_pixels import FILE, clips, drawn, pixels, thinned

HELD = json.loads(FILE.read_text(encoding="utf-8"))
NEXT = f"what {RENDERED} shows has changed: take it back, or give RENDERED the next name and keep this file"


def off() -> dict[str, int]:
    """By how many grey levels each clip is off what is held, at the worst pixel."""
    return {name: int(np.abs(thinned(clip).astype(int) - pixels(HELD["pixels"][name])).max()) for name, clip in clips()}


def test_a_version_shows_the_same_pixels() -> None:
    """Within a grey level: textures go through Fourier transforms, whose last bits differ among machines."""
    assert HELD["version"] == RENDERED
    assert len(HELD["pixels"]) == 33, "three motions of two looks with five textures, and of dots"
    assert max(off().values()) <= 1, NEXT
    now = drawn()
    for name, means in HELD["means"].items():
        assert now["means"][name] == pytest.approx(means, abs=0.1), NEXT
        assert now["covered"][name] == pytest.approx(HELD["covered"][name], abs=1e-3), NEXT


def test_dots_and_draws_are_the_same_to_the_bit() -> None:
    """Whole dots of two colours: nothing of them is read between values."""
    now = drawn()
    assert len(HELD["dots"]) == 3
    assert now["dots"] == HELD["dots"], NEXT
    assert now["scenes"] == HELD["scenes"], NEXT


@pytest.mark.parametrize(
    ("place", "name", "value"), [(render, "_TRAVEL", 0.31), (textures, "_FINEST", 0.145), (textures, "TEXELS", 3)]
)
def test_a_small_change_of_what_is_drawn_is_noticed(
    place: object, name: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, value)
    if name == "TEXELS":
        monkeypatch.setattr(render, name, value)
    assert max(off().values()) > 1


FEEDS = (
    Feed(4, 24),
    Feed(16, 112, order="BTCHW"),
    Feed(8, (27, 48), stride=4, fit="stretch"),
    Feed(8, 24, alpha=4),
    Feed(1, 24, flow="forward"),
    Feed(1, 32, flow="both"),
)


@pytest.mark.parametrize("scenes", [12, 300])
def test_networks_of_any_feed_are_shown_the_same_scenes_in_the_same_blocks(scenes: int) -> None:
    plans = [RenderedStudy(scenes).plan(feed, 3) for feed in FEEDS]
    assert {plan.about.dataset for plan in plans} == {RENDERED} == {"rendered-2"}
    assert len({plan.about.identity for plan in plans}) == 1
    assert len({tuple((sample.number, sample.block, sample.origin) for sample in plan.samples) for plan in plans}) == 1
    assert len({plan.samples[0].content for plan in plans}) == len(plans), "but not the same pixels"


def test_scenes_of_two_sizes_are_the_same_but_for_their_scale() -> None:
    study, feeds, moved = RenderedStudy(40), (Feed(4, 24), Feed(8, 48)), 0
    for number in range(40):
        scenes = [study.videos(study.plan(feed, 0).samples[0].origin, feed).scene(number) for feed in feeds]
        one, other = ([(each.look, each.kinds, each.seed) for each in scene.appearances] for scene in scenes)
        assert one == other
        poses = [scene.appearances[0].figure_pose for scene in scenes]
        assert [poses[0].angle, poses[0].phase] == [poses[1].angle, poses[1].phase]
        assert np.divide(poses[0].places, 24) == pytest.approx(np.divide(poses[1].places, 48))
        first, second = (scene.motions[0] for scene in scenes)
        assert first.kind == second.kind
        if first.kind == "translation":
            moved += 1
            ways = [
                np.multiply(m.ground.velocity, steps / side) for m, steps, side in ((first, 3, 24), (second, 7, 48))
            ]
            assert ways[0] == pytest.approx(ways[1], rel=1e-6)
    assert moved > 3


def test_other_scenes_are_not_paired() -> None:
    studies = (
        (RenderedStudy(12), 0),
        (RenderedStudy(12), 1),
        (RenderedStudy(13), 0),
        (RenderedStudy(12, textures=("noise",)), 0),
        (RenderedStudy(12, motions=("rotation",)), 0),
        (RenderedStudy(12, looks=("sprite",)), 0),
        (RenderedStudy(12, dot=3), 0),
    )
    abouts = [study.plan(FEEDS[0], seed).about for study, seed in studies]
    assert len({about.identity for about in abouts}) == len(studies)
    assert all(about.identity for about in abouts)
    parts = [note for about in abouts for note in about.notes if "a part of rendered-2" in note]
    assert len(parts) == 4, "what is not the whole ruler says so"


class Change(VideoNetwork):
    layers = ("change",)

    def trace(self, video: Tensor):
        yield "change", (video[:, :, 1:] - video[:, :, :-1]).abs()


def test_two_measurements_pair_by_scene(tmp_path: Path) -> None:
    store = AssetStore(tmp_path, quiet=True)
    found = [
        measure(Network(module, feed, layers=["0"] if name else None), rendered(9), store=store, workers=0)
        for module, feed, name in ((Change(), Feed(4, 24), ""), (nn.Sequential(nn.Conv3d(3, 4, 3)), Feed(5, 32), "0"))
    ]
    one, other = found
    assert one.study == other.study != ""
    assert (one.dataset, one.protocol) == ("rendered-2", "crossed")
    assert list(one.sums["change"]) == list(other.sums["0"])
    assert one.feed != other.feed
