"""Labelled videos in the layout of Kinetics: one folder a class, `CLASS/VIDEO.mp4`, to measure accuracy on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdbench.base.errors import InputError, some, unknown_name
from sdbench.base.warned import warn_caller
from sdbench.video.decode import VIDEO_SUFFIXES, decode_frames, natural_key
from sdbench.video.frames import Frames


@dataclass(frozen=True)
class LabelledVideo:
    """A video file and its class.

    Attributes:
        name: path relative to the data set's folder.
        label: name of its class.
        class_index: position of the class in the network's answer.
    """

    name: str
    label: str
    class_index: int


_CLASSES_FILE = "classes.txt"


def labelled_folder(folder: Path) -> LabelledFolder:
    """The labelled videos below `folder`; a file classes.txt in it names the classes in the order of the answer.

    One class a line. Without it, folders that are named by numbers are in the order of the numbers, as Diving48's
    classes are, and others in alphabetical order, as Kinetics orders them.

    Raises:
        InputError: see `LabelledFolder`.
    """
    listed = folder / _CLASSES_FILE
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8").splitlines()
        return _told(LabelledFolder(folder, [line.strip() for line in lines if line.strip()]))
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    if names and all(name.isdigit() for name in names):
        return _told(LabelledFolder(folder, [str(i) for i in range(max(map(int, names)) + 1)]))
    return _told(LabelledFolder(folder))


def _told(found: LabelledFolder) -> LabelledFolder:
    """The same, after a warning of what is passed over."""
    if found.passed_over:
        warn_caller(f"{found.folder}: {len(found.passed_over)} files are no videos: {some(found.passed_over)}")
    return found


class LabelledFolder:
    """Videos sorted into one folder a class.

    Args:
        folder: holds the class folders; folders whose names begin with a dot are passed over.
        classes: names of the classes in the order of the network's answer; by default the folders' names in
            alphabetical order, as Kinetics orders its classes. A blank and an underscore are alike.

    Attributes:
        videos: all of them, by class and name.
        classes: the names, in order.
        passed_over: what lies in the class folders and is no video.

    Raises:
        InputError: there is no such folder, it holds no video, or a class folder is not among `classes`.
    """

    def __init__(self, folder: Path, classes: Sequence[str] | None = None) -> None:
        if not folder.is_dir():
            raise InputError(f"no folder at {folder}; expected one that holds a folder of videos for each class")
        found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        self.folder = folder
        self.name = folder.name
        self.classes = tuple(classes) if classes is not None else tuple(path.name for path in found)
        index = {_plain(name): i for i, name in enumerate(self.classes)}
        if len(index) != len(self.classes):
            raise InputError("each class may be named once; two of the class names are alike")
        videos: list[LabelledVideo] = []
        passed_over: list[str] = []
        for path in found:
            if _plain(path.name) not in index:
                raise unknown_name(f"class in {folder}", path.name, self.classes)
            listed = list(path.iterdir())
            files = [file for file in listed if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()]
            files = [file for file in files if not file.name.startswith(".")]
            passed_over += [f"{path.name}/{file.name}" for file in listed if file not in files]
            for file in sorted(files, key=lambda file: natural_key(file.name)):
                class_index = index[_plain(path.name)]
                videos.append(LabelledVideo(f"{path.name}/{file.name}", self.classes[class_index], class_index))
        if not videos:
            raise InputError(
                f"{folder} holds no labelled video; expected CLASS/VIDEO with files ending in "
                + ", ".join(sorted(VIDEO_SUFFIXES))
            )
        self.passed_over = tuple(sorted(passed_over, key=natural_key))
        self.videos = tuple(videos)

    def file(self, video: LabelledVideo) -> Path:
        """The file of one of `videos`."""
        return self.folder / video.name

    def read(self, video: LabelledVideo, choose: Callable[[int], Sequence[int]]) -> Frames:
        """Frames of a video.

        The file is decoded twice, once to count its frames (headers are not always right) and once to keep those that
        are wanted: memory holds no more than these.

        Args:
            video: one of `videos`.
            choose: of the number of frames, the positions of those wanted, from 0, in any order.

        Returns:
            (number of positions, H, W, 3) uint8, in the order of the positions.

        Raises:
            InputError: the file cannot be decoded, or a position is beyond its end.
        """
        source = self.file(video)
        length = sum(1 for _ in decode_frames(source))
        positions = [int(position) for position in choose(length)]
        if not positions or min(positions) < 0 or max(positions) >= length:
            raise InputError(f"{source} has {length} frames; frames {positions} of it were asked for")
        wanted, kept = set(positions), {}
        for number, frame in enumerate(decode_frames(source)):
            if number in wanted:
                kept[number] = frame
            if len(kept) == len(wanted):
                break
        return np.stack([kept[position] for position in positions])


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().lower()
