"""Pairs of painted sequences: which styles, which frames, and what is disturbed.

A dynamic pair is a sequence in two styles with the same flow; a static pair is a sequence in one style, with its flow
as it is and with the colours of the flow pictures jittered. Every frame of the sequence but the last gives a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sdbench.base.errors import InputError, unknown_name
from sdbench.data.segmentation import VideoSequence
from sdbench.engine.study import Pair
from sdbench.statistics import FACTORS
from sdbench.studies.stylised_study import balanced_deck
from sdbench.studies.views import DYNAMIC, STATIC

VOS_PROTOCOLS = ("published", "corrected")

DRAWS = 5
"""Pairs of each sequence, as published."""

SEEDS = 4
"""Runs that the published numbers are means of."""

PUBLISHED_BATCH = 5
"""Samples that the published run of RTNet put into one batch."""

FARTHEST = 10
"""RTNet's second frame lies up to so many frames before the first, or up to one fewer after it."""

QUIRKS = (
    "quirk 4 reproduced by the quantity published_units: units that do not change in the pairs of a factor are neither "
    "counted nor in the total",
    "quirk 5 reproduced by the quantity published_percent: the cut to integers gives the residual up to two dimensions",
    "quirk 6 reproduced: styles are drawn anew for each pair and are not balanced, and factors alternate over sequences"
    " in random order, so that a sequence may get more pairs of one factor",
    "quirk 9 not reproduced: the published unit classes are those of the last of its seeds alone, which overwrote the "
    "others; the mean over seeds is held against them, which has the same expectation and a smaller error",
)
"""What the published protocol does that a reader of the paper would not expect; one sentence each, for the report."""

PAIRED_QUIRKS = (
    "RTNet's two frames may be one and the same (an offset of 0 is drawn as often as any other)",
    f"samples go through the network in batches of {PUBLISHED_BATCH}, as those of RTNet's published code, which mixes "
    "them",
)
"""The same, for networks that take two frames."""


@dataclass(frozen=True)
class SequenceView:
    """One way to show a sequence to a network.

    Attributes:
        style: name of the style of its images.
        jitter: number of the draw that jitters its flow pictures; None where they stay as they are.
        offset: how many places on in the ring its second frame lies; None for a network that takes one frame.
    """

    style: str
    jitter: int | None = None
    offset: int | None = None


@dataclass(frozen=True)
class SequencePlan:
    """What is to be done with one sequence.

    Attributes:
        sequence: the sequence.
        rows: positions of the frames that give rows.
        ring: positions that a second frame is taken from: all that could give rows.
        views: distinct views; each goes through the network once for each row.
        pairs: (first view, second view, factor) by position in `views` and `FACTORS`.
    """

    sequence: VideoSequence
    rows: tuple[int, ...]
    ring: tuple[int, ...]
    views: tuple[SequenceView, ...]
    pairs: tuple[Pair, ...]

    def partner(self, row: int, offset: int) -> int:
        """Position of the second frame of a sample whose first is at position `row`."""
        return self.ring[(self.ring.index(row) + offset) % len(self.ring)]


def draw_sequences(
    protocol: str,
    sequences: Sequence[VideoSequence],
    styles: Sequence[str],
    paired: bool,
    generator: np.random.Generator,
    *,
    draws: int = DRAWS,
    frames: int | None = None,
) -> tuple[SequencePlan, ...]:
    """All pairs of one seed.

    Args:
        protocol: "published" goes through every sequence `draws` times in random order, alternates the factor from one
            to the next, and draws styles at random; "corrected" alternates the factor within each sequence, has every
            style first and second as often as any other (all within one), and never takes a frame for its own partner.
        sequences: in the order in which they are to be read.
        styles: at least two.
        paired: whether the network takes two frames a sample.
        generator: source of every draw.
        draws: pairs of each sequence.
        frames: use at most so many frames of each sequence, evenly spaced; all by default.

    Returns:
        One plan for each sequence, in the given order. A view that several pairs share is there once.

    Raises:
        InputError: the protocol is unknown, there are fewer than two styles, a sequence is too short, or a factor got
        fewer than the two pairs that a covariance needs.
    """
    if protocol not in VOS_PROTOCOLS:
        raise unknown_name("protocol", protocol, VOS_PROTOCOLS)
    if len(styles) < 2:
        raise InputError(f"a dynamic pair needs two styles; got {len(styles)}: see `sdbench stylize --layout davis`")
    if draws < 1 or (frames is not None and frames < 1):
        raise InputError(f"at least 1 draw and 1 frame of each sequence are needed; got {draws} and {frames}")
    rings = [_rows(sequence, paired) for sequence in sequences]
    draw = _published if protocol == "published" else _corrected
    drawn = draw(len(sequences), styles, draws, generator)
    plans = []
    for sequence, ring, of_sequence in zip(sequences, rings, drawn, strict=True):
        offsets = [_offset(len(ring), protocol, generator) if paired else None for _ in of_sequence]
        plans.append(_plan(sequence, ring, _spread(ring, frames), of_sequence, offsets))
    for factor, name in enumerate(FACTORS):
        rows = sum(len(plan.rows) for plan in plans for *_, of in plan.pairs if of == factor)
        if rows < 2:
            raise InputError(
                f"the draw gave {rows} {name} pairs of frames, at least 2 are needed; use more sequences or frames"
            )
    return tuple(plans)


_Drawn = tuple[str, str, int]
"""Style of the first member, style of the second, factor."""


def _published(count: int, styles: Sequence[str], draws: int, generator: np.random.Generator) -> list[list[_Drawn]]:
    drawn: list[list[_Drawn]] = [[] for _ in range(count)]
    factor = DYNAMIC
    for index in generator.permutation(count * draws).tolist():
        factor = STATIC if factor == DYNAMIC else DYNAMIC  # the published code begins with a static pair
        first = styles[int(generator.integers(len(styles)))]
        others = [style for style in styles if style != first]
        second = others[int(generator.integers(len(others)))] if factor == DYNAMIC else first
        drawn[index % count].append((first, second, factor))
    return drawn


def _corrected(count: int, styles: Sequence[str], draws: int, generator: np.random.Generator) -> list[list[_Drawn]]:
    decks: dict[int, list[tuple[str, str]]] = {DYNAMIC: [], STATIC: []}
    drawn: list[list[_Drawn]] = [[] for _ in range(count)]
    for index, of_sequence in enumerate(drawn):
        for number in range(draws):
            factor = (index + number) % len(FACTORS)
            if not decks[factor]:
                decks[factor] += balanced_deck(styles, generator)
            first, second = decks[factor].pop()
            of_sequence.append((first, second if factor == DYNAMIC else first, factor))
    return drawn


def _rows(sequence: VideoSequence, paired: bool) -> tuple[int, ...]:
    """Frames that have all the flow that a sample needs: not the last, and for backward flow not the first."""
    rows = tuple(range(1 if paired else 0, len(sequence.frames) - 1))
    if len(rows) < (2 if paired else 1):
        least = 4 if paired else 2
        raise InputError(
            f"{sequence.name} has {len(sequence.frames)} frame{'s' if len(sequence.frames) != 1 else ''}; at least "
            f"{least} are needed: leave it out"
        )
    return rows


def _offset(count: int, protocol: str, generator: np.random.Generator) -> int:
    """How many of `count` places on the second frame lies."""
    while True:
        offset = int(generator.integers(-FARTHEST, FARTHEST)) % count
        if protocol == "published" or offset:
            return offset


def _spread(rows: tuple[int, ...], frames: int | None) -> tuple[int, ...]:
    if frames is None or frames >= len(rows):
        return rows
    return tuple(rows[int(i)] for i in np.linspace(0, len(rows) - 1, frames).round())


def _plan(
    sequence: VideoSequence,
    ring: tuple[int, ...],
    rows: tuple[int, ...],
    drawn: Sequence[_Drawn],
    offsets: Sequence[int | None],
) -> SequencePlan:
    views: dict[SequenceView, int] = {}
    pairs = []
    for number, ((first, second, factor), offset) in enumerate(zip(drawn, offsets, strict=True)):
        shown = SequenceView(first, offset=offset)
        other = replace(shown, jitter=number) if factor == STATIC else replace(shown, style=second)
        pairs.append((views.setdefault(shown, len(views)), views.setdefault(other, len(views)), factor))
    return SequencePlan(sequence, rows, ring, tuple(views), tuple(pairs))
