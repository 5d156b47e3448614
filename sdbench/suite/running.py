"""From an expected value to a verdict: every measurement that cases need is made once."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from sdbench.answers.ablation import ablate
from sdbench.answers.accuracy import Accuracy, measure_accuracy
from sdbench.answers.moca import Boxes, measure_moca
from sdbench.answers.segmenting import published_input
from sdbench.answers.zeroing import lost_without
from sdbench.assets.store import AssetStore
from sdbench.base.errors import AssetError, unknown_name
from sdbench.calibration.measuring import measure_trained
from sdbench.cases.records import Claim, Comparison, ExpectedValue, Quantity, Record, Unpublished
from sdbench.cases.verdicts import NEEDS, Case, Compared, judge_claim, judge_value, measured_only, not_run
from sdbench.data import StylisedDataset, packaged_videos
from sdbench.data.davis_here import PAINTED, davis_at_hand
from sdbench.data.davis_packaged import packaged_davis
from sdbench.data.kinetics import labelled_folder
from sdbench.data.moca import MocaDataset
from sdbench.data.stylised_packaged import packaged_stylised
from sdbench.measure import LayerMeasurement, Measurement, measure
from sdbench.measure_action import measure_action
from sdbench.measure_vos import measure_vos
from sdbench.networks import build
from sdbench.networks.filled import fill_state_dict
from sdbench.networks.reading import VideoNetwork
from sdbench.statistics import Interval
from sdbench.statistics.quantities import Reading
from sdbench.statistics.sums import FACTORS
from sdbench.studies.davis import DRAWS
from sdbench.suite.at_hand import (
    ABLATION,
    CALIBRATION,
    COMPLEXITY,
    FILLED,
    LOST,
    MOCA,
    PACKAGED,
    SEGMENTED,
    SHUFFLED,
    STYLISED,
    why_not,
)
from sdbench.video.paint import DEFAULT_STYLES
from sdbench.zoo import load, model
from sdbench.zoo.action_preparation import preparation_for
from sdbench.zoo.complexity import complexity_of
from sdbench.zoo.vos_preparation import SIZE, vos_preparation_for

_FILL_SEED = 0

_PIPELINE_SIZE = (64, 112)
"""Height and width that segmentation networks with made-up weights are fed: it is the pipeline that is looked at."""

_PIPELINE_FRAMES = 2
"""Frames of each packaged sequence that they are fed."""

_SINGULAR = {"shares": "share", "units": "units"}

Key = tuple[str, str, str]


@dataclass
class Suite:
    """Runs cases; every network is measured once on every data set, however many cases ask for it.

    Attributes:
        store: where assets lie.
        seed, pairs, device, styles: as for `sdbench.measure.measure`; a stylised data set brings its own styles.
        protocol: of action recognition on stylised data sets, "published" or "corrected".
        data: folder of the user's data sets, named as in `sdbench.suite.at_hand`; None where there are none.
        measurements: (network, training set, data set) -> what was measured so far.
    """

    store: AssetStore
    seed: int = 0
    pairs: int | None = None
    device: str = "cpu"
    styles: Sequence[str] = DEFAULT_STYLES
    data: Path | None = None
    protocol: str = "published"
    measurements: dict[Key, Measurement] = field(default_factory=dict)
    _accuracies: dict[Key, Accuracy] = field(default_factory=dict)
    _out_of_reach: dict[Key, AssetError] = field(default_factory=dict)

    def measurement(self, network: str, trained_on: str, dataset: str) -> Measurement:
        """The measurement of a network on a data set, made at the first call.

        Raises:
            InputError: the data set is unknown, or cannot be used.
            AssetError: something it needs cannot be had; said again at every call without another try.
        """
        key = (network, trained_on, dataset)
        if key in self._out_of_reach:
            raise self._out_of_reach[key]
        if key not in self.measurements:
            try:
                self.measurements[key] = self._measure(network, trained_on, dataset)
            except AssetError as error:
                self._out_of_reach[key] = error
                raise
        return self.measurements[key]

    def run(self, record: Record) -> Case:
        """The outcome of one case; *not run*, with the reason, where something it needs is not there."""
        if reason := why_not(record, self.data, self.store) or self._other_draws(record):
            return not_run(record, reason)
        try:
            if isinstance(record, Claim):
                return self._claim(record)
            return self._value(record)
        except AssetError as error:
            return not_run(record, str(error))

    def _measure(self, network: str, trained_on: str, dataset: str) -> Measurement:
        options: dict[str, Any] = {"seed": self.seed, "pairs": self.pairs, "device": self.device, "store": self.store}
        if dataset in CALIBRATION:
            return measure_trained(network, trained_on, dataset, **options)
        if dataset == "packaged":
            clips = packaged_videos(model(network, trained_on).known_preparation(), self.store)
            return measure(network, clips, styles=self.styles, **options)
        module, architecture, assets = self._network(network, trained_on)
        options["protocol"], options["name"] = self.protocol, network
        if dataset in SEGMENTED:
            found = self._measure_vos(module, architecture, dataset, options)
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*intervals will be wide")  # the report's notes say so
                found = measure_action(
                    module, self._stylised(dataset), preparation=preparation_for(architecture), **options
                )
        return replace(found, assets={**found.assets, **assets})

    def _stylised(self, dataset: str) -> StylisedDataset:
        if dataset == "packaged_stylised":
            return packaged_stylised(self.store)
        if dataset in STYLISED and self.data is not None:
            return STYLISED[dataset](self.data / dataset)
        raise unknown_name("data set", dataset, (*PACKAGED, *STYLISED, *SEGMENTED, *CALIBRATION))

    def _measure_vos(
        self, module: VideoNetwork, architecture: str, dataset: str, options: dict[str, Any]
    ) -> Measurement:
        packaged = dataset == "packaged_davis"
        preparation = vos_preparation_for(architecture, _PIPELINE_SIZE if packaged else SIZE)
        videos = packaged_davis(self.store) if packaged else davis_at_hand(self.data, self.store, preparation.paired)
        frames = _PIPELINE_FRAMES if packaged else None
        if (pairs := options.pop("pairs")) is not None:
            frames = max(1, ceil(len(FACTORS) * pairs / (DRAWS * len(videos.sequences))))
        return measure_vos(module, videos, preparation=preparation, frames=frames, **options)

    def _network(self, network: str, trained_on: str) -> tuple[VideoNetwork, str, dict[str, str]]:
        """The network, the name of its architecture, and the hashes of the weights that were fetched for it."""
        if trained_on == FILLED:
            module = build(network)
            fill_state_dict(module, _FILL_SEED)
            return module, network, {}
        known = model(network, trained_on)
        module = load(network, store=self.store, trained_on=trained_on)
        return module, known.architecture, self.store.hashes([known.asset])

    def _accuracy(self, network: str, trained_on: str, dataset: str) -> Accuracy:
        key = (network, trained_on, dataset)
        if key not in self._accuracies:
            assert self.data is not None
            module, architecture, _ = self._network(network, trained_on)
            self._accuracies[key] = measure_accuracy(
                module,
                labelled_folder(self.data / dataset),
                preparation_for(architecture),
                seed=self.seed,
                videos=self.pairs,
                device=self.device,
                name=network,
                quiet=self.store.quiet,
            )
        return self._accuracies[key]

    def _other_draws(self, record: Record) -> str | None:
        """Why a value recorded for one seed cannot be compared with this run's draws; None where it can."""
        if not isinstance(record, ExpectedValue) or "seed" not in record.options:
            return None
        drawn = (self.seed, self.pairs, tuple(self.styles), self.protocol)
        if drawn == (record.options["seed"], None, DEFAULT_STYLES, "published"):
            return None
        return (
            f"recorded for seed {record.options['seed']}, every clip and the default styles; this run draws otherwise"
            f"{NEEDS}a run without --seed and --pairs"
        )

    def _value(self, record: ExpectedValue | Unpublished) -> Case:
        if record.quantity == COMPLEXITY:
            return _judge_complexity(record)
        if isinstance(record, ExpectedValue) and record.quantity == SHUFFLED:
            answer = self._accuracy(record.network, record.trained_on, record.dataset)
            limits = {"change": answer.intervals["change"]} if answer.intervals else None
            reading = Reading({"change": answer.values["change"]}, limits)
            return replace(judge_value(record, reading, answer.videos, "videos"), seconds=answer.seconds)
        if record.quantity == MOCA:
            return self._moca(record)
        assert record.layer is not None
        if record.quantity == ABLATION:
            return self._ablation(record, record.layer)
        found = self.measurement(record.network, record.trained_on, record.dataset)
        if record.quantity == LOST:
            return _judge_lost(record, found)
        layer = found.layer(record.layer)
        reading = layer.read(record.quantity)
        case = _judge(record, reading, found.pairs, "pairs of each factor")
        if reading.spread:
            told = ", ".join(f"{name} ±{spread:.1f}" for name, spread in reading.spread.items())
            case = replace(case, reason=f"{case.reason}; means over {found.seeds} seeds, which spread by {told}")
        return replace(case, seconds=found.seconds["total"])

    def _moca(self, record: ExpectedValue | Unpublished) -> Case:
        """Mean IoU and success rates on MoCA."""
        module, architecture, _ = self._network(record.network, record.trained_on)
        preparation = published_input(architecture)
        answer = measure_moca(
            module,
            self._moca_videos(preparation.paired),
            preparation,
            threshold=float(record.options["threshold"]),
            flip=bool(record.options["flip"]),
            seed=self.seed,
            device=self.device,
            name=record.network,
            quiet=self.store.quiet,
        )
        case = _judge(record, Reading(answer.values, answer.intervals), len(answer.videos), "videos")
        return replace(case, seconds=answer.seconds)

    def _ablation(self, record: ExpectedValue | Unpublished, layer: str) -> Case:
        """Mean IoU on MoCA without the units of a layer that the measurement on Stylized DAVIS calls for."""
        found = self.measurement(record.network, record.trained_on, PAINTED)
        module, architecture, _ = self._network(record.network, record.trained_on)
        preparation = published_input(architecture)
        answer = ablate(
            module,
            Boxes(self._moca_videos(preparation.paired), float(record.options["threshold"])),
            preparation,
            layer,
            found.layer(layer).estimate,
            percents=(float(record.options["percent"]),),
            seed=self.seed,
            device=self.device,
            name=record.network,
            quiet=self.store.quiet,
        )
        values = {"whole": answer.miou, **{point.selection: point.miou for point in answer.points}}
        limits = [answer.interval, *(point.interval for point in answer.points)]
        known = [limit for limit in limits if limit is not None]
        reading = Reading(values, dict(zip(values, known, strict=True)) if len(known) == len(limits) else None)
        case = _judge(record, reading, answer.sequences, "videos")
        return replace(case, seconds=answer.seconds + found.seconds["total"])

    def _moca_videos(self, backward_flow: bool) -> MocaDataset:
        assert self.data is not None
        return MocaDataset(self.data / MOCA, backward_flow)

    def _claim(self, claim: Claim) -> Case:
        compare = self._compare_each if claim.each_seed else self._compare
        compared = [found for comparison in claim.comparisons for found in compare(comparison)]
        case = judge_claim(claim, compared)
        asked = {(q.network, q.trained_on, q.dataset) for c in claim.comparisons for q in (c.greater, c.lesser)}
        return replace(case, seconds=sum(self.measurements[key].seconds["total"] for key in asked))

    def _compare_each(self, comparison: Comparison) -> list[Compared]:
        """The comparison for each of several networks that were trained alike."""
        sides = comparison.greater, comparison.lesser
        found = [self.measurement(q.network, q.trained_on, q.dataset) for q in sides]
        compared = []
        for number in range(min(measurement.seeds for measurement in found)):
            values, limits = [], []
            for measurement, quantity in zip(found, sides, strict=True):
                kind, name = quantity.name.split(".")
                reading = measurement.run(quantity.layer, number).read(kind)
                values.append(reading.values[name])
                limits.append(reading.intervals[name] if reading.intervals else None)
            higher, lower = limits
            gap = higher.low - lower.high if higher and lower else -math.inf  # without intervals nothing is apart
            words = f"{_in_words(*sides)} (training {number})"
            compared.append(Compared(words, values[0], values[1], gap=gap))
        return compared

    def _compare(self, comparison: Comparison) -> list[Compared]:
        greater, lesser = comparison.greater, comparison.lesser
        values, replicates = zip(*(self._quantity(quantity) for quantity in (greater, lesser)), strict=True)
        same_clips = (greater.network, greater.trained_on, greater.dataset) == (
            lesser.network,
            lesser.trained_on,
            lesser.dataset,
        )
        margin = None
        if same_clips and replicates[0] is not None and replicates[1] is not None:
            low, high = np.percentile(replicates[0] - replicates[1], (2.5, 97.5))
            margin = Interval(float(low), float(high))
        return [Compared(_in_words(greater, lesser), values[0], values[1], margin)]

    def _quantity(self, quantity: Quantity) -> tuple[float, Any]:
        layer = self.measurement(quantity.network, quantity.trained_on, quantity.dataset).layer(quantity.layer)
        kind, name = quantity.name.split(".")
        if name == "imbalance":
            return imbalance(layer), None
        reading = layer.read(kind)
        replicates = layer.intervals.replicates[f"{_SINGULAR[kind]}.{name}"] if layer.intervals else None
        return reading.values[name], replicates


def imbalance(layer: LayerMeasurement) -> float:
    """How unlike the numbers of static and dynamic units are: |static - dynamic| / (static + dynamic), in percent."""
    classes = layer.read("units").values
    static, dynamic = classes["static"], classes["dynamic"]
    return 100 * abs(static - dynamic) / (static + dynamic) if static + dynamic else 0.0


def _judge(record: ExpectedValue | Unpublished, reading: Reading, count: int, counted: str) -> Case:
    if isinstance(record, Unpublished):
        return measured_only(record, reading)
    return judge_value(record, reading, count, counted)


def _judge_lost(record: ExpectedValue | Unpublished, found: Measurement) -> Case:
    """Right answers that small networks lose without dynamic and without static units; means over trainings."""
    started = time.perf_counter()
    assert record.layer is not None
    without = lost_without(found, record.trained_on, record.layer)
    values = {factor: fmean(each.lost[factor] for each in without) for factor in FACTORS}
    case = _judge(record, Reading(values, None), len(without), "trainings")
    return replace(case, seconds=time.perf_counter() - started)


def _judge_complexity(record: ExpectedValue | Unpublished) -> Case:
    """Size and work of an architecture; a count has no spread, so its interval is a point."""
    started = time.perf_counter()
    counted = complexity_of(record.network, record.options)
    values = {"parameters_m": counted.parameters_m, "gflops": counted.gflops}
    reading = Reading(values, {name: Interval(value, value) for name, value in values.items()})
    return replace(_judge(record, reading, 0, "counts"), seconds=time.perf_counter() - started)


def layer_values(found: Measurement) -> dict[str, dict[str, dict[str, float]]]:
    """Layer -> "shares" and "units" -> name -> percent: the numbers of a measurement for pictures and files."""
    return {
        name: {quantity: layer.read(quantity).values for quantity in ("shares", "units")}
        for name in found.layers
        for layer in [found.layer(name)]
    }


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
