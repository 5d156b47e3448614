"""Clips of one's own videos: opened once, paired in rounds, resampled by video or shot, whatever is shown of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np

from sdbench.base.cache_keys import identity_of
from sdbench.base.errors import InputError
from sdbench.data.clip import Clip, Dataset
from sdbench.engine.study import About, Pair, Plan, Planned, blocks_of
from sdbench.statistics import FEWEST_GROUPS
from sdbench.studies.views import DYNAMIC, STATIC, View
from sdbench.video.feed import Feed


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


class Opened:
    """Videos, cut into clips at the first time that a network asks for clips of its length and size.

    Args:
        videos: of the number of frames of a clip and the length of their shorter side in pixels, the clips.
    """

    def __init__(self, videos: Callable[[int, int], Dataset]) -> None:
        self.videos = videos
        self._opened: dict[tuple[int, int], Dataset] = {}
        self._opening = Lock()

    def of(self, feed: Feed) -> Dataset:
        """The clips that a network of this feed takes.

        Raises:
            InputError: a video cannot be used, or the network sees flow.
            AssetError: the shot network cannot be had.
        """
        if feed.flow is not None:
            raise InputError(
                "this network sees frames together with their optical flow, not plain videos; it is measured on "
                "painted sequences: sdbench.studies.davis, or sdbench measure NAME DAVIS --stylised davis --painted DIR"
            )
        key = (feed.span, feed.side)
        if key not in self._opened:
            with self._opening:
                if key not in self._opened:
                    self._opened[key] = self.videos(*key)
        return self._opened[key]


class Lock:
    """Lets one thread in at a time; a copy in another process is a lock of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


def plan_clips(
    dataset: Dataset,
    feed: Feed,
    looks: Iterator[tuple[str, str]],
    generator: np.random.Generator,
    pairs: int | None,
    *,
    protocol: str,
    seed: int,
    styles: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    assets: tuple[str, ...] = (),
    made_with: object = None,
    draws: int = 0,
) -> Plan[PlannedClip]:
    """One pair of each factor a crop of a clip and round, both with the same first member.

    A dynamic pair is the clip in two looks, a static pair the clip in the first of them, as filmed and with its frames
    in a random order. One round costs three forward passes a crop.

    Args:
        dataset: the clips.
        feed: what the network is fed.
        looks: two looks for each crop of each round.
        generator: draws which crops are used, and the orders.
        pairs: number of pairs of each factor. Fewer than there are crops takes a random part of them; more goes through
            them again with other looks and orders. By default one pair of each factor a crop.
        protocol: name of how pairs are drawn, for reports.
        styles: names of the looks, where they have names.
        notes: what a reader of the numbers must know.
        seed: of all draws.
        assets: what clips are made of, beside those that the videos come from.
        made_with: what else decides what a clip looks like.
        draws: the seed of what is drawn of a clip later.

    Raises:
        InputError: fewer than two pairs of a factor are asked for or possible, or clips have only one frame.
    """
    crops = [(clip, crop) for clip in dataset.clips for crop in range(feed.crops(clip.height, clip.width))]
    drawn = _paired(len(crops), looks, feed.choose(), generator, pairs)
    used = [(clip, crop, views) for (clip, crop), views in zip(crops, drawn, strict=True) if views]
    clips = list(dict.fromkeys(clip for clip, *_ in used))
    unit, thing = _grouping(clips, dataset.source_of)
    block = blocks_of(thing.values())
    samples = tuple(
        PlannedClip(
            name=str(clip),
            block=block[thing[clip]],
            views=len(views.shown),
            pairs=tuple(views.pairs),
            seed=draws,
            content=_content(dataset.digest_of(clip.video), made_with),
            clip=clip,
            crop=crop,
            shown=tuple(views.shown),
        )
        for clip, crop, views in used
    )
    # Where cuts are found depends a little on the size of the frames: a shot is what its video holds from where on.
    first = {thing[clip]: clip for clip in reversed(clips)}
    shown = [(block[of], dataset.digest_of(clip.video), clip.start * (unit == "shot")) for of, clip in first.items()]
    about = About(
        dataset=dataset.name,
        protocol=protocol,
        unit=unit,
        units=len(block),
        clips=len(clips),
        styles=styles,
        notes=(*notes, *dataset.notes),
        skipped=dataset.skipped,
        assets=(*dataset.assets, *assets),
        identity=identity_of(dataset.name, protocol, styles, seed, unit, sorted(shown), made_with),
    )
    return Plan(about, samples)


def _content(digest: str, made_with: object) -> str:
    """Hash of what a clip is drawn from: its video, and what it is made with where that is not part of the views."""
    return digest if made_with is None else identity_of(digest, made_with)


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


def _paired(
    crops: int,
    looks: Iterator[tuple[str, str]],
    chosen: Mapping[str, tuple[int, ...]],
    generator: np.random.Generator,
    pairs: int | None,
) -> list[_Views]:
    """The views and pairs of each crop of each clip."""
    wanted = crops if pairs is None else pairs
    if wanted < 2:
        raise InputError(
            f"at least 2 pairs of each factor are needed for a covariance; got {wanted}: "
            + ("ask for more pairs" if pairs is not None else "add videos, or longer ones")
        )
    drawn = [_Views([], []) for _ in range(crops)]
    while wanted > 0:
        round_of = np.arange(crops)
        if wanted < crops:
            round_of = np.sort(generator.choice(crops, size=wanted, replace=False))
        for index in round_of.tolist():
            first, second = next(looks)
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


def _grouping(clips: Sequence[Clip], source_of: Callable[[str], str]) -> tuple[str, dict[Clip, tuple[str, int]]]:
    """What is resampled, "video" or "shot", and which each clip is of; videos that hold the same are one."""
    shot = {clip: (source_of(clip.video), clip.shot) for clip in clips}
    videos, shots = {video for video, _ in shot.values()}, set(shot.values())
    if len(videos) >= FEWEST_GROUPS or len(shots) == len(videos):
        return "video", {clip: (video, 0) for clip, (video, _) in shot.items()}
    return "shot", shot
