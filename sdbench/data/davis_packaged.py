"""Packaged clips as a data set of segmentation in DAVIS's folders, so that its pipeline can run without downloads.

Frames and styles are what they are; the masks are made up, since nobody has segmented these videos.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sdbench.assets.store import AssetStore
from sdbench.base.cache_keys import cache_key, identity_of
from sdbench.base.errors import InputError
from sdbench.base.files import atomic_path, sha256_of, write_text
from sdbench.base.kept import kept_folder
from sdbench.base.machine import available_cores
from sdbench.data.clip import Clip
from sdbench.data.davis2016 import DavisDataset, davis
from sdbench.data.davis_check import FRAMES, LISTS, MASKS
from sdbench.data.layouts import layout_named
from sdbench.data.make.flow import FlowJob, make_flow
from sdbench.data.make.job import QUALITY, Job
from sdbench.data.make.stylised import stylize
from sdbench.data.segmentation import Mask
from sdbench.data.shots import ShotFinder
from sdbench.data.stylised_packaged import CLIP_FRAMES, CLIP_HEIGHT
from sdbench.data.videos import PACKAGED, VideoDataset, packaged_videos
from sdbench.video.decode import read_picture
from sdbench.video.flow import Flow, FlowMethod, dis_method
from sdbench.video.frames import Frames
from sdbench.video.paint import DEFAULT_STYLES

SEQUENCES = 10
"""At most so many: one of each shot, then second ones of the longest shots."""

_OBJECT = 0.2
"""The part of a frame that a made-up mask covers."""

_MASKS_NOTE = (
    f"masks are made up: the {_OBJECT:.0%} of each frame's pixels whose optical flow differs most from the frame's "
    "median; they segment nothing that anybody marked"
)


def packaged_davis(store: AssetStore, shots: ShotFinder) -> DavisDataset:
    """Some 16-frame clips of the packaged videos as sequences, in four styles, with flow by OpenCV and made-up masks.

    The pictures are made at the first call and kept in the cache folder; every later call checks their hashes. The
    frames are 112 pixels high. `sources` says which shot a sequence was cut from: sequences of one shot are not
    independent.

    Raises:
        AssetError: videos or styles cannot be had.
        InputError: OpenCV is not installed, or a clip could not be painted.
        DiskError: the cache folder cannot be read or written.
    """
    method = dis_method()
    clips = packaged_videos(CLIP_FRAMES, CLIP_HEIGHT, shots, store)
    chosen = _chosen(clips.clips)
    styles = store.path("styles26")
    recipe = (clips.identity, chosen, method.described(), DEFAULT_STYLES, sha256_of(styles), QUALITY, _OBJECT)
    key = cache_key("packaged DAVIS data sets", recipe, code=(__name__, method.compute))
    folder = kept_folder(store.cache.packaged_davis, key, lambda folder: _fill(folder, clips, chosen, method, styles))
    found = davis(folder, folder, backward_flow=True)
    found.name = "packaged_davis"
    found.notes = (*found.notes, f"sequences are packaged clips of {CLIP_FRAMES} frames", _MASKS_NOTE)
    found.sources = {_name(clip): f"{clip.video}/shot{clip.shot}" for clip in chosen}
    found.assets = (*PACKAGED.values(), "transnetv2", "styles26")
    found.identity = identity_of(found.identity, identity_of("packaged davis", recipe))
    return found


def _fill(folder: Path, clips: VideoDataset, chosen: Sequence[Clip], method: FlowMethod, styles: Path) -> None:
    sources = _write_frames(folder, chosen, map(clips.read, chosen))
    make_flow(FlowJob(folder, sources, method), available_cores(), lambda: None)
    job = Job(folder, layout_named("davis"), DEFAULT_STYLES, CLIP_HEIGHT, styles)
    frame_folders = {name: frames[0].parent for name, frames in sources.items()}
    outcome = stylize(job, frame_folders, available_cores(), lambda _name: None)
    if outcome.failed:
        raise InputError(f"packaged clips could not be painted: {'; '.join(outcome.failed)}")
    _write_masks(folder, sources, method)


def _chosen(clips: Sequence[Clip]) -> list[Clip]:
    """The first clip of every shot, then the last ones of the shots with most clips, in the order of `clips`."""
    shots: dict[tuple[str, int], list[Clip]] = {}
    for clip in clips:
        shots.setdefault((clip.video, clip.shot), []).append(clip)
    longest = sorted((shot for shot in shots.values() if len(shot) > 1), key=len, reverse=True)
    wanted = [*(shot[0] for shot in shots.values()), *(shot[-1] for shot in longest)][:SEQUENCES]
    return [clip for clip in clips if clip in wanted]


def _name(clip: Clip) -> str:
    return f"{clip.video}_{clip.start:03d}"


def _write_frames(folder: Path, clips: Sequence[Clip], read: Iterable[Frames]) -> dict[str, list[Path]]:
    """Write the frames as filmed and the list; name of each sequence -> its frames' files."""
    sources: dict[str, list[Path]] = {}
    lines = []
    for clip, frames in zip(clips, read, strict=True):
        name = _name(clip)
        sources[name] = [folder / FRAMES / name / f"{position:05d}.jpg" for position in range(len(frames))]
        for path, frame in zip(sources[name], frames, strict=True):
            lines.append(f"/{FRAMES}/{name}/{path.name} /{MASKS}/{name}/{path.stem}.png\n")
            if not path.exists():
                with atomic_path(path) as temporary:
                    Image.fromarray(frame).save(temporary, format="JPEG", quality=QUALITY)
    write_text(folder / LISTS / "val.txt", "".join(lines))
    return sources


def _write_masks(folder: Path, sources: Mapping[str, Sequence[Path]], method: FlowMethod) -> None:
    for name, paths in sources.items():
        frames = [read_picture(path) for path in paths]
        followed = [*frames[1:], frames[-2]]  # the last frame's flow is the one backward
        for path, frame, other in zip(paths, frames, followed, strict=True):
            mask = made_up_mask(method(frame, other))
            with atomic_path(folder / MASKS / name / f"{path.stem}.png") as temporary:
                Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(temporary, format="PNG")


def made_up_mask(flow: Flow) -> Mask:
    """The fifth of a frame whose flow (H, W, 2) differs most from the frame's median: (H, W) bool."""
    apart = np.linalg.norm(flow - np.median(flow, axis=(0, 1)), axis=-1)
    return np.asarray(apart > np.quantile(apart, 1 - _OBJECT))
