"""A measurement as plain values: what `sdbench measure --json` writes, and all that comparing it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sdbench.engine.measurement import LayerMeasurement, Measurement
from sdbench.statistics import SHARE_NAMES, Interval
from sdbench.statistics.variance import PART_NAMES, Variance

_DIGITS = 8
"""Decimals of the shares without a block, in points: an interval made from them is right to 1e-6."""


def content_of(found: Measurement, controls: Sequence[Measurement] = ()) -> dict[str, Any]:
    """A measurement as plain values.

    Args:
        found: the measurement.
        controls: measurements to show beside it.

    Returns:
        "measurement": what was done; "blocks": the names of what is resampled; "layers": layer -> its "shares" and
        "units" in percent, the "intervals" of the shares, and the "dynamic" and "static" shares "without" each block,
        in the order of the blocks (both None where there are no intervals), and the "largest_part" of its variance, in
        percent, that comes from one block; its "scores", before the softmax; and where the study is crossed its
        "variance": see `sdbench.statistics.variance.Variance`; "controls": the same of each.
    """
    content = {
        "measurement": found.as_record(),
        "blocks": list(found.blocks),
        "layers": {name: _layer(found.layer(name)) for name in found.layers},
    }
    return {**content, "controls": [content_of(control) for control in controls]} if controls else content


def _layer(layer: LayerMeasurement) -> dict[str, Any]:
    shares, units = layer.read("shares"), layer.read("units")
    written: dict[str, Any] = {
        "variance": None if layer.variance is None else _variance(layer.variance),
        "shares": shares.values,
        "units": units.values,
        "scores": layer.scores,
        "intervals": None,
        "without": None,
    }
    if layer.intervals is not None and shares.generalisation is not None:
        # Values are means over seeds, which the intervals of all seeds together move to; so do the shares without.
        moved = layer.intervals.without + [shares.values[name] - layer.estimate.shares[name] for name in SHARE_NAMES]
        columns = dict(zip(SHARE_NAMES, np.round(moved, _DIGITS).T.tolist(), strict=True))
        written["intervals"] = {name: [limit.low, limit.high] for name, limit in shares.generalisation.items()}
        written["without"] = {name: columns[name] for name in SHARE_NAMES if name != "residual"}
    if math.isfinite(layer.largest_part):
        written["largest_part"] = round(100 * layer.largest_part, 2)
    return written


def _variance(found: Variance) -> dict[str, Any]:
    """The parts of a layer's variance as plain values; of those without a block, the last is what is left to 100."""

    def limits(of: Mapping[str, Interval] | None) -> dict[str, list[float]] | None:
        return None if of is None else {name: [limit.low, limit.high] for name, limit in of.items()}

    without = None
    if found.without is not None:
        columns = np.round(found.without[:, :-1], _DIGITS).T.tolist()
        without = dict(zip(PART_NAMES[:-1], columns, strict=True))
    return {
        "parts": found.parts,
        "intervals": limits(found.intervals),
        "by_unit": found.by_unit,
        "by_unit_intervals": limits(found.by_unit_intervals),
        "chance": found.chance,
        "chance_intervals": limits(found.chance_intervals),
        "disagreeing": list(found.disagreeing),
        "without": without,
    }
