"""Recording what is measured today, so that tomorrow's run can tell whether it moved."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sdbench.assets.store import AssetStore
from sdbench.base.environment import git_revision, sdbench_version
from sdbench.base.errors import InputError
from sdbench.base.files import write_text
from sdbench.base.machine import processor_name
from sdbench.base.rehearsal import MARK, is_rehearsal
from sdbench.calibration.trained import KINDS
from sdbench.cases.records import Asked, ExpectedFile, ExpectedValue, Source
from sdbench.cases.subject import Subject
from sdbench.engine import Measurement
from sdbench.suite.datasets import DATA_SETS
from sdbench.suite.here import Here
from sdbench.suite.own import check_study, opened
from sdbench.suite.running import Suite
from sdbench.zoo import FILLED, model, model_names

_SHARES_MOVE = 0.05
"""Percentage points: what float32 sums in another order may move a share or a part of the variance by."""

_PARTS = ("variance", "shares")
"""Quantities of a whole layer, which its number of units does not make coarse."""

_FEWEST_UNITS = 8
"""Classes of fewer units than this move by more than 12 points at a time: not recorded."""

_FOLDER = {"packaged_stylised": "pipeline", "packaged_davis": "pipeline/vos"}

_NO_TASK = "a network of one's own"


@dataclass(frozen=True)
class ToRecord:
    """What is to be recorded, in the words of the command.

    Attributes:
        network: a name of the suite, or one with a prefix.
        study: one of `sdbench.suite.own.STUDIES`, or a folder of videos.
        seeds: how many, from 0.
        trained_on, weights, revision, untrained, layers, feed, axes: how the network is opened, where its name alone
            does not say it: see `sdbench.zoo.network_named`.
        unchecked: go on where the self-check finds that answers depend on more than the clip; the file says so.
        data: folder of the user's data sets: what lies below it is found elsewhere too.
        device: where the network runs.
        workers: processes that draw samples.
    """

    network: str
    study: str
    seeds: int
    trained_on: str | None = None
    weights: Path | None = None
    revision: str | None = None
    untrained: int | None = None
    layers: Sequence[str] | None = None
    feed: dict[str, Any] | None = None
    axes: dict[str, str] | None = None
    unchecked: bool = False
    data: Path | None = None
    device: str = "cpu"
    workers: int | None = None


def record_values(wanted: ToRecord, output: Path, root: Path) -> None:
    """Measure a network with several seeds and write what each gave as expected values, to float error.

    The draws of a seed are the same wherever it runs, so that nothing but float error is left; a band as wide as seeds
    differ would notice nothing. What another seed gives is not held against anything.

    A network of the suite on a packaged data set is written by these two names. For any other network, study, weights,
    layers or feed the file says how both are opened, and the hash of the weights.

    Args:
        wanted: what to record.
        output: the file to write.
        root: the checkout whose revision is written down; its own expected/ takes values of a state without changes.

    Raises:
        InputError: the checkout has changes that no revision names, or the network or the study cannot be used.
        AssetError: a library or the weights cannot be had.
    """
    revision = git_revision(root)
    if revision.endswith("+changes") and output.resolve().is_relative_to((root / "expected").resolve()):
        raise InputError(
            "the checkout has uncommitted changes; commit them first, so that the record can name its revision"
        )
    here = Here(AssetStore(), data=wanted.data, device=wanted.device, workers=wanted.workers)
    if is_rehearsal(here.store.folder, here.data):
        raise InputError(
            f"this cache or folder of data is that of a {MARK}: its stand-ins are no source of expected values; name "
            "another one in SDBENCH_CACHE and --data"
        )
    subject = _subject(wanted, output, here)
    known = model(wanted.network, _published(wanted.trained_on)) if wanted.network in model_names() else None
    trained_on = wanted.trained_on or (known.trained_on if known else "")
    if subject is None:
        asked = Asked(wanted.network, trained_on, wanted.study)
        folder = f"{_FOLDER.get(wanted.study, wanted.study)}/{wanted.network}"
    else:
        plain = wanted.weights is None and wanted.untrained is None
        named = trained_on if plain and trained_on else f"weights {subject.sha256[:12]}"
        asked = Asked(subject.network, named, subject.study, subject.read_from(output.parent))
        folder = f"own/{_plain(output.stem)}"
    measured = [_measured(asked, here, seed, wanted.seeds) for seed in range(wanted.seeds)]
    source = Source(
        reading="recorded",
        where=f"this suite, seed by seed, at least {min(found.pairs for found in measured)} pairs of each factor",
        date=datetime.now(timezone.utc).date().isoformat(),
        command=_command(wanted, output, root) if subject is None else _own_command(subject, output, wanted.seeds),
        commit=revision if subject is None else f"sdbench {sdbench_version()}, {revision}",
        machine=processor_name(),
    )
    task = known.task if known is not None else _task(wanted.network)
    values = [
        _value(asked, task, f"{folder}/{_plain(name)}/{quantity}", name, quantity, seed, found, source)
        for name in measured[0].layers
        for quantity in measured[0].layer(name).quantities
        for seed, found in enumerate(measured)
        if quantity in _PARTS or (quantity == "units" and _has_classes(found, name))
    ]
    title = f"{asked.network} on the data set {asked.dataset}: what this suite measured, to notice when it moves"
    file = ExpectedFile.model_validate({"schema": 1, "about": title, "subject": subject, "values": values})
    write_text(output, file.model_dump_json(indent=1, by_alias=True, exclude_defaults=True) + "\n")
    here.finished.discard()


def _subject(wanted: ToRecord, output: Path, here: Here) -> Subject | None:
    """How network and study are opened elsewhere; None where their names say all of it.

    Raises:
        InputError, AssetError: one of them cannot be.
    """
    said = (wanted.weights, wanted.revision, wanted.untrained, wanted.layers, wanted.feed or None, wanted.axes or None)
    packaged = wanted.study in DATA_SETS and DATA_SETS[wanted.study].place == "packaged"
    if ":" not in wanted.network and packaged and all(each is None for each in said):
        return None
    study = wanted.study
    if ":" not in study and study not in DATA_SETS and Path(study).expanduser().is_dir():
        study = f"clips:{study}"
    check_study(study)
    if wanted.trained_on == FILLED and wanted.weights is not None:
        raise InputError("made-up weights and weights of your own exclude each other; say one of the two")
    subject = Subject(
        network=wanted.network,
        study=study,
        sha256="0" * 64,
        trained_on=wanted.trained_on,
        weights=None if wanted.weights is None else str(wanted.weights),
        revision=wanted.revision,
        untrained=wanted.untrained,
        layers=None if wanted.layers is None else tuple(wanted.layers),
        feed=wanted.feed or {},
        axes=wanted.axes or {},
        unchecked=wanted.unchecked,
    )
    network = opened(subject, here)
    return subject.model_copy(update={"sha256": network.weights}).written_to(output.parent, wanted.data)


def _measured(asked: Asked, here: Here, seed: int, seeds: int) -> Measurement:
    """The measurement of one seed."""
    print(f"seed {seed} of {seeds}", file=sys.stderr)
    return Suite(replace(here, seed=seed)).measurement(asked)


def _has_classes(found: Measurement, layer: str) -> bool:
    return len(found.layer(layer).estimate.unit_labels) >= _FEWEST_UNITS


def _value(
    asked: Asked, task: str, about: str, layer: str, quantity: str, seed: int, found: Measurement, source: Source
) -> ExpectedValue:
    """What one seed gave: the draws are then equal, and what is left is float error."""
    read = found.layer(layer)
    sample, units = read.read(quantity).values, len(read.estimate.unit_labels)
    if quantity in _PARTS:
        tolerance = _SHARES_MOVE
        what = f"{_SHARES_MOVE} points are five times the 0.01 that another number of threads may change"
    else:
        tolerance = round(100 / units, 3)
        what = (
            f"one unit of {units}, {tolerance} points, may lie so near the threshold that float error moves it across"
        )
    return ExpectedValue(
        id=f"{about}/seed{seed}",
        task=task,
        quantity=quantity,
        network=asked.network,
        trained_on=asked.trained_on,
        dataset=asked.dataset,
        layer=layer,
        options={"seed": seed},
        values={name: round(number, 3) for name, number in sample.items()},
        source=source,
        uncertainty=0.0,
        tolerance=dict.fromkeys(sample, tolerance),
        tolerance_reason=f"with the same seed every draw is the same; {what}",
    )


def _task(network: str) -> str:
    """What a network is for that is none of the published ones."""
    if network not in KINDS:
        return _NO_TASK
    return "video object segmentation" if KINDS[network].segments else "action recognition"


def _published(trained_on: str | None) -> str | None:
    """The training set of published weights; those that are made up stand for any."""
    return None if trained_on == FILLED else trained_on


def _command(wanted: ToRecord, output: Path, root: Path) -> str:
    first = model(wanted.network).trained_on if wanted.network in model_names() else None
    of_weights = f" --trained-on {wanted.trained_on}" if wanted.trained_on not in (None, first) else ""
    return f"sdbench record {wanted.network} {wanted.study} {_shown(output, root)} --seeds {wanted.seeds}{of_weights}"


def _own_command(subject: Subject, output: Path, seeds: int) -> str:
    """The command that records the same, in the folder of the file."""
    words = ["sdbench", "record", subject.network, subject.study, output.name, "--seeds", str(seeds)]
    said = {name: getattr(subject, name) for name in ("trained_on", "weights", "revision", "untrained", "layers")}
    for name, value in {**said, **subject.feed}.items():
        if value is not None:
            joined = (
                value
                if not isinstance(value, (list, tuple))
                else ("x" if name == "size" else ",").join(map(str, value))
            )
            words += [f"--{name.replace('_', '-')}", str(joined)]
    if subject.axes:
        words += ["--axes", ",".join(f"{name}={axes}" for name, axes in subject.axes.items())]
    return shlex.join([*words, *(["--unchecked"] if subject.unchecked else [])])


def _plain(name: str) -> str:
    """A name as a part of an id."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", name)


def _shown(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name
