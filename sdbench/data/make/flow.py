"""Making the flow pictures that a data set lacks, forward and backward, beside its frames.

A picture is written whole or not at all, so that the same command goes on where an interrupted one stopped. What they
were made with is written beside them; pictures of different origin are never mixed.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdbench.base.errors import InputError, some
from sdbench.base.files import atomic_path, write_text
from sdbench.base.kept import disk_error
from sdbench.data.davis2016 import read_list
from sdbench.data.davis_check import FRAMES, LISTS, PICTURES, find_root, names_in
from sdbench.video.decode import frame_files, read_picture
from sdbench.video.flow import DESCRIPTION, FlowMethod, draw_flow, flow_description, flow_folder, flow_sentence

_END_OF_PNG = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class FlowJob:
    """All that decides what the flow pictures hold.

    Attributes:
        root: where the folders of flow pictures lie.
        sequences: name of each sequence -> its frames' files, in order.
        method: computes the flow.
    """

    root: Path
    sequences: Mapping[str, Sequence[Path]]
    method: FlowMethod

    def wanted(self) -> Iterator[tuple[Path, Path, Path]]:
        """Each flow picture, the frame that it starts from, and the frame that it goes to."""
        for name, frames in self.sequences.items():
            for earlier, later in itertools.pairwise(frames):
                for backward, (origin, aim) in ((False, (earlier, later)), (True, (later, earlier))):
                    yield self.root / flow_folder(backward) / name / f"{origin.stem}.png", origin, aim


@dataclass(frozen=True)
class FlowEstimate:
    """What a job will take before it starts.

    Attributes:
        pictures: how many flow pictures are missing.
        bytes: how much disk they take, judged by the first.
        free: how much disk is free.
    """

    pictures: int
    bytes: int
    free: int

    def __str__(self) -> str:
        return f"{self.pictures} flow pictures, about {self.bytes / 1e9:.2f} GB; {self.free / 1e9:.2f} GB are free"


def frames_of(folder: Path, split: str = "val") -> tuple[Path, dict[str, list[Path]]]:
    """The folder that holds `JPEGImages`, and name of each sequence -> its frames' files in order.

    The sequences are those of the list `ImageSets/480p/SPLIT.txt`. Where there are no lists, every folder of pictures
    in `JPEGImages/480p`, or else in `JPEGImages`, is one.

    Raises:
        InputError: there is no such folder or sequence, frames are missing, pictures of a folder are not the frames of
            one sequence (see `frame_files`), or a sequence has one frame.
    """
    root = find_root(folder, PICTURES)
    if (root / LISTS).is_dir():
        listed = read_list(root, split)
        sequences = {s.name: [root / FRAMES / s.name / f"{frame}.jpg" for frame in s.frames] for s in listed}
        there = {name: names_in(root / FRAMES / name) for name in sequences}
        missing = {name: [p for p in paths if p.name not in there[name]] for name, paths in sequences.items()}
        missing = {name: paths for name, paths in missing.items() if paths}
        if missing:
            count, first = sum(map(len, missing.values())), next(iter(missing.values()))[0]
            raise InputError(f"missing frames: {count}, of {some(list(missing))} (first {first}); bring DAVIS whole")
    else:
        place = root / FRAMES if (root / FRAMES).is_dir() else root / PICTURES
        sequences = {inner.name: frame_files(inner) for inner in sorted(place.iterdir()) if inner.is_dir()}
        sequences = {name: paths for name, paths in sequences.items() if paths}
        if not sequences:
            raise InputError(f"{place} holds no folder of pictures; expected one for each sequence")
    if single := [name for name, paths in sequences.items() if len(paths) < 2]:
        raise InputError(f"one frame has no optical flow; expected two or more in {some(single)} of {root}")
    return root, sequences


def estimate_flow(job: FlowJob) -> FlowEstimate:
    """How much is to be made.

    Raises:
        InputError: there is not enough free disk, flow pictures of another origin lie there, or a frame is damaged.
    """
    missing = _missing(job)
    if not missing:
        return FlowEstimate(0, 0, shutil.disk_usage(job.root).free)
    _claim(job)
    _make(job.method, *missing[0])
    each = missing[0][0].stat().st_size
    found = FlowEstimate(len(missing), len(missing) * each, shutil.disk_usage(job.root).free)
    if found.bytes > found.free:
        raise InputError(f"not enough disk at {job.root}: {found}; make room")
    return found


def make_flow(job: FlowJob, threads: int, advance: Callable[[], None]) -> int:
    """Make the flow pictures that are missing.

    Args:
        job: what they are.
        threads: how many are made at once.
        advance: called after each.

    Returns:
        how many were made.

    Raises:
        InputError: flow pictures of another origin lie there, or a frame is damaged or of another size than the next.
    """
    if threads < 1:
        raise InputError(f"at least one thread is needed; got {threads}")
    missing = _missing(job)
    if not missing:
        return 0
    _claim(job)
    pool = ThreadPoolExecutor(threads)
    try:
        for future in as_completed([pool.submit(_make, job.method, *wanted) for wanted in missing]):
            future.result()
            advance()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return len(missing)


def _make(method: FlowMethod, target: Path, origin: Path, aim: Path) -> None:
    try:
        flow = method(read_picture(origin), read_picture(aim))
    except InputError as error:
        raise InputError(f"no flow from {origin} to {aim.name}: {error}") from None
    with atomic_path(target) as temporary:
        Image.fromarray(draw_flow(flow)).save(temporary, format="PNG")


def _missing(job: FlowJob) -> list[tuple[Path, Path, Path]]:
    return [wanted for wanted in job.wanted() if not _is_whole(wanted[0])]


def _is_whole(path: Path) -> bool:
    """Whether a PNG file is there and ends as one does: copies that were cut off do not."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(_END_OF_PNG)))
            return file.read() == _END_OF_PNG
    except FileNotFoundError:
        return False
    except OSError as error:
        raise disk_error(path, "read", error) from None


def _claim(job: FlowJob) -> None:
    """Write what the pictures are made with, unless such of another origin are there."""
    wanted = job.method.described()
    folders = [job.root / flow_folder(backward) for backward in (False, True)]
    for folder in folders:
        found = flow_description(folder)
        if found != wanted and next(folder.rglob("*.png"), None) is not None:
            raise InputError(
                f"{folder} holds pictures of another origin ({flow_sentence(found)}), which are kept and never mixed "
                f"with those of {job.method.name}: bring the pictures that are missing from the same source, or move "
                f"{' and '.join(other.name for other in folders)} away"
            )
    for folder in folders:
        write_text(folder / DESCRIPTION, json.dumps(wanted, indent=1) + "\n")
