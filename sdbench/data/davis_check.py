"""What is there of DAVIS and its painted copies: all that is missing or does not fit is said at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from sdbench.base.errors import InputError, some
from sdbench.data.annotations import Entry, first_fault
from sdbench.data.layouts import DESCRIPTION, FINISHED_MARKS
from sdbench.data.segmentation import Mask, VideoSequence
from sdbench.video.decode import natural_key, opened_picture, picture_size
from sdbench.video.flow import flow_folder
from sdbench.video.frame_files import find_gap
from sdbench.video.orientation import upright

PICTURES, FRAMES, MASKS, LISTS = "JPEGImages", "JPEGImages/480p", "Annotations/480p", "ImageSets/480p"

PUBLISHED_STYLES = ("Lynx", "Maruska640", "Zuzka1", "Zuzka2")
"""The styles of Stylized DAVIS."""

AS_FILMED = frozenset({"480p", "1080p", "Full-Resolution"})
"""Folders of `JPEGImages` that hold no painted copy."""

_LEAST_STYLES = 2
"""A dynamic pair needs two."""

_MOST_STRETCH = 0.01
"""How far the aspect ratio of a painted copy may be from that of the frames as filmed."""


_Size = tuple[int, int]


@dataclass(frozen=True)
class Painted:
    """The painted copies.

    Attributes:
        folder: holds a folder for each style.
        styles: those that are there.
        description: what `sdbench stylize` made them with; None where they came with the data.
        finished: the sequences that it finished; None where nobody noted that.
    """

    folder: Path
    styles: tuple[str, ...]
    description: Mapping[str, object] | None
    finished: frozenset[str] | None

    @classmethod
    def found(cls, stylised: Path, check: Check) -> Painted:
        """List the styles below `stylised`; what is missing of them is added to `check`.

        Raises:
            InputError: there is no such folder, or what `sdbench stylize` wrote beside the copies is damaged.
        """
        root = find_root(stylised, PICTURES)
        there = {name for name in names_in(root / PICTURES) - AS_FILMED if (root / PICTURES / name).is_dir()}
        expected = set(PUBLISHED_STYLES) if there & set(PUBLISHED_STYLES) else there
        description = None
        if (root / DESCRIPTION).is_file():
            description = _read_description(root / DESCRIPTION)
            expected = {Path(folder).name for folder in description["styles"]}
        nonempty = (style for style in expected & there if names_in(root / PICTURES / style))
        styles = tuple(sorted(nonempty, key=natural_key))
        check.too_few_styles = len(styles) < _LEAST_STYLES
        if check.too_few_styles and description is None:
            expected = set(PUBLISHED_STYLES)
        check.styles_missing = tuple(sorted(expected - set(styles)))
        marks = root / FINISHED_MARKS
        finished = frozenset(path.name for path in marks.iterdir()) if marks.is_dir() else None
        return cls(root / PICTURES, styles, description, finished)

    @property
    def sentence(self) -> str:
        """Which styles, for the readers of a report."""
        names = ", ".join(self.styles)
        if self.description is None:
            return f"styles: {names}, as they came with the data"
        if painter := self.description.get("painter"):
            return f"styles: {names}, painted by the {painter} of the published study with models of the user's own"
        return f"styles: {names}, painted by the packaged style network; they are not those of the published study"


class _Description(Entry):
    styles: dict[str, str]


def _read_description(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _Description.model_validate(content)
        return content
    except ValidationError as error:
        fault = first_fault(error)
    except ValueError as error:
        fault = str(error)
    raise InputError(
        f"{path} is damaged ({fault}); delete it with the copies beside it and run `sdbench stylize` again"
    )


@dataclass
class Check:
    """Gathers what is wrong with sequences, so that all of it can be said at once.

    Attributes:
        root: the data set.
        flows: holds the folders of flow pictures.
        styles_missing: styles that were expected and are not there.
        too_few_styles: whether so few are left that no pair can be made.
        missing: what (masks, ...) -> name of a sequence -> how many of it are missing there.
        examples: what -> the first missing file.
        unusable: sentences about what is there and cannot be used.
        faults: name of a sequence -> what is wrong with it, in a few words.
        sizes: (name of a sequence, style, or None as filmed) -> height and width.
    """

    root: Path
    flows: Path
    styles_missing: tuple[str, ...] = ()
    too_few_styles: bool = False
    missing: dict[str, dict[str, int]] = field(default_factory=dict)
    examples: dict[str, Path] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    sizes: dict[tuple[str, str | None], _Size] = field(default_factory=dict)

    def sequence(self, sequence: VideoSequence, painted: Painted | None, directions: Sequence[bool]) -> None:
        """Compare a sequence with the folders, then its first pictures with each other."""
        name, frames = sequence.name, sequence.frames
        if len(frames) < 2:
            self._unusable(name, f"sequence {name} has one frame; expected two at least, for there is no flow of one")
            return
        if (self.root / FRAMES / name).is_dir():
            self._compare("frames", self.root / FRAMES / name, frames, ".jpg")
        else:
            self._lacks("sequences", name, 1, self.root / FRAMES / name)
        numbered = all(frame.isascii() and frame.isdigit() for frame in frames)
        if directions and numbered and (gap := find_gap(sorted(map(int, frames)))):
            self._unusable(
                name,
                f"the list leaves out frames of {name} between {gap[0]} and {gap[1]}: the flow of {gap[0]} leads to a "
                "frame that is not shown",
            )
            return
        self._compare("masks", self.root / MASKS / name, frames, ".png")
        for backward in directions:
            what = "backward flow pictures" if backward else "flow pictures"
            with_flow = frames[1:] if backward else frames[:-1]
            self._compare(what, self.flows / flow_folder(backward) / name, with_flow, ".png")
        if painted:
            if painted.finished is not None and name not in painted.finished:
                self._lacks("painted sequences", name, 1, painted.folder / painted.styles[0] / name)
            else:
                for style in painted.styles:
                    self._compare(f"pictures in style {style}", painted.folder / style / name, frames, ".jpg")
        if name not in self.faults:
            try:
                self._first_pictures(sequence, painted, directions)
            except InputError as error:
                self._unusable(name, str(error))

    def _first_pictures(self, sequence: VideoSequence, painted: Painted | None, directions: Sequence[bool]) -> None:
        name, first = sequence.name, sequence.frames[0]
        size = picture_size(self.root / FRAMES / name / f"{first}.jpg")
        self.sizes[name, None] = size
        mask = self.root / MASKS / name / f"{first}.png"
        pictures = {mask: read_mask(mask).shape}
        for backward in directions:
            path = self.flows / flow_folder(backward) / name / f"{sequence.frames[int(backward)]}.png"
            pictures[path] = picture_size(path)
        for path, other in pictures.items():
            if other != size:
                raise InputError(other_size(path, other, size, name))
        for style in painted.styles if painted else ():
            assert painted is not None
            path = painted.folder / style / name / f"{first}.jpg"
            height, width = self.sizes[name, style] = picture_size(path)
            if abs(width * size[0] / (height * size[1]) - 1) > _MOST_STRETCH:
                raise InputError(
                    f"{path} has {width} x {height} pixels, the frames of {name} as filmed {size[1]} x {size[0]}; "
                    "expected the same aspect ratio to 1 %"
                )

    def _compare(self, what: str, folder: Path, frames: Sequence[str], suffix: str) -> None:
        there = names_in(folder)
        absent = [frame for frame in frames if frame + suffix not in there]
        if absent:
            self._lacks(what, folder.name, len(absent), folder / (absent[0] + suffix))

    def _lacks(self, what: str, name: str, count: int, example: Path) -> None:
        self.missing.setdefault(what, {})[name] = count
        self.examples.setdefault(what, example)
        self.faults.setdefault(name, []).append(f"missing {what}: {count}")

    def _unusable(self, name: str, sentence: str) -> None:
        self.unusable.append(sentence)
        self.faults.setdefault(name, []).append(sentence)

    @property
    def message(self) -> str:
        """All that is wrong, and what to do; empty where nothing is."""
        parts = [f"missing styles: {', '.join(self.styles_missing)}"] if self.styles_missing else []
        for what, counts in self.missing.items():
            first = f"first {self.examples[what]}"
            parts.append(f"missing {what}: {sum(counts.values())}, of {some(list(counts))} ({first})")
        if not parts and not self.unusable:
            return ""
        todo = []
        if {"sequences", "frames", "masks"} & set(self.missing):
            todo.append("bring DAVIS 2016 whole")
        if any("flow" in what for what in self.missing):
            todo.append(f"make flow pictures with `sdbench flow {self.root}`")
        if self.styles_missing or any("style" in what or "painted" in what for what in self.missing):
            todo.append(
                f"bring Stylized DAVIS whole or make copies with `sdbench stylize {self.root} TARGET --layout davis`"
            )
        if not self.too_few_styles:
            todo.append("or leave these sequences out by asking to skip what cannot be used")
        return f"{self.root} cannot be used as it is: {'; '.join((*parts, *self.unusable))}; {', '.join(todo)}"

    @property
    def skipped(self) -> tuple[str, ...]:
        """What is left out where that was asked for; one sentence each."""
        styles = tuple(f"style {style} is missing" for style in self.styles_missing)
        return (*styles, *(f"{name} is left out: {'; '.join(faults)}" for name, faults in self.faults.items()))


def find_root(folder: Path, wanted: str) -> Path:
    """The folder that holds `wanted`: `folder` itself, or the only one directly in it that does.

    Raises:
        InputError: there is none, or several.
    """
    if not folder.is_dir():
        raise InputError(f"no folder at {folder}; expected one that holds {wanted}")
    if (folder / wanted).is_dir():
        return folder
    found = sorted(inner for inner in folder.iterdir() if (inner / wanted).is_dir())
    if len(found) != 1:
        several = f"{len(found)} folders with it: {some([inner.name for inner in found])}; name one of them"
        raise InputError(f"{folder} holds {several if found else 'no ' + wanted + '; is it DAVIS 2016, unpacked?'}")
    return found[0]


def read_mask(path: Path) -> Mask:
    """A mask (H, W) bool of one object, from a picture with 0 outside of it and another value or colour inside.

    Of a picture with a palette its indices are taken. It is turned as its EXIF orientation says.

    Raises:
        InputError: the picture is not there or damaged, tells several objects apart, or has transparent pixels.
    """
    with opened_picture(path) as picture:
        values = np.asarray(upright(picture))
    colours = values.ndim == 3
    if colours:
        channels = picture.getbands()
        if channels[-1] in ("A", "a"):
            if len(np.unique(values[..., -1])) > 1:
                raise InputError(f"mask {path} is transparent in places; expected 0 and one other value, opaque")
            values = values[..., :-1]
        values = values.astype(np.int64) @ (256 ** np.arange(values.shape[2]))
    objects = np.unique(values)
    objects = objects[objects != 0]
    if len(objects) > 1 and colours:
        raise InputError(f"mask {path} tells several objects apart ({len(objects)} colours); expected black and one")
    if len(objects) > 1:
        raise InputError(
            f"mask {path} tells several objects apart (values {some([str(value) for value in objects])}); "
            "expected 0 and one other value, as in DAVIS 2016"
        )
    return np.asarray(values != 0)


def other_size(path: Path, size: Sequence[int], expected: Sequence[int], sequence: str) -> str:
    """Say that a picture has another size (height, width) than expected."""
    return (
        f"{path} has {size[1]} x {size[0]} pixels, the first picture of {sequence} {expected[1]} x {expected[0]}; "
        "expected one size"
    )


def names_in(folder: Path) -> set[str]:
    """Names of what lies in `folder`, hidden files not counted; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.name.startswith(".")}
    except (FileNotFoundError, NotADirectoryError):
        return set()
