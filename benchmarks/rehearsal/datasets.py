"""The data sets that nobody hands out to a program, as a user has them: painted videos, labelled videos, MoCA."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import av

from benchmarks.rehearsal.pictures import corner, flow_picture, frame, save

VIDEOS = 100
"""Of Stylised ActivityNet, on which what is known is asked for; one gives one pair."""

_FEWER = 24
"""Of the other painted data sets."""

_SIZE = (36, 48)
_FRAMES = 34
_STYLES = 4


def _painted(folder: Path, videos: list[str], name: Callable[[int], str], frames: int = _FRAMES) -> None:
    height, width = _SIZE
    for number, video in enumerate(videos):
        for style in range(_STYLES):
            for position in range(frames):
                place = folder / f"style_{style + 1}" / video / name(position)
                save(frame(number, position, height, width, style), place)


def activitynet(folder: Path) -> None:
    """Stylised ActivityNet at 5 frames a second, numbered from 1, with the annotations of all subsets beside.

    The videos that are used have an annotation of 32 frames and one of 17. One whose second has 7 is left out, as
    published.
    """
    names = [f"{number:011x}" for number in range(VIDEOS)]
    _painted(folder, [f"v_{name}" for name in names], lambda position: f"{position + 1:06d}.jpg")
    _painted(folder, ["v_too_short"], lambda position: f"{position + 1:06d}.jpg", frames=20)
    _painted(folder, ["v_with_a_short_one"], lambda position: f"{position + 1:06d}.jpg")
    seconds = _FRAMES / 5
    database = {
        name: {
            "duration": seconds,
            "subset": "validation",
            "resolution": "320x240",
            "url": f"https://www.youtube.com/watch?v={name}",
            "annotations": [{"segment": [0.4, 6.8], "label": "Diving"}, {"segment": [0.0, last], "label": "Shot put"}],
        }
        for name, last in (
            *((name, 3.4) for name in names),
            ("too_short", 3.4),
            ("gone_from_the_web", 3.4),
            ("with_a_short_one", 1.5),
        )
    }
    database["of_training"] = {**database[names[0]], "subset": "training"}
    database["of_testing"] = {**database[names[0]], "subset": "testing", "annotations": []}
    taxonomy = [{"parentName": "Root", "nodeName": "Diving", "nodeId": 1, "parentId": 0}]
    content = {"taxonomy": taxonomy, "version": "VERSION 1.3", "database": database}
    (folder / "activitynet_v13.json").write_text(json.dumps(content))


def diving48(folder: Path) -> None:
    """Stylised Diving48, numbered from 0."""
    names = [f"_8Vy3dlHg2w_{number:05d}" for number in range(_FEWER)]
    _painted(folder, names, lambda position: f"image_{position:05d}.jpg")
    listed = [{"vid_name": name, "label": 26, "start_frame": 0, "end_frame": _FRAMES} for name in names]
    (folder / "Diving48_V2_test.json").write_text(json.dumps(listed))


def ssv2(folder: Path) -> None:
    """Stylised Something-Something v2: some of the videos that the validation file lists, numbered from 1."""
    names = [str(74_225 + number) for number in range(_FEWER)]
    _painted(folder, names, lambda position: f"{position + 1:06d}.jpg")
    listed = [
        {
            "id": name,
            "label": "moving cube closer to book",
            "template": "Moving [something] closer to [something]",
            "placeholders": ["cube", "book"],
        }
        for name in (*names, "1")  # the last was not painted, as most were not
    ]
    (folder / "something-something-v2-validation.json").write_text(json.dumps(listed))
    labels = {"Moving something closer to something": "0", "Approaching something with your camera": "1"}
    (folder / "something-something-v2-labels.json").write_text(json.dumps(labels))


def _labelled(folder: Path, classes: list[str]) -> None:
    """Four videos in each of the first two classes, and a list of all of them."""
    for label, name in enumerate(classes[:2]):
        for number in range(4):
            place = folder / name / f"video_{number}.mp4"
            place.parent.mkdir(parents=True, exist_ok=True)
            _video(place, 10 * label + number)
    (folder / "classes.txt").write_text("\n".join(classes) + "\n")


def _video(path: Path, number: int) -> None:
    height, width = 96, 128
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for position in range(80):
            shown = av.VideoFrame.from_ndarray(frame(number, position, height, width), format="rgb24")
            container.mux(stream.encode(shown))
        container.mux(stream.encode())


def kinetics400(folder: Path) -> None:
    """Labelled videos, one folder a class."""
    _labelled(folder, [f"class {number:03d}" for number in range(400)])


def ssv2_labelled(folder: Path) -> None:
    """The same of Something-Something v2."""
    _labelled(folder, [f"Doing {number:03d} to something" for number in range(174)])


_ANIMALS = ("arctic_fox", "crab", "flounder")
_MOCA_FRAMES = 4
_MOCA_SIZE = (36, 64)


def moca(folder: Path) -> None:
    """MoCA as the motion grouping project prepared it, with optical flow both ways."""
    height, width = _MOCA_SIZE
    rows = io.StringIO()
    table = csv.writer(rows)
    table.writerow(["", "file_list", "spatial_coordinates", "metadata"])
    for number, (row, animal, position) in enumerate(_moca_frames()):
        name = f"{animal}/{position:05d}"
        save(frame(row, position, height, width), folder / "JPEGImages" / f"{name}.jpg")
        for gap, last in ((1, _MOCA_FRAMES - 1), (-1, 0)):
            if position != last:
                save(flow_picture(row, position, height, width), folder / f"FlowImages_gap{gap}" / f"{name}.png")
        top, left = corner(row, position, height, width)
        motion = "{'1': '0'}" if position == 0 else "{}"
        table.writerow([number, f"/{name}.jpg", json.dumps([2, left, top, height // 3, height // 3]), motion])
    (folder / "annotations.csv").write_text(rows.getvalue())


def _moca_frames() -> Iterator[tuple[int, str, int]]:
    for row, animal in enumerate(_ANIMALS):
        for position in range(_MOCA_FRAMES):
            yield row, animal, position


DATA_SETS: dict[str, Callable[[Path], None]] = {
    "stylized_activitynet": activitynet,
    "stylized_diving48": diving48,
    "stylized_ssv2": ssv2,
    "kinetics400_validation": kinetics400,
    "ssv2_validation": ssv2_labelled,
    "moca": moca,
}
"""Folder below a user's data -> what writes it. Labelled videos of Diving48 are for no network that was published."""
