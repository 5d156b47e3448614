"""Stylised ActivityNet: `style_{1..4}/v_VIDEO/{:06d}.jpg` at 5 frames per second, `activitynet_v13.json` beside."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from sdbench.base.errors import InputError
from sdbench.data.annotations import Entry, checked, read_json
from sdbench.data.layouts import layout_named
from sdbench.data.stylised import AnnotatedVideo, LeftOut, Rule, StylisedDataset

FEWEST_FRAMES = 32
FEWEST_ANNOTATED = 16
_SUBSET = "validation"


class _Video(Entry):
    subset: str
    annotations: list[Any]  # those of other subsets are not looked at


class _File(Entry):
    database: dict[str, _Video]


def _in_order(segment: list[float]) -> list[float]:
    if segment[0] > segment[1]:
        raise PydanticCustomError("segment", "its start should not come after its end")
    return segment


_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Annotation(Entry):
    segment: Annotated[list[_Seconds], Field(min_length=2, max_length=2), AfterValidator(_in_order)]
    label: str


_FILE = TypeAdapter(_File)
_ANNOTATIONS = TypeAdapter(dict[str, list[_Annotation]])


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
    database = checked(path, read_json(path, dict, digest), _FILE).database
    chosen = {video: entry.annotations for video, entry in database.items() if entry.subset == _SUBSET}
    if not chosen:
        raise InputError(f"the annotation file {path} has no video of the subset {_SUBSET!r}")
    annotated = [
        AnnotatedVideo(
            layout.video_folder(video),
            listed[0].label if listed else "",
            tuple((a.segment[0], a.segment[1]) for a in listed),
        )
        for video, listed in checked(path, chosen, _ANNOTATIONS).items()
    ]
    return StylisedDataset(folder, layout, annotated, digest, _clip_start(layout.frames_per_second), skip_unusable)


def _clip_start(rate: int) -> Rule:
    def rule(video: AnnotatedVideo, frames: int) -> int:
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
