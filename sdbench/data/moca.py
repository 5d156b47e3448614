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
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, Json, TypeAdapter
from pydantic_core import PydanticCustomError

from sdbench.base.errors import InputError, some
from sdbench.data.annotations import Entry, checked
from sdbench.data.segmentation import Mask, VideoSequence
from sdbench.video.decode import picture_size, read_picture
from sdbench.video.frames import Frames

FRAMES = "JPEGImages"
ANNOTATIONS = "annotations.csv"
FLOW = {False: "FlowImages_gap1", True: "FlowImages_gap-1"}
"""Where flow pictures lie: forward, and (True) backward."""

MOTIONS = {"0": "locomotion", "1": "deformation", "2": "static"}

_FILE = re.compile(r"/?([^/]+)/([^/]+)\.jpg")
_MOTION = re.compile(r"\{\s*['\"]1['\"]\s*:\s*['\"](\d+)['\"]\s*\}")


def _video_and_frame(text: Any) -> tuple[str, str]:
    if match := _FILE.fullmatch(str(text)):
        return match[1], match[2]
    raise PydanticCustomError("file", "it should be /VIDEO/FRAME.jpg")


def _how_it_moves(text: Any) -> str:
    if text == "{}":
        return ""
    if (match := _MOTION.fullmatch(str(text))) and match[1] in MOTIONS:
        return MOTIONS[match[1]]
    known = ", ".join(MOTIONS)
    raise PydanticCustomError("motion", "it should be {{'1': 'M'}} with M one of {known}", {"known": known})


_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Row(Entry):
    """A frame with a box: 2, left, top, width, height. As published, metadata {} says that it moves as before."""

    file_list: Annotated[tuple[str, str], BeforeValidator(_video_and_frame)]
    spatial_coordinates: Json[Annotated[list[_Number], Field(min_length=5, max_length=5)]]
    metadata: Annotated[str, BeforeValidator(_how_it_moves)]


_ROWS = TypeAdapter(dict[int, _Row])


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
        return read_picture(self._image_file(sequence, position, style))

    def flow(self, sequence: VideoSequence, position: int, backward: bool = False) -> Frames:
        """Flow from a frame to the next (or, `backward`, to the one before), drawn as a picture: (H, W, 3) uint8.

        Raises:
            InputError: the picture is missing or damaged.
        """
        return read_picture(self._flow_file(sequence, position, backward))

    def size(self, sequence: VideoSequence) -> tuple[int, int]:
        """Height and width of the first frame, in whose pixels the boxes of the video are given.

        Raises:
            InputError: the picture is missing or damaged.
        """
        return picture_size(self._image_file(sequence, 0))

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

    def files(
        self,
        sequence: VideoSequence,
        positions: Sequence[int],
        styles: Sequence[str | None] = (),
        flow: Sequence[bool] = (),
        masks: bool = False,
    ) -> list[Path]:
        """The files that are read for some frames: see `SegmentationDataset`.

        A mask is a box of the annotation file, drawn at the size of the sequence's first frame.

        Raises:
            InputError: a style is asked for.
        """
        found = [self.folder / ANNOTATIONS, self._image_file(sequence, 0)] if masks else []
        for position in positions:
            found += [self._image_file(sequence, position, style) for style in styles]
            directions = [backward for backward in flow if sequence.has_flow(position, backward)]
            found += [self._flow_file(sequence, position, backward) for backward in directions]
        return found

    def _image_file(self, sequence: VideoSequence, position: int, style: str | None = None) -> Path:
        if style is not None:
            raise InputError(f"MoCA has no styles; {style!r} was asked for")
        return self.folder / FRAMES / sequence.name / f"{sequence.frames[position]}.jpg"

    def _flow_file(self, sequence: VideoSequence, position: int, backward: bool) -> Path:
        return self.folder / FLOW[backward] / sequence.name / f"{sequence.frames[position]}.png"


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
    if not rows or any(column not in rows[0] for column in _Row.model_fields):
        raise InputError(
            f"the annotation file {path} must have rows with the columns {', '.join(_Row.model_fields)}; is it the "
            "published file of the prepared data?"
        )
    # In the order of the frames, under the number of its line; a frame without a box has "[]".
    boxed = sorted(
        ((number, row) for number, row in enumerate(rows, start=2) if row["spatial_coordinates"] != "[]"),
        key=lambda numbered: numbered[1]["file_list"] or "",
    )
    boxes: dict[str, dict[str, Box]] = {}
    motion = ""
    for row in checked(path, dict(boxed), _ROWS).values():
        motion = row.metadata or motion
        if not motion:
            raise InputError(f"the annotation file {path} does not say how the animal of its first frame moves")
        video, frame = row.file_list
        boxes.setdefault(video, {})[frame] = Box(*_edges(row.spatial_coordinates), motion)
    return content, boxes


def _edges(coordinates: Sequence[float]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom edge; as published, one outside the frame is moved in and the box keeps its size."""
    _, left, top, width, height = coordinates
    left, top = max(left, 0.0), max(top, 0.0)
    return left, top, left + width, top + height
