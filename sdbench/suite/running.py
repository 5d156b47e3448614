"""From a record to a verdict: every measurement that cases need is made once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sdbench.base.errors import InputError, MissingAssetError, SdbenchError
from sdbench.cases.records import Asked, Claim, ExpectedValue, Record, asked
from sdbench.cases.verdicts import NEEDS, Case, failed, not_run
from sdbench.engine import Measurement
from sdbench.suite import claims
from sdbench.suite.datasets import DATA_SETS
from sdbench.suite.here import Here
from sdbench.suite.own import data_set_of
from sdbench.suite.quantities import QUANTITIES, quantity_named
from sdbench.suite.weights import assets_of_weights, lacking_weights
from sdbench.video.paint import DEFAULT_STYLES

_log = logging.getLogger(__name__)

Judged = Callable[[], Case]


def why_not(record: Record, here: Here) -> str | None:
    """Why a case cannot run here, in one sentence with what it would need; None where it can.

    Whether assets can be fetched is not looked at: that shows when they are.
    """
    lacking: list[str] = []
    wanted = asked(record)
    if not isinstance(record, Claim):
        if record.quantity in QUANTITIES:
            quantity = quantity_named(record.quantity)
            wanted = quantity.asks(record)
            lacking += quantity.lacking(record)
        else:
            lacking.append(f"{record.quantity} is not measured by this version")
    for each in wanted:
        lacking += lacking_weights(each, here.store)
        if each.subject is None and each.dataset not in DATA_SETS:
            lacking.append(f"data set {each.dataset} is not part of this version")
        else:
            lacking += data_set_of(each).lacking(each, here)
    if not lacking:
        return None
    return "; ".join(dict.fromkeys(lacking)) + (f"{NEEDS}{'; '.join(record.needs)}" if record.needs else "")


def assets_of(records: Iterable[Record], here: Here) -> list[str]:
    """Names of the assets that those of `records` need which can run here, in the order of the manifest."""
    needed: set[str] = set()
    for record in records:
        if why_not(record, here) is not None:
            continue
        wanted = asked(record) if isinstance(record, Claim) else quantity_named(record.quantity).asks(record)
        for each in wanted:
            needed |= {*assets_of_weights(each), *data_set_of(each).assets(each, here)}
    return [asset.name for asset in here.store.manifest.assets if asset.name in needed]


@dataclass
class Suite:
    """Runs cases; every network is measured once on every data set, however many cases ask for it.

    Attributes:
        here: what is at hand, and how it is to be measured.
        watch: called with what is asked for when its measurement begins (None), and with that when it is done.
        measurements: what was measured so far.
    """

    here: Here
    watch: Callable[[Asked, Measurement | None], None] = lambda _asked, _found: None
    measurements: dict[Asked, Measurement] = field(default_factory=dict)
    _failed: dict[Asked, Exception] = field(default_factory=dict)

    def measurement(self, asked: Asked) -> Measurement:
        """The measurement of a network on a data set, made at the first call.

        Raises:
            MissingAssetError: something it needs is not here and could not be fetched.
            SdbenchError: something it needs cannot be used.
            Exception: it broke. Any of these is raised again at every call without another try.
        """
        if asked in self._failed:
            raise self._failed[asked]
        if asked not in self.measurements:
            self.watch(asked, None)
            try:
                self.measurements[asked] = data_set_of(asked).measure(asked, self.here)
            except Exception as error:  # another try would take as long again, for each of its cases
                self._failed[asked] = error
                raise
            self.watch(asked, self.measurements[asked])
        return self.measurements[asked]

    def give_up(self, asked: Asked, error: Exception) -> None:
        """Raise this error wherever the measurement is asked for, without a try."""
        self._failed[asked] = error

    def measure(self, record: Record) -> Case | Judged:
        """Do what takes long for a case: its outcome where it cannot run or went wrong, else what gives its verdict."""
        if reason := why_not(record, self.here) or self._other_draws(record):
            return not_run(record, reason)
        judged: list[Judged] = []
        case = _guarded(record, lambda: judged.append(self._judged(record)))
        return case or (lambda: self._verdict(record, judged[0]))

    def run(self, record: Record) -> Case:
        """The outcome of one case: *not run* where something it needs is not here, *error* where it went wrong."""
        found = self.measure(record)
        return found if isinstance(found, Case) else found()

    def over(self) -> None:
        """All cases have run: what is kept on disk for the case of an interruption goes."""
        self.here.finished.discard()

    def _judged(self, record: Record) -> Judged:
        if isinstance(record, Claim):
            for each in asked(record):
                self.measurement(each)
            return lambda: claims.judge(record, self.measurement)
        outcome = quantity_named(record.quantity).measure(record, self)
        return lambda: outcome().judged(record)

    def _verdict(self, record: Record, judged: Judged) -> Case:
        cases: list[Case] = []
        return _guarded(record, lambda: cases.append(judged())) or cases[0]

    def _other_draws(self, record: Record) -> str | None:
        """Why a value recorded for one seed cannot be compared with this run's draws; None where it can."""
        if not isinstance(record, ExpectedValue) or "seed" not in record.options:
            return None
        here = self.here
        if (here.seed, here.pairs, here.styles, here.protocol) == (
            record.options["seed"],
            None,
            DEFAULT_STYLES,
            "published",
        ):
            return None
        seed = record.options["seed"]
        wanted = "a run without --seed and --pairs" if seed == 0 else f"a run with --seed {seed}, without --pairs"
        return f"recorded for seed {seed}, every clip and the default styles; this run draws otherwise{NEEDS}{wanted}"


def _guarded(record: Record, work: Callable[[], None]) -> Case | None:
    """The case that `work` could not be done, or None: a case that crashes is never absent."""
    try:
        work()
    except MissingAssetError as error:
        return not_run(record, str(error))
    except SdbenchError as error:
        return failed(record, str(error))
    except Exception as error:
        _log.exception("%s went wrong", record.id)
        return failed(record, f"{type(error).__name__}: {error}; this is a fault of sdbench or of what it runs on")
    return None


def layer_values(found: Measurement) -> dict[str, dict[str, dict[str, float]]]:
    """Layer -> quantity -> name -> value: the numbers of a measurement for pictures and files."""
    return {
        name: {quantity: layer.read(quantity).values for quantity in layer.quantities}
        for name in found.layers
        for layer in [found.layer(name)]
    }


def layer_limits(found: Measurement) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """The same of the intervals: layer -> quantity -> name -> (low, high); only of layers that have any."""
    limits: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for name in found.layers:
        layer = found.layer(name)
        for quantity in layer.quantities:
            if known := layer.read(quantity).generalisation:
                limits.setdefault(name, {})[quantity] = {key: (of.low, of.high) for key, of in known.items()}
    return limits


def group_of(record: Record) -> str:
    """Which module of benchmarks/ runs a case, by its task and the data sets that it names.

    "own" for what a file of one's own says how to open, "calibration" for what is drawn, "vos" for the task of video
    object segmentation, "packaged" for what the package index serves, else "action".

    Raises:
        InputError: it names data sets of several groups, or one that is unknown.
    """
    if any(each.subject is not None for each in asked(record)):
        return "own"
    places = {data_set_of(each).place for each in asked(record)}
    if len(places) > 1:
        raise InputError(f"{record.id} compares data sets of different places: {', '.join(sorted(places))}")
    (place,) = places
    if place == "drawn":
        return "calibration"
    if record.task == "video object segmentation":
        return "vos"
    return "packaged" if place == "packaged" else "action"
