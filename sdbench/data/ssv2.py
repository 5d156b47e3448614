"""Stylised Something-Something v2: `style_{1..4}/ID/{:06d}.jpg` from 1, validation and label files beside."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter

from sdbench.base.errors import InputError
from sdbench.data.annotations import Entry, checked, read_json
from sdbench.data.diving48 import random_start
from sdbench.data.layouts import layout_named
from sdbench.data.stylised import AnnotatedVideo, StylisedDataset


def _as_text(number: Any) -> Any:
    return str(number) if type(number) is int else number


class _Video(Entry):
    id: Annotated[str, BeforeValidator(_as_text)]
    template: str


_VIDEOS = TypeAdapter(list[_Video])


def stylised_ssv2(folder: Path, skip_unusable: bool = False) -> StylisedDataset:
    """The validation videos that are there (about 5,000 were stylised); a clip starts anywhere.

    Videos of fewer than 8 frames are left out, as published.

    Raises:
        InputError: an annotation file or the folders cannot be used: see `StylisedDataset`.
    """
    layout = layout_named("ssv2")
    videos_path, labels_path = (folder / name for name in layout.annotations)
    digest = hashlib.sha256()
    videos = checked(videos_path, read_json(videos_path, list, digest), _VIDEOS)
    labels = read_json(labels_path, dict, digest)
    annotated = []
    for video in videos:
        label = video.template.replace("[", "").replace("]", "")
        if label not in labels:
            raise InputError(f"video {video.id} of {videos_path} is labelled {label!r}, which {labels_path} lacks")
        annotated.append(AnnotatedVideo(layout.video_folder(video.id), label))
    return StylisedDataset(folder, layout, annotated, digest, random_start, skip_unusable)
