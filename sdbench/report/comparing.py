"""Two measurements, or two layers, held against each other: differences of shares, paired by what is resampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from sdbench.base.errors import InputError, unknown_name
from sdbench.report.outcome import Outcome, outcome_of
from sdbench.statistics import FEWEST_GROUPS, READING_ORDER, SHARE_NAMES, Interval
from sdbench.statistics.jackknife import paired_difference, unpaired_difference

if TYPE_CHECKING:
    from sdbench.engine import Measurement


@dataclass(frozen=True)
class Difference:
    """How a layer differs from another one.

    Attributes:
        layer, other_layer: their names.
        shares, other_shares: in percent.
        values: "dynamic", "static" and "residual": the share of `layer` less that of `other_layer`, in points.
        intervals: of these, 95 %; None where there are none.
    """

    layer: str
    other_layer: str
    shares: Mapping[str, float]
    other_shares: Mapping[str, float]
    values: Mapping[str, float]
    intervals: Mapping[str, Interval] | None


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

    def __str__(self) -> str:
        rows = []
        for each in self.differences:
            same = each.layer == each.other_layer
            row = [each.layer if same else f"{each.layer} - {each.other_layer}"]
            for name in READING_ORDER:
                row += [f"{each.shares[name]:.1f}", f"{each.other_shares[name]:.1f}", said(each, name)]
            rows.append(row)
        headers = [
            "layer",
            *(f"{name}\n{column}" for name in READING_ORDER for column in ("one %", "other %", "difference")),
        ]
        table = tabulate(rows, headers=headers, disable_numparse=True, stralign="right", colalign=("left",))
        return f"one: {self.one}; other: {self.other}\n\n{table}\n\n{self.why}"


def said(difference: Difference, name: str) -> str:
    """A difference in points with its interval: "-6.0 [-8.1, -3.9]"."""
    value = f"{_rounded(difference.values[name]):+.1f}"
    if difference.intervals is None:
        return value
    limits = difference.intervals[name]
    return f"{value} [{_rounded(limits.low):.1f}, {_rounded(limits.high):.1f}]"


def _rounded(value: float) -> float:
    """To a decimal; never minus zero."""
    return round(value, 1) + 0.0


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
    differences = []
    for layer, other_layer in matched:
        a, b = first.layers[layer], second.layers[other_layer]
        intervals = None
        if a.without is not None and b.without is not None:
            formula = paired_difference if reason is None else unpaired_difference
            resampled = b.resampled
            if reason is None:
                resampled = (resampled[0], resampled[1][_order(first, second)])
            intervals = dict(zip(SHARE_NAMES, formula(a.resampled, resampled), strict=True))
        values = {name: a.shares[name] - b.shares[name] for name in SHARE_NAMES}
        differences.append(Difference(layer, other_layer, dict(a.shares), dict(b.shares), values, intervals))
    if all(difference.intervals is None for difference in differences):
        why = f"No intervals: {alone or reason}."
    elif reason is None:
        why = f"95 % intervals of differences, paired by {len(first.blocks or ())} {_blocks_of(first)}."
    else:
        why = f"Not paired: {reason}. The 95 % intervals take the two for independent."
    return Comparison(first.source, second.source, reason is None, why, tuple(differences))


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
