"""MoCA, camouflaged animals that move, as prepared by the motion grouping project.

    JPEGImages/VIDEO/00000.jpg           frames from 0, every third of the original, 720p, black bars cut off
    annotations.csv                      a box around the animal in each frame, and how it moves
    FlowImages_gap1/VIDEO/00000.png      optical flow to the next frame, drawn as a picture; not of the last frame
    FlowImages_gap-1/VIDEO/00001.png     optical flow to the frame before (RTNet alone needs it); not of the first frame

Lamdouar et al., "Betrayed by Motion: Camouflaged Object Discovery via Motion Segmentation", ACCV 2020; prepared by Yang
et al., "Self-supervised Video Object Segmentation by Motion Grouping", ICCV 2021, whose project offers frames and
annotations (https://github.com/charigyang/motiongrouping: 88 videos, 4803 annotated frames) and the program that made
the flow pictures. The study of Kowal et al. reads flow from the same folder. Boxes are the only annotation that is
read: the masks that come with the data are these boxes filled in.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdbench.base.errors import InputError, some
from sdbench.data.segmentation import Mask, VideoSequence
from sdbench.video.decode import picture_size, read_picture
from sdbench.video.frames import Frames

FRAMES = "JPEGImages"
ANNOTATIONS = "annotations.csv"
FLOW = {False: "FlowImages_gap1", True: "FlowImages_gap-1"}
"""Where flow pictures lie: forward, and (True) backward."""

MOTIONS = {"0": "locomotion", "1": "deformation", "2": "static"}

_COLUMNS = ("file_list", "spatial_coordinates", "metadata")
_FILE = re.compile(r"/?([^/]+)/([^/]+)\.jpg")
_MOTION = re.compile(r"\{\s*['\"]1['\"]\s*:\s*['\"](\d+)['\"]\s*\}")


@dataclass(frozen=True)
class Box:
    """A box around the animal, in pixels of the frame: the right and the lower edge are not inside.

    Attributes:
        left, top, right, bottom: edges; left and top are at least 0.
        motion: one of the values of `MOTIONS`.
    """

    left: float
    top: float
    right: float
    bottom: float
    motion: str


class MocaDataset:
    """Videos with a box for each annotated frame; fits `SegmentationDataset`, a box filled in being the mask.

    Args:
        folder: holds what the module's text lists.
        backward_flow: whether backward flow pictures must be there too.

    Attributes:
        name: "moca".
        sequences: videos that have an annotated frame before the last, by name.
        styles: empty.
        skipped: what was left out, and why; one sentence each.
        notes: empty.
        identity: hash of annotations and names of frames; the pictures' content is not part of it.
        assets: empty: all of it is the user's own.

    Raises:
        InputError: frames, annotations or flow pictures are missing (all are named, or counted), or the annotations
            are malformed.
    """

    def __init__(self, folder: Path, backward_flow: bool = False) -> None:
        self.folder = folder
        self.name = "moca"
        self.styles: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.assets: tuple[str, ...] = ()
        if not (folder / FRAMES).is_dir():
            raise InputError(
                f"no folder {FRAMES} in {folder}; expected MoCA as the motion grouping project prepared it: "
                f"{FRAMES}/VIDEO/00000.jpg, {ANNOTATIONS}, {FLOW[False]}/VIDEO/00000.png"
            )
        content, self._boxes = _read_annotations(folder / ANNOTATIONS)
        sequences: list[VideoSequence] = []
        left_out: list[str] = []
        places = [path for path in (folder / FRAMES).iterdir() if path.is_dir() and not path.name.startswith(".")]
        for place in sorted(places):
            sequence = VideoSequence(place.name, tuple(sorted(_stems(place, "*.jpg"))))
            boxed = self._boxes.get(place.name, {})
            if any(frame in boxed for frame in sequence.frames[:-1]):
                sequences.append(sequence)
            else:
                left_out.append(place.name)
        absent = sorted(self._boxes.keys() - {place.name for place in places})
        self.skipped = (
            *([f"no annotated frame before the last: {some(left_out)}"] if left_out else []),
            *([f"annotated, but without frames: {some(absent)}"] if absent else []),
        )
        if not sequences:
            raise InputError(f"no video of {folder} can be used: {'; '.join(self.skipped) or f'{FRAMES} is empty'}")
        self.sequences = tuple(sequences)
        self._check_flow((False, True) if backward_flow else (False,))
        listed = json.dumps([(sequence.name, sequence.frames) for sequence in sequences])
        self.identity = hashlib.sha256(content + listed.encode()).hexdigest()

    def _check_flow(self, directions: Sequence[bool]) -> None:
        missing: list[str] = []
        for backward in directions:
            for sequence in self.sequences:
                there = _stems(self.folder / FLOW[backward] / sequence.name, "*.png")
                needed = sequence.frames[1:] if backward else sequence.frames[:-1]
                missing += [f"{FLOW[backward]}/{sequence.name}/{frame}.png" for frame in needed if frame not in there]
        if missing:
            raise InputError(
                f"{self.folder} lacks {len(missing)} flow pictures: {some(missing)}; make them with RAFT as the "
                f"motion grouping project does, one for each frame but the last (backward: but the first)"
            )

    def image(self, sequence: VideoSequence, position: int, style: str | None = None) -> Frames:
        """Frame `position` of a sequence, from 0: (H, W, 3) uint8.

        Raises:
            InputError: a style is asked for, or the picture is missing or damaged.
        """
        if style is not None:
            raise InputError(f"MoCA has no styles; {style!r} was asked for")
        return read_picture(self.folder / FRAMES / sequence.name / f"{sequence.frames[position]}.jpg")

    def flow(self, sequence: VideoSequence, position: int, backward: bool = False) -> Frames:
        """Flow from a frame to the next (or, `backward`, to the one before), drawn as a picture: (H, W, 3) uint8.

        Raises:
            InputError: the picture is missing or damaged.
        """
        return read_picture(self.folder / FLOW[backward] / sequence.name / f"{sequence.frames[position]}.png")

    def size(self, sequence: VideoSequence) -> tuple[int, int]:
        """Height and width of the first frame, in whose pixels the boxes of the video are given.

        Raises:
            InputError: the picture is missing or damaged.
        """
        return picture_size(self.folder / FRAMES / sequence.name / f"{sequence.frames[0]}.jpg")

    def box(self, sequence: VideoSequence, position: int) -> Box | None:
        """The annotated box of a frame; None where it has none."""
        return self._boxes[sequence.name].get(sequence.frames[position])

    def source_of(self, sequence: VideoSequence) -> str:
        """What is resampled when intervals are made: the video."""
        return sequence.name

    def mask(self, sequence: VideoSequence, position: int) -> Mask:
        """The annotated box of a frame, filled in: (H, W) bool; all false where it has none."""
        mask = np.zeros(self.size(sequence), dtype=np.bool_)
        if box := self.box(sequence, position):
            mask[round(box.top) : round(box.bottom), round(box.left) : round(box.right)] = True
        return mask


def _stems(folder: Path, pattern: str) -> set[str]:
    """Names of files without ending; hidden ones, which archives made on a Mac bring along, are passed over."""
    return {path.stem for path in folder.glob(pattern) if not path.name.startswith(".")}


def _read_annotations(path: Path) -> tuple[bytes, dict[str, dict[str, Box]]]:
    """The file's content, and video -> name of a frame -> box."""
    try:
        content = path.read_bytes()
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    except FileNotFoundError:
        raise InputError(f"no annotation file at {path}; it comes with the prepared data: put it there") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the annotation file {path} cannot be read ({error}); copy it again") from None
    if not rows or any(column not in rows[0] for column in _COLUMNS):
        raise InputError(
            f"the annotation file {path} must have rows with the columns {', '.join(_COLUMNS)}; is it the published "
            "file of the prepared data?"
        )
    boxes: dict[str, dict[str, Box]] = {}
    motion = None
    for row in sorted(rows, key=lambda row: row["file_list"] or ""):
        if row["spatial_coordinates"] == "[]":
            continue
        # As published, a frame that does not say how the animal moves is like the one before it.
        motion = motion if row["metadata"] == "{}" else _motion(row["metadata"])
        file = _FILE.fullmatch(row["file_list"] or "")
        edges = _edges(row["spatial_coordinates"])
        if file is None or edges is None or motion is None:
            raise InputError(
                f"the annotation file {path} cannot be used: got {row['file_list']}, {row['spatial_coordinates']}, "
                f"{row['metadata']}; expected /VIDEO/FRAME.jpg, [2,LEFT,TOP,WIDTH,HEIGHT] and {{'1': 'M'}} with M one "
                f"of {', '.join(MOTIONS)}"
            )
        boxes.setdefault(file[1], {})[file[2]] = Box(*edges, motion)
    return content, boxes


def _motion(text: str | None) -> str | None:
    match = _MOTION.fullmatch(text or "")
    return MOTIONS.get(match[1]) if match else None


def _edges(text: str | None) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom edge; None where the text does not give them."""
    try:
        values = json.loads(text or "")
    except json.JSONDecodeError:
        return None
    if not isinstance(values, list) or len(values) != 5 or not all(isinstance(x, (int, float)) for x in values):
        return None
    _, left, top, width, height = values
    # As published, an edge outside the frame is moved in and the box keeps its width and height.
    left, top = max(float(left), 0.0), max(float(top), 0.0)
    return left, top, left + width, top + height
