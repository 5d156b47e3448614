"""Stylised Diving48: `style_{1..4}/VIDEO/image_{:05d}.jpg`, numbered from 0, `Diving48_V2_test.json` beside."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import TypeAdapter

from sdbench.data.annotations import Entry, checked, read_json
from sdbench.data.layouts import layout_named
from sdbench.data.stylised import AnnotatedVideo, LeftOut, StylisedDataset

FEWEST_FRAMES = 8
"""The random start of a short video leaves at least so many."""


class _Video(Entry):
    vid_name: str
    label: int


_VIDEOS = TypeAdapter(list[_Video])


def stylised_diving48(folder: Path, skip_unusable: bool = False) -> StylisedDataset:
    """The test videos; a clip starts anywhere. Videos of fewer than 8 frames leave no start to draw and are left out.

    Raises:
        InputError: the annotation file or the folders cannot be used: see `StylisedDataset`.
    """
    layout = layout_named("diving48")
    path = folder / layout.annotations[0]
    digest = hashlib.sha256()
    videos = checked(path, read_json(path, list, digest), _VIDEOS)
    annotated = [AnnotatedVideo(layout.video_folder(video.vid_name), str(video.label)) for video in videos]
    return StylisedDataset(folder, layout, annotated, digest, random_start, skip_unusable)


def random_start(_video: AnnotatedVideo, frames: int, _protocol: str) -> None:
    """The rule of data sets whose clips start anywhere, under both protocols."""
    if frames < FEWEST_FRAMES:
        raise LeftOut(f"fewer than {FEWEST_FRAMES} frames")
