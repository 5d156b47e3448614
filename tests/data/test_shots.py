"""Where shots begin and end, and that no clip crosses a cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdbench import load
from sdbench.assets import AssetStore
from sdbench.data.shots import Shot, clip_starts, find_shots, shots_between
from sdbench.video.decode import decode_frames
from sdbench.video.frames import resize_frame


@pytest.mark.parametrize(
    ("marked", "shots"),
    [
        ([], [Shot(0, 10)]),
        ([4], [Shot(0, 5), Shot(5, 10)]),
        ([4, 5, 6], [Shot(0, 5), Shot(7, 10)]),
        ([9], [Shot(0, 10)]),
        ([0], [Shot(0, 1), Shot(1, 10)]),
        (range(10), [Shot(0, 1)]),
    ],
)
def test_shots_lie_between_transitions(marked: list[int], shots: list[Shot]) -> None:
    transitions = np.zeros(10, bool)
    transitions[list(marked)] = True
    assert shots_between(transitions) == shots


def test_no_frames_no_shots() -> None:
    assert shots_between(np.zeros(0, bool)) == []


def test_clips_follow_each_other_inside_a_shot() -> None:
    assert list(clip_starts([Shot(0, 30), Shot(30, 76)], 16)) == [(0, 0), (1, 30), (1, 46)]
    assert list(clip_starts([Shot(0, 15)], 16)) == []


@pytest.mark.assets
def test_the_cuts_of_bikes_are_found(store: AssetStore, tmp_path: Path) -> None:
    """The cuts were checked by eye: the frame before and after each one shows another scene."""
    frames = [resize_frame(frame, (27, 48)) for frame in decode_frames(store.path("clip_bikes"))]
    network = load("transnetv2", store=store)
    shots = find_shots(network, np.stack(frames), tmp_path)
    assert [shot.start for shot in shots] == [0, 30, 76, 137, 187, 242]
    assert shots[-1].stop == 250
    (kept,) = tmp_path.glob("*.json")
    assert find_shots(None, np.stack(frames), tmp_path) == shots, "the second time from the cache, without the network"
    kept.write_text("[[0, ")
    assert find_shots(network, np.stack(frames), tmp_path) == shots, "a damaged answer is found again"
