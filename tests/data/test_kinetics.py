"""Folders of labelled videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.data import LabelledFolder
from sdbench.video.decode import decode_frames
from tests.conftest import moving_squares, write_video


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("yoga/b.mp4", "air_drumming/a.mp4", "yoga/a.mp4")):
        (tmp_path / "val" / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(tmp_path / "val" / name, moving_squares(20, seed=seed))
    (tmp_path / "val" / "yoga" / "notes.txt").write_text("no video")
    return tmp_path / "val"


def test_classes_are_folders_in_alphabetical_order(folder: Path) -> None:
    found = LabelledFolder(folder)
    assert found.passed_over == ("yoga/notes.txt",)
    assert [(v.name, v.class_index) for v in found.videos] == [
        ("air_drumming/a.mp4", 0),
        ("yoga/a.mp4", 1),
        ("yoga/b.mp4", 1),
    ]


def test_class_names_can_be_given_in_the_order_of_the_network(folder: Path) -> None:
    found = LabelledFolder(folder, ["abseiling", "air drumming", "yoga"])
    assert {(v.label, v.class_index) for v in found.videos} == {("air drumming", 1), ("yoga", 2)}
    with pytest.raises(InputError, match=r"unknown class in .* 'yoga'; did you mean yogas"):
        LabelledFolder(folder, ["air drumming", "yogas"])
    with pytest.raises(InputError, match="two of the class names are alike"):
        LabelledFolder(folder, ["air drumming", "Air_drumming"])


def test_frames_are_read_by_position(folder: Path) -> None:
    found = LabelledFolder(folder)
    assert found.file(found.videos[1]) == folder / "yoga/a.mp4"
    every = list(decode_frames(folder / "yoga/a.mp4"))
    given: list[int] = []

    def chosen(length: int) -> list[int]:
        given.append(length)
        return [7, 0, 7]

    frames = found.read(found.videos[1], chosen)
    assert given == [20]
    np.testing.assert_array_equal(frames, np.stack([every[7], every[0], every[7]]))
    with pytest.raises(InputError, match=r"has 20 frames; frames \[20\] of it were asked for"):
        found.read(found.videos[1], lambda length: [length])


def test_a_folder_without_labelled_videos_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder at"):
        LabelledFolder(tmp_path / "nowhere")
    (tmp_path / "yoga").mkdir()
    with pytest.raises(InputError, match="holds no labelled video; expected CLASS/VIDEO"):
        LabelledFolder(tmp_path)
