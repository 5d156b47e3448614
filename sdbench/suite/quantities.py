"""Quantities by name: what each asks for, how it is measured, and how what was measured is held against a record.

Whoever adds one writes a class and enters it into `QUANTITIES`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil
from statistics import fmean
from typing import Any, Protocol

from sdbench.answers.ablation import ablate
from sdbench.answers.accuracy import measure_accuracy
from sdbench.answers.moca import Boxes, measure_moca
from sdbench.answers.otherwise import mean_scores
from sdbench.answers.segmenting import published_input
from sdbench.answers.zeroing import lost_without
from sdbench.base.errors import InputError, unknown_name
from sdbench.calibration.probing import mean_probed
from sdbench.cases.records import Asked, ExpectedValue, Unpublished, asked
from sdbench.cases.verdicts import Case, Evidence, judge_value, measured_only
from sdbench.data.davis_here import PAINTED
from sdbench.data.moca import MocaDataset
from sdbench.engine import Measurement
from sdbench.networks import Network, network_names
from sdbench.statistics import FACTORS, Interval
from sdbench.statistics.quantities import QUANTITIES as OF_UNITS
from sdbench.statistics.quantities import Reading
from sdbench.suite.datasets import OwnLabelled, OwnMoca, data_set
from sdbench.suite.here import Here
from sdbench.suite.weights import architecture_of
from sdbench.zoo import network_named
from sdbench.zoo.complexity import complexity_of

Value = ExpectedValue | Unpublished

_ANSWERS = 8000
"""So many shuffled answers are wanted: 1,970 videos of one order each would leave a change open by 2 points."""

_MOST_ORDERS = 4
"""A video is shuffled so often at most: beyond, the published order alone decides how far two runs lie apart."""


class Measured(Protocol):
    """What a quantity is given of the run that it is part of."""

    here: Here

    def measurement(self, asked: Asked) -> Measurement:
        """The measurement of a network on a data set, made at the first call."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What was measured for one record.

    Attributes:
        reading: values, with intervals where there are any.
        evidence: what is behind them.
        seconds: how long it took.
        remark: what the case's reason says besides.
    """

    reading: Reading
    evidence: Evidence
    seconds: float
    remark: str = ""

    def judged(self, record: Value) -> Case:
        """The verdict on a record."""
        if isinstance(record, Unpublished):
            case = measured_only(record, self.reading)
        else:
            case = judge_value(record, self.reading, self.evidence)
        reason = f"{case.reason}; {self.remark}" if self.remark else case.reason
        return replace(case, reason=reason, seconds=self.seconds)


def shuffled_orders(videos: int) -> int:
    """In how many random orders each of so many videos is shown."""
    return min(_MOST_ORDERS, ceil(_ANSWERS / videos))


class Quantity(Protocol):
    """Something that records give values of."""

    def asks(self, record: Value) -> tuple[Asked, ...]:
        """The networks and data sets without which it cannot be measured."""
        ...

    def lacking(self, record: Value) -> list[str]:
        """What else keeps it from being measured, a sentence each."""
        ...

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        """Do what takes long; what is returned does the statistics.

        Raises:
            SdbenchError: something that it takes cannot be used.
        """
        ...


class _Plain:
    """Asks for what the record names, and nothing else."""

    def asks(self, record: Value) -> tuple[Asked, ...]:
        return asked(record)

    def lacking(self, record: Value) -> list[str]:
        return []


@dataclass(frozen=True)
class OfUnits(_Plain):
    """Shares, unit classes or parts of variance of a layer: see `sdbench.engine.LayerMeasurement.read`."""

    name: str

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        found = run.measurement(*asked(record))
        return lambda: self._read(found, _layer(record), run.here)

    def _read(self, found: Measurement, layer: str, here: Here) -> Outcome:
        reading = found.layer(layer).read(self.name)
        remark = ""
        if reading.spread:
            told = ", ".join(f"{name} ±{spread:.1f}" for name, spread in reading.spread.items())
            of = "networks" if found.networks else "seeds"
            remark = f"means over {found.seeds} {of}, which spread by {told}"
        if here.pairs is not None:
            # Which videos a part holds is drawn too: what they do is not common with the published number.
            reading = replace(reading, reproduction=reading.generalisation)
            evidence = Evidence(found.pairs, beyond="a run without --pairs takes all that the data set has")
        elif found.seeds > 1:
            evidence = Evidence(found.seeds, "networks" if found.networks else "seeds")
        else:
            beyond = (
                "that is all that the data set gives to one seed: means over several seeds would narrow the interval"
            )
            evidence = Evidence(found.pairs, most=found.pairs, beyond=beyond)
        return Outcome(reading, evidence, found.seconds["total"], remark)


class Lost(_Plain):
    """Right answers that small networks lose without dynamic and without static units; means over trainings."""

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        found = run.measurement(*asked(record))
        started = time.perf_counter()
        without = lost_without(found, record.trained_on, _layer(record))
        values = {factor: fmean(each.lost[factor] for each in without) for factor in FACTORS}
        seconds = time.perf_counter() - started
        return lambda: Outcome(Reading(values), Evidence(len(without), "trainings"), seconds)


class Shown(_Plain):
    """How right small networks are when frames are shuffled, frozen, or noise; means over trainings."""

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        count = int(record.options["shown"])
        started = time.perf_counter()
        values = mean_scores(record.network, record.trained_on, count, run.here.seed)
        seconds = time.perf_counter() - started
        return lambda: Outcome(Reading(values), Evidence(count, "videos or scenes"), seconds)


class Probed(_Plain):
    """How often linear probes of a layer of small networks are right; means over trainings."""

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        fitted, tested = (int(record.options[name]) for name in ("fitted", "tested"))
        started = time.perf_counter()
        values = mean_probed(record.network, record.trained_on, _layer(record), fitted, tested, run.here.seed)
        seconds = time.perf_counter() - started
        return lambda: Outcome(Reading(values), Evidence(tested, "videos or scenes"), seconds)


class Complexity:
    """Size and work of an architecture: counts, which no draw changes."""

    def asks(self, record: Value) -> tuple[Asked, ...]:
        return ()

    def lacking(self, record: Value) -> list[str]:
        known = record.network in network_names()
        return [] if known else [f"network {record.network} is not part of this version"]

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        started = time.perf_counter()
        counted = complexity_of(record.network, record.options)
        seconds = time.perf_counter() - started
        values = {"parameters_m": counted.parameters_m, "gflops": counted.gflops}
        return lambda: Outcome(Reading(values, _points(values)), Evidence(0, "counts"), seconds)


class Shuffled(_Plain):
    """Relative change of top-1 accuracy when frames are shuffled."""

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        (wanted,) = asked(record)
        videos = data_set(wanted.dataset)
        if not isinstance(videos, OwnLabelled):
            raise InputError(f"accuracy is measured on labelled videos; {wanted.dataset} has no labels")
        here = run.here
        dataset = videos.open(wanted, here)
        answer = measure_accuracy(
            network_named(wanted.network, wanted.trained_on, store=here.store),
            dataset,
            videos=here.pairs,
            orders=shuffled_orders(len(dataset.videos)),
            **_options(here),
        )
        generalisation = _only("change", answer.intervals)
        # Which videos a part holds is drawn too: what they do is not common with the published number.
        reproduction = _only("change", answer.reproduction) if here.pairs is None else generalisation
        reading = Reading({"change": answer.values["change"]}, reproduction, generalisation)
        evidence = Evidence(answer.orders, "random orders of each video")
        if here.pairs is not None:
            beyond = "a run without --pairs takes them all"
            evidence = Evidence(answer.videos, "videos", most=len(dataset.videos), beyond=beyond)
        return lambda: Outcome(reading, evidence, answer.seconds)


class Moca(_Plain):
    """Mean IoU and success rates of a network's masks on MoCA."""

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        (wanted,) = asked(record)
        answer = measure_moca(
            _segmenting(wanted, run.here),
            _moca(wanted, run.here),
            threshold=float(record.options["threshold"]),
            flip=bool(record.options["flip"]),
            **_options(run.here),
        )
        reading = Reading(answer.values, answer.reproduction, answer.intervals)
        return lambda: Outcome(reading, Evidence(len(answer.videos), "videos"), answer.seconds)


class Ablation:
    """Mean IoU on MoCA without the units of a layer that the measurement on Stylized DAVIS calls for."""

    def asks(self, record: Value) -> tuple[Asked, ...]:
        return (*asked(record), self._units(record))

    def lacking(self, record: Value) -> list[str]:
        return []

    @staticmethod
    def _units(record: Value) -> Asked:
        return Asked(record.network, record.trained_on, PAINTED)

    def measure(self, record: Value, run: Measured) -> Callable[[], Outcome]:
        (wanted,) = asked(record)
        layer = _layer(record)
        found = run.measurement(self._units(record))
        answer = ablate(
            _segmenting(wanted, run.here),
            Boxes(_moca(wanted, run.here), float(record.options["threshold"])),
            layer,
            found.layer(layer).estimate,
            percents=(float(record.options["percent"]),),
            **_options(run.here),
        )
        values = {"whole": answer.miou, **{point.selection: point.miou for point in answer.points}}
        limits = [answer.interval, *(point.interval for point in answer.points)]
        known = [limit for limit in limits if limit is not None]
        generalisation = dict(zip(values, known, strict=True)) if len(known) == len(limits) else None
        seconds = answer.seconds + found.seconds["total"]
        return lambda: Outcome(Reading(values, None, generalisation), Evidence(answer.sequences, "videos"), seconds)


QUANTITIES: dict[str, Quantity] = {
    **{name: OfUnits(name) for name in (*OF_UNITS, "variance")},
    "accuracy_lost_without_units": Lost(),
    "right_when_shown": Shown(),
    "linear_probe": Probed(),
    "complexity": Complexity(),
    "top1_change_when_shuffled": Shuffled(),
    "moca": Moca(),
    "ablation": Ablation(),
}
"""Name of a quantity -> how it is measured."""


def quantity_named(name: str) -> Quantity:
    """The quantity of this name.

    Raises:
        InputError: there is none.
    """
    if name not in QUANTITIES:
        raise unknown_name("quantity", name, QUANTITIES)
    return QUANTITIES[name]


def _layer(record: Value) -> str:
    if record.layer is None:
        raise InputError(f"{record.id} names no layer, and {record.quantity} is measured of one")
    return record.layer


def _points(values: Mapping[str, float]) -> dict[str, Interval]:
    """The interval of what no draw changes."""
    return {name: Interval(value, value) for name, value in values.items()}


def _only(name: str, intervals: Mapping[str, Interval] | None) -> dict[str, Interval] | None:
    return {name: intervals[name]} if intervals and name in intervals else None


def _segmenting(wanted: Asked, here: Here) -> Network:
    """The network, fed as it is where its masks are looked at."""
    network = network_named(wanted.network, wanted.trained_on, store=here.store)
    return replace(network, feed=published_input(architecture_of(wanted) or wanted.network))


def _moca(wanted: Asked, here: Here) -> MocaDataset:
    videos = data_set(wanted.dataset)
    if not isinstance(videos, OwnMoca):
        raise InputError(f"boxes are those of MoCA; {wanted.dataset} has none")
    return videos.open(wanted, here)


def _options(here: Here) -> dict[str, Any]:
    return {
        "seed": here.seed,
        "device": here.device,
        "store": here.store,
        "workers": here.workers,
        "finished": here.finished,
    }
