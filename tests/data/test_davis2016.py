"""DAVIS in its folders: what is read, and what is said when something is missing or does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdbench.base.errors import InputError
from sdbench.data import davis
from sdbench.data.davis_check import PUBLISHED_STYLES
from sdbench.data.segmentation import SegmentationDataset, VideoSequence
from tests.made.davis import SEQUENCES, flow_picture, make_davis, make_painted, save, square

FRAME = "JPEGImages/480p/camel/00002.jpg"
MASK = "Annotations/480p/camel/00002.png"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_davis(tmp_path / "DAVIS")


@pytest.fixture
def painted(tmp_path: Path, data: Path) -> Path:
    return make_painted(tmp_path / "Stylized_DAVIS", data)


def test_frames_masks_flow_and_styles_are_read(data: Path, painted: Path) -> None:
    found: SegmentationDataset = davis(data, painted, backward_flow=True)
    assert [sequence.name for sequence in found.sequences] == list(SEQUENCES)
    bear, camel, _ = found.sequences
    assert camel.frames == ("00000", "00001", "00002", "00003", "00004")
    assert found.styles == PUBLISHED_STYLES
    assert found.skipped == ()
    assert found.notes == (
        "flow pictures as they came with the data",
        "styles: Lynx, Maruska640, Zuzka1, Zuzka2, as they came with the data",
    )
    shown = found.image(camel, 2)
    assert shown.shape == (24, 40, 3)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, np.asarray(Image.open(data / FRAME)))
    assert np.abs(found.image(camel, 2, "Lynx").astype(int) - shown).mean() > 8
    np.testing.assert_array_equal(found.flow(camel, 0), flow_picture(1, 0, False, 24, 40))
    np.testing.assert_array_equal(found.flow(bear, 4, backward=True), flow_picture(0, 4, True, 24, 40))
    mask = found.mask(camel, 2)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, square(2, 24, 40) > 0)


def test_files_of_what_is_read(data: Path, painted: Path) -> None:
    found: SegmentationDataset = davis(data, painted, backward_flow=True)
    camel = found.sequences[1]
    assert found.files(camel, [0, 2], [None, "Lynx"], [False, True], masks=True) == [
        data / "JPEGImages/480p/camel/00000.jpg",
        painted / "JPEGImages/Lynx/camel/00000.jpg",
        data / "FlowImages_gap1/camel/00000.png",
        data / "Annotations/480p/camel/00000.png",
        data / FRAME,
        painted / "JPEGImages/Lynx/camel/00002.jpg",
        data / "FlowImages_gap1/camel/00002.png",
        data / "FlowImages_gap-1/camel/00002.png",
        data / MASK,
    ]
    assert found.files(camel, [4], flow=[False]) == found.files(camel, [0]) == []
    with pytest.raises(InputError, match="unknown style 'Zuzka'"):
        found.files(camel, [0], ["Zuzka"])
    with pytest.raises(InputError, match="backward flow was not asked for"):
        davis(data).files(camel, [1], flow=[True])


def test_what_the_styles_were_made_with_must_be_whole(data: Path, painted: Path) -> None:
    place = painted / "stylised.json"
    for content, said in (
        ("{", r"stylised\.json is damaged \(Expecting property name"),
        ('{"styles": ["Lynx"]}', r"is damaged \(the file has styles = \['Lynx'\]: it should be a valid dictionary\)"),
        ("[]", r"is damaged \(the file is \[\]: it should be an object\)"),
    ):
        place.write_text(content)
        with pytest.raises(InputError, match=said):
            davis(data, painted)


def test_archives_with_a_folder_of_their_own_are_found(tmp_path: Path, data: Path, painted: Path) -> None:
    expected = davis(data, painted).identity
    (tmp_path / "unpacked").mkdir()
    painted.rename(tmp_path / "unpacked" / painted.name)
    assert davis(tmp_path, tmp_path / "unpacked").identity == expected
    make_davis(tmp_path / "other")
    with pytest.raises(InputError, match="holds 2 folders with it: DAVIS, other; name one of them"):
        davis(tmp_path)
    with pytest.raises(InputError, match=r"no JPEGImages/480p; is it DAVIS 2016, unpacked\?"):
        davis(data / "Annotations")
    with pytest.raises(InputError, match="no folder at"):
        davis(tmp_path / "nowhere")


def test_the_list_decides_which_frames_in_which_order(data: Path) -> None:
    path = data / "ImageSets/480p/val.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[10:14], "", *lines[3:5]]))
    found = davis(data, flow=False)
    assert [(s.name, s.frames) for s in found.sequences] == [
        ("cows", ("00000", "00001", "00002", "00003")),
        ("bear", ("00003", "00004")),
    ]
    np.testing.assert_array_equal(found.mask(found.sequences[1], 0), square(3, 24, 40) > 0)


def test_the_identity_tells_data_apart(data: Path, painted: Path, tmp_path: Path) -> None:
    identities = [
        davis(data).identity,
        davis(data, painted).identity,
        davis(data, backward_flow=True).identity,
        davis(make_davis(tmp_path / "larger", height=28)).identity,
        davis(make_davis(tmp_path / "longer", frames=6)).identity,
    ]
    (data / "FlowImages_gap1/flow.json").write_text(json.dumps({"method": "OpenCV DIS", "version": "5.0.0"}))
    described = davis(data)
    identities.append(described.identity)
    assert len(set(identities)) == len(identities)
    assert described.identity == davis(data).identity
    assert described.notes == (
        "optical flow by OpenCV DIS (version 5.0.0), drawn with the colour wheel of Baker et al.; "
        "not the published method",
    )
    with pytest.raises(InputError, match="were made by different methods: FlowImages_gap1: optical flow by OpenCV"):
        davis(data, backward_flow=True)
    (data / "FlowImages_gap1/flow.json").write_text("{}")
    with pytest.raises(InputError, match=r"flow\.json is damaged; delete its folder"):
        davis(data)


def test_everything_that_is_missing_is_named_at_once(data: Path, painted: Path) -> None:
    for name in (FRAME, MASK, "FlowImages_gap-1/bear/00001.png", "FlowImages_gap-1/bear/00004.png"):
        (data / name).unlink()
    for path in (painted / "JPEGImages/Zuzka2").rglob("*.jpg"):
        path.unlink()
    (data / "FlowImages_gap1/camel").rename(data / "FlowImages_gap1/away")
    (painted / "JPEGImages/Zuzka1/bear/00000.jpg").unlink()
    (painted / "JPEGImages/Zuzka2").rename(painted / "away")
    (data / "JPEGImages/480p/cows").rename(data / "cows")
    with pytest.raises(InputError) as caught:
        davis(data, painted, backward_flow=True)
    said = str(caught.value)
    for part in (
        "missing styles: Zuzka2;",
        f"missing backward flow pictures: 2, of bear (first {data}/FlowImages_gap-1/bear/00001.png)",
        f"missing pictures in style Zuzka1: 1, of bear (first {painted}/JPEGImages/Zuzka1/bear/00000.jpg)",
        f"missing frames: 1, of camel (first {data}/{FRAME})",
        f"missing masks: 1, of camel (first {data}/{MASK})",
        f"missing flow pictures: 4, of camel (first {data}/FlowImages_gap1/camel/00000.png)",
        f"missing sequences: 1, of cows (first {data}/JPEGImages/480p/cows)",
        f"`sdbench flow {data}`",
        f"`sdbench stylize {data} TARGET --layout davis`",
        "or leave these sequences out",
    ):
        assert part in said
    assert "\n" not in said


def test_what_lacks_something_is_left_out_where_that_is_asked_for(data: Path, painted: Path) -> None:
    (data / MASK).unlink()
    (data / "FlowImages_gap1/cows/00000.png").write_bytes(b"no picture")
    (painted / "JPEGImages/Zuzka2").rename(painted / "away")
    found = davis(data, painted, skip_unusable=True)
    assert [sequence.name for sequence in found.sequences] == ["bear"]
    assert found.styles == ("Lynx", "Maruska640", "Zuzka1")
    assert found.skipped[:2] == ("style Zuzka2 is missing", "camel is left out: missing masks: 1")
    assert "cows is left out: frame" in found.skipped[2]
    (data / "Annotations/480p/bear/00004.png").unlink()
    with pytest.raises(InputError, match="missing masks: 2, of bear, camel"):
        davis(data, painted, skip_unusable=True)


def test_two_styles_are_the_least(data: Path, painted: Path) -> None:
    for style in PUBLISHED_STYLES[1:]:
        (painted / "JPEGImages" / style).rename(painted / style)
    with pytest.raises(InputError, match="missing styles: Maruska640, Zuzka1, Zuzka2; bring Stylized DAVIS") as caught:
        davis(data, painted, skip_unusable=True)
    assert "leave" not in str(caught.value), "that would not help"
    assert davis(data).styles == ()


def _mask_of(values: list[int]) -> np.ndarray:
    mask = np.zeros((24, 40), np.uint8)
    mask[0, : len(values)] = values
    return mask


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: save(d / MASK, _mask_of([128, 255])), "tells several objects apart .values 128, 255.; expected 0"),
        (lambda d: save(d / MASK, np.zeros((20, 40), np.uint8)), r"has 40 x 20 pixels, the first picture .* 40 x 24"),
        (lambda d: (d / MASK).write_bytes((d / MASK).read_bytes()[:50]), "cannot be read as a picture"),
    ],
)
def test_masks_that_do_not_fit_are_refused_when_read(data: Path, change: Callable[[Path], object], said: str) -> None:
    change(data)
    found = davis(data)
    with pytest.raises(InputError, match=said):
        found.mask(found.sequences[1], 2)


def test_a_list_that_leaves_out_a_frame_is_refused_where_flow_is_read(data: Path) -> None:
    path = data / "ImageSets/480p/val.txt"
    lines = [line for line in path.read_text().splitlines() if "camel/00002" not in line]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match="leaves out frames of camel between 1 and 3: the flow of 1 leads to a frame"):
        davis(data)
    assert len(davis(data, flow=False).sequences) == 3


def test_masks_of_davis_2017_are_refused_when_listed(data: Path) -> None:
    indexed = Image.fromarray(_mask_of([])).convert("P")
    indexed.putdata([1, 2, *[0] * (24 * 40 - 2)])
    indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    indexed.save(data / "Annotations/480p/camel/00000.png")
    with pytest.raises(InputError, match=r"camel/00000\.png tells several objects apart \(values 1, 2\)"):
        davis(data)
    found = davis(data, skip_unusable=True)
    assert [sequence.name for sequence in found.sequences] == ["bear", "cows"]
    assert found.skipped[0].startswith("camel is left out: mask ")


def test_an_empty_mask_and_masks_of_other_modes_are_masks(data: Path) -> None:
    found = davis(data)
    camel = found.sequences[1]
    save(data / MASK, _mask_of([]))
    assert not found.mask(camel, 2).any()
    save(data / MASK, np.stack([_mask_of([255])] * 3, axis=-1))
    assert found.mask(camel, 2).sum() == 1
    indexed = Image.fromarray(_mask_of([1, 1])).convert("P")
    indexed.putdata([1, 1, *[0] * (24 * 40 - 2)])
    indexed.putpalette([0, 0, 0, 128, 0, 0])
    indexed.save(data / MASK)
    assert found.mask(camel, 2).sum() == 2


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("JPEGImages/480p/camel/00000.jpg", r"00000\.png has 40 x 24 pixels, the first picture of camel 40 x 20"),
        ("Annotations/480p/camel/00000.png", r"Annotations.* has 40 x 20 pixels, the first picture of camel 40 x 24"),
        ("FlowImages_gap1/camel/00000.png", r"FlowImages_gap1.* has 40 x 20 pixels, the first picture of camel"),
        ("FlowImages_gap-1/camel/00001.png", r"FlowImages_gap-1.* has 40 x 20 pixels, the first picture of camel"),
    ],
)
def test_first_pictures_of_different_sizes_are_refused_when_listed(data: Path, path: str, said: str) -> None:
    save(data / path, np.zeros((20, 40) if "Annotations" in path else (20, 40, 3), np.uint8))
    with pytest.raises(InputError, match=said):
        davis(data, backward_flow=True)


def test_later_pictures_of_different_sizes_are_refused_when_read(data: Path, painted: Path) -> None:
    found = davis(data, painted, backward_flow=True)
    camel = found.sequences[1]
    for path in (FRAME, "FlowImages_gap1/camel/00002.png", "FlowImages_gap-1/camel/00002.png"):
        save(data / path, np.zeros((24, 44, 3), np.uint8))
    save(painted / "JPEGImages/Lynx/camel/00002.jpg", np.zeros((24, 44, 3), np.uint8))
    for read in (
        lambda: found.image(camel, 2),
        lambda: found.image(camel, 2, "Lynx"),
        lambda: found.flow(camel, 2),
        lambda: found.flow(camel, 2, backward=True),
    ):
        with pytest.raises(InputError, match="has 44 x 24 pixels, the first picture of camel 40 x 24"):
            read()


def test_painted_copies_may_be_larger_but_not_stretched(data: Path, painted: Path) -> None:
    (painted / "JPEGImages" / "read me.txt").write_text("no style")
    for path in (painted / "JPEGImages/Lynx").rglob("*.jpg"):
        save(path, np.zeros((48, 80, 3), np.uint8))
    found = davis(data, painted)
    assert found.image(found.sequences[0], 0, "Lynx").shape == (48, 80, 3)
    assert found.notes[-1] == (
        "pictures in style Lynx have another size than the frames as filmed in 3 of 3 sequences "
        "(bear: 80 x 48 and 40 x 24)"
    )
    save(painted / "JPEGImages/Lynx/cows/00000.jpg", np.zeros((48, 82, 3), np.uint8))
    with pytest.raises(InputError, match=r"has 82 x 48 pixels, .* as filmed 40 x 24; expected the same aspect ratio"):
        davis(data, painted)


def test_a_sequence_of_one_frame_is_refused(data: Path) -> None:
    path = data / "ImageSets/480p/val.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:6]))
    with pytest.raises(InputError, match="sequence camel has one frame; expected two at least"):
        davis(data)
    assert [sequence.name for sequence in davis(data, skip_unusable=True).sequences] == ["bear"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty; expected a frame and its mask"),
        ("camel\n", r"line 1 of .* is 'camel'; expected a frame and its mask as in DAVIS 2016"),
        ("/JPEGImages/480p/a/0.jpg /Annotations/480p/b/0.png", "line 1 of"),
        ("/JPEGImages/480p/../0.jpg /Annotations/480p/../0.png", "line 1 of"),
        ("\n" + 2 * "/JPEGImages/480p/a/0.jpg /Annotations/480p/a/0.png\n", "line 3 of .* names frame 0 of a again"),
        (b"\xff\xfe", "is no text"),
    ],
)
def test_lists_that_are_not_those_of_davis_2016_are_refused(data: Path, content: str | bytes, said: str) -> None:
    path = data / "ImageSets/480p/val.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=said):
        davis(data)
    path.unlink()
    with pytest.raises(InputError, match="no list at"):
        davis(data)


def test_what_is_not_there_is_not_read(data: Path) -> None:
    found = davis(data)
    camel = found.sequences[1]
    with pytest.raises(InputError, match="camel has no forward flow of frame 00004: it is the last"):
        found.flow(camel, 4)
    with pytest.raises(InputError, match="backward flow was not asked for"):
        found.flow(camel, 1, backward=True)
    with pytest.raises(InputError, match="camel has no backward flow of frame 00000: it is the first"):
        davis(data, backward_flow=True).flow(camel, 0, backward=True)
    with pytest.raises(InputError, match="camel has frames 0 to 4; asked for 5"):
        found.image(camel, 5)
    with pytest.raises(InputError, match="unknown style 'Lynx'"):
        found.image(camel, 0, "Lynx")
    with pytest.raises(InputError, match="unknown sequence 'camels'"):
        found.image(VideoSequence("camels", ("00000",)), 0)
