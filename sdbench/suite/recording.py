"""Recording what is measured today, so that tomorrow's run can tell whether it moved."""

from __future__ import annotations

import statistics
import sys
from datetime import datetime, timezone
from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.base.environment import git_revision
from sdbench.base.errors import InputError
from sdbench.base.files import write_text
from sdbench.base.machine import processor_name
from sdbench.cases.records import Asked, ExpectedFile, ExpectedValue, Source, spread_tolerance
from sdbench.suite.datasets import DATA_SETS, data_set
from sdbench.suite.here import Here
from sdbench.suite.running import Suite
from sdbench.zoo import model

_SHARE_FLOOR = 0.05
"""Percentage points: what float32 sums in another order may move a share by."""

_FEWEST_UNITS = 8
"""Classes of fewer units than this move by more than 12 points at a time: not recorded, a tolerance could not fail."""

_FOLDER = {"packaged_stylised": "pipeline", "packaged_davis": "pipeline/vos"}

_WIDEST = 25.0
"""Percentage points: a tolerance as wide as this would let anything pass."""


def record_values(
    network: str, dataset: str, output: Path, seeds: int, root: Path, trained_on: str | None = None
) -> None:
    """Measure a network with several seeds and write means, spreads and tolerances as expected values.

    Args:
        network: by name.
        dataset: by name; it must need nothing of the user's own.
        output: the file to write.
        seeds: how many, from 0.
        root: the checkout whose revision is written down.
        trained_on: which weights of the network; by default its first training set, or "filled".

    Raises:
        InputError: the checkout has changes that no revision names, or there are fewer than three seeds.
    """
    revision = git_revision(root)
    if revision.endswith("+changes"):
        raise InputError(
            "the checkout has uncommitted changes; commit them first, so that the record can name its revision"
        )
    if data_set(dataset).place != "packaged":
        known = ", ".join(name for name, each in DATA_SETS.items() if each.place == "packaged")
        raise InputError(f"only data sets that anybody can have are recorded on: {known}; {dataset} is not packaged")
    store = AssetStore()
    trained_on = trained_on or model(network).trained_on
    samples: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in range(seeds):
        print(f"seed {seed} of {seeds}", file=sys.stderr)
        # A measurement of segmentation is itself a mean over seeds: those of the next must be others.
        here = Here(store, seed=seed * data_set(dataset).seeds)
        found = Suite(here).measurement(Asked(network, trained_on, dataset))
        for name in found.layers:
            layer = found.layer(name)
            for quantity in ("shares", "units"):
                if quantity == "shares" or len(layer.estimate.unit_labels) >= _FEWEST_UNITS:
                    reading = layer.read(quantity)
                    samples.setdefault((name, quantity), []).append(reading.values)
    source = Source(
        reading="recorded",
        where=f"this suite, seeds 0 to {found.seed + found.seeds - 1}, {found.pairs} pairs of each factor",
        date=datetime.now(timezone.utc).date().isoformat(),
        command=f"sdbench record {network} {dataset} {_shown(output, root)} --seeds {seeds}"
        + (f" --trained-on {trained_on}" if trained_on != model(network).trained_on else ""),
        commit=revision,
        machine=processor_name(),
    )
    units = {name: len(found.layer(name).estimate.unit_labels) for name in found.layers}
    values = []
    for (name, quantity), given in samples.items():
        value = _value((network, trained_on, dataset), name, quantity, given, units[name], source)
        if max(value.tolerance.values()) < _WIDEST:
            values.append(value)
        else:
            print(f"{value.id} is not recorded: seeds spread too far for a check that could fail", file=sys.stderr)
        if quantity == "shares":
            values.append(_first_seed(value, given[0]))
    about = f"{network} on the data set {dataset}: what this suite measured, to notice when it moves"
    file = ExpectedFile.model_validate({"schema": 1, "about": about, "values": values})
    write_text(output, file.model_dump_json(indent=1, by_alias=True, exclude_defaults=True) + "\n")


def _value(
    measured: tuple[str, str, str], layer: str, quantity: str, given: list[dict[str, float]], units: int, source: Source
) -> ExpectedValue:
    network, trained_on, dataset = measured
    known = model(network)
    floor = _SHARE_FLOOR if quantity == "shares" else 100 / units
    least = f"{floor} points (float error)" if quantity == "shares" else f"{floor:.2f} points (one unit of {units})"
    spread = {name: statistics.stdev(sample[name] for sample in given) for name in given[0]}
    return ExpectedValue(
        id=f"{_FOLDER.get(dataset, dataset)}/{network}/{layer}/{quantity}",
        task=known.task,
        quantity=quantity,
        network=network,
        trained_on=trained_on,
        dataset=dataset,
        layer=layer,
        values={name: round(statistics.fmean(sample[name] for sample in given), 3) for name in given[0]},
        source=source,
        uncertainty=0.0,
        tolerance={name: round(spread_tolerance([sample[name] for sample in given], floor), 3) for name in given[0]},
        tolerance_reason=(
            f"where 99.9 % of further seeds land, by the spread of {len(given)} seeds (standard deviations "
            f"{', '.join(f'{name} {value:.2f}' for name, value in spread.items())}); at least {least}"
        ),
    )


def _first_seed(value: ExpectedValue, sample: dict[str, float]) -> ExpectedValue:
    """The same value for seed 0 alone: the draws are then equal, and what is left is float error."""
    return value.model_copy(
        update={
            "id": f"{value.id}/seed0",
            "options": {"seed": 0},
            "values": {name: round(number, 3) for name, number in sample.items()},
            "tolerance": dict.fromkeys(sample, _SHARE_FLOOR),
            "tolerance_reason": (
                f"with the same seed every draw is the same; {_SHARE_FLOOR} points are five times the 0.01 that "
                "another number of threads may change"
            ),
        }
    )


def _shown(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name
