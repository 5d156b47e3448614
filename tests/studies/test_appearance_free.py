"""Appearance-free clips: what their pairs share, what a frame tells, and what known networks are found to encode."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sdbench import Feed, InputError, Measurement, Network, cli, measure, studies
from sdbench.assets import AssetStore
from sdbench.data.clip import Clip
from sdbench.engine import Plan
from sdbench.networks import VideoNetwork
from sdbench.studies.appearance_free_study import AppearanceFreeStudy
from sdbench.studies.own_clips import PlannedClip
from sdbench.studies.rendered_study import RenderedVideos
from sdbench.studies.views import DYNAMIC, STATIC
from sdbench.video.frames import Frames
from tests.conftest import COMMAND, moving_squares

BYTES: dict[str, Any] = {"mean": 0.0, "std": 1 / 255}
FEED = Feed(6, 48, **BYTES)
SMALL = Feed(8, 32, 0.5, 0.5)


def filmed(count: int, frames: int = 6, size: tuple[int, int] = (48, 48)) -> dict[str, np.ndarray]:
    """Clips of a sprite that moves over a ground that moves."""
    videos = RenderedVideos(count, None, size, frames, textures=("noise", "blobs"), looks=("sprite",), origin=1)
    return {f"video{n:02d}": videos.clip(videos.scene(n)).frames for n in range(count)}


def as_bytes(views: Tensor) -> np.ndarray:
    """(views, T, H, W, 3)."""
    return views.permute(0, 2, 3, 4, 1).round().to(torch.uint8).numpy()


class Cut:
    """Videos of some shots of two clips each, of as many frames as are asked for; never read."""

    name, skipped, notes, assets = "cut", (), (), ()

    def __init__(self, videos: int, shots: int, length: int, side: int, digest: str = "") -> None:
        self.digest = digest
        self.clips = tuple(
            Clip(f"video{video}", shot, 100 * shot + length * number, length, side, side)
            for video in range(videos)
            for shot in range(shots)
            for number in range(2)
        )

    def digest_of(self, video: str) -> str:
        return video + self.digest

    def source_of(self, video: str) -> str:
        return video

    def read(self, clip: Clip) -> Frames:
        raise AssertionError(f"{clip} is read before it is drawn")


def planned(feed: Feed = FEED, seed: int = 0, **options: Any) -> Plan[PlannedClip]:
    return studies.appearance_free(filmed(10, max(2, feed.span)), **options).plan(feed, seed)


def test_both_pairs_of_a_clip_share_their_first_member() -> None:
    plan = planned()
    assert (plan.about.protocol, plan.about.styles, plan.about.unit, plan.about.units) == ("noise", (), "video", 10)
    assert "moved by optical flow of OpenCV DIS (version " in plan.about.notes[0]
    noises = set()
    for sample in plan.samples:
        assert sample.views == 3
        assert sample.pairs == ((0, 1, DYNAMIC), (0, 2, STATIC))
        first, other, shuffled = sample.shown
        noises |= {first.style, other.style}
        assert first.style == shuffled.style != other.style
        assert first.frames == other.frames == (("video", (0, 1, 2, 3, 4, 5)),)
        assert shuffled.frames != first.frames
        assert shuffled.positions == first.positions
    assert len(noises) == 20, "no two clips are made of the same noise"


def test_a_static_pair_is_the_same_frames_and_a_dynamic_one_has_no_grain_in_common() -> None:
    study = studies.appearance_free(filmed(3))
    sample = study.plan(FEED, 0).samples[1]
    first, other, shuffled = as_bytes(study.draw(sample, FEED)["video"])
    order = sample.shown[2].frames[0][1]
    np.testing.assert_array_equal(shuffled, first[list(order)])
    assert (first == other).mean() < 0.01
    assert np.abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 4 / first.size**0.5
    # Both move alike: where a grain of the one stays, so does that of the other.
    stays = [(noise[1:] == noise[:-1]).all(axis=-1) for noise in (first, other)]
    np.testing.assert_array_equal(stays[0], stays[1])


def test_noise_follows_from_the_seed_of_the_plan_alone() -> None:
    study, again = studies.appearance_free(filmed(4)), studies.appearance_free(filmed(4))
    samples = study.plan(FEED, 0).samples
    forwards = [study.draw(sample, FEED)["video"] for sample in samples]
    for sample, views in reversed(list(zip(again.plan(FEED, 0).samples, forwards, strict=True))):
        torch.testing.assert_close(again.draw(sample, FEED)["video"], views, rtol=0, atol=0)
    other = study.draw(study.plan(FEED, 1).samples[0], FEED)["video"]
    assert (other == forwards[0]).float().mean() < 0.01


def test_more_pairs_are_other_noises_and_fewer_a_part_of_the_clips() -> None:
    many, few = planned(pairs=15).samples, planned(pairs=4).samples
    assert [len(sample.pairs) for sample in many].count(4) == 5
    assert {sample.views for sample in many if len(sample.pairs) == 4} == {6}
    assert len(few) == 4


def test_every_frame_of_a_path_is_of_the_same_noise() -> None:
    feed = Feed(8, 48, alpha=4, **BYTES)
    study = studies.appearance_free(filmed(3, 8))
    views = study.draw(study.plan(feed, 0).samples[0], feed)
    slow, fast = as_bytes(views["slow"]), as_bytes(views["fast"])
    np.testing.assert_array_equal(slow[0], fast[0][[0, 7]])


def test_frames_that_are_squeezed_are_not_averaged_to_grey() -> None:
    feed = Feed(6, (24, 24), short_side=48, fit="stretch", **BYTES)
    study = studies.appearance_free(filmed(3))
    views = as_bytes(study.draw(study.plan(feed, 0).samples[0], feed)["video"])
    assert views.shape == (3, 6, 24, 24, 3)
    assert views[0].std() > 40, "of 74, and 26 where a grain is a pixel"


def test_clips_of_any_length_of_the_same_videos_are_paired_and_others_not() -> None:
    def identity(feed: Feed, seed: int = 0, videos: int = 9, shots: int = 2, digest: str = "") -> tuple[str, list[str]]:
        study = AppearanceFreeStudy(lambda length, side: Cut(videos, shots, length, side, digest))
        plan = study.plan(feed, seed)
        return plan.about.identity, sorted({sample.block for sample in plan.samples})

    for videos, shots in ((9, 2), (3, 4)):
        same = [identity(feed, videos=videos, shots=shots) for feed in (FEED, Feed(8, 112, stride=4), Feed(4, 32))]
        assert same[0] == same[1] == same[2]
    assert same[0][0] != ""
    others = [identity(FEED), identity(FEED, seed=1), identity(FEED, videos=8), identity(FEED, digest="changed")]
    assert len({which for which, _ in others}) == 4


class Known(VideoNetwork):
    """Single frames: their colours and contrast, averaged. Change: how unlike each frame is to the next, by place."""

    layers = ("frames", "change")

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        of_frames = torch.cat([video.mean(dim=(3, 4)), video.std(dim=(3, 4))], dim=1)
        yield "frames", of_frames.mean(dim=2)
        change = (video[:, :, 1:] - video[:, :, :-1]).abs().mean(dim=(1, 2))
        yield "change", torch.nn.functional.avg_pool2d(change[:, None], 12).flatten(1)


def shown(store: AssetStore, **options: Any) -> Measurement:
    study = studies.appearance_free(filmed(60))
    return measure(Network(Known(), FEED, "known"), study, store=store, **options)


def test_single_frames_are_found_static_and_motion_dynamic(tmp_path: Path) -> None:
    found = shown(AssetStore(tmp_path, quiet=True), workers=0)
    assert (found.protocol, found.clips, found.pairs, found.passes) == ("noise", 60, 60, 180)
    frames, change = (found.layer(name).estimate.unit_scores for name in ("frames", "change"))
    assert frames["static"] == pytest.approx(np.ones(6), abs=1e-6), "the very same frames"
    assert (np.abs(frames["dynamic"]) < 0.45).all(), "no frame tells what moves: chance alone, of 60 pairs"
    assert np.mean(change["dynamic"]) > 0.8
    assert np.mean(change["dynamic"]) > np.mean(change["static"]) + 0.2


def test_workers_change_no_bit(tmp_path: Path) -> None:
    first, second = (shown(AssetStore(tmp_path / str(workers), quiet=True), workers=workers) for workers in (0, 2))
    for name in first.layers:
        for block, part in first.sums[name].items():
            assert part.product.tobytes() == second.sums[name][block].product.tobytes()


def test_without_opencv_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.import_module

    def lacking(name: str, *given: Any) -> Any:
        if name == "cv2":
            raise ImportError(name)
        return there(name, *given)

    monkeypatch.setattr(importlib, "import_module", lacking)
    with pytest.raises(InputError, match=r'needs OpenCV: pip install "sdbench\[flow\]"'):
        planned()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: planned(Feed(1, 48)), "one frame cannot be shuffled"),
        (lambda: planned(pairs=1), "got 1: ask for more pairs"),
        (lambda: studies.appearance_free({}), "no clips given"),
        (lambda: studies.appearance_free("nowhere"), "no folder at nowhere"),
        (lambda: planned(Feed(1, 48, flow="forward")), "together with their optical flow, not plain videos"),
    ],
)
def test_what_cannot_be_used_is_named(make: Callable[[], object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


def test_frames_too_small_for_flow_are_named_with_their_clip() -> None:
    study = studies.appearance_free({f"tiny{n}": moving_squares(4, 16, 16, seed=n)[:, :4, :4] for n in range(3)})
    feed = Feed(4, 4)
    sample = study.plan(feed, 0).samples[0]
    with pytest.raises(InputError, match="no flow in tiny0, frames 0 to 3: OpenCV finds no flow"):
        study.draw(sample, feed)


@pytest.mark.assets
@pytest.mark.slow
def test_the_command_measures_clips_that_cross_no_cut(
    tmp_path: Path, store: AssetStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """A video of six shots, in a fresh process; what is wrong with the words is said in this one."""
    (tmp_path / "videos").mkdir()
    shutil.copy(store.path("clip_bikes"), tmp_path / "videos")
    words = ["measure", "transnetv2", str(tmp_path / "videos"), "--study", "appearance-free", "--layers", "fc1"]
    given = [*words, "--frames", "8", "--json", str(tmp_path / "found.json")]
    environment = {**os.environ, "SDBENCH_CACHE": str(store.folder), "SDBENCH_OFFLINE": "1"}
    done = subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "fc1" in done.stdout
    record = json.loads((tmp_path / "found.json").read_text())["measurement"]
    assert (record["protocol"], record["dataset"], record["resampling_unit"]) == ("noise", "videos", "shot")
    assert (record["resampling_units"], record["clips"]) == (6, 28), "as many times 8 frames as fit into each shot"
    assert record["study"]
    assert cli.main([*words, "--pairs", "1"]) == 1
    assert "at least 2 pairs of each factor are needed" in capsys.readouterr().err
