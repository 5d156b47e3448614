"""A network meets a study."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from sdbench.assets.store import AssetStore
from sdbench.base.checks import check_fits, file_errors_said, listed, whole
from sdbench.base.errors import InputError
from sdbench.base.kept import Arrays, key_of
from sdbench.base.progress import progress
from sdbench.base.warned import warn_caller
from sdbench.engine.compiling import known_choice
from sdbench.engine.measurement import Measurement
from sdbench.engine.parts import Finished, Kept, Part, cut
from sdbench.engine.passes import SECONDS
from sdbench.engine.placing import Placement, device_named, placed
from sdbench.engine.running import Job, OneProcess, Runner
from sdbench.engine.self_check import Checked, check_kind, check_network, claim_folder
from sdbench.engine.study import DrawsOnDevice, Plan, Study
from sdbench.engine.sums import Sums, add_all, from_arrays
from sdbench.networks.layer_summary import Seen, settled
from sdbench.networks.module_hash import describe_parts
from sdbench.networks.network import Network
from sdbench.networks.probe_clips import made_up
from sdbench.networks.reading import Layer, VideoNetwork
from sdbench.statistics import FACTORS
from sdbench.statistics.estimating import check_threshold
from sdbench.video.feed import Feed
from sdbench.zoo import network_named

PARTS = "parts"
"""Folder of the cache in which unfinished runs keep their parts."""

_NAMED = 6
"""So many layers that are read alike are named in a note."""


@file_errors_said
def measure(
    network: str | Network,
    study: Study,
    *,
    layers: Sequence[str | Layer] | None = None,
    seed: int = 0,
    threshold: float = 0.5,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    compiling: str = "auto",
    store: AssetStore | None = None,
    workers: int | None = None,
    runner: Runner | None = None,
    finished: Finished | None = None,
    batch_size: int | None = None,
    unchecked: bool = False,
) -> Measurement:
    """Measure how static and how dynamic the layers of a network are.

    Every distinct view of every sample goes through the network once, all layers are read in that pass, and nothing of
    it is kept but sums: memory does not grow with the number of samples. An interrupted measurement goes on where it
    stopped: see `sdbench.engine.parts`.

    Args:
        network: a name of the zoo, or a module with its feed.
        study: which pairs of clips it is shown.
        layers: the layers to read; by default those of the network.
        seed: of every random draw.
        threshold: score above which a unit counts as encoding a factor.
        device: "cpu", "cuda" or any other device of torch.
        precision: what the network computes in: "float32", the reference; "bfloat16"; "tf32", on CUDA.
        compiling: "auto", where it saves time; "on" or "off".
        store: where assets lie, and the parts of unfinished measurements.
        workers: processes that draw samples while the network is busy; by default one a core.
        runner: does the parts, in place of this process and its workers: see `sdbench.runners`.
        finished: takes the parts of this run, which then stay on disk until the caller discards them; by default they
            go when the measurement is over.
        batch_size: how many inputs go through the network at once; by default as many as its inputs' size allows. Where
            memory does not hold them, it is halved. No number depends on it.
        unchecked: go on where the self-check finds that answers do not depend on the clip alone; a note says so.

    Raises:
        InputError: a name is unknown, a sample cannot be used, there are too few pairs, the device is not there, or
            what the network answers to a clip depends on more than that clip.
        AssetError: weights, videos or styles cannot be had.
        DiskError: what is finished cannot be written.
    """
    started = time.perf_counter()
    if runner is not None and workers is not None:
        raise InputError("workers are this process's own; a runner has its own number of them: leave out workers")
    placement = Placement(str(device) if isinstance(device, torch.device) else device, precision, compiling)
    if runner is None:
        device_named(placement.device)  # before hours of looking for shots
        runner = OneProcess(workers)
    elif not hasattr(runner, "sums"):
        raise InputError(f"expected a runner, such as those of sdbench.runners; got {type(runner).__name__}")
    prepared = prepare(network, study, layers, seed, threshold, placement, store or AssetStore(), batch_size, unchecked)
    job, parts, kept = prepared.job, prepared.parts, prepared.kept
    resumed = sum(len(part.samples) for part in parts if kept.is_done(part))
    sums = prepared.no_sums()
    name = f"measuring {job.network.name}"
    with progress(name, len(prepared.plan.samples), resumed, prepared.store.quiet) as advance:
        coming = runner.sums(job, parts, kept, advance)
        with contextlib.closing(coming):
            for arrays in coming:
                sums.add(arrays)
    found = prepared.measurement(sums, time.perf_counter() - started, resumed)
    if finished is None:
        kept.discard(parts)
    else:
        finished.add(kept, parts)
    return found


@dataclass
class Collected:
    """Sums and seconds of the parts that were added so far."""

    sums: Sums
    drawing: float = 0.0
    network: float = 0.0

    def add(self, arrays: Arrays) -> None:
        """Add what came of a part; parts are added in their order."""
        add_all(self.sums, from_arrays({name: values for name, values in arrays.items() if name != SECONDS}))
        drawing, network = arrays[SECONDS].tolist()
        self.drawing, self.network = self.drawing + drawing, self.network + network


@dataclass(frozen=True)
class Prepared:
    """A measurement that is ready to be made: the network, what it is shown, and where its parts are kept.

    `seen` is what was seen of its layers; nothing where the network is of the suite.
    """

    job: Job
    plan: Plan[Any]
    parts: tuple[Part, ...]
    kept: Kept
    seed: int
    threshold: float
    store: AssetStore
    checked: Checked = field(default_factory=Checked)
    notes: tuple[str, ...] = ()
    seen: tuple[Seen, ...] = ()

    def no_sums(self) -> Collected:
        """Sums to add parts to."""
        return Collected({layer.name: {} for layer in self.job.network.read})

    def measurement(self, collected: Collected, seconds: float, resumed: int) -> Measurement:
        """What was measured.

        Args:
            collected: the sums of all parts.
            seconds: how long it took.
            resumed: number of samples that were done before.
        """
        about, network, placement = self.plan.about, self.job.network, self.job.placement
        pairs = [
            sum(s.rows for s in self.plan.samples for *_, of in s.pairs if of == factor)
            for factor in range(len(FACTORS))
        ]
        choice = known_choice(self.kept.folder)
        warning = placement.warning(network.module)
        found = Measurement(
            network=network.name,
            dataset=about.dataset,
            protocol=about.protocol,
            device=placement.device,
            seed=self.seed,
            styles=about.styles,
            threshold=self.threshold,
            sums=collected.sums,
            resampling_unit=about.unit,
            resampling_units=about.units,
            clips=about.clips,
            samples=len(self.plan.samples),
            pairs=min(pairs),
            passes=self.job.inputs,
            skipped=about.skipped,
            assets={**self.store.hashes(list(dict.fromkeys(about.assets))), **network.assets},
            weights=network.weights,
            seconds={
                "drawing": collected.drawing,
                "network": collected.network,
                **({"self-check": self.checked.seconds} if self.checked.sentence else {}),
                "total": seconds,
            },
            resumed=resumed,
            notes=(
                *(*network.notes, *about.notes, *_mixing(network, self.plan)),
                *(*reading_notes(self.seen), *([warning] if warning else []), *self.notes),
            ),
            seeds=len({sample.seed for sample in self.plan.samples}),
            precision=self.checked.precision,
            check=self.checked.sentence,
            compiled=choice.why if choice else "",
            feed=asdict(network.feed),
            study=about.identity,
            reading={of.layer: _reading(of) for of in self.seen},
        )
        if not (uneven := found.unevenness):
            return found
        warn_caller(uneven)
        return replace(found, notes=(*found.notes, uneven))


def prepare(
    network: str | Network,
    study: Study,
    layers: Sequence[str | Layer] | None,
    seed: int,
    threshold: float,
    placement: Placement,
    store: AssetStore,
    batch_size: int | None = None,
    unchecked: bool = False,
) -> Prepared:
    """Look everything up, check the network and make all random draws; the arguments are those of `measure`.

    Raises:
        InputError, AssetError: as `measure` does.
    """
    seed = whole("seed", seed)
    check_threshold(threshold)
    threshold = float(threshold)
    if layers is not None:
        layers = listed("layers", layers)
    if isinstance(network, str):
        network = network_named(network, store=store)
    elif not isinstance(network, Network):
        raise InputError(
            f"expected the name of a network or sdbench.Network(module, feed); got {type(network).__name__}: say with "
            "sdbench.Feed how frames become its input"
        )
    if layers is not None:
        network = replace(network, layers=layers)
    check_fits(f"one input of {network.name}", network.feed.bytes, "use fewer frames, or fewer pixels")
    if warning := placement.warning(network.module):
        warn_caller(warning)
    if batch_size is not None:
        batch_size = whole("batch_size", batch_size, 1)
    check_kind(network)
    network, seen, alone = _settled(network, placement)
    checked = check_network(network, placement, store.folder / PARTS)
    notes = checked.notes
    if unchecked:
        notes = (f"unchecked, as asked for: {checked.wrong or 'the self-check found nothing wrong'}", *notes)
    elif checked.wrong:
        raise InputError(f"{checked.wrong}; mend it, or go on with --unchecked (unchecked=True): every report says so")
    plan = study.plan(network.feed, seed)
    if network.mixes_batch is False:
        for sentence in _mixing(network, plan):
            warn_caller(sentence)
    if placement.device != "cpu" and isinstance(study, DrawsOnDevice):
        study = study.on(placement.device)
    key = _key(network, plan, seed, placement)
    if checked.size.is_fixed:  # then numbers depend on what meets in a batch
        key = key_of(key, batch_size)
    kept = Kept(claim_folder(store.folder / PARTS, key, checked))
    kept.check()
    parts = cut(plan.samples)
    inputs = [part.inputs for part in parts]
    size = replace(checked.size, most=1 if alone else checked.size.most or batch_size)
    job = Job(network, study, placement, sum(inputs), max(inputs, default=0), kept.folder, size)
    return Prepared(job, plan, parts, kept, seed, threshold, store, checked, notes, seen)


def _settled(network: Network, placement: Placement) -> tuple[Network, tuple[Seen, ...], bool]:
    """How the layers of a network are read: seen where it will run, or here where that is elsewhere."""
    if isinstance(network.module, VideoNetwork):
        return network, (), False
    try:
        device = device_named(placement.device)
    except InputError:  # of a runner's machines
        device = torch.device("cpu")
    with placed(network.module, device):
        return settled(network)


def _reading(of: Seen) -> dict[str, Any]:
    """How a layer is read, as plain values."""
    assert of.reads is not None
    return {"axes": of.axes, "units": of.units, "runs": of.runs, "run": of.reads.run, "item": of.reads.item}


def reading_notes(seen: Sequence[Seen]) -> list[str]:
    """How layers were read, in sentences: their axes, and of those that run several times, which run."""
    by_axes: dict[str, list[str]] = {}
    for of in seen:
        by_axes.setdefault((of.axes or "").replace("C", "[C]"), []).append(of.layer)
    notes = [f"{_some_layers(names)} read as {axes}" for axes, names in by_axes.items()]
    for of in seen:
        if of.runs > 1 and of.reads is not None:
            what = "the mean over all its runs" if of.reads.run is None else f"run {of.reads.run}, counted from 0,"
            notes.append(f"{of.layer} runs {of.runs} times in a forward pass, of which {what} is read")
    return notes


def _some_layers(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} other layers"
    return ", ".join(names)


def _mixing(network: Network, plan: Plan[Any]) -> tuple[str, ...]:
    """What a reader must know where the study shows several samples in one batch: whether they meet in the network."""
    if not any(sample.together and sample.rows > 1 for sample in plan.samples):
        return ()
    mixes, name = network.mixes_batch, network.name
    if mixes is None:
        return (f"whether {name} mixes frames of the samples of a batch, as RTNet's published code does, is not known",)
    if mixes:
        return (f"{name} mixes frames of the samples of a batch, as RTNet's published code does",)
    return (
        f"{name} keeps the samples of a batch apart, where RTNet's published code mixes their frames: its numbers are "
        "points off the published ones (5 to 6 at fusion.layer5 where both were tried); for those build it with "
        "mixed_batch=True",
    )


def _key(network: Network, plan: Plan[Any], seed: int, placement: Placement) -> str:
    """What decides the sums beside the samples themselves, whose hashes name the parts."""
    about = plan.about
    return key_of(
        *("measurement", network.name, network.weights, sorted(network.assets.items()), network.read, network.feed),
        *(network.mixes_batch, describe_parts(network.module), _own_feed(network)),
        *(about.dataset, about.protocol, about.styles, seed, placement, versions()),
    )


def _own_feed(network: Network) -> str:
    """Hash of a clip as a feed of the user's own class makes it; "" of `Feed` itself, whose fields say all."""
    if type(network.feed) is Feed:
        return ""
    digest = hashlib.sha256()
    for values in made_up(network.feed).values():
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """What may move a number from one run to the next: libraries, and this package's own code."""
    libraries = [(name, metadata.version(name)) for name in ("torch", "numpy", "onnxruntime", "av", "pillow")]
    own = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        own.update(path.read_bytes())
    return (*libraries, ("sdbench", own.hexdigest()))
