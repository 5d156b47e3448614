"""Cinematograms and stereograms of DAVIS: pairs of painted sequences that were made of one source frame each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.base.checks import folder as folder_named
from sdbench.base.errors import unknown_name
from sdbench.data.davis_dots import DOTS
from sdbench.data.davis_dots import davis_dots as dots_of_davis
from sdbench.studies.davis_study import DavisStudy
from sdbench.studies.sequences import DRAWS, SEEDS


def davis_dots(
    layout: str,
    folder: str | Path,
    painted: str | Path | None = None,
    *,
    protocol: str = "published",
    seeds: int = SEEDS,
    draws: int = DRAWS,
    frames: int | None = None,
    skip_unusable: bool = False,
    store: AssetStore | None = None,
) -> DavisStudy:
    """Cinematograms or stereograms of DAVIS in several styles with optical flow, paired as DAVIS itself is.

    Args:
        layout: "davis_cinematograms" or "davis_stereograms": see `sdbench.data.davis_dots`.
        folder: holds the pictures made of the source frames, their flow, and the list of source frames.
        painted: holds the folder of each style in its `JPEGImages`; by default `folder` does.
        protocol: "published", with the quirks of the published code, or "corrected": see
            `sdbench.studies.sequences.draw_sequences`.
        seeds: how many: values are means over them.
        draws: pairs of each sequence and seed; as published, 5.
        frames: at most so many pictures of each source frame, evenly spaced; all by default.
        skip_unusable: leave out source frames that lack something and list them, instead of stopping.
        store: where hashes of pictures are kept.

    Raises:
        InputError: the layout or the protocol is unknown, or there is no seed or draw; the folders are looked at when
            they are measured.
    """
    if layout not in DOTS:
        raise unknown_name("layout", layout, DOTS)
    styles = None if painted is None else folder_named("painted", painted)
    opened = partial(dots_of_davis, layout, folder_named("folder", folder), styles, skip_unusable=skip_unusable)
    return DavisStudy(
        lambda backward: opened(backward_flow=backward), store or AssetStore(), protocol, seeds, frames, draws
    )
