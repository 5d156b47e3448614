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
from sdbench.data.stylised import PROTOCOLS, AnnotatedVideo, LeftOut, Rule, StylisedDataset

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
    """The validation videos; a clip is taken from the frames of one annotation, and repeats them where they are few.

    An annotation from s to e seconds holds the frames floor(5 s) + 1 to floor(5 e), counted from 1, so far as the video
    goes. The published rules leave out a video of fewer than 32 frames or with any annotation of fewer than 16, and
    take the first annotation; the corrected ones take the first of 16 frames or more, and leave out a video without
    one.

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
    return StylisedDataset(folder, layout, annotated, digest, _rule(layout.frames_per_second), skip_unusable)


def _rule(rate: int) -> Rule:
    def rule(video: AnnotatedVideo, frames: int, protocol: str) -> range:
        if frames < FEWEST_FRAMES:
            raise LeftOut(f"fewer than {FEWEST_FRAMES} frames")
        annotated = [range(math.floor(s * rate), min(math.floor(e * rate), frames)) for s, e in video.segments]
        long = [clip for clip in annotated if clip.stop - clip.start >= FEWEST_ANNOTATED]
        if not long:
            raise LeftOut(f"no annotation of {FEWEST_ANNOTATED} frames or more")
        if protocol == PROTOCOLS[0] and len(long) < len(annotated):
            raise LeftOut(f"an annotation of fewer than {FEWEST_ANNOTATED} frames beside a longer one, as published")
        return long[0]

    return rule
