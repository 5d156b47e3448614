"""Claims: inequalities between what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from sdbench.cases.records import Asked, Claim, Comparison, Quantity, asked
from sdbench.cases.verdicts import Case, Compared, judge_claim
from sdbench.engine import Measurement
from sdbench.statistics.margins import Side, margin, side, value_of
from sdbench.statistics.quantities import read_quantity

_SINGULAR = {"shares": "share", "units": "units"}


def judge(claim: Claim, measurement: Callable[[Asked], Measurement]) -> Case:
    """Whether a claim holds for what was measured.

    Args:
        claim: the claim.
        measurement: of a network on a data set.
    """
    compare = _compared_each if claim.each_seed else _compared
    compared = [found for comparison in claim.comparisons for found in compare(comparison, measurement)]
    seconds = sum(measurement(wanted).seconds["total"] for wanted in asked(claim))
    return replace(judge_claim(claim, compared), seconds=seconds)


def _asked(quantity: Quantity) -> Asked:
    return Asked(quantity.network, quantity.trained_on, quantity.dataset)


def _compared_each(comparison: Comparison, measurement: Callable[[Asked], Measurement]) -> list[Compared]:
    """The comparison for each of several networks that were trained alike."""
    sides = comparison.greater, comparison.lesser
    found = [measurement(_asked(side)) for side in sides]
    compared = []
    for number in range(min(each.seeds for each in found)):
        values, limits = [], []
        for each, quantity in zip(found, sides, strict=True):
            kind, name = quantity.name.split(".")
            reading = each.run(quantity.layer, number).read(kind)
            values.append(reading.values[name])
            limits.append(reading.generalisation[name] if reading.generalisation else None)
        higher, lower = limits
        gap = higher.low - lower.high if higher and lower else -math.inf  # without intervals nothing is apart
        compared.append(Compared(f"{_in_words(*sides)} (training {number})", values[0], values[1], gap=gap))
    return compared


def _compared(comparison: Comparison, measurement: Callable[[Asked], Measurement]) -> list[Compared]:
    greater, lesser = comparison.greater, comparison.lesser
    one, other = (measurement(_asked(quantity)) for quantity in (greater, lesser))
    values = [_value(quantity, found) for quantity, found in ((greater, one), (lesser, other))]
    sides = [_side(quantity, found) for quantity, found in ((greater, one), (lesser, other))]
    found = None
    if sides[0] is not None and sides[1] is not None:
        found = margin(sides[0], sides[1], paired=_same_videos(one, other))
    return [Compared(_in_words(greater, lesser), values[0], values[1], found)]


def _value(quantity: Quantity, found: Measurement) -> float:
    kind, name = quantity.name.split(".")
    return value_of(name, found.layer(quantity.layer).read(kind))


def _side(quantity: Quantity, found: Measurement) -> Side | None:
    """One side with what other videos would do to it; None where there are too few for an interval."""
    layer = found.layer(quantity.layer)
    if layer.intervals is None:
        return None
    kind, name = quantity.name.split(".")
    together = read_quantity(kind, layer.estimate, None, None)
    return side(kind, name, layer.intervals, _value(quantity, found), value_of(name, together))


def _same_videos(one: Measurement, other: Measurement) -> bool:
    """Whether two measurements are of the same videos and draws, block by block."""
    return one is other or (
        bool(one.study) and (one.study, one.seed, one.blocks) == (other.study, other.seed, other.blocks)
    )


def _in_words(greater: Quantity, lesser: Quantity) -> str:
    """The inequality, with what both sides share said once."""

    def side(quantity: Quantity, other: Quantity) -> str:
        kind, name = quantity.name.split(".")
        parts = [f"{name} {_SINGULAR[kind]}"]
        for word, own, others in (
            ("in", quantity.layer, other.layer),
            ("of", quantity.network, other.network),
            ("trained on", quantity.trained_on, other.trained_on),
        ):
            if own != others or (quantity is greater and word == "in"):
                parts.append(f"{word} {own}")
        return " ".join(parts)

    return f"{side(greater, lesser)} > {side(lesser, greater)}"
