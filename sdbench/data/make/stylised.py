"""Making a stylised data set: four painted copies of every video, laid out as the paper's data sets are published.

A frame is written whole or not at all and a finished video leaves a mark, so that the same command goes on where an
interrupted one stopped. What the copies were made with is written beside them and held against every later run.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.files import atomic_path, remove_tree, write_text
from sdbench.base.warned import warn_caller
from sdbench.data.layouts import Layout
from sdbench.data.make.flow import frames_of
from sdbench.data.make.job import QUALITY, Job, check_apart, claim
from sdbench.data.make.painters import FramePainter
from sdbench.data.video_folder import find_videos
from sdbench.video.decode import frames_at_rate, ordered_pictures, outline
from sdbench.video.frames import Frames, resize_frame


@dataclass(frozen=True)
class Estimate:
    """What a job will take before it starts.

    Attributes:
        frames: how many frames, all styles together, as far as headers tell.
        bytes: how much disk they take, judged by one painted frame of the first video.
        free: how much disk is free.
    """

    frames: int
    bytes: int
    free: int

    def __str__(self) -> str:
        return (
            f"about {self.frames} frames, {self.bytes / 1e9:.2f} GB, all styles together; "
            f"{self.free / 1e9:.2f} GB are free"
        )


@dataclass(frozen=True)
class Outcome:
    """What became of the videos.

    Attributes:
        made: how many were painted in this run, wholly or what was missing of them.
        kept: how many an earlier run had finished.
        failed: one sentence for each video that could not be read; nothing of it is marked as finished.
        annotations: annotation files of the layout that were copied from the source.
        lacking: those that were not there; they must be put into the target.
    """

    made: int
    kept: int
    failed: tuple[str, ...]
    annotations: tuple[str, ...]
    lacking: tuple[str, ...]


def find_sources(folder: Path, layout: Layout, split: str = "val") -> dict[str, Path]:
    """Name of each video's folder in the layout -> its file, or its folder of frames; what is passed over is warned of.

    Args:
        folder: holds videos or folders of frames; for the layout of DAVIS, DAVIS itself.
        layout: what is to be made.
        split: which sequences of DAVIS.

    Raises:
        InputError: there is no such folder, nothing in it is a video, or two videos would get the same name.
    """
    if layout.mirrors:
        return {name: frames[0].parent for name, frames in frames_of(folder, split)[1].items()}
    listed = find_videos(folder, layout.annotations)
    found: dict[str, Path] = {}
    for path in listed.sources.values():
        name = layout.video_folder(path.name if path.is_dir() else path.stem)
        if name in found:
            raise InputError(f"{found[name]} and {path} would both become {name}; rename one or leave it out")
        found[name] = path
    for sentence in listed.passed_over:
        warn_caller(f"{folder}: {sentence}")
    return found


def estimate_disk(job: Job, sources: Mapping[str, Path]) -> Estimate:
    """How much the copies of the videos that are not finished will take.

    Raises:
        InputError: there is not enough free disk.
    """
    frames, pixels, sampled = 0, 0, 0.0
    for name, source in sources.items():
        if job.mark(name).exists():
            continue
        with contextlib.suppress(InputError):  # what cannot be read is said when its turn comes
            about = outline(source)
            count = float(about.frames)
            if job.layout.frames_per_second and about.rate:
                count *= float(job.layout.frames_per_second / about.rate)
            height, width = job.frame_size(about.height, about.width)
            frames += round(count)
            pixels += round(count) * height * width
            if not sampled:
                painted = _Work(job, job.painter()).sample(source)
                sampled = len(painted) / (height * width)
    job.target.mkdir(parents=True, exist_ok=True)
    styles = len(job.styles)
    result = Estimate(styles * frames, round(styles * pixels * sampled), shutil.disk_usage(job.target).free)
    if result.bytes > result.free:
        raise InputError(f"not enough disk at {job.target}: {result}; make room or lower the short side")
    return result


def stylize(
    job: Job,
    sources: Mapping[str, Path],
    processes: int,
    advance: Callable[[str], None],
) -> Outcome:
    """Make the copies, or what is missing of them.

    Args:
        job: what the copies are.
        sources: as `find_sources` gives them.
        processes: how many videos are painted at once, each in a process of its own (one: in this process); on another
            device than the CPU in a thread of its own, and all by one painter.
        advance: called with the name of each video that is done.

    Raises:
        InputError: the target holds copies that were made otherwise.
        SdbenchError: a process dies again and again at one video.
    """
    if processes < 1:
        raise InputError(f"at least one process is needed; got {processes}")
    for source in sources.values():
        check_apart(source, job.target, job.layout)
    claim(job)
    waiting = {name: source for name, source in sources.items() if not job.mark(name).exists()}
    kept = [name for name in sources if name not in waiting]
    for name in kept:
        advance(name)
    failed = []
    if processes == 1:
        painted = _here(job, waiting)
    else:
        painted = (_in_processes if job.device == "cpu" else _in_threads)(job, waiting, processes)
    for name, fault in painted:
        if fault:
            failed.append(fault)
        advance(name)
    return Outcome(len(waiting) - len(failed), len(kept), tuple(failed), *_copy_annotations(job, sources))


def _here(job: Job, sources: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    work = _Work(job, job.painter())
    for name, source in sources.items():
        yield name, work.paint_video(name, source)


def _in_processes(job: Job, sources: Mapping[str, Path], processes: int) -> Iterator[tuple[str, str]]:
    """Painted by processes; where one of them dies, fewer go on with what is missing."""
    # Fresh processes: a copy of this one could inherit locks of the threads that torch and onnxruntime keep.
    context = multiprocessing.get_context("spawn")
    left, tried = dict(sources), ""
    while left:
        stopping = context.Event()
        try:
            with ProcessPoolExecutor(processes, context, _start_worker, (job, stopping)) as pool:
                for name, fault in _by_pool(pool, _paint_in_worker, left, processes, stopping):
                    del left[name]
                    yield name, fault
        except BrokenProcessPool:
            lost = "a painting process was lost, killed as the system does when memory runs out, or crashed"
            if processes == 1 and tried == next(iter(left)):
                raise SdbenchError(f"{lost}, twice at {tried}: leave it out, or make memory free") from None
            tried = next(iter(left)) if processes == 1 else ""
            processes = max(1, processes - 1)
            warn_caller(f"{lost}; {processes} {'goes' if processes == 1 else 'go'} on")


def _in_threads(job: Job, sources: Mapping[str, Path], threads: int) -> Iterator[tuple[str, str]]:
    # Every process would need memory of its own on the device, and they would take turns there all the same.
    stopping = threading.Event()
    work = _Work(job, job.painter(), stopping.is_set)
    with ThreadPoolExecutor(threads) as pool:
        yield from _by_pool(pool, lambda name, source: _painted(work, name, source), sources, threads, stopping)


def _by_pool(
    pool: Executor, paint: Callable[[str, Path], str], sources: Mapping[str, Path], workers: int, stopping: Any
) -> Iterator[tuple[str, str]]:
    waiting = iter(tuple(sources.items()))
    running: dict[Future[str], str] = {}
    try:
        while True:
            while len(running) < 2 * workers and (following := next(waiting, None)):
                with _children_ignore_ctrl_c():
                    running[pool.submit(paint, *following)] = following[0]
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        stopping.set()
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _children_ignore_ctrl_c() -> Iterator[None]:
    """A process that is started here ignores Ctrl-C from its first instruction, before it can say so itself."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may change this, and only it hears Ctrl-C
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Stopped(Exception):  # noqa: N818 - not an error: the run was asked to end
    """The parent process was interrupted."""


_worker: _Work | None = None


def _start_worker(job: Job, stopping: Any) -> None:
    global _worker  # noqa: PLW0603 - a process pool hands its workers nothing but globals
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and says when to stop
    _worker = _Work(job, job.painter(), stopping.is_set)


def _paint_in_worker(name: str, source: Path) -> str:
    assert _worker is not None
    return _painted(_worker, name, source)


def _painted(work: _Work, name: str, source: Path) -> str:
    try:
        return work.paint_video(name, source)
    except _Stopped:
        return f"{source}: stopped"


@dataclass
class _Work:
    """Paints videos one after the other."""

    job: Job
    painter: FramePainter
    stopping: Callable[[], bool] = lambda: False

    def paint_video(self, name: str, source: Path) -> str:
        """Paint what is missing of a video; returns why it could not be, or nothing."""
        layout, position = self.job.layout, 0
        try:
            kept = [f"{path.stem}.jpg" for path in ordered_pictures(source)] if layout.mirrors else []
            for position, frame in enumerate(frames_at_rate(source, layout.frames_per_second), start=1):
                file = kept[position - 1] if layout.mirrors else layout.frame_name(position - 1)
                self._paint_frame(f"{name}/{file}", frame)
        except InputError as error:
            # What was painted of it would look like a shorter video.
            for folder in self.job.folders:
                remove_tree(folder / name)
            return str(error)
        write_text(self.job.mark(name), f"{position}\n")
        return ""

    def _paint_frame(self, name: str, frame: Frames) -> None:
        paths = {style: folder / name for folder, style in zip(self.job.folders, self.job.styles, strict=True)}
        missing = {style: path for style, path in paths.items() if not path.exists()}
        if not missing:
            return
        small = resize_frame(frame, self.job.frame_size(*frame.shape[:2]))
        for path, encoded in zip(missing.values(), self._encoded(small, list(missing)), strict=True):
            with atomic_path(path) as temporary:
                temporary.write_bytes(encoded)

    def _encoded(self, frame: Frames, styles: Sequence[str]) -> Iterator[bytes]:
        height, width = frame.shape[:2]
        # Mirrored at the edge as the style network itself does, then cut off again: nothing is resampled, and what is
        # painted stays where masks and flow say that it is.
        whole = np.pad(frame, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")
        painted = self.painter.paint_frame(whole, styles)
        for _ in styles:
            if self.stopping():
                raise _Stopped
            file = io.BytesIO()
            Image.fromarray(next(painted)[:height, :width]).save(file, "JPEG", quality=QUALITY)
            yield file.getvalue()

    def sample(self, source: Path) -> bytes:
        """The first frame of a video, painted and encoded."""
        frame = next(frames_at_rate(source, None))
        return next(self._encoded(resize_frame(frame, self.job.frame_size(*frame.shape[:2])), self.job.styles[:1]))


def _copy_annotations(job: Job, sources: Mapping[str, Path]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Copy the annotation files that lie in a folder above the sources; which were copied or there, and which lack."""
    places: Sequence[Path] = list(
        dict.fromkeys(parent for path in sources.values() for parent in list(path.parents)[:2])
    )
    have: list[str] = []
    lacking: list[str] = []
    for name in job.layout.annotations:
        target = job.target / name
        origin = next((place / name for place in places if (place / name).is_file()), None)
        if not target.exists() and origin is not None:
            with atomic_path(target) as temporary:
                shutil.copyfile(origin, temporary)
        (have if target.exists() else lacking).append(name)
    return tuple(have), tuple(lacking)
