"""Pairs for action recognition: the same clip painted in two styles, or with its frames shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from sdbench.base.errors import InputError
from sdbench.data.clip import Clip
from sdbench.statistics.sums import FACTORS

DYNAMIC, STATIC = FACTORS.index("dynamic"), FACTORS.index("static")


@dataclass(frozen=True)
class View:
    """One way to show a clip to a network.

    Attributes:
        style: the style it is painted in.
        order: the order of its frames; None as they were filmed.
    """

    style: str
    order: tuple[int, ...] | None = None


@dataclass(frozen=True)
class ClipPlan:
    """What is to be done with one crop of one clip.

    Attributes:
        clip: the clip.
        crop: which of its crops.
        views: distinct views, each of which goes through the network once.
        pairs: (first view, second view, factor) by position in `views` and `FACTORS`.
    """

    clip: Clip
    crop: int
    views: tuple[View, ...]
    pairs: tuple[tuple[int, int, int], ...]


def plan_balanced(
    samples: Sequence[tuple[Clip, int]],
    styles: Sequence[str],
    generator: np.random.Generator,
    pairs: int | None = None,
) -> tuple[ClipPlan, ...]:
    """Pairs in which every style is the first and the second as often as any other.

    Each sample gives one pair of each factor in a round, and both share their first member: a dynamic pair is the clip
    in two styles, a static pair the clip in the first of them, as filmed and with its frames in a random order. One
    round costs three forward passes a sample.

    Args:
        samples: (clip, crop) in the order in which they are read.
        styles: the styles to draw from, at least two.
        generator: source of every draw.
        pairs: number of pairs of each factor. Fewer than there are samples takes a random part of them; more goes
            through the samples again with other styles and orders. By default one pair of each factor a sample.

    Returns:
        One plan for each sample that is used, in the order of `samples`.

    Raises:
        InputError: fewer than two pairs of a factor are asked for or possible, or there are fewer than two styles.
    """
    wanted = len(samples) if pairs is None else pairs
    if len(styles) < 2:
        raise InputError(f"a dynamic pair needs two styles; got {len(styles)}")
    if wanted < 2:
        raise InputError(
            f"at least 2 pairs of each factor are needed for a covariance; got {wanted}: "
            + ("ask for more pairs" if pairs is not None else "add videos, or longer ones")
        )
    if not samples:
        raise InputError("there are no clips to make pairs of")
    ordered_styles = list(permutations(styles, 2))
    rounds: list[list[tuple[str, str, tuple[int, ...]]]] = [[] for _ in samples]
    deck: list[tuple[str, str]] = []
    while wanted > 0:
        chosen = np.arange(len(samples))
        if wanted < len(samples):
            chosen = np.sort(generator.choice(len(samples), size=wanted, replace=False))
        for index in chosen:
            if not deck:
                deck = [ordered_styles[i] for i in generator.permutation(len(ordered_styles))]
            first, second = deck.pop()
            clip, _ = samples[int(index)]
            rounds[index].append((first, second, _shuffled(clip.length, generator)))
        wanted -= len(chosen)
    return tuple(_plan(clip, crop, drawn) for (clip, crop), drawn in zip(samples, rounds, strict=True) if drawn)


def _shuffled(length: int, generator: np.random.Generator) -> tuple[int, ...]:
    """A random order of frames that is not the order they were filmed in.

    Raises:
        InputError: there is only one frame.
    """
    if length < 2:
        raise InputError("a clip of one frame cannot be shuffled; expected at least 2 frames")
    while True:
        order = tuple(int(i) for i in generator.permutation(length))
        if order != tuple(range(length)):
            return order


def _plan(clip: Clip, crop: int, drawn: list[tuple[str, str, tuple[int, ...]]]) -> ClipPlan:
    views: dict[View, int] = {}

    def position(view: View) -> int:
        return views.setdefault(view, len(views))

    pairs = []
    for first, second, order in drawn:
        shown = position(View(first))
        pairs.append((shown, position(View(second)), DYNAMIC))
        pairs.append((shown, position(View(first, order)), STATIC))
    return ClipPlan(clip, crop, tuple(views), tuple(pairs))
