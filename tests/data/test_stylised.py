"""Stylised data sets in the published layouts, and what can be wrong with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.data import READERS
from sdbench.data.layouts import LAYOUTS, STYLE_FOLDERS
from tests.conftest import moving_squares
from tests.made.stylised import TINTS, annotation_files, make, read, write

NAMES = {"activitynet": ("a", "b", "c"), "diving48": ("a", "b", "c"), "ssv2": ("1", "2", "3")}
FIRST_FRAME = {"activitynet": "000001.jpg", "diving48": "image_00000.jpg", "ssv2": "000001.jpg"}
ALL = pytest.mark.parametrize("layout", READERS)


def built(folder: Path, layout: str, counts: tuple[int, ...] = (40, 33, 70)) -> Path:
    return make(folder, layout, dict(zip(NAMES[layout], counts, strict=False)))


def frame(folder: Path, layout: str, video: int, position: int, style: int = 1) -> Path:
    place = LAYOUTS[layout]
    return folder / f"style_{style}" / place.video_folder(NAMES[layout][video]) / place.frame_name(position)


@ALL
def test_videos_are_listed_and_read_by_position(tmp_path: Path, layout: str) -> None:
    folder = built(tmp_path, layout)
    assert (folder / "style_1" / LAYOUTS[layout].video_folder(NAMES[layout][0]) / FIRST_FRAME[layout]).is_file()
    found = read(folder, layout)
    assert [video.frames for video in found.videos] == [40, 33, 70]
    assert [video.name for video in found.videos] == [LAYOUTS[layout].video_folder(n) for n in NAMES[layout]]
    assert {video.start for video in found.videos} == ({0} if layout == "activitynet" else {None})
    assert found.styles == STYLE_FOLDERS
    assert found.skipped == ()
    expected_files = [frame(folder, layout, 1, position, style=3) for position in (5, 0, 5)]
    assert found.files(found.videos[1], "style_3", [5, 0, 5]) == expected_files
    frames = found.read(found.videos[1], "style_3", [5, 0, 5])
    assert frames.dtype == np.uint8
    expected = (moving_squares(33, 20, 24, seed=1)[[5, 0, 5]] * TINTS[2]).astype(np.uint8)
    assert np.abs(frames.astype(int) - expected).mean() < 12, "the frames of that style, but for JPEG"


@ALL
def test_identity_follows_annotations_and_frames(tmp_path: Path, layout: str) -> None:
    folder = built(tmp_path, layout)
    before = read(folder, layout).identity
    assert read(folder, layout).identity == before
    for style in (1, 2, 3, 4):
        frame(folder, layout, 2, 69, style).unlink()
    assert read(folder, layout).identity != before


@ALL
def test_a_missing_style_is_named_and_the_others_used(tmp_path: Path, layout: str) -> None:
    folder = built(tmp_path, layout)
    shutil.rmtree(folder / "style_2")
    found = read(folder, layout)
    assert found.styles == ("style_1", "style_3", "style_4")
    assert found.skipped == ("style style_2 is missing",)


@ALL
def test_half_of_the_styles_missing_runs_nothing(tmp_path: Path, layout: str) -> None:
    folder = built(tmp_path, layout)
    shutil.rmtree(folder / "style_2")
    shutil.rmtree(folder / "style_4")
    (folder / "style_4").mkdir()
    with pytest.raises(InputError, match=r"lacks 2 of its 4 styles: style_2, style_4 are not there or empty; nothing"):
        read(folder, layout)


@ALL
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("gap", r"gap in frame numbers in style_1: \d+ is missing"),
        ("first", r"frames start at \d in style_1, expected \d"),
        ("end", "numbers of frames differ: 32 in style_1, 33 in style_2"),
        ("video", "not in style_1"),
        ("empty", "no frame like .* in style_1"),
    ],
)
def test_a_damaged_video_stops_or_is_left_out_by_name(tmp_path: Path, layout: str, damage: str, said: str) -> None:
    folder = built(tmp_path, layout)
    video = frame(folder, layout, 1, 0).parent
    if damage in ("video", "empty"):
        shutil.rmtree(video)
        if damage == "empty":
            video.mkdir()
    else:
        frame(folder, layout, 1, {"gap": 17, "first": 0, "end": 32}[damage]).unlink()
    with pytest.raises(InputError, match=f"is damaged: {said}.*: {video.name}"):
        read(folder, layout)
    found = read(folder, layout, skip_unusable=True)
    assert [v.frames for v in found.videos] == [40, 70]
    assert video.name in found.skipped[0]


@ALL
def test_an_unreadable_frame_is_named_when_it_is_read(tmp_path: Path, layout: str) -> None:
    folder = built(tmp_path, layout)
    broken = frame(folder, layout, 0, 3)
    broken.write_bytes(broken.read_bytes()[:200])
    found = read(folder, layout)
    found.read(found.videos[0], "style_1", [0, 1])
    with pytest.raises(InputError, match=rf"frame {broken} cannot be read as a picture .*; replace it and run again"):
        found.read(found.videos[0], "style_1", [0, 3])
    broken.unlink()
    with pytest.raises(InputError, match="no longer there"):
        found.read(found.videos[0], "style_1", [0, 3])
    shutil.copy(frame(built(tmp_path / "other", layout), layout, 0, 3), broken)
    assert read(folder, layout).identity == found.identity, "the measurement goes on where it stopped"


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    folder = built(tmp_path, "ssv2")
    other = make(tmp_path / "other", "ssv2", {"1": 9}, 28, 24)
    shutil.copy(frame(other, "ssv2", 0, 3), frame(folder, "ssv2", 0, 3))
    found = read(folder, "ssv2")
    with pytest.raises(InputError, match="24 x 28 pixels, others of its video 24 x 20"):
        found.read(found.videos[0], "style_1", [0, 3])


def test_short_videos_are_left_out_as_published(tmp_path: Path) -> None:
    found = read(built(tmp_path / "a", "activitynet", (32, 31, 40)), "activitynet")
    assert [v.frames for v in found.videos] == [32, 40]
    assert found.skipped == ("fewer than 32 frames: v_b",)
    for layout in ("diving48", "ssv2"):
        found = read(built(tmp_path / layout, layout, (8, 7, 12)), layout)
        assert [v.frames for v in found.videos] == [8, 12]
        assert found.skipped == (f"fewer than 8 frames: {NAMES[layout][1]}",)


def test_places_are_those_of_the_annotation_file(tmp_path: Path) -> None:
    folder = built(tmp_path, "diving48")
    write(folder, annotation_files("diving48", {"c": 70, "elsewhere": 20, "a": 40, "b": 33}))
    found = read(folder, "diving48")
    assert [(video.name, video.place) for video in found.videos] == [("a", 2), ("b", 3), ("c", 0)]


def test_only_the_validation_subset_and_what_is_there_counts(tmp_path: Path) -> None:
    folder = built(tmp_path, "activitynet", (40, 40, 40))
    content = annotation_files("activitynet", {"a": 40, "b": 40, "c": 40, "elsewhere": 40})
    content["activitynet_v13.json"]["database"]["c"]["subset"] = "training"
    write(folder, content)
    found = read(folder, "activitynet")
    assert [v.name for v in found.videos] == ["v_a", "v_b"]
    assert found.skipped == (
        "1 of 3 annotated videos are not in the style folders",
        "not in the annotation file: v_c",
    )


@ALL
def test_an_annotation_file_that_is_missing_or_no_json_is_named(tmp_path: Path, layout: str) -> None:
    folder = built(tmp_path, layout)
    path = folder / LAYOUTS[layout].annotations[0]
    path.write_text("{")
    with pytest.raises(InputError, match=rf"{path} is not valid JSON .*; copy it again"):
        read(folder, layout)
    path.write_text('"text"')
    with pytest.raises(InputError, match=r"must hold (an object|a list) with at least one entry; got str"):
        read(folder, layout)
    path.unlink()
    with pytest.raises(InputError, match=rf"no annotation file at {path}; .* put it beside the style folders"):
        read(folder, layout)


@pytest.mark.parametrize(
    ("layout", "spoil", "said"),
    [
        ("activitynet", lambda c: c.pop("database"), "the file lacks the field database"),
        (
            "activitynet",
            lambda c: c["database"]["b"].clear(),
            "entry database.b lacks the field subset and lacks the field annotations;",
        ),
        ("activitynet", lambda c: c["database"].update(a=1), "entry database.a is 1: it should be an object;"),
        (
            "activitynet",
            lambda c: c["database"]["b"]["annotations"][0].pop("segment"),
            "entry b.0 lacks the field segment;",
        ),
        (
            "activitynet",
            lambda c: c["database"]["b"]["annotations"][0].update(segment=[3, "x"]),
            r"entry b\.0 has segment\.1 = 'x': it should be a valid number;",
        ),
        (
            "activitynet",
            lambda c: c["database"]["b"]["annotations"][0].update(segment=[3]),
            r"entry b\.0 has segment = \[3\]: list should have at least 2 items",
        ),
        (
            "activitynet",
            lambda c: c["database"]["b"]["annotations"][0].update(segment=[3, 2]),
            r"entry b\.0 has segment = \[3, 2\]: its start should not come after its end",
        ),
        (
            "activitynet",
            lambda c: [v.update(subset="training") for v in c["database"].values()],
            "no video of the subset 'validation'",
        ),
        ("diving48", lambda c: [e.pop("label") for e in c], r"entry 0 lacks the field label \(and 2 more entries"),
        ("diving48", lambda c: c[2].update(vid_name=7), "entry 2 has vid_name = 7: it should be a valid string;"),
        ("diving48", lambda c: c[1].update(label=True), "entry 1 has label = True: it should be a valid integer;"),
        ("diving48", lambda c: c.append("d"), "entry 3 is 'd': it should be an object;"),
        ("diving48", lambda c: c[0].update(vid_name=list(range(99))), r"vid_name = \[0, 1, .{60,80}\.\.\.: it should"),
        ("ssv2", lambda c: c[1].pop("template"), "entry 1 lacks the field template"),
        ("ssv2", lambda c: c[1].update(id=True), "entry 1 has id = True: it should be a valid string;"),
        (
            "ssv2",
            lambda c: c[1].update(template="Eating [something]"),
            "is labelled 'Eating something', which .* lacks",
        ),
    ],
)
def test_missing_fields_are_named(tmp_path: Path, layout: str, spoil, said: str) -> None:
    folder = built(tmp_path, layout)
    path = folder / LAYOUTS[layout].annotations[0]
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=said) as caught:
        read(folder, layout)
    assert "\n" not in str(caught.value)


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    folder = built(tmp_path, "ssv2")
    path = folder / LAYOUTS["ssv2"].annotations[0]
    before = json.loads(path.read_text())
    path.write_text(json.dumps([{**entry, "id": int(entry["id"])} for entry in before]))
    assert [video.name for video in read(folder, "ssv2").videos] == ["1", "2", "3"]


def test_nothing_to_use_is_said(tmp_path: Path) -> None:
    folder = built(tmp_path, "diving48")
    write(folder, annotation_files("diving48", {"elsewhere": 20}))
    with pytest.raises(InputError, match=r"no video of .* can be used: 1 of 1 annotated videos are not in"):
        read(folder, "diving48")
