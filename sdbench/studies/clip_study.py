"""Clips of a user's own videos: the same clip painted in two styles, or with its frames shuffled."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from types import TracebackType

import numpy as np
from torch import Tensor

from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.data.clip import Clip, Dataset
from sdbench.engine.placing import device_named
from sdbench.engine.study import About, Pair, Plan, Planned, blocks_of
from sdbench.statistics import FEWEST_GROUPS
from sdbench.studies.views import DYNAMIC, STATIC, View, drawn_views
from sdbench.video.feed import Feed
from sdbench.video.paint import Painter

PROTOCOL = "balanced"
"""One pair of each factor a sample, styles balanced, first members shared: see `ClipStudy`."""


@dataclass(frozen=True, kw_only=True)
class PlannedClip(Planned):
    """What is to be done with one crop of one clip.

    Attributes:
        clip: the clip.
        crop: which of its crops.
        shown: its distinct views; positions of frames count from the clip's start.
    """

    clip: Clip
    crop: int
    shown: tuple[View, ...]


class ClipStudy:
    """Pairs of clips in which every style is the first and the second as often as any other.

    Each crop of each clip gives one pair of each factor in a round, and both share their first member: a dynamic pair
    is the clip in two styles, a static pair the clip in the first of them, as filmed and with its frames in a random
    order. One round costs three forward passes a crop.

    Args:
        videos: of the number of frames of a clip and the length of their shorter side in pixels, the clips.
        store: where the style network and painted clips lie.
        styles: the styles to draw from, at least two of `sdbench.video.paint.STYLES`.
        pairs: number of pairs of each factor. Fewer than there are crops takes a random part of them; more goes through
            them again with other styles and orders. By default one pair of each factor a crop.
        device: where clips are painted; see `on`.
    """

    def __init__(
        self,
        videos: Callable[[int, int], Dataset],
        store: AssetStore,
        styles: Sequence[str],
        pairs: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.videos, self.store, self.styles, self.pairs = videos, store, tuple(styles), pairs
        self.device = device
        self._opened: dict[tuple[int, int], Dataset] = {}
        self._painters: dict[int, Painter] = {}
        self._opening, self._preparing = _Lock(), _Lock()

    def __getstate__(self) -> dict[str, object]:
        """What travels to another process: without the style network, which is made anew there."""
        return {**self.__dict__, "_painters": {}}

    def on(self, device: str) -> ClipStudy:
        """The same study, which paints on this device; both find the shots of a video once.

        Whether the device is there is asked when the first clip is drawn: that may be on another machine.
        """
        study = ClipStudy(self.videos, self.store, self.styles, self.pairs, device)
        study._opened, study._opening = self._opened, self._opening
        return study

    def plan(self, feed: Feed, seed: int) -> Plan[PlannedClip]:
        """Which clips there are, which crops of them are used and how they are paired.

        Raises:
            InputError: a video cannot be used, a network that sees flow is asked about, or there are too few pairs.
            AssetError: the style network or the shot network cannot be had.
        """
        if feed.flow is not None:
            raise InputError(
                "this network sees frames together with their optical flow, not plain videos; it is measured on "
                "painted sequences: sdbench.studies.davis, or sdbench measure NAME DAVIS --stylised davis --painted DIR"
            )
        self.store.path("styles26")
        dataset = self._dataset(feed)
        crops = [(clip, crop) for clip in dataset.clips for crop in range(feed.crops(clip.height, clip.width))]
        chosen = feed.choose()
        drawn = _balanced(len(crops), self.styles, chosen, generator_for(seed, "pairs"), self.pairs)
        used = [(clip, crop, views) for (clip, crop), views in zip(crops, drawn, strict=True) if views]
        unit, block = _grouping([clip for clip, *_ in used])
        samples = [
            PlannedClip(
                name=str(clip),
                block=block[clip],
                views=len(views.shown),
                pairs=tuple(views.pairs),
                content=dataset.digest_of(clip.video),
                clip=clip,
                crop=crop,
                shown=tuple(views.shown),
            )
            for clip, crop, views in used
        ]
        about = About(
            dataset=dataset.name,
            protocol=PROTOCOL,
            unit=unit,
            units=len({(c.video if unit == "video" else (c.video, c.shot)) for c, *_ in used}),
            clips=len({clip for clip, *_ in used}),
            styles=self.styles,
            skipped=dataset.skipped,
            assets=(*dataset.assets, "styles26"),
        )
        return Plan(about, tuple(samples))

    def draw(self, planned: PlannedClip, feed: Feed) -> Mapping[str, Tensor]:
        """The clip's views, painted, cropped and in their order; see `sdbench.engine.study.Study.draw`."""
        frames = self._dataset(feed).read(planned.clip)
        painter = self._painter()

        def read(style: str, positions: tuple[int, ...]) -> np.ndarray:
            return painter.paint(np.ascontiguousarray(frames[list(positions)]), style, str(planned.clip))

        return drawn_views(planned.shown, feed, read, planned.crop)

    def _painter(self) -> Painter:
        process = os.getpid()  # the style network does not live on in a process that was forked
        if process not in self._painters:
            with self._preparing:
                if process not in self._painters:
                    device_named(self.device)
                    model, folder = self.store.path("styles26"), self.store.folder / "painted"
                    self._painters = {process: Painter(model, folder, device=self.device)}
        return self._painters[process]

    def _dataset(self, feed: Feed) -> Dataset:
        key = (feed.span, feed.side)
        if key not in self._opened:
            with self._opening:
                if key not in self._opened:
                    self._opened[key] = self.videos(*key)
        return self._opened[key]


class _Lock:
    """Lets one thread in at a time; a copy in another process is a lock of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[_Lock], tuple[()]]:
        return _Lock, ()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


@dataclass
class _Views:
    """The distinct views of one crop of a clip, and the pairs that they form."""

    shown: list[View]
    pairs: list[Pair]

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def number(self, view: View) -> int:
        if view not in self.shown:
            self.shown.append(view)
        return self.shown.index(view)


def _balanced(
    crops: int,
    styles: Sequence[str],
    chosen: Mapping[str, tuple[int, ...]],
    generator: np.random.Generator,
    pairs: int | None,
) -> list[_Views]:
    """The views and pairs of each crop of each clip.

    Raises:
        InputError: fewer than two pairs of a factor are asked for or possible, or there are fewer than two styles.
    """
    wanted = crops if pairs is None else pairs
    if len(styles) < 2:
        raise InputError(f"a dynamic pair needs two styles; got {len(styles)}")
    if wanted < 2:
        raise InputError(
            f"at least 2 pairs of each factor are needed for a covariance; got {wanted}: "
            + ("ask for more pairs" if pairs is not None else "add videos, or longer ones")
        )
    ordered_styles = list(permutations(styles, 2))
    drawn = [_Views([], []) for _ in range(crops)]
    deck: list[tuple[str, str]] = []
    while wanted > 0:
        round_of = np.arange(crops)
        if wanted < crops:
            round_of = np.sort(generator.choice(crops, size=wanted, replace=False))
        for index in round_of.tolist():
            if not deck:
                deck = [ordered_styles[i] for i in generator.permutation(len(ordered_styles))]
            first, second = deck.pop()
            views = drawn[index]
            filmed = views.number(View(first, tuple(chosen.items())))
            other = views.number(View(second, tuple(chosen.items())))
            shuffled = tuple((name, _shuffled(frames, generator)) for name, frames in chosen.items())
            views.pairs.append((filmed, other, DYNAMIC))
            views.pairs.append((filmed, views.number(View(first, shuffled)), STATIC))
        wanted -= len(round_of)
    return drawn


def _shuffled(frames: tuple[int, ...], generator: np.random.Generator) -> tuple[int, ...]:
    """A random order of frames that is not the order they were filmed in.

    Raises:
        InputError: there is only one frame.
    """
    if len(set(frames)) < 2:
        raise InputError("a clip of one frame cannot be shuffled; expected at least 2 frames")
    while True:
        order = tuple(frames[i] for i in generator.permutation(len(frames)).tolist())
        if order != frames:
            return order


def _grouping(clips: Sequence[Clip]) -> tuple[str, dict[Clip, str]]:
    """What is resampled, and to which resampling block each clip belongs."""
    videos = list(dict.fromkeys(clip.video for clip in clips))
    shots = list(dict.fromkeys((clip.video, clip.shot) for clip in clips))
    if len(videos) >= FEWEST_GROUPS or len(shots) == len(videos):
        block = blocks_of(videos)
        return "video", {clip: block[clip.video] for clip in clips}
    of_shot = blocks_of(shots)
    return "shot", {clip: of_shot[clip.video, clip.shot] for clip in clips}
