"""From an expected value to a verdict: which measurement it needs, and whether that can be had here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from sdbench.assets.store import AssetStore
from sdbench.clips.style import DEFAULT_STYLES
from sdbench.datasets import Dataset, packaged_videos
from sdbench.errors import AssetError, unknown_name
from sdbench.expected import Claim, Comparison, ExpectedValue, Quantity
from sdbench.measure import LayerMeasurement, Measurement, measure
from sdbench.networks import build, network_names
from sdbench.statistics import Interval
from sdbench.statistics.quantities import QUANTITIES, Reading, read_quantity
from sdbench.verdict import NEEDS, Case, Compared, judge_claim, judge_value, not_run
from sdbench.zoo import model, model_names
from sdbench.zoo.complexity import complexity
from sdbench.zoo.preparation import Preparation

_SINGULAR = {"shares": "share", "units": "units"}

COMPLEXITY = "complexity"
"""The quantity of an architecture's size and work, which needs neither weights nor videos."""

DATASETS: dict[str, Callable[[Preparation, AssetStore], Dataset]] = {"packaged": packaged_videos}
"""Data sets that can be measured without anything of the user's own."""


@dataclass
class Suite:
    """Runs cases; every network is measured once on every data set, however many cases ask for it.

    Attributes:
        store: where assets lie.
        seed, pairs, device, styles: as for `sdbench.measure.measure`.
        measurements: (network, data set) -> what was measured so far.
    """

    store: AssetStore
    seed: int = 0
    pairs: int | None = None
    device: str = "cpu"
    styles: Sequence[str] = DEFAULT_STYLES
    measurements: dict[tuple[str, str], Measurement] = field(default_factory=dict)
    _out_of_reach: dict[tuple[str, str], AssetError] = field(default_factory=dict)

    def measurement(self, network: str, dataset: str) -> Measurement:
        """The measurement of `network` on `dataset`, made at the first call.

        Raises:
            AssetError: something it needs cannot be had; said again at every call without another try.
        """
        key = (network, dataset)
        if key in self._out_of_reach:
            raise self._out_of_reach[key]
        if key not in self.measurements:
            if dataset not in DATASETS:
                raise unknown_name("data set", dataset, DATASETS)
            try:
                clips = DATASETS[dataset](model(network).known_preparation(), self.store)
                self.measurements[key] = measure(
                    network,
                    clips,
                    seed=self.seed,
                    pairs=self.pairs,
                    device=self.device,
                    styles=self.styles,
                    store=self.store,
                )
            except AssetError as error:
                self._out_of_reach[key] = error
                raise
        return self.measurements[key]

    def run(self, record: ExpectedValue | Claim) -> Case:
        """The outcome of one case; *not run*, with the reason, where something it needs is not there."""
        if reason := why_not(record) or self._other_draws(record):
            return not_run(record, reason)
        try:
            return self._claim(record) if isinstance(record, Claim) else self._value(record)
        except AssetError as error:
            return not_run(record, str(error))

    def _other_draws(self, record: ExpectedValue | Claim) -> str | None:
        """Why a value recorded for one seed cannot be compared with this run's draws; None where it can."""
        if isinstance(record, Claim) or "seed" not in record.options:
            return None
        if (self.seed, self.pairs, tuple(self.styles)) == (record.options["seed"], None, DEFAULT_STYLES):
            return None
        return (
            f"recorded for seed {record.options['seed']}, every clip and the default styles; this run draws otherwise"
            f"{NEEDS}a run without --seed and --pairs"
        )

    def _value(self, record: ExpectedValue) -> Case:
        if record.quantity == COMPLEXITY:
            return _judge_complexity(record)
        assert record.layer is not None
        found = self.measurement(record.network, record.dataset)
        layer = found.layer(record.layer)
        case = judge_value(record, read_quantity(record.quantity, layer.estimate, layer.intervals), found.pairs)
        return replace(case, seconds=found.seconds["total"])

    def _claim(self, claim: Claim) -> Case:
        case = judge_claim(claim, [self._compare(comparison) for comparison in claim.comparisons])
        asked = {(q.network, q.dataset) for c in claim.comparisons for q in (c.greater, c.lesser)}
        return replace(case, seconds=sum(self.measurements[key].seconds["total"] for key in asked))

    def _compare(self, comparison: Comparison) -> Compared:
        greater, lesser = comparison.greater, comparison.lesser
        values, replicates = zip(*(self._quantity(quantity) for quantity in (greater, lesser)), strict=True)
        same_clips = (greater.network, greater.dataset) == (lesser.network, lesser.dataset)
        margin = None
        if same_clips and replicates[0] is not None and replicates[1] is not None:
            low, high = np.percentile(replicates[0] - replicates[1], (2.5, 97.5))
            margin = Interval(float(low), float(high))
        return Compared(_in_words(greater, lesser), values[0], values[1], margin)

    def _quantity(self, quantity: Quantity) -> tuple[float, Any]:
        layer = self.measurement(quantity.network, quantity.dataset).layer(quantity.layer)
        kind, name = quantity.name.split(".")
        if name == "imbalance":
            return imbalance(layer), None
        reading = read_quantity(kind, layer.estimate, layer.intervals)
        replicates = layer.intervals.replicates[f"{_SINGULAR[kind]}.{name}"] if layer.intervals else None
        return reading.values[name], replicates


def imbalance(layer: LayerMeasurement) -> float:
    """How unlike the numbers of static and dynamic units are: |static - dynamic| / (static + dynamic), in percent."""
    classes = layer.estimate.unit_classes
    static, dynamic = classes["static"], classes["dynamic"]
    return 100 * abs(static - dynamic) / (static + dynamic) if static + dynamic else 0.0


def _judge_complexity(record: ExpectedValue) -> Case:
    """Size and work of an architecture; a count has no spread, so its interval is a point."""
    started = time.perf_counter()
    frames, side = int(record.options["frames"]), int(record.options["side"])
    counted = complexity(build(record.network), {"video": torch.zeros(1, 3, frames, side, side)})
    values = {"parameters_m": counted.parameters_m, "gflops": counted.gflops}
    reading = Reading(values, {name: Interval(value, value) for name, value in values.items()})
    return replace(judge_value(record, reading, pairs=0), seconds=time.perf_counter() - started)


def layer_values(found: Measurement) -> dict[str, dict[str, dict[str, float]]]:
    """Layer -> "shares" and "units" -> name -> percent: the numbers of a measurement for pictures and files."""
    return {
        name: {
            quantity: read_quantity(quantity, layer.estimate, layer.intervals).values
            for quantity in ("shares", "units")
        }
        for name in found.layers
        for layer in [found.layer(name)]
    }


def why_not(record: ExpectedValue | Claim) -> str | None:
    """Why a case cannot run with this version, in one sentence with what it would need; None where it can."""
    if isinstance(record, Claim):
        asked = [(q.network, q.trained_on, q.dataset) for c in record.comparisons for q in (c.greater, c.lesser)]
    elif record.quantity == COMPLEXITY:
        return None if record.network in network_names() else f"network {record.network} is not part of this version"
    else:
        asked = [(record.network, record.trained_on, record.dataset)]
    lacking: list[str] = []
    for network, trained_on, dataset in asked:
        # A measurement takes the weights of the first training set.
        if network not in model_names() or model(network).trained_on != trained_on:
            lacking.append(f"weights of {network} trained on {trained_on} are not part of this version")
        elif model(network).preparation is None:
            lacking.append(f"how {network} is fed is not part of this version")
        if dataset not in DATASETS:
            lacking.append(f"data set {dataset} is not part of this version")
    if isinstance(record, ExpectedValue) and record.quantity not in QUANTITIES:
        lacking.append(f"{record.quantity} is not measured by this version")
    if not lacking:
        return None
    return "; ".join(dict.fromkeys(lacking)) + (f"{NEEDS}{'; '.join(record.needs)}" if record.needs else "")


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
