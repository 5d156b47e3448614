"""Clips of folders, of packaged videos, and of arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.data import ArrayDataset, folder_of_videos, packaged_videos
from sdbench.video.decode import decode_frames
from sdbench.video.frames import resize_frame
from sdbench.zoo import model
from sdbench.zoo.preparation import Preparation
from tests.conftest import moving_squares, write_video

SMALL = Preparation(frames=16, short_side=32, size=(32, 32), fit="crop", layout="signed")


@pytest.mark.assets
class TestVideos:
    def test_files_and_folders_of_frames_are_videos(self, tmp_path: Path, video_file: Callable, store) -> None:
        folder = video_file("a.mp4", frames=40).parent
        (folder / "frames" / "b").mkdir(parents=True)
        for number, frame in enumerate(moving_squares(20, seed=1)):
            Image.fromarray(frame).save(folder / "frames" / "b" / f"{number:04d}.png")
        (folder / "notes.txt").write_text("not a video")
        found = folder_of_videos(folder, SMALL, store)
        assert [(clip.video, clip.start) for clip in found.clips] == [("a.mp4", 0), ("a.mp4", 16), ("frames/b", 0)]
        assert {(clip.height, clip.width) for clip in found.clips} == {(32, 44)}
        clips = list(found.read(found.clips))
        expected = [resize_frame(frame, (32, 44)) for frame in decode_frames(folder / "a.mp4")][16:32]
        np.testing.assert_array_equal(clips[1], np.stack(expected))

    def test_only_the_clips_asked_for_are_read(self, video_file: Callable, store) -> None:
        found = folder_of_videos(video_file("a.mp4", frames=60).parent, SMALL, store)
        chosen = [found.clips[0], found.clips[2]]
        read = list(found.read(chosen))
        every = list(found.read(found.clips))
        np.testing.assert_array_equal(read, [every[0], every[2]])

    def test_identity_follows_the_content(self, video_file: Callable, store) -> None:
        folder = video_file("a.mp4").parent
        before = folder_of_videos(folder, SMALL, store).identity
        assert folder_of_videos(folder, SMALL, store).identity == before
        video_file("a.mp4", seed=5)
        assert folder_of_videos(folder, SMALL, store).identity != before

    def test_a_short_video_stops_or_is_left_out_by_name(self, video_file: Callable, store) -> None:
        folder = video_file("good.mp4").parent
        video_file("short.mp4", frames=10)
        with pytest.raises(InputError, match=r"short\.mp4 has 10 frames; expected at least the 16"):
            folder_of_videos(folder, SMALL, store)
        found = folder_of_videos(folder, SMALL, store, skip_unusable=True)
        assert {clip.video for clip in found.clips} == {"good.mp4"}
        assert "short.mp4 has 10 frames" in found.skipped[0]

    def test_a_black_clip_stops_or_is_left_out_by_name(self, tmp_path: Path, store) -> None:
        frames = moving_squares(48)
        frames[16:32] = 0
        folder = tmp_path / "videos"
        folder.mkdir()
        write_video(folder / "dark.mp4", frames)
        with pytest.raises(InputError, match=r"dark\.mp4, frames \d+ to \d+, carries no information"):
            folder_of_videos(folder, SMALL, store)
        found = folder_of_videos(folder, SMALL, store, skip_unusable=True)
        assert found.clips
        assert "carries no information" in found.skipped[0]

    def test_a_folder_without_videos_is_named(self, tmp_path: Path, store) -> None:
        with pytest.raises(InputError, match="holds no video"):
            folder_of_videos(tmp_path, SMALL, store)
        with pytest.raises(InputError, match="no folder at"):
            folder_of_videos(tmp_path / "nowhere", SMALL, store)

    def test_a_video_that_changes_meanwhile_is_noticed(self, video_file: Callable, store) -> None:
        found = folder_of_videos(video_file("a.mp4", frames=60).parent, SMALL, store)
        video_file("a.mp4", frames=20)
        with pytest.raises(InputError, match="changed while it was read"):
            list(found.read(found.clips))

    def test_the_packaged_videos_give_clips_that_cross_no_cut(self, store: AssetStore) -> None:
        found = packaged_videos(model("i3d_inception").preparation, store)
        bikes = [(clip.shot, clip.start) for clip in found.clips if clip.video == "bikes"]
        cuts = [0, 30, 76, 137, 187, 242, 250]
        assert bikes
        for shot, start in bikes:
            assert cuts[shot] <= start
            assert start + 16 <= cuts[shot + 1]
        assert len(found.clips) == 27
        assert len({(clip.video, clip.shot) for clip in found.clips}) == 7


def test_arrays_are_clips() -> None:
    found = ArrayDataset("toy", {"a": moving_squares(16), "b": moving_squares(16, seed=1).astype(np.float32)})
    assert [clip.video for clip in found.clips] == ["a", "b"]
    np.testing.assert_array_equal(next(found.read(found.clips)), moving_squares(16))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (moving_squares(16)[..., 0], "has shape"),
        (np.zeros((16, 32, 32, 3), np.uint8), "clip 'a' carries no information"),
        (moving_squares(16).astype(np.float32) * 2, "expected 0 to 255"),
        (np.where(moving_squares(16) == 0, np.nan, 1.0), "clip 'a' has a value that is NaN"),
    ],
)
def test_arrays_that_are_no_clips_are_named(frames: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ArrayDataset("toy", {"a": frames})
