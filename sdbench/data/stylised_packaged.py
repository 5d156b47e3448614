"""The packaged videos as a stylised data set in a published layout, so that its pipeline can run without downloads."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from sdbench.assets.store import AssetStore
from sdbench.base.cache_keys import cache_key
from sdbench.base.errors import InputError
from sdbench.base.files import atomic_path, sha256_of, write_text
from sdbench.base.kept import kept_folder
from sdbench.base.machine import available_cores
from sdbench.data.diving48 import stylised_diving48
from sdbench.data.layouts import layout_named
from sdbench.data.make.job import QUALITY, Job
from sdbench.data.make.stylised import stylize
from sdbench.data.shots import ShotFinder
from sdbench.data.stylised import StylisedDataset
from sdbench.data.videos import PACKAGED, VideoDataset, packaged_videos
from sdbench.video.paint import DEFAULT_STYLES

CLIP_FRAMES, CLIP_HEIGHT = 16, 112
"""How the packaged videos are cut: frames of a clip, and the shorter side of a frame in pixels."""

_LAYOUT = layout_named("diving48")


def packaged_stylised(store: AssetStore, shots: ShotFinder) -> StylisedDataset:
    """Each 16-frame clip of the packaged videos as a video of its own, painted in four styles, in Diving48's layout.

    The frames are made at the first call and kept in the cache folder; every later call checks their hashes. Clips of
    one of the three videos are not independent and are resampled together.

    Raises:
        AssetError: videos or styles cannot be had.
        InputError: a clip could not be painted.
        DiskError: the cache folder cannot be read or written.
    """
    clips = packaged_videos(CLIP_FRAMES, CLIP_HEIGHT, shots, store)
    styles = store.path("styles26")
    recipe = (clips.identity, sha256_of(styles), DEFAULT_STYLES, QUALITY)
    key = cache_key("packaged stylised data sets", recipe, code=__name__)
    folder = kept_folder(store.cache.packaged_stylised, key, lambda folder: _fill(folder, clips, styles))
    found = stylised_diving48(folder / "painted")
    found.name = "packaged_stylised"
    found.sources = {f"{clip.video}_{clip.start:03d}": clip.video for clip in clips.clips}
    found.assets = (*PACKAGED.values(), "transnetv2", "styles26")
    return found


def _fill(folder: Path, clips: VideoDataset, styles: Path) -> None:
    target = folder / "painted"
    target.mkdir(exist_ok=True)
    sources = _write_frames(folder / "frames", clips)
    job = Job(target, _LAYOUT, DEFAULT_STYLES, CLIP_HEIGHT, styles)
    outcome = stylize(job, sources, available_cores(), lambda _name: None)
    if outcome.failed:
        raise InputError(f"packaged clips could not be painted: {'; '.join(outcome.failed)}")
    write_text(target / _LAYOUT.annotations[0], json.dumps([{"vid_name": name, "label": 0} for name in sources]))


def _write_frames(folder: Path, clips: VideoDataset) -> dict[str, Path]:
    """Write the frames that are not there; name of each clip -> the folder of its frames."""
    sources: dict[str, Path] = {}
    for clip in clips.clips:
        name = f"{clip.video}_{clip.start:03d}"
        sources[name] = folder / name
        for position, frame in enumerate(clips.read(clip)):
            place = sources[name] / f"{position:03d}.png"
            if not place.exists():
                with atomic_path(place) as temporary:
                    Image.fromarray(frame).save(temporary, format="PNG")
    return sources
