"""Stylised data sets: four copies of the same videos, each frame a picture, in the folders that the paper publishes.

A video is used where every style that is there has the same frames of it, numbered without gaps. Listing the folders
decides that; the pictures themselves are opened when they are needed.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdbench.base.errors import InputError, some, unknown_name
from sdbench.base.machine import available_cores
from sdbench.data.layouts import FINISHED_MARKS, STYLE_FOLDERS, Layout
from sdbench.video.decode import read_picture
from sdbench.video.frames import Frames

PROTOCOLS = ("published", "corrected")
"""Whose rules say which videos are left out, and which of their frames are used; the first is the default."""


@dataclass(frozen=True)
class StylisedVideo:
    """One video of a stylised data set.

    Attributes:
        name: name of its folder.
        frames: how many frames it has.
        start: position of the frame where its clip starts, from 0; None where the start is drawn at random.
        label: what it shows, as the annotation file says it.
        end: position after the last frame that its clip may show; None where that is the end of the video.
        place: its number in the order of the annotation file.
    """

    name: str
    frames: int
    start: int | None
    label: str
    end: int | None = None
    place: int = 0


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video as its annotation file describes it: the name of its folder, its label, and annotated times.

    Attributes:
        segments: (start, end) of each annotation in seconds; empty where the data set has none.
    """

    folder: str
    label: str
    segments: tuple[tuple[float, float], ...] = ()


class LeftOut(Exception):  # noqa: N818 - not an error: the rules of a protocol leave the video out
    """A video that the rules of a protocol leave out; the message is the reason."""


Rule = Callable[[AnnotatedVideo, int, str], "range | None"]
"""Of a video, its number of frames and a protocol: the positions that its clip is taken from (None: it starts at
random), or `LeftOut`."""


class StylisedDataset:
    """Videos in several styles.

    Args:
        folder: holds the style folders.
        layout: how they are laid out.
        annotated: the videos of the annotation file.
        identity: SHA-256 object that holds the annotation files.
        rule: which frames a clip is taken from, and which videos are left out.
        skip_unusable: leave out damaged videos (gaps, frames missing in a style) and list them in `skipped`, instead
            of stopping. Videos that the rules of the protocol leave out are always listed there.

    Attributes:
        name: name of the layout.
        protocol: whose rules `videos`, `skipped` and `identity` follow: "published", unless `under` says otherwise.
        videos: those that can be used, by name.
        styles: names of the style folders that are there.
        skipped: what was left out, and why; one sentence a reason.
        identity: hash of annotation files and frame names; the pictures' content is not part of it, so that a frame
            that could not be read can be replaced and the measurement goes on.
        assets: empty: all of it is the user's own.
        sources: name of a video -> the longer video that it was cut from, where it was; such videos are not independent
            and are resampled together.

    Raises:
        InputError: half of the styles or more are missing, no video can be used under any protocol, or (without
        `skip_unusable`) one is damaged.
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
        damaged: dict[str, list[str]] = {}
        present = {style: _folders(folder / style) for style in STYLE_FOLDERS}
        self.styles = _check_styles(folder, present)
        anywhere = set().union(*present.values())
        self._rule, self._whole = rule, list[tuple[int, AnnotatedVideo, int]]()
        for place, entry in sorted(enumerate(annotated), key=lambda placed: placed[1].folder):
            if entry.folder not in anywhere:
                continue
            fault, frames = self._listed(entry.folder, present)
            if fault:
                damaged.setdefault(fault, []).append(entry.folder)
                continue
            self._whole.append((place, entry, frames))
            identity.update(f"{entry.folder} {frames}\n".encode())
        if damaged and not skip_unusable:
            raise InputError(
                f"{folder} is damaged: {'; '.join(_sentences(damaged))}; put the frames there, or leave these videos "
                "out by asking to skip what cannot be used"
            )
        self._missing = (
            *(f"style {style} is missing" for style in STYLE_FOLDERS if style not in self.styles),
            *_unannotated(anywhere, annotated),
        )
        self._damaged, self._listed_identity = damaged, identity.hexdigest()
        self.protocol, self.videos, self.skipped, self.identity = self._chosen(PROTOCOLS[0])
        if not any(self._chosen(protocol)[1] for protocol in PROTOCOLS):
            raise self._nothing()

    def under(self, protocol: str) -> StylisedDataset:
        """The same data set by the rules of a protocol.

        Args:
            protocol: "published" or "corrected"; they differ in what they take of Stylised ActivityNet.

        Raises:
            InputError: the protocol is unknown, or its rules leave no video.
        """
        if protocol not in PROTOCOLS:
            raise unknown_name("protocol", protocol, PROTOCOLS)
        found = copy.copy(self)
        found.protocol, found.videos, found.skipped, found.identity = self._chosen(protocol)
        if not found.videos:
            raise found._nothing()
        return found

    def _chosen(self, protocol: str) -> tuple[str, tuple[StylisedVideo, ...], tuple[str, ...], str]:
        """The protocol, the videos that its rules leave, what is left out, and the hash of both."""
        videos: list[StylisedVideo] = []
        reasons: dict[str, list[str]] = {}
        for place, entry, frames in self._whole:
            try:
                clip = self._rule(entry, frames, protocol)
            except LeftOut as reason:
                reasons.setdefault(str(reason), []).append(entry.folder)
                continue
            start, end = (None, None) if clip is None else (clip.start, clip.stop)
            videos.append(StylisedVideo(entry.folder, frames, start, entry.label, end, place))
        decisive = (self._listed_identity, self.layout, self.styles, [(v.name, v.start, v.end) for v in videos])
        identity = hashlib.sha256(repr(decisive).encode()).hexdigest()
        skipped = (*self._missing, *_sentences({**reasons, **self._damaged}))
        return protocol, tuple(videos), skipped, identity

    def _nothing(self) -> InputError:
        return InputError(f"no video of {self.folder} can be used: {'; '.join(self.skipped)}")

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
