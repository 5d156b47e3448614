"""The packaged videos as a stylised data set in a published layout, so that its pipeline can run without downloads."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.base.files import atomic_path, write_text
from sdbench.base.machine import available_cores
from sdbench.data.diving48 import stylised_diving48
from sdbench.data.layouts import layout_named
from sdbench.data.make.stylised import Job, stylize
from sdbench.data.stylised import StylisedDataset
from sdbench.data.videos import PACKAGED, packaged_videos
from sdbench.video.paint import DEFAULT_STYLES
from sdbench.zoo.preparation import Preparation

CLIPS = Preparation(frames=16, short_side=112, size=(112, 112), fit="crop", layout="signed")
"""How the packaged videos are cut: 16 frames, 112 pixels high."""


def packaged_stylised(store: AssetStore) -> StylisedDataset:
    """Each 16-frame clip of the packaged videos as a video of its own, painted in four styles, in Diving48's layout.

    The frames are made at the first call and kept in the cache folder. Clips of one of the three videos are not
    independent and are resampled together.

    Raises:
        AssetError: videos or styles cannot be had.
        InputError: a clip could not be painted.
    """
    layout = layout_named("diving48")
    clips = packaged_videos(CLIPS, store)
    folder = store.folder / "packaged_stylised" / clips.identity[:16]
    sources: dict[str, Path] = {}
    for clip, frames in zip(clips.clips, clips.read(clips.clips), strict=True):
        name = f"{clip.video}_{clip.start:03d}"
        sources[name] = folder / "frames" / name
        for position, frame in enumerate(frames):
            place = sources[name] / f"{position:03d}.png"
            if not place.exists():
                with atomic_path(place) as temporary:
                    Image.fromarray(frame).save(temporary, format="PNG")
    target = folder / "painted"
    target.mkdir(parents=True, exist_ok=True)
    job = Job(target, layout, DEFAULT_STYLES, CLIPS.short_side, store.path("styles26"))
    outcome = stylize(job, sources, available_cores(), lambda _name: None)
    if outcome.failed:
        raise InputError(f"packaged clips could not be painted: {'; '.join(outcome.failed)}")
    write_text(target / layout.annotations[0], json.dumps([{"vid_name": name, "label": 0} for name in sources]))
    found = stylised_diving48(target)
    found.name = "packaged_stylised"
    found.sources = {f"{clip.video}_{clip.start:03d}": clip.video for clip in clips.clips}
    found.assets = (*PACKAGED.values(), "transnetv2", "styles26")
    return found
