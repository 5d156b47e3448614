"""Stylised ActivityNet: `style_{1..4}/v_VIDEO/{:06d}.jpg` at 5 frames per second, `activitynet_v13.json` beside."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from sdbench.base.errors import InputError
from sdbench.data.annotations import check_fields, read_json
from sdbench.data.layouts import layout_named
from sdbench.data.stylised import Annotated, LeftOut, Rule, StylisedDataset

FEWEST_FRAMES = 32
FEWEST_ANNOTATED = 16
_SUBSET = "validation"


def stylised_activitynet(folder: Path, skip_unusable: bool = False) -> StylisedDataset:
    """The validation videos; a clip starts where the first annotation does.

    The published rules leave out videos of fewer than 32 frames and pass over annotations of fewer than 16; a video
    without a longer one is left out.

    Raises:
        InputError: the annotation file or the folders cannot be used: see `StylisedDataset`.
    """
    layout = layout_named("activitynet")
    assert layout.frames_per_second is not None
    path = folder / layout.annotations[0]
    digest = hashlib.sha256()
    content = read_json(path, dict, digest)
    check_fields(path, [("the file", content)], {"database": dict})
    database: dict[str, dict[str, Any]] = content["database"]
    check_fields(path, ((f"video {k!r}", v) for k, v in database.items()), {"subset": str, "annotations": list})
    chosen = {video: entry["annotations"] for video, entry in database.items() if entry["subset"] == _SUBSET}
    if not chosen:
        raise InputError(f"the annotation file {path} has no video of the subset {_SUBSET!r}")
    numbered = [
        (f"annotation {i} of video {video!r}", a) for video, listed in chosen.items() for i, a in enumerate(listed)
    ]
    check_fields(path, numbered, {"segment": list, "label": str})
    for name, annotation in numbered:
        _check_segment(path, name, annotation["segment"])
    annotated = [
        Annotated(
            layout.video_folder(video),
            listed[0]["label"] if listed else "",
            tuple((float(a["segment"][0]), float(a["segment"][1])) for a in listed),
        )
        for video, listed in chosen.items()
    ]
    return StylisedDataset(folder, layout, annotated, digest, _clip_start(layout.frames_per_second), skip_unusable)


def _check_segment(path: Path, name: str, segment: list[Any]) -> None:
    numbers = [v for v in segment if isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)]
    if len(segment) != 2 or len(numbers) != 2 or not 0 <= segment[0] <= segment[1]:
        raise InputError(
            f"the annotation file {path} cannot be used: {name} has segment = {segment!r}, "
            "expected its start and end in seconds"
        )


def _clip_start(rate: int) -> Rule:
    def rule(video: Annotated, frames: int) -> int:
        if frames < FEWEST_FRAMES:
            raise LeftOut(f"fewer than {FEWEST_FRAMES} frames")
        for start, end in video.segments:
            if (end - start) * rate < FEWEST_ANNOTATED:
                continue
            # Frame 1 is what is seen from second 0 on; numbering from 1 makes a start of 0 the frame 1.
            position = max(1, math.ceil(start * rate)) - 1
            if position >= frames:
                raise LeftOut("its first annotation starts after its last frame")
            return position
        raise LeftOut(f"no annotation of {FEWEST_ANNOTATED} frames or more")

    return rule
