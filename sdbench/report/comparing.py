"""Two measurements, or two layers, held against each other: differences of shares, paired by what is resampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from sdbench.base.checks import file_errors_said
from sdbench.base.errors import InputError, unknown_name
from sdbench.report.outcome import LayerOutcome, Outcome, PartsOutcome, outcome_of
from sdbench.statistics import FEWEST_GROUPS, READING_ORDER, SHARE_NAMES, Interval
from sdbench.statistics.jackknife import jackknifed, paired_difference, unpaired_difference
from sdbench.statistics.variance import PART_NAMES, simultaneous

if TYPE_CHECKING:
    from sdbench.engine import Measurement


@dataclass(frozen=True)
class PartsDifference:
    """How the parts of a layer's variance differ from those of another one.

    Attributes:
        parts, other_parts: "appearance", "motion" and "both", in percent.
        values: the parts of the one less those of the other, in points.
        intervals: of these, 95 % each; None where there are none.
        simultaneous: the same, but so wide that those of all layers that are compared hold at once in 95 %.
    """

    parts: Mapping[str, float]
    other_parts: Mapping[str, float]
    values: Mapping[str, float]
    intervals: Mapping[str, Interval] | None = None
    simultaneous: Mapping[str, Interval] | None = None


@dataclass(frozen=True)
class Difference:
    """How a layer differs from another one.

    Attributes:
        layer, other_layer: their names.
        shares, other_shares: in percent.
        values: "dynamic", "static" and "residual": the share of `layer` less that of `other_layer`, in points.
        intervals: of these, 95 %; None where there are none.
        variance: how the parts of their variance differ, where both were shown crossed clips.
        simultaneous: as `intervals`, but so wide that those of all layers that are compared hold at once in 95 %; None
            where they are not paired.
    """

    layer: str
    other_layer: str
    shares: Mapping[str, float]
    other_shares: Mapping[str, float]
    values: Mapping[str, float]
    intervals: Mapping[str, Interval] | None
    variance: PartsDifference | None = None
    simultaneous: Mapping[str, Interval] | None = None


@dataclass(frozen=True)
class Comparison:
    """Two measurements held against each other, layer by layer.

    Attributes:
        one, other: what they are called; `other` is subtracted.
        paired: whether the intervals are those of differences within each resampling unit.
        why: what the intervals rest on, or why they are not paired, or why there are none; a sentence.
        differences: of each pair of layers.
    """

    one: str
    other: str
    paired: bool
    why: str
    differences: tuple[Difference, ...]

    def layer(self, name: str) -> Difference:
        """The difference of a layer of the first measurement.

        Raises:
            InputError: it was not compared.
        """
        for difference in self.differences:
            if difference.layer == name:
                return difference
        raise unknown_name("compared layer", name, (difference.layer for difference in self.differences))

    def as_record(self) -> dict[str, Any]:
        """Plain values for a file."""
        return asdict(self)

    @property
    def variance_table(self) -> str:
        """The parts of variance of every layer; "" where not all have them."""
        rows = []
        for each in self.differences:
            if each.variance is None:
                return ""
            row = [_both_names(each)]
            for name in PART_NAMES:
                row += [f"{each.variance.parts[name]:.1f}", f"{each.variance.other_parts[name]:.1f}"]
                row.append(said(each.variance, name) + self._star(each.variance, name))
            rows.append(row)
        return _tabulated(rows, PART_NAMES)

    @property
    def shares_table(self) -> str:
        """The shares of every layer."""
        rows = []
        for each in self.differences:
            row = [_both_names(each)]
            for name in READING_ORDER:
                row += [f"{each.shares[name]:.1f}", f"{each.other_shares[name]:.1f}"]
                row.append(said(each, name) + self._star(each, name))
            rows.append(row)
        return _tabulated(rows, READING_ORDER)

    def _star(self, difference: Difference | PartsDifference, name: str) -> str:
        """A star where a difference among several is one even when all of them are looked at."""
        limits = difference.simultaneous
        return " *" if limits and len(self.differences) > 1 and limits[name].low * limits[name].high > 0 else ""

    def __str__(self) -> str:
        parts = [f"one: {self.one}; other: {self.other}"]
        if self.variance_table:
            parts += [f"Parts of variance: {_WHAT_PARTS_ARE}.", self.variance_table, "Shares as the paper has them:"]
        parts += [self.shares_table, self.why]
        if "*" in self.variance_table + self.shares_table:
            parts.append(STAR)
        return "\n\n".join(parts)


_WHAT_PARTS_ARE = "what appearance alone explains, motion alone, and only both together"

STAR = "* not 0 even where the intervals of all differences of the table have to hold at once (max-t)."


def _both_names(each: Difference) -> str:
    return each.layer if each.layer == each.other_layer else f"{each.layer} - {each.other_layer}"


def _tabulated(rows: Sequence[Sequence[str]], names: Sequence[str]) -> str:
    headers = ["layer", *(f"{name}\n{column}" for name in names for column in ("one %", "other %", "difference"))]
    return tabulate(rows, headers=headers, disable_numparse=True, stralign="right", colalign=("left",))


def said(difference: Difference | PartsDifference, name: str) -> str:
    """A difference in points with its interval: "-6.0 [-8.1, -3.9]"."""
    value = f"{_rounded(difference.values[name]):+.1f}"
    if difference.intervals is None:
        return value
    limits = difference.intervals[name]
    return f"{value} [{_rounded(limits.low):.1f}, {_rounded(limits.high):.1f}]"


def _rounded(value: float) -> float:
    """To a decimal; never minus zero."""
    return round(value, 1) + 0.0


@file_errors_said
def compare(
    one: Measurement | Outcome | str | Path | Mapping[str, Any],
    other: Measurement | Outcome | str | Path | Mapping[str, Any],
    layers: Sequence[str | tuple[str, str]] | None = None,
) -> Comparison:
    """How the shares of one measurement differ from those of another: two networks, two checkpoints, or two layers.

    Where both were shown the same, each resampling unit (a scene, a video) is left out of both at once, so that what it
    does to both alike takes itself away: the intervals are paired. Else they are those of independent studies, or there
    are none; `Comparison.why` says which.

    Args:
        one: a measurement, the file that `sdbench measure --json` writes, or its content; "FILE:LAYER" is one layer of
            it.
        other: what is subtracted.
        layers: names of layers of both, or pairs of a layer of one and a layer of the other. By default the layers of
            the same name, where both were read at layers of the same names or are the same network; else each layer of
            the network with fewer with that at the nearest relative depth, the first with the first and the last with
            the last.

    Raises:
        InputError: there is no such file or layer, or a file holds something else.
    """
    first, second = outcome_of(one), outcome_of(other)
    matched = _matched(first, second, layers)
    reason = why_unpaired(first, second)
    alone = why_alone(first, second)
    order = _order(first, second) if reason is None else None
    layers_of = [(first.layers[layer], second.layers[other]) for layer, other in matched]
    shares = _differences(layers_of, SHARE_NAMES, order)
    parts = _differences([(a.variance, b.variance) for a, b in layers_of], PART_NAMES, order)
    differences = []
    for number, (layer, other_layer) in enumerate(matched):
        a, b = layers_of[number]
        variance = None
        if a.variance is not None and b.variance is not None:
            of, other_of = dict(a.variance.parts), dict(b.variance.parts)
            values = {name: of[name] - other_of[name] for name in PART_NAMES}
            variance = PartsDifference(of, other_of, values, *parts[number])
        values = {name: a.shares[name] - b.shares[name] for name in SHARE_NAMES}
        intervals, at_once = shares[number]
        differences.append(
            Difference(layer, other_layer, dict(a.shares), dict(b.shares), values, intervals, variance, at_once)
        )
    if all(difference.intervals is None for difference in differences):
        why = f"No intervals: {alone or reason}."
    elif reason is None:
        why = f"95 % intervals of differences, paired by {len(first.blocks or ())} {_blocks_of(first)}."
    else:
        why = f"Not paired: {reason}. The 95 % intervals take the two for independent."
    return Comparison(first.source, second.source, reason is None, why, tuple(differences))


_Limits = dict[str, Interval] | None


def _differences(
    compared: Sequence[tuple[LayerOutcome | PartsOutcome | None, LayerOutcome | PartsOutcome | None]],
    names: Sequence[str],
    order: Sequence[int] | None,
) -> list[tuple[_Limits, _Limits]]:
    """Intervals of the differences of each pair of layers: of each for itself, and of all at once where paired.

    Args:
        compared: the two layers of each.
        names: of the three values of a layer.
        order: where each block of one lies among those of the other; None where they are not paired.
    """
    found: list[tuple[_Limits, _Limits]] = []
    centres, withouts = [], []
    for a, b in compared:
        if a is None or b is None or a.without is None or b.without is None:
            found.append((None, None))
            continue
        one, other = a.resampled, b.resampled
        if order is None:
            limits = unpaired_difference(one, other)
        else:
            other = (other[0], other[1][list(order)])
            limits = paired_difference(one, other)
            centres.append(one[0] - other[0])
            withouts.append(one[1] - other[1])
        found.append((dict(zip(names, limits, strict=True)), None))
    if not centres:
        return found
    reaches = iter(simultaneous(np.concatenate(centres), withouts).reshape(-1, len(names)))
    middles_of = iter([jackknifed(centre, without)[0] for centre, without in zip(centres, withouts, strict=True)])
    at_once: list[tuple[_Limits, _Limits]] = []
    for limits_of, _ in found:
        if limits_of is None:
            at_once.append((None, None))
            continue
        middles = dict(zip(names, next(middles_of).tolist(), strict=True))
        reach = dict(zip(names, next(reaches).tolist(), strict=True))
        at_once.append((limits_of, {n: Interval(middles[n] - reach[n], middles[n] + reach[n]) for n in names}))
    return at_once


def why_alone(one: Outcome, other: Outcome) -> str | None:
    """Why a difference has no interval at all, in a sentence without an end; None where it has one."""
    for outcome in (one, other):
        if outcome.blocks is None:
            return (
                f"{outcome.source} was written without what each {outcome.unit} does to the shares; measure it again "
                "with this version"
            )
        if all(layer.without is None for layer in outcome.layers.values()):
            count = len(outcome.blocks)
            return (
                f"{outcome.source} rests on {count} {_blocks_of(outcome)}, and at least {FEWEST_GROUPS} are needed"
                if count < FEWEST_GROUPS
                else f"{outcome.source} has too few pairs of a factor beside those of one {outcome.unit}"
            )
    return None


def why_unpaired(one: Outcome, other: Outcome) -> str | None:
    """Why two measurements cannot be paired, in a sentence without an end; None where they can."""
    alone = why_alone(one, other)
    if alone:
        return alone
    for outcome in (one, other):
        if not outcome.study:
            return f"it is not known whether both were shown the same, as {outcome.source} does not say what it was"
    if one.study != other.study:
        shown = [f"{of.dataset} ({of.protocol}, seed {of.seed})" for of in (one, other)]
        which = f"{shown[0]} and {shown[1]}" if shown[0] != shown[1] else f"another {shown[0]}"
        return f"they were not shown the same, but {which}"
    if one.seed != other.seed:
        return f"they were shown what was drawn with other seeds, {one.seed} and {other.seed}"
    a, b = set(one.blocks or ()), set(other.blocks or ())
    if a != b:
        return f"they do not rest on the same {_blocks_of(one)}: {len(a)} and {len(b)}, {len(a & b)} in common"
    return None


def _blocks_of(outcome: Outcome) -> str:
    """What is resampled, in the plural."""
    return f"{outcome.unit}s"


def _order(one: Outcome, other: Outcome) -> list[int]:
    """Where each block of one lies among those of the other."""
    place = {name: number for number, name in enumerate(other.blocks or ())}
    return [place[name] for name in one.blocks or ()]


def _matched(one: Outcome, other: Outcome, layers: Sequence[str | tuple[str, str]] | None) -> list[tuple[str, str]]:
    """The pairs of layers that are compared."""
    if layers is not None:
        wanted = [(each, each) if isinstance(each, str) else (each[0], each[1]) for each in layers]
        if not wanted:
            raise InputError("no layers to compare were named; leave layers out for all of them")
        for outcome, names in zip((one, other), zip(*wanted, strict=True), strict=True):
            for name in names:
                outcome.only(name)
        return wanted
    if len(one.layers) == 1 and len(other.layers) == 1:
        return [(one.last, other.last)]
    common = [name for name in one.layers if name in other.layers]
    if common and (one.network == other.network or one.all_layers == other.all_layers):
        return [(name, name) for name in common]
    if len(one.layers) <= len(other.layers):
        return _nearest(one, other)
    return [(layer, other_layer) for other_layer, layer in _nearest(other, one)]


def _nearest(few: Outcome, many: Outcome) -> list[tuple[str, str]]:
    """Each layer of the one with the layer of the other at the nearest relative depth."""
    depths = many.depths
    return [(name, min(depths, key=lambda other: abs(depths[other] - depth))) for name, depth in few.depths.items()]
