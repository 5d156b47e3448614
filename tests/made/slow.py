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
from sdbench.networks import network as networks
from tests.made.studies import FEED, Counting, NoiseStudy, PlannedNoise


class SlowStudy(NoiseStudy):
    """Noise of which every sample takes a while.

    Args:
        samples: how many.
        folder: takes a file for each process that draws, named by its number.
        seconds: how long a sample takes.
        deadly: samples whose process ends at once.
        wrong: samples that raise an error which is none of the suite's.
        together_from: every process waits until so many draw.
    """

    def __init__(
        self,
        samples: int,
        folder: Path,
        seconds: float = 0.03,
        deadly: tuple[int, ...] = (),
        wrong: tuple[int, ...] = (),
        together_from: int = 1,
        **rest: Any,
    ) -> None:
        super().__init__(samples, **rest)
        self.folder, self.seconds, self.deadly, self.wrong = folder, seconds, deadly, wrong
        self.together_from = together_from

    def draw(self, planned: PlannedNoise, feed: Feed) -> dict[str, Tensor]:
        (self.folder / str(os.getpid())).touch()
        end = time.monotonic() + 120
        while len(list(self.folder.iterdir())) < self.together_from:
            if time.monotonic() > end:
                raise TimeoutError(f"fewer than {self.together_from} processes draw")
            time.sleep(0.01)
        time.sleep(self.seconds)
        if planned.number in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if planned.number in self.wrong:
            raise ZeroDivisionError(f"of {planned.name}")
        return super().draw(planned, feed)


def main(address: str, folder: str, samples: str) -> None:
    """Measure on Ray with one worker, in a process that a test can kill."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was inherited as ignored
    torch.set_num_threads(1)
    networks.OWNERS |= {"tests"}  # as in the process of the tests
    measure(
        Network(Counting(), FEED, "counting"),
        SlowStudy(int(samples), Path(folder)),
        store=AssetStore(Path(folder) / "cache", offline=True, quiet=True),
        runner=OnRay(address, workers=1),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
