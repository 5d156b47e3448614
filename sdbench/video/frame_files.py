"""Which pictures of a folder are the frames of one video, and in which order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from sdbench.base.errors import InputError, some

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm"})

_UNEVEN = 1.5
"""From this ratio of the longest to the shortest step between numbers, there is a gap. (Time stamps vary by less.)"""

_NUMBER = re.compile(r"(\d+)", re.ASCII)


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Sort key under which frame9 comes before frame10."""
    return [(number % 2 == 1, int(part) if number % 2 else 0, part) for number, part in enumerate(_NUMBER.split(name))]


def picture_files(folder: Path) -> list[Path]:
    """The pictures that lie directly in `folder`; hidden ones, which some systems add, are none."""
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def ordered_pictures(folder: Path) -> list[Path]:
    """The pictures that lie directly in `folder`, in the order of their numbers, whatever they show."""
    return sorted(picture_files(folder), key=lambda path: natural_key(path.name))


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder that are the frames of one video, in the order of their numbers.

    Their names must be alike but for the number, and the numbers must follow each other in steps of one size.

    Raises:
        InputError: the pictures are of several kinds or series, or there are gaps in their numbers.
    """
    files = ordered_pictures(folder)
    if len(files) < 2:
        return files
    kinds: dict[tuple[str, ...], list[Path]] = {}
    for path in files:
        kinds.setdefault(tuple(_NUMBER.split(path.name.lower())[::2]), []).append(path)
    if len(kinds) > 1:
        seen = [f"{len(of)} like {of[0].name}" for of in kinds.values()]
        raise InputError(
            f"{folder} holds pictures of {len(kinds)} kinds ({some(seen)}), and it is not known which of them are the "
            "frames of a video: put each kind into a folder of its own"
        )
    _check_numbers(folder, [[int(part) for part in _NUMBER.split(path.name)[1::2]] for path in files])
    return files


def _check_numbers(folder: Path, numbers: Sequence[Sequence[int]]) -> None:
    varying = [place for place in range(len(numbers[0])) if len({row[place] for row in numbers}) > 1]
    if not varying:
        raise InputError(f"{folder} holds pictures with the same number in names of other lengths: rename them")
    *outer, last = varying
    series = [
        [row[last] for row in rows]
        for _, rows in itertools.groupby(numbers, key=lambda row: [row[place] for place in outer])
    ]
    if outer:
        # Of a name such as 1305031102.175304.png the second number says nothing alone; of c1_0001.png it does.
        if len(series) > 1 and all(len(run) > 1 and run[0] == series[0][0] and not find_gap(run) for run in series):
            raise InputError(
                f"{folder} holds {len(series)} series of numbered pictures: put each into a folder of its own"
            )
        return
    if twice := [one for one, other in itertools.pairwise(series[0]) if one == other]:
        raise InputError(f"{folder} holds two pictures with the number {twice[0]}; expected one of each number")
    if gap := find_gap(series[0]):
        raise InputError(
            f"{folder} has a gap in the numbers of its pictures: {gap[0]} is followed by {gap[1]}; put the pictures "
            "that are missing there, or each run of numbers into a folder of its own"
        )


def find_gap(run: Sequence[int]) -> tuple[int, int] | None:
    """The numbers before and after the longest step of some ascending ones, where steps are not of one size."""
    pairs = list(itertools.pairwise(run))
    shortest = min(later - earlier for earlier, later in pairs)
    earlier, later = max(pairs, key=lambda pair: pair[1] - pair[0])
    return (earlier, later) if later - earlier > _UNEVEN * shortest else None
