"""Where shots begin and end, and that no clip crosses a cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from sdbench.assets import AssetStore
from sdbench.data.shots import Shot, ShotFinder, clip_starts, shots_between
from sdbench.video.decode import decode_frames
from sdbench.video.frames import contrast_of, resize_frame


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


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The videos that a scan decoded, in order."""
    calls: list[Path] = []

    def counted(source: Path, square: bool) -> Iterator[np.ndarray]:
        calls.append(source)
        return decode_frames(source, square)

    monkeypatch.setattr("sdbench.data.shots.decode_frames", counted)
    return calls


def test_a_scan_is_kept_under_what_decides_it(
    video_file: Callable, one_shot: ShotFinder, decoded: list[Path], capsys
) -> None:
    path = video_file("a.mp4", frames=20)
    found = one_shot.scan(path, "content", 32)
    assert (found.frames, found.size, found.shots) == (20, (32, 44), (Shot(0, 20),))
    expected = [contrast_of(resize_frame(resize_frame(f, (32, 44)), (27, 48))[None]) for f in decode_frames(path)]
    np.testing.assert_array_equal(found.contrast, np.array(expected, np.float32))
    assert not found.is_still(0, 16)
    again = ShotFinder(one_shot.network, one_shot.weights, one_shot.folder).scan(path, "content", 32)
    assert (again.size, again.shots) == (found.size, found.shots)
    np.testing.assert_array_equal(again.contrast, found.contrast)
    assert again.fingerprint == found.fingerprint
    assert len(decoded) == 1, "the second time from the disk"
    one_shot.scan(path, "other content", 32)
    assert one_shot.scan(path, "content", 40).size == (40, 52)
    ShotFinder(one_shot.network, "other weights", one_shot.folder).scan(path, "content", 32)
    assert len(decoded) == 4
    for kept in one_shot.folder.iterdir():
        kept.write_bytes(kept.read_bytes()[:-3])
    assert one_shot.scan(path, "content", 32).shots == found.shots
    assert len(decoded) == 5
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.assets
def test_the_cuts_of_bikes_are_found(store: AssetStore, shots: ShotFinder, tmp_path: Path) -> None:
    """The cuts were checked by eye: the frame before and after each one shows another scene."""
    finder = ShotFinder(shots.network, shots.weights, tmp_path)
    found = finder.scan(store.path("clip_bikes"), "bikes", 112)
    assert [shot.start for shot in found.shots] == [0, 30, 76, 137, 187, 242]
    assert found.shots[-1].stop == found.frames == 250
