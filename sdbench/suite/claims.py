"""Claims: inequalities between what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sdbench.cases.records import Asked, Claim, Comparison, Quantity, asked
from sdbench.cases.verdicts import Case, Compared, judge_claim
from sdbench.engine import LayerMeasurement, Measurement
from sdbench.statistics import Interval

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


def imbalance(layer: LayerMeasurement) -> float:
    """How unlike the numbers of static and dynamic units are: |static - dynamic| / (static + dynamic), in percent."""
    classes = layer.read("units").values
    static, dynamic = classes["static"], classes["dynamic"]
    return 100 * abs(static - dynamic) / (static + dynamic) if static + dynamic else 0.0


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
            limits.append(reading.intervals[name] if reading.intervals else None)
        higher, lower = limits
        gap = higher.low - lower.high if higher and lower else -math.inf  # without intervals nothing is apart
        compared.append(Compared(f"{_in_words(*sides)} (training {number})", values[0], values[1], gap=gap))
    return compared


def _compared(comparison: Comparison, measurement: Callable[[Asked], Measurement]) -> list[Compared]:
    greater, lesser = comparison.greater, comparison.lesser
    values, replicates = zip(*(_value(side, measurement(_asked(side))) for side in (greater, lesser)), strict=True)
    margin = None
    if _asked(greater) == _asked(lesser) and replicates[0] is not None and replicates[1] is not None:
        low, high = np.percentile(replicates[0] - replicates[1], (2.5, 97.5))
        margin = Interval(float(low), float(high))
    return [Compared(_in_words(greater, lesser), values[0], values[1], margin)]


def _value(quantity: Quantity, found: Measurement) -> tuple[float, Any]:
    """The number, and its bootstrap replicates where there are any."""
    layer = found.layer(quantity.layer)
    kind, name = quantity.name.split(".")
    if name == "imbalance":
        return imbalance(layer), None
    replicates = layer.intervals.replicates[f"{_SINGULAR[kind]}.{name}"] if layer.intervals else None
    return layer.read(kind).values[name], replicates


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
