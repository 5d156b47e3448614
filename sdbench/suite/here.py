"""What a run has at hand, and how it is to measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.base.errors import unknown_name
from sdbench.engine import Finished
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
        finished: the parts of what is measured, which stay on disk until the run is over.

    Raises:
        InputError: the protocol or a style is unknown.
    """

    store: AssetStore
    data: Path | None = None
    seed: int = 0
    pairs: int | None = None
    device: str = "cpu"
    styles: tuple[str, ...] = DEFAULT_STYLES
    protocol: str = "published"
    workers: int | None = None
    finished: Finished = field(default_factory=Finished)

    def __post_init__(self) -> None:
        if self.protocol not in ACTION_PROTOCOLS:
            raise unknown_name("protocol", self.protocol, ACTION_PROTOCOLS)
        check_styles(self.styles)
