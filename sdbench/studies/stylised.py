"""Pairs from stylised data sets: as the paper's published code draws them, and the same corrected.

One video gives one pair. A dynamic pair is the same frames in two styles, a static pair the same frames in one style,
as filmed and in a random order: the frames that were already sampled, and SlowFast's two paths each in their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from sdbench.base.errors import InputError, unknown_name
from sdbench.data.stylised import StylisedVideo
from sdbench.statistics.sums import FACTORS
from sdbench.studies.clips import DYNAMIC, STATIC
from sdbench.video.transform import window
from sdbench.zoo.action_preparation import ActionPreparation

ActionProtocol = Literal["published", "corrected"]
ACTION_PROTOCOLS: tuple[str, ...] = get_args(ActionProtocol)

MOST_PAIRS = 3000
"""As many pairs as the published code draws."""

FEWEST_PAIRS = 32
"""Below this many the interval is so wide that a warning is due."""

SHORT_VIDEO_LEAVES = 8
"""The random start of a video shorter than the window leaves at least so many frames."""

QUIRKS = (
    "quirk 1 reproduced: where the first member of a dynamic pair happens to start at frame 0, the second draws another"
    " start",
    "quirk 2 is part of the layouts: Diving48 frame numbers start at 0, ActivityNet's at 1",
    "quirk 3 cannot run as published: the ActivityNet loader passes a tuple where a clip is expected; the clip in that "
    "tuple is used",
    "quirk 4 reproduced by the quantity published_units: units that never change are neither counted nor in the total",
    "quirk 5 reproduced by the quantity published_percent: the cut to integers gives the residual up to two dimensions",
    "quirk 6 reproduced: styles and factors are drawn anew for each pair and are not balanced",
)
"""What the published protocol does that a reader of the paper would not expect; one sentence each, for the report."""


@dataclass(frozen=True)
class VideoView:
    """One way to show a video to a network.

    Attributes:
        style: name of the style.
        frames: (name of the network's input, positions of its frames in the video in the order they are shown).
    """

    style: str
    frames: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of all frames that any input takes, ascending, each once."""
        return tuple(sorted({position for _, positions in self.frames for position in positions}))


@dataclass(frozen=True)
class VideoPlan:
    """What is to be done with one video.

    Attributes:
        video: the video.
        views: distinct views, each of which goes through the network once.
        pairs: (first view, second view, factor) by position in `views` and `FACTORS`.
    """

    video: StylisedVideo
    views: tuple[VideoView, ...]
    pairs: tuple[tuple[int, int, int], ...]


def plan_pairs(
    protocol: str,
    videos: Sequence[StylisedVideo],
    styles: Sequence[str],
    preparation: ActionPreparation,
    generator: np.random.Generator,
    pairs: int | None = None,
) -> tuple[VideoPlan, ...]:
    """One pair of each video that is used.

    Args:
        protocol: "published" draws style and factor of each pair at random; "corrected" has as many dynamic as static
            pairs, in each of the two every style first and second as often as any other (all within one), the same
            frames in both members of every dynamic pair, and no static pair whose frames come in the order they were
            filmed.
        videos: in the order in which they are to be read.
        styles: at least two.
        preparation: what the network is fed.
        generator: source of every draw.
        pairs: how many, of both factors together; by default one of each video, at most 3,000. Where there are more
            videos, a random part of them is used.

    Raises:
        InputError: the protocol is unknown, there are fewer than two styles, more pairs are asked for than there are
        videos, or a factor got fewer than the two pairs that a covariance needs.
    """
    if protocol not in ACTION_PROTOCOLS:
        raise unknown_name("protocol", protocol, ACTION_PROTOCOLS)
    if len(styles) < 2:
        raise InputError(f"a dynamic pair needs two styles; got {len(styles)}")
    wanted = min(len(videos), MOST_PAIRS) if pairs is None else pairs
    if wanted > len(videos):
        raise InputError(
            f"one video gives one pair: of {len(videos)} videos {wanted} pairs cannot be drawn; ask for fewer"
        )
    if wanted < 4:
        raise InputError(
            f"at least 2 pairs of each of 2 factors are needed; got {max(wanted, 0)} pairs: use more videos"
        )
    chosen = np.arange(len(videos))
    if wanted < len(videos):
        chosen = np.sort(generator.choice(len(videos), size=wanted, replace=False))
    used = [videos[int(i)] for i in chosen]
    draw = _published if protocol == "published" else _corrected
    plans = draw(used, styles, preparation, generator)
    for factor, name in enumerate(FACTORS):
        count = sum(plan.pairs[0][2] == factor for plan in plans)
        if count < 2:
            remedy = (
                "ask for more pairs, another seed, or the corrected protocol"
                if protocol == "published"
                else "use more videos, or longer ones: those of which every chosen frame is the same cannot be shuffled"
            )
            raise InputError(f"the draw gave {count} {name} pairs of {wanted}, at least 2 are needed; {remedy}")
    return plans


def _published(
    videos: Sequence[StylisedVideo],
    styles: Sequence[str],
    preparation: ActionPreparation,
    generator: np.random.Generator,
) -> tuple[VideoPlan, ...]:
    plans = []
    for video in videos:
        # Quirk 6: drawn anew for each pair, so neither styles nor factors are balanced.
        first = styles[int(generator.integers(len(styles)))]
        factor = int(generator.integers(len(FACTORS)))
        start = draw_start(video, preparation.window, generator)
        shown = as_filmed(video, start, preparation)
        if factor == STATIC:
            # A random order may be the filmed one; the published code does not look.
            second = VideoView(first, tuple((name, _shuffled(frames, generator)) for name, frames in shown.items()))
        else:
            others = [style for style in styles if style != first]
            style = others[int(generator.integers(len(others)))]
            # Quirk 1: a start of 0 that was drawn is taken for "not given", so the second member draws its own.
            if video.start is None and start == 0:
                start = draw_start(video, preparation.window, generator)
            second = VideoView(style, tuple(as_filmed(video, start, preparation).items()))
        plans.append(_plan(video, VideoView(first, tuple(shown.items())), second, factor))
    return tuple(plans)


def _corrected(
    videos: Sequence[StylisedVideo],
    styles: Sequence[str],
    preparation: ActionPreparation,
    generator: np.random.Generator,
) -> tuple[VideoPlan, ...]:
    starts = [draw_start(video, preparation.window, generator) for video in videos]
    filmed = [as_filmed(video, start, preparation) for video, start in zip(videos, starts, strict=True)]
    factors = _balanced_factors(filmed, generator)
    decks: dict[int, list[tuple[str, str]]] = {DYNAMIC: [], STATIC: []}
    plans = []
    for video, shown, factor in zip(videos, filmed, factors, strict=True):
        deck = decks[factor]
        if not deck:
            deck += balanced_deck(styles, generator)
        first, other = deck.pop()
        if factor == STATIC:
            second = VideoView(first, tuple((name, _disturbed(frames, generator)) for name, frames in shown.items()))
        else:
            second = VideoView(other, tuple(shown.items()))
        plans.append(_plan(video, VideoView(first, tuple(shown.items())), second, factor))
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


def draw_start(video: StylisedVideo, length: int, generator: np.random.Generator) -> int:
    """Where a clip of `length` frames starts in a video, from 0.

    The annotated start where there is one; else uniform over the starts that leave `length` frames, or, in a shorter
    video, 8.

    Raises:
        InputError: the video has fewer than 8 frames.
    """
    if video.start is not None:
        return video.start
    leaves = length if video.frames >= length else SHORT_VIDEO_LEAVES
    if video.frames < leaves:
        raise InputError(
            f"{video.name} has {video.frames} frames; a random start needs {SHORT_VIDEO_LEAVES}: leave it out"
        )
    return int(generator.integers(video.frames - leaves + 1))


def as_filmed(video: StylisedVideo, start: int, preparation: ActionPreparation) -> Mapping[str, tuple[int, ...]]:
    """Name of each input -> positions in the video of its frames, in the order they were filmed."""
    positions = window(start, preparation.window, video.frames)
    return {name: tuple(positions[i] for i in chosen) for name, chosen in preparation.choose().items()}


def _shuffled(frames: tuple[int, ...], generator: np.random.Generator) -> tuple[int, ...]:
    return tuple(frames[i] for i in generator.permutation(len(frames)).tolist())


def _disturbed(frames: tuple[int, ...], generator: np.random.Generator) -> tuple[int, ...]:
    """A random order of at least two different frames that is not the filmed one."""
    while (order := _shuffled(frames, generator)) == frames:
        pass
    return order


def _plan(video: StylisedVideo, first: VideoView, second: VideoView, factor: int) -> VideoPlan:
    if first == second:
        return VideoPlan(video, (first,), ((0, 0, factor),))
    return VideoPlan(video, (first, second), ((0, 1, factor),))
