"""Which videos and starts the published program takes, where a reader of the paper would take others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sdbench.assets import AssetStore
from sdbench.data.stylised import StylisedVideo
from sdbench.studies.stylised_study import DrawnPair, StylisedStudy, draw_pairs, draw_start
from sdbench.zoo import feed_of
from tests.data.test_activitynet import listed

STYLES = ("style_1", "style_2", "style_3", "style_4")
C2D, X3D = feed_of("c2d"), feed_of("x3d_xs")


def videos(count: int, frames: int) -> list[StylisedVideo]:
    return [StylisedVideo(f"video{i}", frames, None, "x", place=i) for i in range(count)]


def used(protocol: str, listed: list[StylisedVideo], pairs: int | None = None, seed: int = 0) -> tuple[DrawnPair, ...]:
    return draw_pairs(protocol, listed, STYLES, C2D, np.random.default_rng(seed), pairs)


@pytest.mark.parametrize(
    ("protocol", "frames", "starts"),
    [("published", 64, 57), ("corrected", 64, 1), ("published", 65, 2), ("corrected", 65, 2), ("published", 63, 56)],
)
def test_starts_of_videos_about_as_long_as_a_clip(protocol: str, frames: int, starts: int) -> None:
    generator = np.random.default_rng(0)
    counts = Counter(draw_start(videos(1, frames)[0], 64, generator, protocol) for _ in range(40 * starts))
    assert counts.keys() == set(range(starts))
    assert min(counts.values()) > 15


def test_the_length_of_a_clip_is_the_networks() -> None:
    assert X3D.span == 48
    generator = np.random.default_rng(0)
    starts = {draw_start(videos(1, 48)[0], X3D.span, generator, "published") for _ in range(1000)}
    assert starts == set(range(41))
    assert {draw_start(videos(1, 64)[0], X3D.span, generator, "published") for _ in range(500)} == set(range(17))


def test_the_first_3002_of_the_file_are_used_as_published_and_a_random_3000_corrected() -> None:
    count = 3500
    by_name = [replace(video, place=(11 * i) % count) for i, video in enumerate(videos(count, 200))]
    expected = [video for video in by_name if video.place < 3002]
    for seed in (0, 1):
        assert [pair.video for pair in used("published", by_name, seed=seed)] == expected
    assert [pair.video.place for pair in used("published", by_name, pairs=5)] == [
        video.place for video in by_name if video.place < 10
    ]
    random = [{pair.video.place for pair in used("corrected", by_name, seed=seed)} for seed in (0, 1)]
    assert {len(places) for places in random} == {3000}
    assert random[0] != random[1]
    assert max(random[0]) > 3400
    assert len(used("published", by_name[:3001])) == 3001, "1,500 batches of two, and one of the last"


@pytest.mark.slow
def test_a_study_uses_the_data_set_by_the_rules_of_its_protocol(tmp_path: Path, store: AssetStore) -> None:
    annotated = {f"{i}": ([[1.0, 8.0], *([[0.0, 1.0]] if i % 2 else [])], 40) for i in range(40)}
    found = listed(tmp_path, {**annotated, "unlike": ([[2.0, 8.0]], 40)})
    for protocol, count in (("published", 21), ("corrected", 41)):
        study = StylisedStudy(found, store, protocol)
        assert len(study.dataset.videos) == count
        assert study.dataset.protocol == protocol
    assert found.protocol == "published"
