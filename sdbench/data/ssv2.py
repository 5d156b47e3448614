"""Stylised Something-Something v2: `style_{1..4}/ID/{:06d}.jpg` from 1, validation and label files beside."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sdbench.base.errors import InputError
from sdbench.data.annotations import check_fields, read_json
from sdbench.data.diving48 import random_start
from sdbench.data.layouts import layout_named
from sdbench.data.stylised import Annotated, StylisedDataset


def stylised_ssv2(folder: Path, skip_unusable: bool = False) -> StylisedDataset:
    """The validation videos that are there (about 5,000 were stylised); a clip starts anywhere.

    Videos of fewer than 8 frames are left out, as published.

    Raises:
        InputError: an annotation file or the folders cannot be used: see `StylisedDataset`.
    """
    layout = layout_named("ssv2")
    videos_path, labels_path = (folder / name for name in layout.annotations)
    digest = hashlib.sha256()
    entries = read_json(videos_path, list, digest)
    labels = read_json(labels_path, dict, digest)
    check_fields(
        videos_path,
        ((f"entry {i}", entry) for i, entry in enumerate(entries)),
        {"id": (int, str), "template": str},
    )
    annotated = []
    for entry in entries:
        label = entry["template"].replace("[", "").replace("]", "")
        if label not in labels:
            raise InputError(f"video {entry['id']} of {videos_path} is labelled {label!r}, which {labels_path} lacks")
        annotated.append(Annotated(layout.video_folder(str(entry["id"])), label))
    return StylisedDataset(folder, layout, annotated, digest, random_start, skip_unusable)
