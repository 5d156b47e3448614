"""What the rendered scenes show, thinned out: every look and motion with every kind of texture, in
several sizes and lengths.

    python -m tests.studies.rendered_pixels

writes the file of a new version, beside this one; that of a version which is already there is never written again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sdbench.studies.rendered_study import RENDERED, RenderedStudy, RenderedVideos
from sdbench.video.feed import Feed
from sdbench.video.render import LOOKS, MOTIONS, RenderedClip
from sdbench.video.textures import TEXTURES

FILE = Path(__file__).with_name(f"{RENDERED}.json")
SHAPES = (((24, 32), 2), ((64, 48), 5), ((112, 112), 16), ((27, 48), 9))
"""(height, width) and number of frames."""


def clips() -> Iterator[tuple[str, RenderedClip]]:
    """One of the four clips of a scene for each look, motion and texture, by what it is."""
    for number, (look, motion, texture) in enumerate(product(LOOKS, MOTIONS, TEXTURES)):
        if look == "dots" and texture != "noise":
            continue  # they show no texture
        size, frames = SHAPES[number % len(SHAPES)]
        videos = RenderedVideos(
            9, None, size, frames, textures=(texture,), motions=(motion,), looks=(look,), origin=number + 1
        )
        name = f"{look}, {motion}, {texture}, {frames} frames of {size[0]} x {size[1]}"
        yield name, videos.clip(videos.scene(number % 9), number % 2, number // 2 % 2)


def thinned(clip: RenderedClip) -> np.ndarray:
    """(3, 7, 7, 3) uint8: the first, the middle and the last frame, every so many pixels."""
    places = [np.linspace(0, side - 1, 7).round().astype(int) for side in clip.frames.shape[1:3]]
    times = [0, len(clip.frames) // 2, len(clip.frames) - 1]
    return np.asarray(clip.frames[times][:, places[0]][:, :, places[1]])


def drawn() -> dict[str, Any]:
    """All that is held of a version."""
    shown = dict(clips())
    return {
        "version": RENDERED,
        "pixels": {name: base64.b85encode(thinned(clip).tobytes()).decode() for name, clip in shown.items()},
        "means": {name: clip.frames.mean(axis=(0, 1, 2)).round(3).tolist() for name, clip in shown.items()},
        "covered": {name: round(float(clip.masks.mean()), 5) for name, clip in shown.items()},
        "dots": {
            name: hashlib.sha256(clip.frames.tobytes()).hexdigest()
            for name, clip in shown.items()
            if clip.appearance.look == "dots"
        },
        "scenes": scenes(),
    }


def scenes() -> list[list[Any]]:
    """Of the first scenes of the study, the number that they follow from and the kinds that were drawn."""
    study, feed = RenderedStudy(12), Feed(8, 64)
    origin = study.plan(feed, 0).samples[0].origin
    videos = RenderedVideos(12, None, feed.height_and_width, feed.frames, origin=origin)
    told: list[list[Any]] = []
    for number in range(12):
        scene = videos.scene(number)
        looks = [[each.look, *each.kinds] for each in scene.appearances]
        kinds = [motion.kind for motion in scene.motions]
        told.append([origin, looks, [appearance.seed for appearance in scene.appearances], kinds])
    return told


def pixels(held: str) -> np.ndarray:
    """What `thinned` gave, as it was held."""
    return np.frombuffer(base64.b85decode(held), dtype=np.uint8).reshape(3, 7, 7, 3)


if __name__ == "__main__":
    if FILE.exists():
        raise SystemExit(f"{FILE} is there; what is drawn otherwise is another version: change RENDERED first")
    FILE.write_text(json.dumps(drawn(), indent=1) + "\n", encoding="utf-8")
