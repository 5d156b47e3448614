"""What lies in a folder of videos: files, folders of frames, links, and what is no video."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdbench.base.errors import InputError, some
from sdbench.video.decode import PICTURE_SUFFIXES, VIDEO_SUFFIXES, natural_key, picture_files


@dataclass
class VideoFolder:
    """The videos below a folder, and what else is there.

    Attributes:
        folder: where they lie.
        sources: name of each video (its path below the folder) -> its file, or its folder of frames.
        passed_over: what was not looked at, and why; one sentence each.
    """

    folder: Path
    sources: dict[str, Path] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()


def find_videos(folder: Path, known: Collection[str] = ()) -> VideoFolder:
    """Every video file below `folder`, and every folder in it that holds pictures (one folder is one video).

    Links to folders are followed, each folder once, whatever the number of links to it. Pictures beside videos are no
    frames.

    Args:
        folder: where to look.
        known: names of files that are no videos and need not be told of.

    Raises:
        InputError: there is no such folder, or nothing in it is a video.
    """
    if not folder.is_dir():
        raise InputError(f"no folder at {folder}; expected one with videos or with folders of frames")
    found = _Walk(folder, known).found
    if not found.sources:
        also = f" ({'; '.join(found.passed_over)})" if found.passed_over else ""
        raise InputError(
            f"{folder} holds no video: expected files ending in {', '.join(sorted(VIDEO_SUFFIXES))}, "
            f"or folders of pictures ({', '.join(sorted(PICTURE_SUFFIXES))}){also}"
        )
    return found


def copies_said(copies: Sequence[str], videos: int) -> list[str]:
    """The sentence for videos that hold the same as others, which are not independent; none where there are none.

    Args:
        copies: "b.mp4 is a.mp4", for each.
        videos: how many there are in all.
    """
    if not copies:
        return []
    return [
        f"{len(copies)} of {videos} videos hold the same as others and count as one with them where videos are "
        f"resampled: {some(copies)}"
    ]


class _Walk:
    """Goes through a folder: first what lies in it, then what its links lead to."""

    def __init__(self, folder: Path, known: Collection[str]) -> None:
        self.found = VideoFolder(folder)
        self._known = known
        self._seen: set[tuple[int, int]] = set()
        self._notes: dict[str, list[str]] = {}
        waiting, self._links = deque([folder]), deque[Path]()
        while waiting or self._links:
            waiting += self._look(waiting.popleft() if waiting else self._links.popleft())
        self.found.sources = dict(sorted(self.found.sources.items(), key=lambda item: natural_key(item[0])))
        self.found.passed_over = tuple(
            f"{what} ({len(names)}{_endings(names) if what == _OTHER else ''}): {some(sorted(names, key=natural_key))}"
            for what, names in self._notes.items()
        )

    def _look(self, folder: Path) -> list[Path]:
        """Take what lies in a folder; the folders in it that are no links."""
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: natural_key(entry.name))
        except OSError as error:
            self._note(f"folders that cannot be read ({error.strerror})", folder)
            return []
        if (status.st_dev, status.st_ino) in self._seen:
            self._note("links to folders that were looked at already", folder)
            return []
        self._seen.add((status.st_dev, status.st_ino))
        inner: list[Path] = []
        videos = 0
        others: list[Path] = []
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                self._note("hidden files or folders", path)
            elif path.is_dir():
                (self._links if entry.is_symlink() else inner).append(path)
            elif not path.exists():
                self._note("links that lead nowhere", path)
            elif not path.is_file():
                self._note("things that are neither file nor folder", path)
            elif path.suffix.lower() in VIDEO_SUFFIXES:
                self.found.sources[self._name(path)] = path
                videos += 1
            elif path.suffix.lower() not in PICTURE_SUFFIXES and entry.name not in self._known:
                others.append(path)
        for path in others:
            self._note(_OTHER, path)
        pictures = picture_files(folder)
        if pictures and videos:
            for path in pictures:
                self._note("pictures beside videos, which are not taken for frames", path)
        elif pictures:
            self.found.sources[self._name(folder)] = folder
        return inner

    def _name(self, path: Path) -> str:
        return path.relative_to(self.found.folder).as_posix() if path != self.found.folder else path.name

    def _note(self, what: str, path: Path) -> None:
        self._notes.setdefault(what, []).append(self._name(path))


_OTHER = "files that are no videos by their ending"


def _endings(names: list[str]) -> str:
    """How many there are of each ending."""
    counted = Counter(Path(name).suffix.lower() or "none" for name in names)
    return f": {', '.join(f'{number} {ending}' for ending, number in counted.most_common(5))}"
