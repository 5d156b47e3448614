"""Small stylised data sets in the published layouts, made on the spot."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdbench.data import READERS, StylisedDataset
from sdbench.data.layouts import LAYOUTS, STYLE_FOLDERS
from tests.conftest import moving_squares

TINTS = np.array([[1, 0.4, 0.4], [0.4, 1, 0.4], [0.4, 0.4, 1], [1, 1, 0.3]])


def annotation_files(layout: str, videos: Mapping[str, int], start: float = 0.0) -> dict[str, Any]:
    """File name -> content; every ActivityNet video has one annotation, from `start` seconds to its end."""
    files = LAYOUTS[layout].annotations
    if layout == "activitynet":
        database = {
            video: {
                "subset": "validation",
                "duration": frames / 5,
                "annotations": [{"segment": [start, max(frames / 5, start + 4)], "label": "Diving"}],
            }
            for video, frames in videos.items()
        }
        return {files[0]: {"version": "VERSION 1.3", "database": database}}
    if layout == "diving48":
        return {files[0]: [{"vid_name": v, "label": 3, "start_frame": 0, "end_frame": n} for v, n in videos.items()]}
    entries = [{"id": v, "label": "moving cube", "template": "Moving [something]", "placeholders": []} for v in videos]
    return {files[0]: entries, files[1]: {"Moving something": "0"}}


def make(folder: Path, layout: str, videos: Mapping[str, int], height: int = 20, width: int = 24) -> Path:
    """Write the videos (name -> number of frames) in four tints, with their annotation files."""
    place = LAYOUTS[layout]
    for seed, (video, count) in enumerate(videos.items()):
        for style, pictures in zip(STYLE_FOLDERS, tinted_pictures(count, height, width, seed), strict=True):
            target = folder / style / place.video_folder(video)
            target.mkdir(parents=True)
            for position, picture in enumerate(pictures):
                (target / place.frame_name(position)).write_bytes(picture)
    write(folder, annotation_files(layout, videos))
    return folder


@functools.lru_cache(maxsize=64)
def tinted_pictures(count: int, height: int, width: int, seed: int) -> list[list[bytes]]:
    """The frames of a video as JPEG files, in each of the tints."""
    frames = moving_squares(count, height, width, seed=seed)
    return [[as_jpeg((frame * tint).astype(np.uint8)) for frame in frames] for tint in TINTS]


def as_jpeg(frame: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=95)
    return file.getvalue()


def write(folder: Path, files: Mapping[str, object]) -> None:
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def names(count: int, layout: str) -> list[str]:
    return [str(1000 + i) if layout == "ssv2" else f"video{i:02d}" for i in range(count)]


def read(folder: Path, layout: str, **options: bool) -> StylisedDataset:
    return READERS[layout](folder, **options)
