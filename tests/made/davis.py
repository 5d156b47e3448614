"""A small DAVIS, its flow pictures and its stylised copies, in the published folders, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sdbench.data.davis_check import PUBLISHED_STYLES
from sdbench.video.flow import flow_folder
from tests.conftest import moving_squares
from tests.made.stylised import TINTS

SEQUENCES = ("bear", "camel", "cows")


def make_davis(
    folder: Path,
    sequences: Sequence[str] = SEQUENCES,
    frames: int = 5,
    height: int = 24,
    width: int = 40,
    flow: bool = True,
) -> Path:
    """Write frames, masks, the list of the validation set and, if wanted, flow pictures both ways."""
    lines = []
    for seed, sequence in enumerate(sequences):
        clip = moving_squares(frames, height, width, seed=seed)
        for position, frame in enumerate(clip):
            picture = f"JPEGImages/480p/{sequence}/{position:05d}.jpg"
            mask = f"Annotations/480p/{sequence}/{position:05d}.png"
            save(folder / picture, frame)
            save(folder / mask, square(position, height, width))
            lines.append(f"/{picture} /{mask}\n")
            if flow:
                for backward in (False, True):
                    if position != (0 if backward else frames - 1):
                        place = folder / flow_folder(backward) / sequence / f"{position:05d}.png"
                        save(place, flow_picture(seed, position, backward, height, width))
    place = folder / "ImageSets" / "480p" / "val.txt"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("".join(lines))
    return folder


def make_painted(folder: Path, davis: Path, styles: Sequence[str] = PUBLISHED_STYLES) -> Path:
    """Write a tinted copy of every frame of `davis` for each style."""
    for style, tint in zip(styles, TINTS, strict=False):
        for path in sorted((davis / "JPEGImages" / "480p").rglob("*.jpg")):
            frame = np.asarray(Image.open(path).convert("RGB"))
            save(folder / "JPEGImages" / style / path.parent.name / path.name, (frame * tint).astype(np.uint8))
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


def square(position: int, height: int, width: int) -> np.ndarray:
    """(height, width) uint8, 255 where the bright square of `moving_squares` is."""
    mask = np.zeros((height, width), np.uint8)
    top, left = (3 * position) % (height - 12), (2 * position) % (width - 12)
    mask[top : top + 12, left : left + 12] = 255
    return mask


def flow_picture(seed: int, position: int, backward: bool, height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: the square in a colour of its own, on a pale ground."""
    generator = np.random.default_rng([seed, position, backward])
    picture = np.full((height, width, 3), generator.integers(200, 256, 3), dtype=np.uint8)
    picture[square(position, height, width) > 0] = generator.integers(0, 256, 3)
    return picture
