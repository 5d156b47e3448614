"""Studies, one file each: which pairs of clips a network is shown.

sdbench.studies.clips(folder)               your own videos, painted and shuffled
sdbench.studies.stylised(layout, folder)    the paper's data sets of action recognition
sdbench.studies.davis(folder, painted)      painted sequences with optical flow
sdbench.studies.davis_dots(layout, folder)  cinematograms and stereograms of DAVIS
sdbench.studies.rendered()                  scenes that are drawn; nothing to download
sdbench.studies.appearance_free(folder)     noise that moves as your own videos do
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sdbench.assets.store import AssetStore
from sdbench.base.checks import file_errors_said, listed, whole
from sdbench.base.checks import folder as folder_named
from sdbench.base.content import Contents
from sdbench.base.errors import InputError, unknown_name
from sdbench.data import READERS, ArrayDataset, folder_of_videos
from sdbench.data import davis as davis2016
from sdbench.data.clip import Dataset
from sdbench.data.shots import ShotFinder
from sdbench.engine.study import Study
from sdbench.networks.transnetv2 import TransNetV2
from sdbench.studies.appearance_free_study import AppearanceFreeStudy
from sdbench.studies.clip_study import ClipStudy
from sdbench.studies.davis_study import DavisStudy
from sdbench.studies.dots_study import davis_dots
from sdbench.studies.rendered_study import RENDERED, RenderedStudy, scenes_of
from sdbench.studies.sequences import DRAWS, SEEDS
from sdbench.studies.stylised_study import StylisedStudy
from sdbench.video.paint import DEFAULT_STYLES, check_styles
from sdbench.zoo import network_named

_MOST_SEEDS = 100_000
"""More than so many seeds are a slip of the keyboard."""


@file_errors_said
def clips(
    videos: str | Path | Mapping[str, npt.NDArray[np.generic]],
    *,
    styles: Sequence[str] = DEFAULT_STYLES,
    pairs: int | None = None,
    skip_unusable: bool = False,
    store: AssetStore | None = None,
) -> ClipStudy:
    """Your own videos: each clip painted in two styles, and once more with its frames shuffled.

    Cuts are found first (by TransNet V2), and no clip crosses one.

    Args:
        videos: a folder of video files or of folders of frames; or name -> clip (T, H, W, 3), uint8 or float in
            [0, 255], each taken for a video of its own.
        styles: at least two of `sdbench.video.paint.STYLES`.
        pairs: pairs of each factor; by default one a clip (and crop).
        skip_unusable: leave out what cannot be used (blank, short, damaged) and list it, instead of stopping.
        store: where networks, painted clips and shots are kept.

    Raises:
        InputError: a style is unknown, or there is no such folder; what is in it is looked at when it is measured.
    """
    store = store or AssetStore()
    return ClipStudy(_own(videos, skip_unusable, store), store, check_styles(listed("styles", styles)), _pairs(pairs))


@file_errors_said
def appearance_free(
    videos: str | Path | Mapping[str, npt.NDArray[np.generic]],
    *,
    pairs: int | None = None,
    skip_unusable: bool = False,
    store: AssetStore | None = None,
) -> AppearanceFreeStudy:
    """Noise that moves as your own videos do: two noises under one flow, and one with its frames shuffled.

    Cuts are found first (by TransNet V2), and no clip crosses one. Optical flow is computed by OpenCV, an extra:
    `pip install "sdbench[flow]"`.

    Args:
        videos: as for `clips`.
        pairs: pairs of each factor; by default one a clip (and crop).
        skip_unusable: leave out what cannot be used (blank, short, damaged) and list it, instead of stopping.
        store: where the shot network and shots are kept.

    Raises:
        InputError: there is no such folder; what is in it is looked at when it is measured.
    """
    return AppearanceFreeStudy(_own(videos, skip_unusable, store or AssetStore()), _pairs(pairs))


@file_errors_said
def stylised(
    layout: str,
    folder: str | Path,
    *,
    protocol: str = "published",
    pairs: int | None = None,
    seeds: int = 1,
    skip_unusable: bool = False,
    store: AssetStore | None = None,
) -> StylisedStudy:
    """A stylised data set of action recognition, with the paper's protocol or the corrected one.

    Args:
        layout: "activitynet", "diving48" or "ssv2".
        folder: holds the folder of each style, and the annotation files.
        protocol: "published", with the quirks of the published code, or "corrected": see `StylisedStudy`.
        pairs: pairs of each factor; by default every video gives one, up to 3,000 of them (3,002 as published).
        seeds: how many, each of which draws its pairs of the same videos anew: values are means over them.
        skip_unusable: leave out damaged videos and list them, instead of stopping.
        store: where hashes of pictures are kept.

    Raises:
        InputError: the layout or the protocol is unknown, there is no seed, or the data set cannot be used.
    """
    if layout not in tuple(READERS):
        raise unknown_name("layout", layout, READERS)
    dataset = READERS[layout](folder_named("folder", folder), skip_unusable)
    return StylisedStudy(dataset, store or AssetStore(), protocol, _pairs(pairs), whole("seeds", seeds, 0, _MOST_SEEDS))


@file_errors_said
def davis(
    folder: str | Path,
    painted: str | Path,
    *,
    protocol: str = "published",
    seeds: int = SEEDS,
    draws: int = DRAWS,
    frames: int | None = None,
    skip_unusable: bool = False,
    store: AssetStore | None = None,
) -> DavisStudy:
    """DAVIS 2016 in several styles with optical flow, for networks of video object segmentation.

    Args:
        folder: DAVIS 2016, with flow pictures (`sdbench flow` makes them).
        painted: Stylized DAVIS, or what `sdbench stylize --layout davis` made.
        protocol: "published", with the quirks of the published code, or "corrected": see
            `sdbench.studies.sequences.draw_sequences`.
        seeds: how many: values are means over them.
        draws: pairs of each sequence and seed; as published, 5.
        frames: at most so many frames of each sequence, evenly spaced; all by default.
        skip_unusable: leave out sequences that lack something and list them, instead of stopping.
        store: where hashes of pictures are kept.

    Raises:
        InputError: the protocol is unknown, or there is no seed or draw; the folders are looked at when they are
            measured.
    """
    folders = folder_named("folder", folder), folder_named("painted", painted)
    opened = partial(davis2016, *folders, skip_unusable=skip_unusable)
    return DavisStudy(
        lambda backward: opened(backward_flow=backward), store or AssetStore(), protocol, seeds, frames, draws
    )


def rendered(scenes: int | None = None) -> RenderedStudy:
    """Rendered scenes, two appearances crossed with two motions each, in the network's own size and number of frames.

    What they show is called `RENDERED`, "rendered-2": any change of it is a new version with another name.

    Args:
        scenes: how many, at least 2.

    Raises:
        InputError: there are fewer.
    """
    return RenderedStudy() if scenes is None else RenderedStudy(scenes)


def _own(
    videos: str | Path | Mapping[str, npt.NDArray[np.generic]], skip_unusable: bool, store: AssetStore
) -> Callable[[int, int], Dataset]:
    """Of the length and the shorter side of clips, those of a user's own videos.

    Raises:
        InputError: there is no such folder, or an array is no clip.
    """
    if isinstance(videos, Mapping):
        arrays = ArrayDataset("arrays", videos)
        return lambda _length, _side: arrays
    folder = folder_named("videos", videos)
    if not folder.is_dir():
        raise InputError(f"no folder at {folder}; expected one with videos or with folders of frames")

    def opened(length: int, short_side: int) -> Dataset:
        contents = Contents(store.folder / "contents")
        return folder_of_videos(folder, length, short_side, shot_finder(store), contents, skip_unusable, store.quiet)

    return opened


def _pairs(pairs: int | None) -> int | None:
    return None if pairs is None else whole("pairs", pairs)


def shot_finder(store: AssetStore) -> ShotFinder:
    """What cuts videos into shots: TransNet V2 with its published weights.

    Raises:
        AssetError: the weights cannot be had.
    """
    network = network_named("transnetv2", store=store)
    assert isinstance(network.module, TransNetV2)
    return ShotFinder(network.module, network.weights, store.folder / "shots")


@file_errors_said
def study_of(study: Study | str | Path) -> Study:
    """A study, where only a folder of videos is given.

    Raises:
        InputError: it is neither.
    """
    if isinstance(study, (str, Path)):
        return clips(folder_named("study", study))
    if not (hasattr(study, "plan") and hasattr(study, "draw")):
        raise InputError(
            f"expected a study or a folder of videos; got {type(study).__name__}: see sdbench.studies.clips and others"
        )
    return study


__all__ = [
    "RENDERED",
    "AppearanceFreeStudy",
    "ClipStudy",
    "DavisStudy",
    "RenderedStudy",
    "StylisedStudy",
    "appearance_free",
    "clips",
    "davis",
    "davis_dots",
    "rendered",
    "scenes_of",
    "shot_finder",
    "study_of",
    "stylised",
]
