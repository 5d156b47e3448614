"""A network meets a study."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.base.kept import key_of
from sdbench.base.progress import progress
from sdbench.engine.measurement import Measurement
from sdbench.engine.parts import Finished, Task, cut, run
from sdbench.engine.passes import UnitSums
from sdbench.engine.placing import device_named, placed
from sdbench.engine.study import Plan, Study
from sdbench.engine.sums import Sums, add_all, from_arrays
from sdbench.networks.network import Network
from sdbench.networks.reading import Layer
from sdbench.statistics import FACTORS
from sdbench.zoo import network_named

PARTS = "parts"
"""Folder of the cache in which unfinished runs keep their parts."""


def measure(
    network: str | Network,
    study: Study,
    *,
    layers: Sequence[str | Layer] | None = None,
    seed: int = 0,
    threshold: float = 0.5,
    device: str = "cpu",
    store: AssetStore | None = None,
    workers: int | None = None,
    finished: Finished | None = None,
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
        store: where assets lie, and the parts of unfinished measurements.
        workers: processes that draw samples while the network is busy; by default one a core.
        finished: takes the parts of this run, which then stay on disk until the caller discards them; by default they
            go when the measurement is over.

    Raises:
        InputError: a name is unknown, a sample cannot be used, there are too few pairs, or the device is not there.
        AssetError: weights, videos or styles cannot be had.
        DiskError: what is finished cannot be written.
    """
    started = time.perf_counter()
    store = store or AssetStore()
    where = device_named(device)
    if isinstance(network, str):
        network = network_named(network, store=store)
    elif not isinstance(network, Network):
        raise InputError(
            f"expected the name of a network or sdbench.Network(module, feed); got {type(network).__name__}: say with "
            "sdbench.Feed how frames become its input"
        )
    if layers is not None:
        network = replace(network, layers=layers)
    plan = study.plan(network.feed, seed)
    parts = cut(plan.samples)
    seconds = {"drawing": 0.0, "network": 0.0}
    key = _key(network, plan, seed, device)
    task = Task(store.folder / PARTS / key, lambda: UnitSums(network, where, seconds))
    resumed = sum(len(part.samples) for part in parts if task.is_done(part))
    sums: Sums = {layer.name: {} for layer in network.read}
    with (
        placed(network.module, where),
        progress(f"measuring {network.name}", len(plan.samples), resumed, store.quiet) as advance,
    ):
        for (arrays,) in run(parts, [task], lambda planned: study.draw(planned, network.feed), workers, advance):
            add_all(sums, from_arrays(arrays))
    if finished is None:
        task.discard(parts)
    else:
        finished.add(task, parts)
    seconds["total"] = time.perf_counter() - started
    return _measurement(network, plan, sums, seed, threshold, device, store, seconds, resumed)


def _key(network: Network, plan: Plan[Any], seed: int, device: str) -> str:
    """What decides the sums beside the samples themselves, whose hashes name the parts."""
    about = plan.about
    return key_of(
        *("measurement", network.name, network.weights, network.read, network.feed),
        *(about.dataset, about.protocol, about.styles, seed, device, versions()),
    )


def _measurement(
    network: Network,
    plan: Plan[Any],
    sums: Sums,
    seed: int,
    threshold: float,
    device: str,
    store: AssetStore,
    seconds: dict[str, float],
    resumed: int,
) -> Measurement:
    about = plan.about
    pairs = [sum(s.rows for s in plan.samples for *_, of in s.pairs if of == factor) for factor in range(len(FACTORS))]
    return Measurement(
        network=network.name,
        dataset=about.dataset,
        protocol=about.protocol,
        device=device,
        seed=seed,
        styles=about.styles,
        threshold=threshold,
        sums=sums,
        resampling_unit=about.unit,
        resampling_units=about.units,
        clips=about.clips,
        samples=len(plan.samples),
        pairs=min(pairs),
        passes=sum(sample.inputs for sample in plan.samples),
        skipped=about.skipped,
        assets={**store.hashes(list(dict.fromkeys(about.assets))), **network.assets},
        weights=network.weights,
        seconds=seconds,
        resumed=resumed,
        notes=about.notes,
        seeds=len({sample.seed for sample in plan.samples}),
    )


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """What may move a number from one run to the next: libraries, and this package's own code."""
    libraries = [(name, metadata.version(name)) for name in ("torch", "numpy", "onnxruntime", "av", "pillow")]
    own = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        own.update(path.read_bytes())
    return (*libraries, ("sdbench", own.hexdigest()))
