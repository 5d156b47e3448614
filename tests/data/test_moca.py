"""MoCA in its folder: what is read, and what is said when something is missing or malformed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.data.moca import Box, MocaDataset
from sdbench.data.segmentation import SegmentationDataset
from tests.made.moca import FOUND, HEADER, SIZE, blank, make_moca


@pytest.fixture
def moca(tmp_path: Path) -> Path:
    return make_moca(tmp_path)


def test_files_are_read(moca: Path) -> None:
    dataset = MocaDataset(moca)
    adder, bear = dataset.sequences
    assert (adder.name, adder.frames) == ("adder", ("00000", "00001", "00002", "00003"))
    assert dataset.box(adder, 0) == Box(2, 2, 8, 6, "deformation")
    assert dataset.box(adder, 1) == Box(10, 4, 15, 6, "deformation")
    assert dataset.box(adder, 2) == Box(2, 2, 8, 6, "locomotion")
    assert dataset.box(bear, 0) == Box(0, 1, 8, 5, "static")
    assert dataset.box(bear, 1) is None
    assert dataset.skipped == ("no annotated frame before the last: crab", "annotated, but without frames: dodo")
    assert dataset.size(bear) == SIZE
    assert dataset.image(adder, 2).shape == (*SIZE, 3)
    np.testing.assert_array_equal(dataset.flow(adder, 1)[..., 0], FOUND["adder"][1])
    np.testing.assert_array_equal(dataset.mask(bear, 0), blank((0, 1, 8, 5)) > 0)
    assert not dataset.mask(bear, 1).any()
    assert dataset.identity == MocaDataset(moca).identity
    (moca / "JPEGImages" / "bear" / "._00000.jpg").write_bytes(b"")
    assert dataset.identity == MocaDataset(moca).identity


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (
            "0,/adder/00000.jpg,\"[2,2,2,6]\",{'1': '0'}\n",
            r"entry 2 has spatial_coordinates = \[2, 2, 2, 6\]: list .* 5 items",
        ),
        ("0,/adder/00000.jpg,box,{'1': '0'}\n", "entry 2 has spatial_coordinates = 'box': invalid JSON"),
        ("0,adder.jpg,\"[2,2,2,6,4]\",{'1': '0'}\n", "file_list = 'adder.jpg': it should be /VIDEO/FRAME.jpg;"),
        ("0,/adder/00000.jpg,\"[2,2,2,6,4]\",{'1': '3'}\n", "with M one of 0, 1, 2;"),
        ('0,/adder/00000.jpg,"[2,2,2,6,4]",{}\n', "does not say how the animal of its first frame moves"),
        ("0,/adder/00000.jpg,\"[2,NaN,2,6,4]\",{'1': '0'}\n", "spatial_coordinates.1 = nan: it should be a finite"),
        ("", "must have rows with the columns file_list, spatial_coordinates, metadata"),
        ("0,/eel/00000.jpg,\"[2,2,2,6,4]\",{'1': '0'}\n", "no video of .* can be used: .*: adder, bear, crab; .*: eel"),
    ],
)
def test_malformed_annotations_are_named(moca: Path, rows: str, complaint: str) -> None:
    (moca / "annotations.csv").write_text(HEADER + rows, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        MocaDataset(moca)


def test_missing_files_are_named(moca: Path) -> None:
    for number in range(2):
        (moca / "FlowImages_gap1" / "adder" / f"{number:05d}.png").unlink()
    with pytest.raises(InputError, match=r"lacks 2 flow pictures: FlowImages_gap1/adder/00000.png, .*/00001.png"):
        MocaDataset(moca)
    shutil.rmtree(moca / "FlowImages_gap1")
    with pytest.raises(InputError, match=r"lacks 5 flow pictures: .* make them with RAFT"):
        MocaDataset(moca)
    (moca / "annotations.csv").unlink()
    with pytest.raises(InputError, match="no annotation file at"):
        MocaDataset(moca)
    shutil.rmtree(moca / "JPEGImages")
    with pytest.raises(InputError, match="no folder JPEGImages"):
        MocaDataset(moca)


def test_what_is_not_there_is_not_read(moca: Path) -> None:
    dataset = MocaDataset(moca)
    (moca / "JPEGImages" / "bear" / "00000.jpg").unlink()
    with pytest.raises(InputError, match=r"00000.jpg is no longer there"):
        dataset.image(dataset.sequences[1], 0)
    with pytest.raises(InputError, match="MoCA has no styles; 'Lynx' was asked for"):
        dataset.image(dataset.sequences[0], 0, "Lynx")


def test_backward_flow_is_needed_where_it_is_asked_for(moca: Path) -> None:
    with pytest.raises(InputError, match=r"lacks 5 flow pictures: FlowImages_gap-1/adder/00001.png, "):
        MocaDataset(moca, backward_flow=True)
    for video, pictures in FOUND.items():
        target = moca / "FlowImages_gap-1" / video
        target.mkdir(parents=True)
        for number in range(len(pictures)):
            shutil.copy(moca / "FlowImages_gap1" / video / f"{number:05d}.png", target / f"{number + 1:05d}.png")
    dataset = MocaDataset(moca, backward_flow=True)
    adder = dataset.sequences[0]
    np.testing.assert_array_equal(dataset.flow(adder, 1, backward=True), dataset.flow(adder, 0))


def test_files_of_what_is_read(moca: Path) -> None:
    dataset: SegmentationDataset = MocaDataset(moca)
    adder = dataset.sequences[0]
    assert dataset.files(adder, [0, 3], [None], [False]) == [
        moca / "JPEGImages/adder/00000.jpg",
        moca / "FlowImages_gap1/adder/00000.png",
        moca / "JPEGImages/adder/00003.jpg",
    ]
    assert dataset.files(adder, [1], masks=True) == [moca / "annotations.csv", moca / "JPEGImages/adder/00000.jpg"]
    with pytest.raises(InputError, match="MoCA has no styles; 'Lynx' was asked for"):
        dataset.files(adder, [0], ["Lynx"])
