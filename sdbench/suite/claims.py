"""Claims: inequalities between what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sdbench.cases.records import Asked, Claim, Comparison, Quantity, asked
from sdbench.cases.verdicts import Case, Compared, judge_claim
from sdbench.engine import LayerMeasurement, Measurement
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
    one, other = (measurement(_asked(side)) for side in sides)
    paired = _same_videos(one, other)
    compared = []
    for number in range(min(one.seeds, other.seeds)):
        layers = [each.run(side.layer, number) for each, side in zip((one, other), sides, strict=True)]
        compared.append(_inequality(f"{_in_words(*sides)} (training {number})", comparison, layers, paired))
    return compared


def _compared(comparison: Comparison, measurement: Callable[[Asked], Measurement]) -> list[Compared]:
    sides = comparison.greater, comparison.lesser
    one, other = (measurement(_asked(side)) for side in sides)
    layers = [each.layer(side.layer) for each, side in zip((one, other), sides, strict=True)]
    return [_inequality(_in_words(*sides), comparison, layers, _same_videos(one, other))]


def _inequality(words: str, comparison: Comparison, layers: Sequence[LayerMeasurement], paired: bool) -> Compared:
    """One inequality: the two values, and the interval of their difference where both sides have one."""
    quantities = comparison.greater, comparison.lesser
    values = [_value(quantity, layer) for quantity, layer in zip(quantities, layers, strict=True)]
    sides = [_side(quantity, layer) for quantity, layer in zip(quantities, layers, strict=True)]
    found = None
    if sides[0] is not None and sides[1] is not None:
        found = margin(sides[0], sides[1], paired)
    return Compared(words, values[0], values[1], found)


def _value(quantity: Quantity, layer: LayerMeasurement) -> float:
    kind, name = quantity.name.split(".")
    return value_of(name, layer.read(kind))


def _side(quantity: Quantity, layer: LayerMeasurement) -> Side | None:
    """One side with what other videos would do to it; None where there are too few for an interval."""
    if layer.intervals is None:
        return None
    kind, name = quantity.name.split(".")
    together = read_quantity(kind, layer.estimate, None, None)
    return side(kind, name, layer.intervals, _value(quantity, layer), value_of(name, together))


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
