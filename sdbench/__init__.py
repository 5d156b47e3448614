"""How much of what each layer of a video network encodes is static, how much is dynamic, and does it match the paper?

sdbench.measure(network, study)             all of it: clips, pairs, forward passes, statistics
sdbench.Network(module, feed)               a network of your own
sdbench.Feed(frames=16, size=224)           how frames become its input
sdbench.Layer(name, axes="BTHWC")           a layer whose axes or answer are unusual
sdbench.studies.clips(folder)               which pairs of clips it is shown; also stylised, davis, rendered
sdbench.runners.OnRay(workers=8)            who does the work, in place of this process
sdbench.estimate(first, second, factor)     shares and unit classes from the unit vectors of pairs
sdbench.build(name)                         an architecture with random weights
sdbench.load(name)                          the same with published weights, fetched and verified
sdbench.units(module, inputs)               unit values of all layers in one forward pass
sdbench.compare(one, other)                 how two measurements, or two layers, differ
sdbench.Tracker(network)                    measures a network while it is trained
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdbench.base.errors import AssetError, DiskError, InputError, SdbenchError
from sdbench.statistics import Estimate, estimate

if TYPE_CHECKING:
    import torch

    from sdbench import studies
    from sdbench.assets import AssetStore
    from sdbench.engine import Measurement, Study, runners
    from sdbench.engine.running import Runner
    from sdbench.networks import Layer, Network, build, units
    from sdbench.report.comparing import compare
    from sdbench.tracking import Tracker
    from sdbench.video.feed import Feed
    from sdbench.zoo import load

__version__ = "0.1.0"

# What needs torch is imported when it is first used: statistics, verdicts and reports work without it.
_LAZY = {
    "Feed": "sdbench.video.feed",
    "Layer": "sdbench.networks",
    "Measurement": "sdbench.engine",
    "Network": "sdbench.networks",
    "Tracker": "sdbench.tracking",
    "build": "sdbench.networks",
    "compare": "sdbench.report.comparing",
    "load": "sdbench.zoo",
    "units": "sdbench.networks",
}

_LAZY_MODULES = {"runners": "sdbench.engine.runners", "studies": "sdbench.studies"}

__all__ = [
    "AssetError",
    "DiskError",
    "Estimate",
    "Feed",
    "InputError",
    "Layer",
    "Measurement",
    "Network",
    "SdbenchError",
    "Tracker",
    "build",
    "compare",
    "estimate",
    "load",
    "measure",
    "runners",
    "studies",
    "units",
]


def measure(
    network: str | Network,
    study: Study | str | Path,
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
    batch_size: int | None = None,
    unchecked: bool = False,
) -> Measurement:
    """Measure how static and how dynamic the layers of a network are.

    Args:
        network: a name (`sdbench list networks`), or a module with what it is fed.
        study: which pairs of clips it is shown (`sdbench.studies`), or a folder of videos.
        layers: the layers to read; by default those of the network.
        seed: of every random draw.
        threshold: score above which a unit counts as encoding a factor.
        device: "cpu", "cuda" or any other device of torch.
        precision: what the network computes in: "float32", the reference; "bfloat16"; "tf32", on CUDA.
        compiling: of its passes by torch.compile: "auto", where that saves time; "on" or "off".
        store: where assets lie, and the parts of unfinished measurements; by default the user's cache.
        workers: processes that draw samples while the network is busy; by default one a core.
        runner: does the parts, in place of this process and its workers: `sdbench.runners.OnRay(...)`.
        batch_size: how many inputs go through the network at once, at most; it is halved where memory does not hold
            them. No number depends on it.
        unchecked: go on where the self-check of a network that is not of the suite finds that its answers depend on
            more than the clip: on the batch, on chance, or on what it saw before. A note says so.

    Returns:
        The measurement: `layers`, `layer(name).estimate`, `layer(name).intervals`, `as_record()`. An interrupted one
        goes on where it stopped when the same call is made again.

    Raises:
        InputError: a name is unknown, a sample cannot be used, there are too few pairs, the device is not there, or
            what the network answers to a clip depends on more than that clip.
        AssetError: weights, videos or styles cannot be had.
        DiskError: what is finished cannot be written.
    """
    from sdbench import engine  # noqa: PLC0415 - torch takes seconds to import
    from sdbench.studies import study_of  # noqa: PLC0415

    return engine.measure(
        network,
        study_of(study),
        layers=layers,
        seed=seed,
        threshold=threshold,
        device=device,
        precision=precision,
        compiling=compiling,
        store=store,
        workers=workers,
        runner=runner,
        batch_size=batch_size,
        unchecked=unchecked,
    )


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(_LAZY_MODULES[name])
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sdbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_LAZY_MODULES})
