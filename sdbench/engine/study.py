"""What the engine asks of a study: which samples there are, which pairs they form, and how a sample is drawn."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from torch import Tensor

from sdbench.video.feed import Feed

MOST_BLOCKS = 256
"""Beyond this many things that are resampled, several share one block, so that the sums stay small."""

Thing = TypeVar("Thing", bound=Hashable)

Pair = tuple[int, int, int]
"""First view, second view (by their number), and the factor that they share (by `sdbench.statistics.FACTORS`)."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One sample before it is drawn: plain values, with every random draw made. Studies add what they draw it from.

    Attributes:
        name: how to call it in an error.
        block: what its sums are resampled with.
        views: how many distinct views it has, each of which goes through the network once.
        pairs: which of them form pairs.
        seed: of its draws, where a study goes through its samples with several.
        rows: how many inputs a view consists of; each gives a pair with the same input of the other view.
        together: whether the inputs of a view go through the network in a batch of their own, because they meet there.
        content: hash of the files that it is drawn from; "" where the other values say all.
        shows: what each input shows, in the order in which they are drawn, where other samples may show the same: of
            equal ones in a part one goes through the network. Empty where none is shown twice.
        crossed: whether its four views are two appearances in two motions: (A, M), (A', M), (A, M'), (A', M'), all
            drawn independently. Of such samples the parts of variance are measured too.
    """

    name: str
    block: str
    views: int
    pairs: tuple[Pair, ...]
    seed: int = 0
    rows: int = 1
    together: bool = False
    content: str = ""
    shows: tuple[Hashable, ...] = ()
    crossed: bool = False

    @property
    def inputs(self) -> int:
        """How many inputs its views consist of."""
        return self.views * self.rows


@dataclass(frozen=True, kw_only=True)
class About:
    """What a reader of a measurement must know of the study.

    Attributes:
        dataset: short name of what is shown.
        protocol: how pairs are drawn.
        unit: what is resampled when intervals are made, in one word: "video", "shot", "scene", ...
        units: how many of them there are.
        clips: how many clips, sequences or scenes are used.
        styles: the styles that they are painted in.
        notes: what else matters; one sentence each.
        skipped: what was left out, and why; one sentence each.
        assets: names of the assets that it is made of.
        identity: hash of what is shown, whatever network it is cut for: two measurements of the same can be paired by
            what is resampled. "" where that is not known.
    """

    dataset: str
    protocol: str
    unit: str
    units: int
    clips: int
    styles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    identity: str = ""


Sample_co = TypeVar("Sample_co", bound=Planned, covariant=True)


@dataclass(frozen=True)
class Plan(Generic[Sample_co]):
    """All samples of a study for one network and one seed, in the order in which they are drawn fastest."""

    about: About
    samples: tuple[Sample_co, ...]


class Study(Protocol):
    """Pairs of clips that share one factor. It knows no network: only what one is fed."""

    def plan(self, feed: Feed, seed: int) -> Plan[Any]:
        """Which samples there are; all random draws are made here.

        Raises:
            InputError: the study cannot be shown to a network that is fed so, or there are too few pairs.
        """
        ...

    def draw(self, planned: Any, feed: Feed) -> Mapping[str, Tensor]:
        """The views of one planned sample, one after the other, as the network's inputs: name -> (inputs, ...).

        May be called in another process than `plan`, in any order, and more than once.

        Raises:
            InputError: a file that it is drawn from is damaged or no longer there.
        """
        ...


@runtime_checkable
class DrawsOnDevice(Protocol):
    """A study that can draw its samples on the device of the network, sooner than a CPU would: by painting, say."""

    def on(self, device: str) -> Study:
        """The same study, which draws there. Its samples are then drawn by threads, not by other processes."""
        ...


def blocks_of(things: Iterable[Thing]) -> dict[Thing, str]:
    """The resampling block of each of some things: its own, or beyond `MOST_BLOCKS` one that neighbours share."""
    distinct = list(dict.fromkeys(things))
    blocks = min(len(distinct), MOST_BLOCKS)
    return {thing: str(number * blocks // len(distinct)) for number, thing in enumerate(distinct)}
