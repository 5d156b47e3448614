"""Stylised data sets: pairs as the paper's published code draws them, and the same corrected.

One video gives one pair. A dynamic pair is the same frames in two styles, a static pair the same frames in one style,
as filmed and in a random order: the frames that were already sampled, and SlowFast's two paths each in their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from sdbench.assets.store import AssetStore
from sdbench.base.content import Contents
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.base.kept import key_of
from sdbench.base.warned import warn_caller
from sdbench.data.stylised import PROTOCOLS, StylisedDataset, StylisedVideo
from sdbench.data.video_folder import copies_said
from sdbench.engine.study import About, Pair, Plan, Planned, blocks_of
from sdbench.statistics import FACTORS
from sdbench.studies.views import DYNAMIC, STATIC, View, drawn_views
from sdbench.video.feed import Feed, window

ACTION_PROTOCOLS = PROTOCOLS

MOST_VIDEOS = {"published": 3002, "corrected": 3000}
"""So many pairs of both factors together, one of each video: the paper's 3,000, for which its program stops after 1,501
batches of two."""

FEWEST_VIDEOS = 32
"""Below this many the interval is so wide that a warning is due."""

SHORT_VIDEO_LEAVES = 8
"""The random start of a video shorter than a clip leaves at least so many frames."""

QUIRKS = (
    "quirk 1 reproduced: where the first member of a dynamic pair happens to start at frame 0, the second draws another"
    " start",
    "quirk 2 is part of the layouts: Diving48 frame numbers start at 0, ActivityNet's at 1",
    "quirk 3 cannot run as published: the ActivityNet loader passes a tuple where a clip is expected; the clip in that "
    "tuple is used",
    "quirk 4 reproduced by the quantity published_units: units that do not change in the pairs of a factor are neither "
    "counted nor in the total",
    "quirk 5 reproduced by the quantity published_percent: the cut to integers gives the residual up to two dimensions",
    "quirk 6 reproduced: styles and factors are drawn anew for each pair and are not balanced",
    "quirk 11 reproduced: a clip of a Diving48 or SSv2 video of exactly as many frames as it takes starts anywhere "
    "that leaves 8 of them, and repeats these",
    "quirk 12 reproduced: of more than 3,000 videos the first 3,002 in the order of the annotation file are used, not "
    "a random part",
    "quirk 13 reproduced: an ActivityNet video is left out where any of its annotations has fewer than 16 frames, "
    "whichever is used",
)
"""What the published protocol does that a reader of the paper would not expect; one sentence each, for the report."""


@dataclass(frozen=True, kw_only=True)
class PlannedVideo(Planned):
    """What is to be done with one video.

    Attributes:
        video: the video.
        shown: its distinct views; positions of frames count from the video's start.
    """

    video: StylisedVideo
    shown: tuple[View, ...]


class StylisedStudy:
    """Pairs of videos of a stylised data set; one video gives one pair.

    Args:
        dataset: the videos, in at least two styles.
        store: where hashes of pictures are kept.
        protocol: "published" draws style and factor of each pair at random; "corrected" has as many dynamic as static
            pairs, in each of the two every style first and second as often as any other (all within one), the same
            frames in both members of every dynamic pair, and no static pair whose frames come in the order they were
            filmed. They also differ in which videos and frames are used: see `draw_pairs` and
            `sdbench.data.stylised.StylisedDataset.under`.
        pairs: how many of each factor: the videos that are used are twice as many. By default every video gives one
            pair, up to 3,002 of them under "published" and 3,000 under "corrected".
        seeds: how many: each draws its pairs anew, and values are means over them. Several show what the draws do.

    Raises:
        InputError: the protocol is unknown, its rules leave no video, or there is no seed.
    """

    def __init__(
        self,
        dataset: StylisedDataset,
        store: AssetStore,
        protocol: str = "published",
        pairs: int | None = None,
        seeds: int = 1,
    ) -> None:
        if protocol not in ACTION_PROTOCOLS:
            raise unknown_name("protocol", protocol, ACTION_PROTOCOLS)
        if seeds < 1:
            raise InputError(f"at least 1 seed is needed; got {seeds}")
        self.dataset, self.store, self.protocol, self.pairs = dataset.under(protocol), store, protocol, pairs
        self.seeds = seeds

    def plan(self, feed: Feed, seed: int) -> Plan[PlannedVideo]:
        """Which videos are used and how they are paired.

        Raises:
            InputError: there are fewer than two styles, more pairs are asked for than there are videos, a factor got
                fewer than the two pairs that a covariance needs, or a network that sees flow is asked about.
        """
        if feed.flow is not None:
            raise InputError("this network sees frames with their optical flow; it is measured on Stylized DAVIS")
        dataset = self.dataset
        runs = {
            run: draw_pairs(
                self.protocol, dataset.videos, dataset.styles, feed, generator_for(run, "pairs"), self.pairs
            )
            for run in range(seed, seed + self.seeds)
        }
        drawn = [pair for pairs in runs.values() for pair in pairs]
        contents = Contents(self.store.folder / "contents")
        thing = self._things([pair.video for pair in drawn], contents)
        block = blocks_of(thing.values())
        copies = [f"{name} is {of}" for name, of in thing.items() if of in thing and of != name]
        samples = [
            PlannedVideo(
                name=pair.video.name,
                block=block[thing[pair.video.name]],
                views=len(pair.shown),
                pairs=(pair.pair,),
                seed=run if self.seeds > 1 else 0,
                content=contents.of(
                    path for view in pair.shown for path in dataset.files(pair.video, view.style, view.positions)
                ),
                video=pair.video,
                shown=pair.shown,
            )
            for run, pairs in runs.items()
            for pair in pairs
        ]
        about = About(
            dataset=dataset.name,
            protocol=self.protocol,
            unit="video",
            units=len(block),
            clips=len({pair.video.name for pair in drawn}),
            styles=dataset.styles,
            notes=(*_notes(self.protocol, len(runs[seed])), *copies_said(copies, len(thing))),
            skipped=dataset.skipped,
            assets=dataset.assets,
            identity=self._identity(drawn, {name: block[of] for name, of in thing.items()}, seed, contents),
        )
        return Plan(about, tuple(samples))

    def _things(self, videos: Sequence[StylisedVideo], contents: Contents) -> dict[str, str]:
        """What each video is resampled with: what it was cut from, or the first of those that hold the same pictures.

        The first, the middle and the last in one style stand for all of them.
        """
        dataset, first = self.dataset, dict[str, str]()
        found = {}
        for video in sorted(set(videos), key=lambda video: video.name):
            positions = (0, video.frames // 2, video.frames - 1)
            content = contents.of(dataset.files(video, dataset.styles[0], positions), names=False)
            found[video.name] = first.setdefault(content, dataset.source_of(video))
        return {video.name: found[video.name] for video in videos}

    def _identity(self, drawn: Sequence[DrawnPair], block: Mapping[str, str], seed: int, contents: Contents) -> str:
        """Hash of what is shown: see `About`. The first picture in each style stands for the others of a video.

        Which of the others are shown is the network's, and to hash them all would take longer than to measure.
        """
        dataset, videos = self.dataset, [pair.video for pair in drawn]
        first = contents.of(path for v in videos for style in dataset.styles for path in dataset.files(v, style, (0,)))
        shown = [(block[video.name], video.name) for video in videos]
        return key_of(dataset.name, dataset.identity, self.protocol, dataset.styles, seed, shown, first)

    def draw(self, planned: PlannedVideo, feed: Feed) -> Mapping[str, Tensor]:
        """The video's views; see `sdbench.engine.study.Study.draw`."""
        return drawn_views(planned.shown, feed, lambda style, frames: self.dataset.read(planned.video, style, frames))


def _notes(protocol: str, videos: int) -> tuple[str, ...]:
    """What a reader must know; few pairs are warned of at once, before hours are spent on them."""
    notes = list(QUIRKS) if protocol == "published" else []
    if videos < FEWEST_VIDEOS:
        notes.append(f"{videos} videos, each with one pair, are fewer than {FEWEST_VIDEOS}: the intervals will be wide")
        warn_caller(notes[-1])
    return tuple(notes)


@dataclass(frozen=True)
class DrawnPair:
    """One video and the pair that it gives.

    Attributes:
        video: the video.
        shown: the distinct views that the pair consists of, one or two.
        pair: their numbers, and the factor that they share.
    """

    video: StylisedVideo
    shown: tuple[View, ...]
    pair: Pair


def draw_pairs(
    protocol: str,
    videos: Sequence[StylisedVideo],
    styles: Sequence[str],
    feed: Feed,
    generator: np.random.Generator,
    pairs: int | None = None,
) -> tuple[DrawnPair, ...]:
    """One pair of each video that is used.

    Args:
        protocol: "published" draws style and factor of each pair at random, and of more videos than it uses takes
            the first of the annotation file; "corrected" takes a random part of them, and has as many dynamic as static
            pairs, in each of the two every style first and second as often as any other (all within one), the same
            frames in both members of every dynamic pair, and no static pair whose frames come in the order they were
            filmed. For random starts see `draw_start`.
        videos: in the order in which they are to be read.
        styles: at least two.
        feed: what the network is fed.
        generator: source of every draw.
        pairs: how many of each factor; by default every video gives one pair, at most `MOST_VIDEOS` of them.

    Raises:
        InputError: the protocol is unknown, there are fewer than two styles, more pairs are asked for than there are
        videos, or a factor got fewer than the two pairs that a covariance needs.
    """
    if protocol not in ACTION_PROTOCOLS:
        raise unknown_name("protocol", protocol, ACTION_PROTOCOLS)
    if len(styles) < 2:
        raise InputError(f"a dynamic pair needs two styles; got {len(styles)}")
    wanted = min(len(videos), MOST_VIDEOS[protocol]) if pairs is None else len(FACTORS) * pairs
    if wanted > len(videos):
        raise InputError(
            f"one video gives one pair: {pairs} pairs of each factor take {wanted} videos, and there are "
            f"{len(videos)}; ask for fewer"
        )
    if wanted < 4:
        raise InputError(
            f"at least 2 pairs of each factor are needed, one of each video; got {max(wanted, 0)} videos: use more"
        )
    chosen = np.arange(len(videos))
    if wanted < len(videos) and protocol == "published":
        chosen = np.sort(np.argsort([video.place for video in videos], kind="stable")[:wanted])
    elif wanted < len(videos):
        chosen = np.sort(generator.choice(len(videos), size=wanted, replace=False))
    used = [videos[int(i)] for i in chosen]
    draw = _published if protocol == "published" else _corrected
    plans = draw(used, styles, feed, generator)
    for factor, name in enumerate(FACTORS):
        count = sum(plan.pair[2] == factor for plan in plans)
        if count < 2:
            remedy = (
                "ask for more pairs, another seed, or the corrected protocol"
                if protocol == "published"
                else "use more videos, or longer ones: those of which every chosen frame is the same cannot be shuffled"
            )
            raise InputError(f"the draw gave {count} {name} pairs of {wanted} videos, at least 2 are needed; {remedy}")
    return plans


def _published(
    videos: Sequence[StylisedVideo],
    styles: Sequence[str],
    feed: Feed,
    generator: np.random.Generator,
) -> tuple[DrawnPair, ...]:
    plans = []
    for video in videos:
        # Quirk 6: drawn anew for each pair, so neither styles nor factors are balanced.
        first = styles[int(generator.integers(len(styles)))]
        factor = int(generator.integers(len(FACTORS)))
        start = draw_start(video, feed.span, generator, "published")
        shown = as_filmed(video, start, feed)
        if factor == STATIC:
            # A random order may be the filmed one; the published code does not look.
            second = View(first, tuple((name, _shuffled(frames, generator)) for name, frames in shown.items()))
        else:
            others = [style for style in styles if style != first]
            style = others[int(generator.integers(len(others)))]
            # Quirk 1: a start of 0 that was drawn is taken for "not given", so the second member draws its own.
            if video.start is None and start == 0:
                start = draw_start(video, feed.span, generator, "published")
            second = View(style, tuple(as_filmed(video, start, feed).items()))
        plans.append(_plan(video, View(first, tuple(shown.items())), second, factor))
    return tuple(plans)


def _corrected(
    videos: Sequence[StylisedVideo],
    styles: Sequence[str],
    feed: Feed,
    generator: np.random.Generator,
) -> tuple[DrawnPair, ...]:
    starts = [draw_start(video, feed.span, generator, "corrected") for video in videos]
    filmed = [as_filmed(video, start, feed) for video, start in zip(videos, starts, strict=True)]
    factors = _balanced_factors(filmed, generator)
    decks: dict[int, list[tuple[str, str]]] = {DYNAMIC: [], STATIC: []}
    plans = []
    for video, shown, factor in zip(videos, filmed, factors, strict=True):
        deck = decks[factor]
        if not deck:
            deck += balanced_deck(styles, generator)
        first, other = deck.pop()
        if factor == STATIC:
            second = View(first, tuple((name, _disturbed(frames, generator)) for name, frames in shown.items()))
        else:
            second = View(other, tuple(shown.items()))
        plans.append(_plan(video, View(first, tuple(shown.items())), second, factor))
    return tuple(plans)


def _balanced_factors(
    filmed: Sequence[Mapping[str, tuple[int, ...]]], generator: np.random.Generator
) -> tuple[int, ...]:
    """Half of the pairs static, at random, but none whose frames are all the same one.

    That happens to short videos: every ninth frame of nine that repeat is the first.
    """
    factors = np.full(len(filmed), DYNAMIC)
    able = np.flatnonzero([all(len(set(frames)) > 1 for frames in shown.values()) for shown in filmed])
    factors[generator.permutation(able)[: len(filmed) // 2]] = STATIC
    return tuple(factors.tolist())


def balanced_deck(styles: Sequence[str], generator: np.random.Generator) -> list[tuple[str, str]]:
    """All ordered pairs of styles in random order, dealt in rounds in which each style is first once and second once.

    A plain shuffle balances only whole decks; rounds keep any number of pairs balanced within one.
    """
    names = [styles[i] for i in generator.permutation(len(styles))]
    deck: list[tuple[str, str]] = []
    for shift in generator.permutation(np.arange(1, len(names))).tolist():
        turn = [(names[i], names[(i + shift) % len(names)]) for i in range(len(names))]
        deck += [turn[i] for i in generator.permutation(len(turn))]
    return deck


def draw_start(video: StylisedVideo, length: int, generator: np.random.Generator, protocol: str) -> int:
    """Where a clip of `length` frames starts in a video, from 0.

    The annotated start where there is one; else uniform over the starts that leave `length` frames, or, in a shorter
    video, 8. A video of exactly `length` frames starts at 0; under "published" it is taken for a shorter one.

    Raises:
        InputError: the video has fewer than 8 frames.
    """
    if video.start is not None:
        return video.start
    fits = video.frames > length or (video.frames == length and protocol != "published")
    leaves = length if fits else SHORT_VIDEO_LEAVES
    if video.frames < leaves:
        raise InputError(
            f"{video.name} has {video.frames} frames; a random start needs {SHORT_VIDEO_LEAVES}: leave it out"
        )
    return int(generator.integers(video.frames - leaves + 1))


def as_filmed(video: StylisedVideo, start: int, feed: Feed) -> Mapping[str, tuple[int, ...]]:
    """Name of each input -> positions in the video of its frames, in the order they were filmed."""
    positions = window(start, feed.span, video.frames if video.end is None else video.end)
    return {name: tuple(positions[i] for i in chosen) for name, chosen in feed.choose().items()}


def _shuffled(frames: tuple[int, ...], generator: np.random.Generator) -> tuple[int, ...]:
    return tuple(frames[i] for i in generator.permutation(len(frames)).tolist())


def _disturbed(frames: tuple[int, ...], generator: np.random.Generator) -> tuple[int, ...]:
    """A random order of at least two different frames that is not the filmed one."""
    while (order := _shuffled(frames, generator)) == frames:
        pass
    return order


def _plan(video: StylisedVideo, first: View, second: View, factor: int) -> DrawnPair:
    if first == second:
        return DrawnPair(video, (first,), (0, 0, factor))
    return DrawnPair(video, (first, second), (0, 1, factor))
