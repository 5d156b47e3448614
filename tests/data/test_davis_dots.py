"""Cinematograms and stereograms of DAVIS: what the published rules leave out, and what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdbench.base.errors import InputError
from sdbench.data.davis_dots import DOTS, DotsDataset, davis_dots
from sdbench.data.segmentation import VideoSequence
from tests.made.davis import flow_picture
from tests.made.dots import make_dots

CINEMATOGRAMS, STEREOGRAMS = "davis_cinematograms", "davis_stereograms"
PICTURES = tuple(f"{number:05d}" for number in range(10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dots(tmp_path / "dots")


def names(found: DotsDataset) -> list[str]:
    return [sequence.name for sequence in found.sequences]


def test_a_source_frame_is_a_sequence_and_those_of_one_of_davis_are_resampled_together(folder: Path) -> None:
    for layout in DOTS:
        found = davis_dots(layout, folder)
        assert found.name == layout
        assert names(found) == [f"{source}/0000{n}" for source in ("bear", "camel", "cows") for n in (0, 1)]
        assert [found.source_of(sequence) for sequence in found.sequences[:3]] == ["bear", "bear", "camel"]


def test_of_cinematograms_pictures_without_flow_and_the_last_style_are_not_used(folder: Path) -> None:
    found = davis_dots(CINEMATOGRAMS, folder)
    assert found.styles == ("Lynx", "Maruska640", "Zuzka1")
    assert {sequence.frames for sequence in found.sequences} == {PICTURES[:9]}
    assert found.skipped == (
        "left out as published: 6 pictures without flow: bear/00000/00009, bear/00001/00009, camel/00000/00009, "
        "camel/00001/00009, cows/00000/00009 and 1 more",
        "the last of the styles is not used, as published: used are Lynx, Maruska640, Zuzka1",
    )
    for number in (0, 3):
        (folder / f"OpticalFlow_Real/camel/00001/0000{number}.png").unlink()
    changed = davis_dots(CINEMATOGRAMS, folder)
    assert changed.sequences[3] == VideoSequence("camel/00001", tuple(PICTURES[n] for n in (1, 2, 4, 5, 6, 7, 8)))
    assert changed.identity != found.identity


def test_of_cinematograms_source_frames_without_a_folder_are_left_out(folder: Path) -> None:
    shutil.rmtree(folder / "JPEGImages/480p/bear/00001")
    for number in range(8):
        (folder / f"OpticalFlow_Real/cows/00000/0000{number}.png").unlink()
    found = davis_dots(CINEMATOGRAMS, folder)
    assert names(found) == ["bear/00000", "camel/00000", "camel/00001", "cows/00001"]
    assert found.skipped[0] == "left out as published: 1 source frames without a folder: bear/00001"
    assert found.skipped[2].endswith("1 source frames with fewer than two pictures that have flow: cows/00000")


def test_of_stereograms_nothing_is_left_out(folder: Path) -> None:
    shutil.rmtree(folder / "JPEGImages/480p/bear/00001")  # nothing in it is shown
    found = davis_dots(STEREOGRAMS, folder)
    assert found.styles == ("Lynx", "Maruska640", "Zuzka1", "Zuzka2")
    assert {sequence.frames for sequence in found.sequences} == {PICTURES}
    assert len(found.sequences) == 6
    assert found.skipped == ()
    (folder / "OpticalFlow_Real/camel/00001/00003.png").unlink()
    with pytest.raises(
        InputError, match=r"camel/00001 lacks 1 pictures \(first .*camel/00001/00003\.png\); bring the ster"
    ):
        davis_dots(STEREOGRAMS, folder)
    assert "camel/00001" not in names(davis_dots(STEREOGRAMS, folder, skip_unusable=True))


def test_pictures_and_flow_of_a_place_are_those_of_its_files(folder: Path) -> None:
    found = davis_dots(STEREOGRAMS, folder)
    sequence = found.sequences[3]
    place = "camel/00001/00004"
    shown = np.asarray(Image.open(folder / f"JPEGImages/Zuzka1/{place}.jpg"))
    np.testing.assert_array_equal(found.image(sequence, 4, "Zuzka1"), shown)
    np.testing.assert_array_equal(found.flow(sequence, 4), flow_picture(11, 4, False, 24, 40))
    assert found.files(sequence, [4], ["Zuzka1"], [False]) == [
        folder / f"JPEGImages/Zuzka1/{place}.jpg",
        folder / f"OpticalFlow_Real/{place}.png",
    ]


def test_styles_may_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    folder = make_dots(tmp_path / "dots", tmp_path / "painted" / "unpacked")
    assert davis_dots(STEREOGRAMS, folder, tmp_path / "painted").styles == ("Lynx", "Maruska640", "Zuzka1", "Zuzka2")
    with pytest.raises(InputError, match=r"holds 0 styles \(none\); stereograms need two, in JPEGImages/STYLE"):
        davis_dots(STEREOGRAMS, folder)


def test_what_is_missing_or_unknown_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="unknown layout 'davis_stereogram'; did you mean davis_stereograms"):
        davis_dots("davis_stereogram", folder)
    with pytest.raises(InputError, match="cinematograms have no backward flow; this network sees both ways"):
        davis_dots(CINEMATOGRAMS, folder, backward_flow=True)
    (folder / "JPEGImages/Lynx/cows/00000/00002.jpg").unlink()
    (folder / "JPEGImages/Lynx/bear/00000/00000.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"bear/00000/00000\.jpg cannot be read .*; cows/00000 lacks 1 pictures"):
        davis_dots(CINEMATOGRAMS, folder)
    found = davis_dots(CINEMATOGRAMS, folder, skip_unusable=True)
    assert names(found) == ["bear/00001", "camel/00000", "camel/00001", "cows/00001"]
    assert "cows/00000 lacks 1 pictures" in found.skipped[-1]
    shutil.rmtree(folder / "JPEGImages/Maruska640")
    with pytest.raises(InputError, match="style Maruska640 is missing"):
        davis_dots(CINEMATOGRAMS, folder)
    shutil.rmtree(folder / "JPEGImages/Lynx")
    with pytest.raises(InputError, match="cinematograms need three, of which the last is not used"):
        davis_dots(CINEMATOGRAMS, folder)
    shutil.rmtree(folder / "OpticalFlow_Real")
    with pytest.raises(InputError, match=r"no folder at .*OpticalFlow_Real; stereograms have their flow in"):
        davis_dots(STEREOGRAMS, folder)
