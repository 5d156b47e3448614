"""What was measured: sums, and the statistics that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from sdbench.base.cache_keys import identity_of
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.engine.sums import Block, Sums
from sdbench.statistics import (
    FACTORS,
    FEWEST_GROUPS,
    Draws,
    Estimate,
    Intervals,
    Moments,
    Stack,
    beside,
    draw,
    estimate_from_moments,
    intervals_by,
    merge,
    stack,
)
from sdbench.statistics.counting import MOVES
from sdbench.statistics.quantities import Reading, read_quantity
from sdbench.statistics.reproduction import DrawError, draw_error
from sdbench.statistics.variance import Variance, variance_of
from sdbench.statistics.variance_parts import TOO_LARGE, parts_of_variance


@dataclass(frozen=True)
class LayerMeasurement:
    """What was measured of one layer.

    Attributes:
        layer: its name.
        estimate: from all pairs, those of all seeds together.
        intervals: of that estimate, where the data give them: where it would lie for other videos.
        runs: one estimate for each seed, where there were several.
        largest_part: the largest part, from 0 to 1, of the layer's variance that comes from one thing that is
            resampled; NaN where nothing is known of it.
        draw_error: how far other runs on the same videos would lie; None where that is not known.
        networks: whether each seed is a network of its own.
        variance: the parts of the layer's variance, where the study crosses appearances with motions; None elsewhere.
    """

    layer: str
    estimate: Estimate
    intervals: Intervals | None
    runs: tuple[Estimate, ...] = ()
    largest_part: float = math.nan
    draw_error: DrawError | None = None
    networks: bool = False
    variance: Variance | None = None

    @property
    def scores(self) -> dict[str, float]:
        """The layer's scores of "dynamic" and "static", covariance over variance; means over seeds."""
        given = self.runs or (self.estimate,)
        return {name: fmean(estimate.layer_scores[name] for estimate in given) for name in FACTORS}

    @property
    def quantities(self) -> tuple[str, ...]:
        """What a reader is shown, first things first: the parts of variance where there are any, else the scores."""
        return ("scores" if self.variance is None else "variance", "shares", "units")

    def read(self, quantity: str) -> Reading:
        """The values of a quantity: those of the estimate, or means over seeds.

        Args:
            quantity: "variance", the parts of it; "scores" of the layer; or one of `sdbench.statistics.quantities`.

        Raises:
            InputError: there is no such quantity, or the study does not cross appearances with motions.
        """
        if quantity == "scores":
            return Reading(self.scores)
        if quantity == "variance":
            if self.variance is None:
                raise InputError(f"layer {self.layer} has no parts of variance: its study does not cross appearances")
            return Reading(self.variance.parts, generalisation=self.variance.intervals)
        return read_quantity(quantity, self.estimate, self.intervals, self.draw_error, self.runs, self.networks)


@dataclass(frozen=True)
class Measurement:
    """What one network encodes of one study.

    Attributes:
        network, dataset, protocol, device: by name.
        seed: of every random draw; the first one where there were several.
        styles: the styles that clips were painted in.
        threshold: score above which a unit counts as encoding a factor.
        sums: layer -> (seed, resampling block) -> the sums of its pairs.
        resampling_unit: "video", "shot", "sequence", "scene" or "block": what comes and goes together when intervals
            are made.
        resampling_units: how many there were; no interval is given below `FEWEST_GROUPS`.
        clips, samples: number of clips, and of the samples that were made of them.
        pairs: number of pairs of each factor; where factors were drawn at random, of the rarer one.
        passes: number of inputs that went through the network.
        skipped: what was left out, and why.
        assets: SHA-256 of every asset that was used.
        weights: SHA-256 of the network's parameters and buffers.
        seconds: "drawing" (in worker processes, beside the network), "network", "self-check" of a network that is not
            of the suite, and "total".
        resumed: number of samples that an interrupted run had already done.
        notes: what a reader of the numbers must know about the protocol and the data; one sentence each.
        seeds: how many seeds there were; values are means over them.
        precision: what the network was seen to compute in: "float32", "bfloat16", "tf32", "float16", ..., or several.
        check: what the self-check of the network did and saw, in a sentence; "" where there was none.
        compiled: whether its passes were compiled, and why, in a sentence.
        feed: what the network was fed: the fields of `Feed`.
        study: hash of what was shown, whatever the network: see `sdbench.engine.study.About.identity`.
        reading: layer -> how it was read, of a network that is not of the suite: its "axes", how many "units" it has,
            how often its module "runs" in a forward pass and which "run" is read (None: the mean over all), and the
            "item" of its answer (None: the whole).
        networks: whether each seed is a network of its own, trained from it, shown the same blocks. A unit of one then
            has nothing to do with that of the same number of another: estimate and intervals are those of all units
            of all networks side by side.
    """

    network: str
    dataset: str
    protocol: str
    device: str
    seed: int
    styles: tuple[str, ...]
    threshold: float
    sums: Mapping[str, Mapping[Block, Moments]] = field(repr=False)
    resampling_unit: str
    resampling_units: int
    clips: int
    samples: int
    pairs: int
    passes: int
    skipped: tuple[str, ...]
    assets: dict[str, str]
    weights: str
    seconds: dict[str, float]
    resumed: int
    notes: tuple[str, ...] = ()
    seeds: int = 1
    networks: bool = False
    precision: str = "float32"
    check: str = ""
    compiled: str = ""
    feed: Mapping[str, Any] = field(default_factory=dict)
    study: str = ""
    reading: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that were read, in order."""
        return tuple(self.sums)

    @cached_property
    def _known(self) -> dict[str, LayerMeasurement]:
        return {}

    def layer(self, name: str) -> LayerMeasurement:
        """Estimate and intervals of one layer.

        Raises:
            InputError: the layer was not read, or nothing in it varies.
        """
        if name not in self._known:
            runs = self._by_seed(name)
            blocks = self._blocks(runs)
            stacked = stack(blocks)
            try:
                found = estimate_from_moments(stacked.merged(), self.threshold)
                of_runs = (
                    tuple(estimate_from_moments(merge(run.values()), self.threshold) for run in runs.values())
                    if len(runs) > 1
                    else ()
                )
            except InputError as error:
                raise InputError(f"layer {name} of {self.network}: {error}") from None
            largest = float(parts_of_variance(stacked).max())
            self._known[name] = LayerMeasurement(
                name,
                found,
                self._intervals(blocks, stacked),
                of_runs,
                largest,
                self._draw_error(runs),
                self.networks,
                self._variance(runs),
            )
        return self._known[name]

    def run(self, name: str, number: int) -> LayerMeasurement:
        """Estimate and intervals of one layer from one of several seeds alone.

        Raises:
            InputError: the layer was not read, there is no such seed, or nothing in the layer varies.
        """
        runs = list(self._by_seed(name).values())
        if len(runs) < 2 or not 0 <= number < len(runs):
            raise InputError(f"{self.network} was measured with {len(runs)} seeds; there is no number {number}")
        blocks = list(runs[number].values())
        stacked = stack(blocks)
        found = estimate_from_moments(stacked.merged(), self.threshold)
        error = self._draw_error({0: runs[number]})
        largest = float(parts_of_variance(stacked).max())
        return LayerMeasurement(
            name,
            found,
            self._intervals(blocks, stacked),
            largest_part=largest,
            draw_error=error,
            variance=self._variance({number: runs[number]}),
        )

    def _draw_error(self, runs: Mapping[int, Mapping[str, Moments]]) -> DrawError | None:
        """Of the sums of each seed and block; of a single seed as soon as there are blocks enough for an interval."""
        number = {block: place for place, block in enumerate(_names(runs))}
        cells = [(number[block], part) for run in runs.values() for block, part in run.items()]
        if (self.networks and len(runs) > 1) or (len(runs) == 1 and len(cells) < FEWEST_GROUPS):
            return None
        moves = generator_for(self.seed, "draws").standard_normal((MOVES, len(cells)))
        videos = np.array([video for video, _ in cells])
        return draw_error(stack([part for _, part in cells]), videos, self.threshold, moves)

    @staticmethod
    def _variance(runs: Mapping[int, Mapping[str, Moments]]) -> Variance | None:
        """The parts of variance, where every block of every run has the sums for them."""
        blocks = _names(runs)
        found = [[run[block].crossed for block in blocks if block in run] for run in runs.values()]
        known = [[sums for sums in run if sums is not None] for run in found]
        if not blocks or any(len(run) != len(blocks) for run in known):
            return None
        return variance_of(known)

    def _intervals(self, blocks: Sequence[Moments], stacked: Stack) -> Intervals | None:
        """Of the same draws for every layer, so that layers compare."""
        count = len(blocks)
        if count not in self._draws:
            self._draws[count] = draw(count, generator_for(self.seed, "bootstrap"))
        draws = self._draws[count]
        return None if draws is None else intervals_by(draws, blocks, stacked, self.threshold)

    @cached_property
    def _draws(self) -> dict[int, Draws | None]:
        """By the number of blocks."""
        return {}

    def _by_seed(self, name: str) -> dict[int, dict[str, Moments]]:
        """Seed -> block -> the sums of a layer."""
        if name not in self.sums:
            raise unknown_name("layer", name, self.sums)
        runs: dict[int, dict[str, Moments]] = {}
        for (seed, block), part in self.sums[name].items():
            runs.setdefault(seed, {})[block] = part
        return runs

    def _blocks(self, runs: Mapping[int, Mapping[str, Moments]]) -> list[Moments]:
        """The sums of each block over all seeds; of several networks, their units side by side."""
        join = beside if self.networks else merge
        return [join([run[block] for run in runs.values() if block in run]) for block in _names(runs)]

    @property
    def blocks(self) -> tuple[str, ...]:
        """The names of what is resampled, in the order of `Intervals.without`; the same in every layer."""
        return _names(self._by_seed(self.layers[0])) if self.layers else ()

    @property
    def resampling(self) -> str:
        """In words: what the intervals rest on."""
        counted = f"{self.resampling_units} {self.resampling_unit}{'s' if self.resampling_units != 1 else ''}"
        if self.resampling_units < FEWEST_GROUPS:
            return f"no intervals: {counted}, at least {FEWEST_GROUPS} needed"
        return f"95 % intervals by resampling {counted}"

    @property
    def unevenness(self) -> str:
        """In a sentence: where one video (or what else is resampled) carries too much of a layer; "" where none does.

        Nothing is said where there are no intervals, which it is about.
        """
        if len(self.blocks) < FEWEST_GROUPS:
            return ""
        largest = {
            name: float(parts_of_variance(stack(self._blocks(self._by_seed(name)))).max()) for name in self.layers
        }
        uneven = {name: part for name, part in largest.items() if part > TOO_LARGE}
        if not uneven:
            return ""
        worst = max(uneven, key=uneven.__getitem__)
        what = f"{self.resampling_unit}" if len(self.blocks) == self.resampling_units else "resampled block"
        return (
            f"one {what} carries more than a quarter of the variance in {len(uneven)} of {len(largest)} layers (most "
            f"in {worst}, {100 * uneven[worst]:.0f} %): their intervals may be too short; see the page on calibration"
        )

    def as_record(self) -> dict[str, Any]:
        """Plain values for a report; sums and statistics are left out."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "sums"}
        return {**plain, "resampling": self.resampling, "layers": list(self.layers)}


def _names(runs: Mapping[int, Mapping[str, Moments]]) -> tuple[str, ...]:
    """The blocks of all seeds, in their order."""
    return tuple(dict.fromkeys(block for run in runs.values() for block in run))


def join(trainings: Sequence[Measurement], notes: Sequence[str] = ()) -> Measurement:
    """Measurements of networks that were trained alike and shown the same, as one whose values are means over them.

    Args:
        trainings: at least two, of the same layers and blocks.
        notes: sentences to add to theirs.

    Raises:
        InputError: there are fewer than two, or they were not shown the same.
    """
    if len(trainings) < 2:
        raise InputError(f"several trainings are needed to take means over; got {len(trainings)}")
    first = trainings[0]
    shown = {(m.dataset, m.protocol, m.seed, m.layers, m.resampling_units, m.pairs, m.seeds) for m in trainings}
    if len(shown) > 1 or first.seeds != 1:
        raise InputError("only trainings that were shown the same, with one seed, can be joined")
    sums: Sums = {layer: {} for layer in first.layers}
    for number, training in enumerate(trainings):
        for layer in first.layers:
            sums[layer] |= {(number, block): part for (_, block), part in training.sums[layer].items()}
    return replace(
        first,
        sums=sums,
        passes=sum(training.passes for training in trainings),
        weights=identity_of([training.weights for training in trainings]),
        seconds={name: math.fsum(training.seconds[name] for training in trainings) for name in first.seconds},
        resumed=sum(training.resumed for training in trainings),
        notes=(*first.notes, *notes),
        seeds=len(trainings),
        networks=True,
    )
