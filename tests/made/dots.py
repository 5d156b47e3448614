"""Small cinematograms or stereograms of DAVIS, in the layout of the published loaders, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdbench.data.davis_check import PUBLISHED_STYLES
from tests.conftest import moving_squares
from tests.made.davis import flow_picture, save
from tests.made.stylised import TINTS

SOURCES = ("bear", "camel", "cows")


def make_dots(
    folder: Path,
    painted: Path | None = None,
    sources: Sequence[str] = SOURCES,
    frames: int = 2,
    height: int = 24,
    width: int = 40,
    styles: Sequence[str] = PUBLISHED_STYLES,
) -> Path:
    """Write the list of source frames, ten pictures of each in every style, and the flow of all but the last."""
    lines = []
    for seed, source in enumerate(sources):
        for frame in range(frames):
            lines.append(f"/JPEGImages/480p/{source}/{frame:05d}.jpg /Annotations/480p/{source}/{frame:05d}.png\n")
            clip = moving_squares(10, height, width, seed=10 * seed + frame)
            for position, picture in enumerate(clip):
                place = f"{source}/{frame:05d}/{position:05d}"
                save(folder / "JPEGImages" / "480p" / f"{place}.jpg", picture)
                for style, tint in zip(styles, TINTS, strict=False):
                    tinted = (picture * tint).astype("uint8")
                    save((painted or folder) / "JPEGImages" / style / f"{place}.jpg", tinted)
                if position != 9:
                    flow = flow_picture(10 * seed + frame, position, False, height, width)
                    save(folder / "OpticalFlow_Real" / f"{place}.png", flow)
    listed = folder / "ImageSets" / "480p" / "val.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("".join(lines))
    return folder
