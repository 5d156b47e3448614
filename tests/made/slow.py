"""Noise that takes its time, so that something can happen in the middle of a measurement; and a driver to be killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdbench import Feed, Network
from sdbench.assets import AssetStore
from sdbench.engine import measure
from sdbench.engine.runners import OnRay
from tests.made.studies import FEED, Counting, NoiseStudy, PlannedNoise


class SlowStudy(NoiseStudy):
    """Noise of which every sample takes a while.

    Args:
        samples: how many.
        folder: takes a file for each process that draws, named by its number.
        seconds: how long a sample takes.
        deadly: samples whose process ends at once.
        wrong: samples that raise an error which is none of the suite's.
    """

    def __init__(
        self,
        samples: int,
        folder: Path,
        seconds: float = 0.03,
        deadly: tuple[int, ...] = (),
        wrong: tuple[int, ...] = (),
        **rest: Any,
    ) -> None:
        super().__init__(samples, **rest)
        self.folder, self.seconds, self.deadly, self.wrong = folder, seconds, deadly, wrong

    def draw(self, planned: PlannedNoise, feed: Feed) -> dict[str, Tensor]:
        (self.folder / str(os.getpid())).touch()
        time.sleep(self.seconds)
        if planned.number in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if planned.number in self.wrong:
            raise ZeroDivisionError(f"of {planned.name}")
        return super().draw(planned, feed)


def main(address: str, folder: str, samples: str) -> None:
    """Measure on Ray, in a process that a test can kill."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was inherited as ignored
    torch.set_num_threads(1)
    measure(
        Network(Counting(), FEED, "counting"),
        SlowStudy(int(samples), Path(folder)),
        store=AssetStore(Path(folder) / "cache", offline=True, quiet=True),
        runner=OnRay(address),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
