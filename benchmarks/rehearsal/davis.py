"""DAVIS 2016 and Stylized DAVIS as they are published: zips of pictures, without optical flow."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.rehearsal.checkpoints import zipped
from benchmarks.rehearsal.pictures import frame, mask, save

SEQUENCES = ("blackswan", "bmx-trees", "breakdance", "camel", "car-roundabout", "car-shadow", "cows", "dance-twirl")
"""With fewer there would be no intervals, and no verdicts."""

STYLES = ("Lynx", "Maruska640", "Zuzka1", "Zuzka2")
FRAMES = 4
SIZE = (54, 96)
"""Height and width, in pixels: those of DAVIS (480 x 854), made smaller."""


def davis_archive(path: Path) -> None:
    """DAVIS-data.zip: frames and masks in two sizes, lists of frames, a readme, below one folder."""
    with tempfile.TemporaryDirectory(dir=path.parent) as inside:
        root = Path(inside) / "DAVIS"
        for size, factor in (("480p", 1), ("1080p", 2)):
            height, width = (factor * side for side in SIZE)
            lines = []
            for number, sequence in enumerate(SEQUENCES):
                for position in range(FRAMES):
                    name = f"{sequence}/{position:05d}"
                    save(frame(number, position, height, width), root / "JPEGImages" / size / f"{name}.jpg")
                    save(mask(number, position, height, width), root / "Annotations" / size / f"{name}.png")
                    lines.append(f"/JPEGImages/{size}/{name}.jpg /Annotations/{size}/{name}.png \n")
            (root / "ImageSets" / size).mkdir(parents=True)
            for subset in ("train", "val", "trainval"):
                (root / "ImageSets" / size / f"{subset}.txt").write_text("".join(lines if "val" in subset else []))
        (root / "README.md").write_text("Densely Annotated VIdeo Segmentation, made up.\n")
        zipped(Path(inside), path)


def painted_archive(path: Path) -> None:
    """Stylized_DAVIS.zip: the frames in four styles, in another size than the frames as filmed."""
    height, width = (2 * side // 3 for side in SIZE)
    with tempfile.TemporaryDirectory(dir=path.parent) as inside:
        for style, name in enumerate(STYLES):
            for number, sequence in enumerate(SEQUENCES):
                for position in range(FRAMES):
                    place = Path(inside) / "JPEGImages" / name / sequence / f"{position:05d}.jpg"
                    save(frame(number, position, height, width, style), place)
        zipped(Path(inside), path, "Stylized_DAVIS/")
