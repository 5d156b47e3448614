"""Frames from files and folders, and every way in which a file can disappoint."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sdbench.base.errors import InputError
from sdbench.video.decode import decode_frames, natural_key
from tests.conftest import moving_squares


def frames_of(path: Path) -> list[np.ndarray]:
    return list(decode_frames(path))


def test_a_video_gives_all_its_frames(video_file: Callable[..., Path]) -> None:
    frames = frames_of(video_file(frames=30))
    assert len(frames) == 30
    assert frames[0].shape == (48, 64, 3)
    assert frames[0].dtype == np.uint8
    assert np.abs(np.stack(frames).astype(int) - moving_squares(30)).mean() < 12, "colours in the right order"


def test_colours_that_are_stored_for_every_other_pixel_are_interpolated(tmp_path: Path) -> None:
    """Red beside blue, of odd size: a colour that is repeated in place of that stands still from pixel 20 to 21."""
    picture = np.zeros((33, 47, 3), dtype=np.uint8)
    picture[:, :23, 0] = picture[:, 23:, 2] = 255
    with av.open(str(tmp_path / "odd.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 47, 33, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    (frame,) = frames_of(tmp_path / "odd.mkv")
    assert (np.diff(frame[16, 20:24, 2].astype(int)) > 0).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux only")
def test_a_forked_process_decodes_what_its_parent_decoded_before(video_file: Callable[..., Path]) -> None:
    video = video_file(frames=4)
    assert len(frames_of(video)) == 4
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(len(frames_of(video))))
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
        child.join()
    assert child.exitcode == 4, "it waits for threads that only its parent has, or failed: see its traceback"


def test_a_folder_of_pictures_is_a_video_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    clip = moving_squares(12)
    for number, frame in enumerate(clip):
        Image.fromarray(frame).save(tmp_path / f"frame{number}.png")
    np.testing.assert_array_equal(np.stack(frames_of(tmp_path)), clip)
    assert sorted(["frame10", "frame9"], key=natural_key) == ["frame9", "frame10"]


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_off_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def picture(path: Path) -> None:
    Image.fromarray(moving_squares(1)[0]).save(path, format="JPEG")


def text(path: Path) -> None:
    path.write_text("no video at all")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_off, "is cut off: its header promises 40 frames"),
        (cut_off_header, "has no video stream|cannot be decoded as a video"),
        (empty, "is empty; expected a video"),
        (picture, "is a picture .*, not a video"),
        (text, "cannot be decoded as a video"),
        (Path.unlink, "no video at"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(video_file: Callable[..., Path], damage: Callable, said: str) -> None:
    path = video_file()
    damage(path)
    with pytest.raises(InputError, match=said):
        frames_of(path)


def test_an_unreadable_or_odd_frame_of_a_folder_is_named(tmp_path: Path) -> None:
    for number, frame in enumerate(moving_squares(3)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    Image.fromarray(moving_squares(1, 40, 40)[0]).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"frame 1 of .* has 40 x 40 pixels, the ones before it 64 x 48"):
        frames_of(tmp_path)
    (tmp_path / "1.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(InputError, match=r"frame .*1\.png cannot be read as a picture"):
        frames_of(tmp_path)


def test_an_empty_folder_holds_no_frame(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no frame"):
        frames_of(tmp_path)
