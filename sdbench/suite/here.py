"""What a run has at hand, and how it is to measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError, unknown_name
from sdbench.engine import Finished
from sdbench.engine.placing import Placement
from sdbench.engine.running import Runner
from sdbench.studies.stylised_study import ACTION_PROTOCOLS
from sdbench.video.paint import DEFAULT_STYLES, check_styles


@dataclass(frozen=True)
class Here:
    """A run's place and options.

    Attributes:
        store: where assets lie.
        data: folder of the user's data sets, named as in `sdbench.suite.datasets`; None where there are none.
        seed: of every random draw.
        pairs: pairs of each factor; by default as many as a data set gives.
        device: where networks run.
        styles: the styles that packaged videos are painted in; a stylised data set brings its own.
        protocol: of stylised data sets, "published" or "corrected".
        workers: processes that draw samples while a network is busy; by default one a core.
        precision: what networks compute in where units are measured; answers (accuracy, masks) are float32 always.
        compiling: of their passes: "auto", "on" or "off".
        runner: measures units, in place of this process: see `sdbench.runners`. Answers are asked for here.
        finished: the parts of what is measured, which stay on disk until the run is over.

    Raises:
        InputError: the protocol, a style, the precision or the way of compiling is unknown.
    """

    store: AssetStore
    data: Path | None = None
    seed: int = 0
    pairs: int | None = None
    device: str = "cpu"
    styles: tuple[str, ...] = DEFAULT_STYLES
    protocol: str = "published"
    workers: int | None = None
    precision: str = "float32"
    compiling: str = "auto"
    runner: Runner | None = None
    finished: Finished = field(default_factory=Finished)

    def __post_init__(self) -> None:
        if self.protocol not in ACTION_PROTOCOLS:
            raise unknown_name("protocol", self.protocol, ACTION_PROTOCOLS)
        check_styles(self.styles)
        Placement(self.device, self.precision, self.compiling)


def runner_for(ray: str | None, workers: int | None, gpus_per_worker: float | None, device: str) -> Runner | None:
    """What the options of a run ask for: the workers of a Ray cluster, or None for this process.

    Args:
        ray: address of the cluster, or "auto"; None for this process.
        workers: how many workers of the cluster.
        gpus_per_worker: of the cluster's GPUs, how many each worker takes; by default one where networks run on CUDA.
        device: where networks run.

    Raises:
        InputError: an option of the cluster is given without one, or ray is not installed.
    """
    if ray is None:
        if gpus_per_worker is not None:
            raise InputError("--gpus-per-worker goes with --ray; without a cluster, --device says where networks run")
        return None
    from sdbench.engine.runners import OnRay  # noqa: PLC0415 - an extra

    gpus = float(device.startswith("cuda")) if gpus_per_worker is None else gpus_per_worker
    return OnRay(ray, 2 if workers is None else workers, gpus)
