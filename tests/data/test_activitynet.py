"""Which videos and which of their frames are used of Stylised ActivityNet: the published rules, and the corrected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdbench.base.errors import InputError
from sdbench.data import StylisedDataset
from sdbench.data.layouts import LAYOUTS, STYLE_FOLDERS
from sdbench.studies.stylised_study import as_filmed, draw_start
from sdbench.video.feed import Feed
from tests.made.stylised import read, write

EXAMPLES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("activitynet_frames.json").read_text())["examples"]
EACH = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example["annotations"]))


def listed(folder: Path, videos: dict[str, tuple[list[list[float]], int]]) -> StylisedDataset:
    """A data set of videos (name -> annotations in seconds, number of frames) whose pictures are only listed."""
    layout = LAYOUTS["activitynet"]
    database = {}
    for name, (segments, frames) in videos.items():
        annotations = [{"segment": segment, "label": "x"} for segment in segments]
        database[name] = {"subset": "validation", "annotations": annotations}
        for style in STYLE_FOLDERS:
            place = folder / style / layout.video_folder(name)
            place.mkdir(parents=True)
            for position in range(frames):
                (place / layout.frame_name(position)).touch()
    write(folder, {layout.annotations[0]: {"database": database}})
    return read(folder, "activitynet")


WHOLE = ([[0.0, 6.4]], 32)
"""A video that every protocol uses, so that there is one."""


def pictures(found: StylisedDataset, protocol: str) -> list[int] | None:
    """Numbers of the pictures that a clip of 64 frames of the video "a" shows; None where it is left out."""
    by_name = {video.name: video for video in found.under(protocol).videos}
    if "v_a" not in by_name:
        return None
    video = by_name["v_a"]
    start = draw_start(video, 64, None, protocol)  # type: ignore[arg-type]  # an annotated start is not drawn
    (shown,) = as_filmed(video, start, Feed(frames=64)).values()
    return [int(found.files(video, "style_1", [position])[0].stem) for position in shown]


@EACH
@pytest.mark.parametrize("protocol", ["published", "corrected"])
def test_the_pictures_of_a_clip(tmp_path: Path, example: dict[str, Any], protocol: str) -> None:
    found = listed(tmp_path, {"a": (example["annotations"], example["frames"]), "whole": WHOLE})
    shown, expected = pictures(found, protocol), example[protocol]
    if expected is None:
        assert shown is None
        return
    first, last = expected
    assert shown == [first + i % (last + 1 - first) for i in range(64)]
    assert expected != example["mistaken"]


def test_what_is_left_out_is_said_and_is_the_protocols(tmp_path: Path) -> None:
    found = listed(
        tmp_path,
        {
            "a": ([[0, 10]], 60),
            "beside": ([[4.1, 7.5], [0.5, 3.3]], 60),
            "beyond": ([[12.5, 20]], 60),
            "none": ([], 60),
            "short": ([[0, 3]], 60),
            "small": ([[0, 10]], 31),
        },
    )
    no_annotation = "no annotation of 16 frames or more: v_beyond, v_none, v_short"
    assert [video.name for video in found.videos] == ["v_a"]
    assert found.skipped == (
        "an annotation of fewer than 16 frames beside a longer one, as published: v_beside",
        no_annotation,
        "fewer than 32 frames: v_small",
    )
    assert (found.under("published").videos, found.under("published").identity) == (found.videos, found.identity)
    corrected = found.under("corrected")
    assert [(v.name, v.start, v.end) for v in corrected.videos] == [("v_a", 0, 50), ("v_beside", 20, 37)]
    assert corrected.skipped == (no_annotation, "fewer than 32 frames: v_small")
    assert corrected.identity != found.identity
    assert found.protocol == "published"
    with pytest.raises(InputError, match="unknown protocol 'publishd'"):
        found.under("publishd")


@pytest.mark.parametrize(("longer", "annotated"), [(15, False), (16, True)])
def test_an_annotation_of_exactly_16_frames_is_long_enough(tmp_path: Path, longer: int, annotated: bool) -> None:
    found = listed(tmp_path, {"a": ([[1.0, 1.0 + longer / 5]], 60), "whole": WHOLE})
    assert ("v_a" in [video.name for video in found.videos]) is annotated


def test_a_data_set_that_only_the_corrected_rules_can_use(tmp_path: Path) -> None:
    found = listed(tmp_path, {"a": ([[1.0, 3.0], [5.0, 15.0]], 75)})
    assert found.videos == ()
    assert [video.name for video in found.under("corrected").videos] == ["v_a"]
    with pytest.raises(InputError, match="can be used: an annotation of fewer than 16 frames beside a longer one"):
        found.under("published")
