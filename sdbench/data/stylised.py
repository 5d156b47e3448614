"""Stylised data sets: four copies of the same videos, each frame a picture, in the folders that the paper publishes.

A video is used where every style that is there has the same frames of it, numbered without gaps. Listing the folders
decides that; the pictures themselves are opened when they are needed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdbench.base.errors import InputError, some
from sdbench.base.machine import available_cores
from sdbench.data.layouts import FINISHED_MARKS, STYLE_FOLDERS, Layout
from sdbench.video.decode import read_picture
from sdbench.video.frames import Frames


@dataclass(frozen=True)
class StylisedVideo:
    """One video of a stylised data set.

    Attributes:
        name: name of its folder.
        frames: how many frames it has.
        start: position of the frame where its clip starts, from 0; None where the start is drawn at random.
        label: what it shows, as the annotation file says it.
    """

    name: str
    frames: int
    start: int | None
    label: str


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video as its annotation file describes it: the name of its folder, its label, and annotated times.

    Attributes:
        segments: (start, end) of each annotation in seconds; empty where the data set has none.
    """

    folder: str
    label: str
    segments: tuple[tuple[float, float], ...] = ()


class LeftOut(Exception):  # noqa: N818 - not an error: the published rules leave the video out
    """A video that the published rules leave out; the message is the reason."""


Rule = Callable[[AnnotatedVideo, int], "int | None"]
"""Of a video and its number of frames: where its clip starts (None: at random), or `LeftOut`."""


class StylisedDataset:
    """Videos in several styles.

    Args:
        folder: holds the style folders.
        layout: how they are laid out.
        annotated: the videos of the annotation file.
        identity: SHA-256 object that holds the annotation files.
        rule: where a clip starts, and which videos are left out.
        skip_unusable: leave out damaged videos (gaps, frames missing in a style) and list them in `skipped`, instead
            of stopping. Videos that the published rules leave out are always listed there.

    Attributes:
        name: name of the layout.
        videos: those that can be used, by name.
        styles: names of the style folders that are there.
        skipped: what was left out, and why; one sentence a reason.
        identity: hash of annotation files and frame names; the pictures' content is not part of it, so that a frame
            that could not be read can be replaced and the measurement goes on.
        assets: empty: all of it is the user's own.
        sources: name of a video -> the longer video that it was cut from, where it was; such videos are not independent
            and are resampled together.

    Raises:
        InputError: half of the styles or more are missing, no video can be used, or (without `skip_unusable`) one is
        damaged.
    """

    def __init__(
        self,
        folder: Path,
        layout: Layout,
        annotated: Sequence[AnnotatedVideo],
        identity: hashlib._Hash,
        rule: Rule,
        skip_unusable: bool = False,
    ) -> None:
        self.folder = folder
        self.layout = layout
        self.name = layout.name
        self.assets: tuple[str, ...] = ()
        self.sources: dict[str, str] = {}
        reasons: dict[str, list[str]] = {}
        damaged: dict[str, list[str]] = {}
        present = {style: _folders(folder / style) for style in STYLE_FOLDERS}
        self.styles = _check_styles(folder, present)
        anywhere = set().union(*present.values())
        videos: list[StylisedVideo] = []
        for entry in sorted(annotated, key=lambda entry: entry.folder):
            if entry.folder not in anywhere:
                continue
            fault, frames = self._listed(entry.folder, present)
            if fault:
                damaged.setdefault(fault, []).append(entry.folder)
                continue
            try:
                videos.append(StylisedVideo(entry.folder, frames, rule(entry, frames), entry.label))
            except LeftOut as reason:
                reasons.setdefault(str(reason), []).append(entry.folder)
            identity.update(f"{entry.folder} {frames}\n".encode())
        if damaged and not skip_unusable:
            raise InputError(
                f"{folder} is damaged: {'; '.join(_sentences(damaged))}; put the frames there, or leave these videos "
                "out by asking to skip what cannot be used"
            )
        self.skipped = (
            *(f"style {style} is missing" for style in STYLE_FOLDERS if style not in self.styles),
            *_unannotated(anywhere, annotated),
            *_sentences({**reasons, **damaged}),
        )
        if not videos:
            raise InputError(f"no video of {folder} can be used: {'; '.join(self.skipped)}")
        identity.update(repr((layout, self.styles, [(v.name, v.start) for v in videos])).encode())
        self.identity = identity.hexdigest()
        self.videos = tuple(videos)

    def source_of(self, video: StylisedVideo) -> str:
        """What is resampled when intervals are made: the video, or the longer one that it was cut from."""
        return self.sources.get(video.name, video.name)

    def _listed(self, video: str, present: Mapping[str, set[str]]) -> tuple[str, int]:
        """What is wrong with the frames of a video ("" for nothing), and how many there are."""
        marks = self.folder / FINISHED_MARKS
        if marks.is_dir() and not (marks / video).exists():
            return "not finished by `sdbench stylize`: run it again", 0
        lacking = [style for style in self.styles if video not in present[style]]
        if lacking:
            return f"not in {', '.join(lacking)}", 0
        numbers = {style: self.layout.frame_numbers(self.folder / style / video) for style in self.styles}
        first = self.layout.first_frame
        for style, found in numbers.items():
            if not found:
                return f"no frame like {self.layout.frame_name(0)} in {style}", 0
            if found[0] != first:
                return f"frames start at {found[0]} in {style}, expected {first}", 0
            for position, number in enumerate(found):
                if number != first + position:
                    return f"gap in frame numbers in {style}: {first + position} is missing", 0
        counts = {style: len(found) for style, found in numbers.items()}
        if len(set(counts.values())) > 1:
            return f"numbers of frames differ: {', '.join(f'{n} in {style}' for style, n in counts.items())}", 0
        return "", next(iter(counts.values()))

    def read(self, video: StylisedVideo, style: str, positions: Sequence[int]) -> Frames:
        """Frames of a video in one style, read in parallel.

        Args:
            video: one of `videos`.
            style: one of `styles`.
            positions: which frames, from 0.

        Returns:
            (len(positions), H, W, 3) uint8.

        Raises:
            InputError: a frame is missing, cannot be read, or has another size than the others.
        """
        paths = self.files(video, style, positions)
        with ThreadPoolExecutor(available_cores()) as pool:
            frames = list(pool.map(read_picture, paths))
        for path, frame in zip(paths, frames, strict=True):
            if frame.shape != frames[0].shape:
                raise InputError(
                    f"frame {path} has {frame.shape[1]} x {frame.shape[0]} pixels, others of its video "
                    f"{frames[0].shape[1]} x {frames[0].shape[0]}; expected one size"
                )
        return np.stack(frames)

    def files(self, video: StylisedVideo, style: str, positions: Sequence[int]) -> list[Path]:
        """The files of some frames of a video in one style, in the order of the positions; see `read`."""
        folder = self.folder / style / video.name
        return [folder / self.layout.frame_name(position) for position in positions]


def _folders(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")}


def _check_styles(folder: Path, present: Mapping[str, set[str]]) -> tuple[str, ...]:
    if not folder.is_dir():
        raise InputError(f"no folder at {folder}; expected one that holds {', '.join(STYLE_FOLDERS)}")
    missing = [style for style in STYLE_FOLDERS if not present[style]]
    if 2 * len(missing) >= len(STYLE_FOLDERS):
        raise InputError(
            f"{folder} lacks {len(missing)} of its {len(STYLE_FOLDERS)} styles: {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not there or empty; nothing was run"
        )
    return tuple(style for style in STYLE_FOLDERS if present[style])


def _unannotated(anywhere: set[str], annotated: Sequence[AnnotatedVideo]) -> Iterator[str]:
    known = {entry.folder for entry in annotated}
    if absent := len(known - anywhere):
        yield f"{absent} of {len(known)} annotated videos are not in the style folders"
    if strange := sorted(anywhere - known):
        yield f"not in the annotation file: {some(strange)}"


def _sentences(reasons: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(f"{reason}: {some(videos)}" for reason, videos in reasons.items())
