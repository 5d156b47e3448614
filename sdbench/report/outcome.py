"""What a measurement came to, read from the file that `sdbench measure --json` writes. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdbench.base.errors import InputError, unknown_name
from sdbench.base.files import read_json
from sdbench.statistics import FEWEST_GROUPS, SHARE_NAMES, Interval
from sdbench.statistics.sums import FloatArray
from sdbench.statistics.variance import PART_NAMES

if TYPE_CHECKING:
    from sdbench.engine import Measurement

_EXPECTED = "expected a file that `sdbench measure NETWORK --json FILE` writes"
_ROUNDING = 0.5
"""Percent, by which shares may miss 100 together in a file that somebody rounded."""

_UNTRAINED = "untrained:"
"""Begins the note on a network with fresh weights."""


@dataclass(frozen=True)
class PartsOutcome:
    """What the parts of a layer's variance came to: see `sdbench.statistics.variance.Variance`.

    Attributes:
        parts: "appearance", "motion" and "both", in percent.
        intervals: of these; None where there are none.
        without: (G, 3) the same with each block left out; None where there are no intervals.
    """

    parts: Mapping[str, float]
    intervals: Mapping[str, Interval] | None
    without: FloatArray | None = field(repr=False, compare=False)

    @property
    def resampled(self) -> tuple[FloatArray, FloatArray]:
        """The parts (3,) and the parts without each block (G, 3)."""
        assert self.without is not None
        return np.array([self.parts[name] for name in PART_NAMES]), self.without


@dataclass(frozen=True)
class LayerOutcome:
    """What a layer came to.

    Attributes:
        shares: "dynamic", "static" and "residual", in percent.
        intervals: of the shares; None where there are none.
        without: (G, 3) the shares with each block left out, in the order of the blocks; None where there are no
            intervals, or the file was written before there were any such.
        variance: the parts of its variance; None where the study does not cross appearances with motions.
    """

    shares: Mapping[str, float]
    intervals: Mapping[str, Interval] | None
    without: FloatArray | None = field(repr=False, compare=False)
    variance: PartsOutcome | None = None

    @property
    def resampled(self) -> tuple[FloatArray, FloatArray]:
        """The shares (3,) and the shares without each block (G, 3)."""
        assert self.without is not None
        return np.array([self.shares[name] for name in SHARE_NAMES]), self.without


@dataclass(frozen=True)
class Outcome:
    """What a measurement came to.

    Attributes:
        source: how to call it in a sentence: the network, with its file where it came from one.
        network, dataset, protocol, seed, seeds, study, untrained: see `sdbench.engine.Measurement`.
        unit: what is resampled, in one word.
        networks: whether values are means over several networks.
        blocks: the names of what is resampled; None where the file was written before there were any.
        layers: layer -> what it came to, in the order of the network.
        all_layers: the layers that were read, where `layers` are only some of them.
        controls: what is shown beside it.
        history: (step, outcome) where it was measured again and again.
    """

    source: str
    network: str
    dataset: str
    protocol: str
    seed: int
    seeds: int
    study: str
    unit: str
    networks: bool
    untrained: bool
    blocks: tuple[str, ...] | None = field(repr=False)
    layers: Mapping[str, LayerOutcome]
    all_layers: tuple[str, ...] = ()
    controls: tuple[Outcome, ...] = ()
    history: tuple[tuple[int, Outcome], ...] = ()

    @property
    def last(self) -> str:
        """The last layer that was read."""
        return tuple(self.layers)[-1]

    @property
    def depths(self) -> dict[str, float]:
        """Layer -> how deep it is, from 0, the first that was read, to 1, the last."""
        most = len(self.all_layers) - 1
        return {name: self.all_layers.index(name) / most if most else 1.0 for name in self.layers}

    def only(self, layer: str) -> Outcome:
        """The same with one layer.

        Raises:
            InputError: it was not read.
        """
        if layer not in self.layers:
            raise unknown_name(f"layer of {self.source}", layer, self.layers)
        return replace(self, layers={layer: self.layers[layer]})


def outcome_of(given: Measurement | Outcome | str | Path | Mapping[str, Any]) -> Outcome:
    """What a measurement came to.

    Args:
        given: the measurement; or the file that `sdbench measure --json` or a `Tracker` wrote, or what stands in it.
            "FILE:LAYER" is one layer of it, "FILE@STEP" what a tracker measured at a step; by default its last.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    if isinstance(given, Outcome):
        return given
    if isinstance(given, (str, Path)):
        return _read(str(given))
    if isinstance(given, Mapping):
        return _outcome(given, str(_record(given, "what was given").get("network")))
    if not hasattr(given, "as_record"):
        raise InputError(
            f"expected a measurement, or the file or content that `sdbench measure --json` writes; got "
            f"{type(given).__name__}"
        )
    from sdbench.engine.written import content_of  # noqa: PLC0415 - takes torch to import

    return _outcome(content_of(given), given.network)


def _read(text: str) -> Outcome:
    path, step, layer = _parts(text)
    content = read_json(path, _EXPECTED)
    found = _outcome(content, f"{_record(content, str(path)).get('network')} ({path.name})", str(path))
    if step is not None:
        steps = dict(found.history)
        if step not in steps:
            known = ", ".join(map(str, steps)) or "none: it was written by no tracker"
            raise InputError(f"{path} holds no step {step}; its steps are {known}")
        found = replace(steps[step], source=f"{found.network} ({path.name}, step {step})")
    return found if layer is None else found.only(layer)


def _parts(text: str) -> tuple[Path, int | None, str | None]:
    """File, step and layer of FILE[@STEP][:LAYER]; a file that is there is taken by its whole name."""
    if Path(text).exists():
        return Path(text), None, None
    rest, colon, layer = text.rpartition(":")
    named, wanted = (rest, layer) if colon and layer and rest else (text, None)
    if not Path(named).exists():
        before, at, step = named.rpartition("@")
        if at and step.isascii() and step.isdigit() and before:
            return Path(before), int(step), wanted
    return (Path(named), None, wanted) if Path(named).exists() else (Path(text), None, None)


def _record(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    record = content.get("measurement")
    if not isinstance(record, Mapping) or not isinstance(content.get("layers"), Mapping) or not content["layers"]:
        raise InputError(f"{where} holds no measurement; {_EXPECTED}")
    return record


def _outcome(content: Mapping[str, Any], source: str, where: str = "what was given") -> Outcome:
    record = _record(content, where)
    try:
        blocks = content.get("blocks")
        layers = {str(name): _layer(layer) for name, layer in content["layers"].items()}
        found = Outcome(
            source=source,
            network=str(record["network"]),
            dataset=str(record["dataset"]),
            protocol=str(record["protocol"]),
            seed=int(record["seed"]),
            seeds=int(record["seeds"]),
            study=str(record.get("study", "")),
            unit=str(record["resampling_unit"]),
            networks=bool(record["networks"]),
            untrained=any(str(note).startswith(_UNTRAINED) for note in record.get("notes", ())),
            blocks=None if blocks is None else tuple(map(str, blocks)),
            layers=layers,
            all_layers=tuple(layers),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{where} holds a measurement that cannot be read ({type(error).__name__}: {error}); {_EXPECTED}"
        ) from None
    for name, layer in layers.items():
        lengths = {len(of.without) for of in (layer, layer.variance) if of is not None and of.without is not None}
        if lengths - {len(found.blocks or ())}:
            raise InputError(f"{where}: layer {name} has not as many shares as there are blocks; {_EXPECTED}")
    controls = tuple(_outcome(c, str(_record(c, where).get("network")), where) for c in content.get("controls", ()))
    history = tuple((int(past["step"]), _outcome(past, source, where)) for past in content.get("history", ()))
    return replace(found, controls=controls, history=history)


def _layer(written: Mapping[str, Any]) -> LayerOutcome:
    shares = {name: float(written["shares"][name]) for name in SHARE_NAMES}
    if not all(0 <= share <= 100 for share in shares.values()) or abs(sum(shares.values()) - 100) > _ROUNDING:
        raise ValueError(f"expected shares from 0 to 100 % that add up to 100; got {shares}")
    limits, without = written.get("intervals"), written.get("without")
    intervals = None if limits is None else {name: Interval(*map(float, limits[name])) for name in SHARE_NAMES}
    variance = _parts_of_variance(written["variance"]) if written.get("variance") else None
    left = None if without is None else _without(without, SHARE_NAMES)
    return LayerOutcome(shares, intervals, left, variance)


def _parts_of_variance(written: Mapping[str, Any]) -> PartsOutcome:
    limits, without = written["intervals"], written["without"]
    if not all(math.isfinite(written["parts"][name]) for name in PART_NAMES):
        raise ValueError(f"expected parts of variance that are numbers; got {written['parts']}")
    return PartsOutcome(
        {name: float(written["parts"][name]) for name in PART_NAMES},
        None if limits is None else {name: Interval(*map(float, limits[name])) for name in PART_NAMES},
        None if without is None else _without(without, PART_NAMES),
    )


def _without(written: Mapping[str, Sequence[float]], names: Sequence[str]) -> FloatArray:
    """(G, 3): percentages without each block, of which the last is what is left to 100."""
    left = np.array([written[name] for name in names[:2]], dtype=np.float64).T
    if len(left) < FEWEST_GROUPS or not np.isfinite(left).all():
        raise ValueError(f"expected values without each of at least {FEWEST_GROUPS} blocks")
    return np.column_stack([left, 100 - left.sum(axis=1)])
