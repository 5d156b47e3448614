"""Clips of folders of videos, and of the packaged ones."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdbench.assets import AssetStore
from sdbench.base.content import Contents
from sdbench.base.errors import InputError
from sdbench.data import Dataset, VideoDataset, folder_of_videos, packaged_videos
from sdbench.data.shots import ShotFinder
from sdbench.video.decode import decode_frames
from sdbench.video.frames import resize_frame
from tests.conftest import moving_squares, write_video


@pytest.fixture
def opened(one_shot: ShotFinder, contents: Contents) -> Callable[..., VideoDataset]:
    """Open a folder in clips of 16 frames, 32 pixels high."""

    def open_folder(folder: Path, skip_unusable: bool = False) -> VideoDataset:
        return folder_of_videos(folder, 16, 32, one_shot, contents, skip_unusable)

    return open_folder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Video and number of every frame that reading clips decoded."""
    seen: list[tuple[str, int]] = []

    def counted(source: Path, square: bool) -> Iterator[np.ndarray]:
        for number, frame in enumerate(decode_frames(source, square)):
            seen.append((source.name, number))
            yield frame

    monkeypatch.setattr("sdbench.data.videos.decode_frames", counted)
    return seen


def test_files_and_folders_of_frames_are_videos(video_file: Callable, opened: Callable) -> None:
    folder = video_file("a.mp4", frames=40).parent
    (folder / "frames" / "b").mkdir(parents=True)
    for number, frame in enumerate(moving_squares(20, seed=1)):
        Image.fromarray(frame).save(folder / "frames" / "b" / f"{number}.png")
    (folder / "notes.txt").write_text("not a video")
    found: Dataset = opened(folder)
    assert [(clip.video, clip.start) for clip in found.clips] == [("a.mp4", 0), ("a.mp4", 16), ("frames/b", 0)]
    assert {(clip.height, clip.width) for clip in found.clips} == {(32, 44)}
    expected = [resize_frame(frame, (32, 44)) for frame in decode_frames(folder / "a.mp4")]
    np.testing.assert_array_equal(found.read(found.clips[1]), np.stack(expected[16:32]))
    expected = [resize_frame(frame, (32, 44)) for frame in moving_squares(20, seed=1)]
    np.testing.assert_array_equal(found.read(found.clips[2]), np.stack(expected[:16]))


def test_reading_in_order_decodes_each_frame_once(
    video_file: Callable, opened: Callable, decoded: list[tuple[str, int]]
) -> None:
    folder = video_file("a.mp4", frames=50).parent
    video_file("b.mp4", frames=40, seed=1)
    found = opened(folder)
    for clip in found.clips:
        found.read(clip)
    assert decoded == [("a.mp4", n) for n in range(48)] + [("b.mp4", n) for n in range(32)]


def test_reading_in_another_order_gives_the_same_frames(
    video_file: Callable, opened: Callable, decoded: list[tuple[str, int]]
) -> None:
    found = opened(video_file("a.mp4", frames=60).parent)
    first, second, third = found.clips
    every = {clip: found.read(clip) for clip in found.clips}
    decoded.clear()
    for clip in (third, first, third, second, second):
        np.testing.assert_array_equal(found.read(clip), every[clip])
    assert len(decoded) == 48 + 48 + 32 + 32


def test_a_copy_in_another_process_opens_its_own_file(video_file: Callable, opened: Callable) -> None:
    found = opened(video_file("a.mp4", frames=40).parent)
    first, second = found.clips
    found.read(first)
    copied = pickle.loads(pickle.dumps(found))
    expected = copied.read(second)
    np.testing.assert_array_equal(found.read(second), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system starts processes without forking")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_opens_its_own_file(video_file: Callable, opened: Callable) -> None:
    found = opened(video_file("a.mp4", frames=60).parent)
    first, second, third = found.clips
    found.read(first)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send([found.read(second), found.read(third)]))
    process.start()
    try:
        assert receiver.poll(30), "the process hangs or died"
        there = receiver.recv()
    finally:
        process.kill()
        process.join()
    np.testing.assert_array_equal(there, [found.read(second), found.read(third)])


def test_threads_decode_for_themselves(video_file: Callable, opened: Callable, decoded: list) -> None:
    """Two threads that read different clips at the same time get their own frames, and neither starts anew for it."""
    found = opened(video_file("a.mp4", frames=64).parent)
    alone = [found.read(clip) for clip in found.clips]
    decoded.clear()
    turns = threading.Barrier(2, timeout=30)

    def read(numbers: tuple[int, int]) -> list[np.ndarray]:
        frames = []
        for number in numbers:
            turns.wait()
            frames.append(found.read(found.clips[number]))
        return frames

    with ThreadPoolExecutor(2) as pool:
        (first, third), (second, fourth) = pool.map(read, [(0, 2), (1, 3)])
    np.testing.assert_array_equal([first, second, third, fourth], alone)
    assert len(decoded) == 48 + 64, "each goes once through the video, to the end of its last clip"


def test_digest_and_identity_follow_the_content(video_file: Callable, opened: Callable) -> None:
    folder = video_file("a.mp4").parent
    video_file("b.mp4", seed=1)
    before = opened(folder)
    again = opened(folder)
    assert (again.identity, again.digest_of("a.mp4")) == (before.identity, before.digest_of("a.mp4"))
    video_file("a.mp4", seed=5)
    after = opened(folder)
    assert after.identity != before.identity
    assert after.digest_of("a.mp4") != before.digest_of("a.mp4")
    assert after.digest_of("b.mp4") == before.digest_of("b.mp4")


def test_identity_follows_how_videos_are_cut(
    video_file: Callable, one_shot: ShotFinder, contents: Contents, opened: Callable
) -> None:
    folder = video_file("a.mp4").parent
    others = [folder_of_videos(folder, *cut, one_shot, contents).identity for cut in ((16, 40), (12, 32))]
    assert len({opened(folder).identity, *others}) == 3


def test_a_second_look_decodes_nothing(video_file: Callable, opened: Callable, monkeypatch) -> None:
    folder = video_file("a.mp4").parent
    found = opened(folder)

    def never(source: Path) -> None:
        raise AssertionError(f"{source} is decoded again")

    monkeypatch.setattr("sdbench.data.shots.decode_frames", never)
    assert opened(folder).clips == found.clips


def test_a_short_video_stops_or_is_left_out_by_name(video_file: Callable, opened: Callable) -> None:
    folder = video_file("good.mp4").parent
    video_file("short.mp4", frames=10)
    with pytest.raises(InputError, match=r"short\.mp4 has 10 frames; expected at least the 16"):
        opened(folder)
    found = opened(folder, skip_unusable=True)
    assert {clip.video for clip in found.clips} == {"good.mp4"}
    assert "short.mp4 has 10 frames" in found.skipped[0]


def test_a_damaged_video_stops_or_is_left_out_by_name(video_file: Callable, opened: Callable) -> None:
    folder = video_file("good.mp4").parent
    path = video_file("cut.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cut\.mp4 "):
        opened(folder)
    (said,) = opened(folder, skip_unusable=True).skipped
    assert "cut.mp4" in said


def test_a_black_clip_stops_or_is_left_out_by_name(tmp_path: Path, opened: Callable) -> None:
    frames = moving_squares(48)
    frames[16:32] = 0
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "dark.mp4", frames)
    with pytest.raises(InputError, match=r"dark\.mp4, frames 16 to 31, carries no information"):
        opened(folder)
    found = opened(folder, skip_unusable=True)
    assert [clip.start for clip in found.clips] == [0, 32]
    assert "carries no information" in found.skipped[0]


def test_a_clip_is_blank_when_most_of_its_frames_are(tmp_path: Path, opened: Callable) -> None:
    frames = moving_squares(32)
    frames[:7] = frames[16:25] = 0
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "dark.mp4", frames)
    assert [clip.start for clip in opened(folder, skip_unusable=True).clips] == [0]


def test_a_folder_without_videos_is_named(tmp_path: Path, opened: Callable) -> None:
    with pytest.raises(InputError, match="no folder at"):
        opened(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no video"):
        opened(tmp_path / "empty")


@pytest.mark.parametrize("frames", [20, 60])
def test_a_video_that_changes_meanwhile_is_noticed(video_file: Callable, opened: Callable, frames: int) -> None:
    found = opened(video_file("a.mp4", frames=60).parent)
    video_file("a.mp4", frames=frames, seed=7)
    with pytest.raises(InputError, match=r"a\.mp4 changed since its shots were found; run the same command again"):
        found.read(found.clips[0])


@pytest.mark.assets
def test_the_packaged_videos_give_clips_that_cross_no_cut(store: AssetStore, shots: ShotFinder) -> None:
    found = packaged_videos(16, 112, shots, store)
    bikes = [(clip.shot, clip.start) for clip in found.clips if clip.video == "bikes"]
    cuts = [0, 30, 76, 137, 187, 242, 250]
    assert bikes
    for shot, start in bikes:
        assert cuts[shot] <= start
        assert start + 16 <= cuts[shot + 1]
    assert len(found.clips) == 27
    assert len({(clip.video, clip.shot) for clip in found.clips}) == 7


def test_copies_of_a_video_are_one_and_still_ones_are_named(video_file: Callable, opened: Callable) -> None:
    folder = video_file("a.mp4", frames=20).parent
    (folder / "b.mp4").write_bytes((folder / "a.mp4").read_bytes())
    video_file("c.mp4", frames=20, seed=1)
    frames = folder / "d"
    frames.mkdir()
    for number, frame in enumerate(decode_frames(folder / "a.mp4")):
        Image.fromarray(frame).save(frames / f"{number}.png")
    write_video(folder / "e.mp4", np.repeat(moving_squares(1), 20, axis=0))
    found: VideoDataset = opened(folder)
    assert {video: found.source_of(video) for video in ("a.mp4", "b.mp4", "c.mp4", "d", "e.mp4")} == {
        **dict.fromkeys(("a.mp4", "b.mp4", "d"), "a.mp4"),
        "c.mp4": "c.mp4",
        "e.mp4": "e.mp4",
    }
    copies, still = found.notes
    assert "2 of 5 videos hold the same as others and count as one with them" in copies
    assert "b.mp4 is a.mp4, d is a.mp4" in copies
    assert "nothing moves in 1 of 5 clips" in still
    assert "e.mp4, frames 0 to 15" in still


def test_what_is_passed_over_is_listed(video_file: Callable, opened: Callable) -> None:
    folder = video_file("a.mp4", frames=20).parent
    (folder / "notes.txt").write_text("no video")
    assert opened(folder).skipped == ("files that are no videos by their ending (1: 1 .txt): notes.txt",)


def test_a_density_that_is_uneven_is_named(opened: Callable, tmp_path: Path) -> None:
    """mpv-player/mpv #3945: what pictures say of their pixels' aspect is mostly wrong, and viewers do not apply it."""
    for name, density in (("a", (72, 72)), ("b", (64, 45))):
        (tmp_path / name).mkdir()
        for number, frame in enumerate(moving_squares(16, seed=density[1])):
            Image.fromarray(frame).save(tmp_path / name / f"{number}.png", dpi=density)
    (note,) = opened(tmp_path).notes
    assert note.startswith("the pictures of 1 of 2 videos say that their pixels are not square")
    assert "viewers do: b (density 6" in note


def test_a_file_that_may_not_be_read_is_left_out(
    video_file: Callable, opened: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = video_file("a.mp4", frames=20).parent
    video_file("b.mp4", frames=20, seed=1)

    def refused(path: Path) -> str:
        if path.name == "a.mp4":
            raise PermissionError(13, "Permission denied", str(path))
        return path.name

    monkeypatch.setattr("sdbench.base.content.sha256_of", refused)
    with pytest.raises(InputError, match=r"a\.mp4 cannot be read \(Permission denied\); see that its disk is there"):
        opened(folder)
    (left_out,) = opened(folder, skip_unusable=True).skipped
    assert "a.mp4 cannot be read (Permission denied)" in left_out
