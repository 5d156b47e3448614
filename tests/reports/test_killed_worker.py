"""A process that loads samples is killed: https://github.com/pytorch/pytorch/issues/8976, and many like it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from sdbench.assets import AssetStore
from sdbench.base.warned import SdbenchWarning
from sdbench.engine import measure
from sdbench.networks import Network
from tests.made.studies import FEED, Counting, NoiseStudy, PlannedNoise


class Slow(NoiseStudy):
    """Draws so slowly that a process is still at work when it is killed."""

    def draw(self, planned: PlannedNoise, feed):
        time.sleep(0.005)
        return super().draw(planned, feed)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked")
def test_a_measurement_goes_on_with_fewer(tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "cache", offline=True, quiet=True)
    undisturbed = measure(Network(Counting(), FEED), NoiseStudy(150), store=store, workers=0)

    def kill() -> None:
        before = set(multiprocessing.active_children())
        while not (workers := set(multiprocessing.active_children()) - before):
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(min(worker.pid or 0 for worker in workers), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.warns(SdbenchWarning, match=r"SIGKILL, as the system does when memory runs out: .*; 1 goes on"):
        found = measure(Network(Counting(), FEED), Slow(150), store=store, workers=2)
    killer.join()
    layer = found.layers[0]
    assert found.layer(layer).estimate.shares == undisturbed.layer(layer).estimate.shares
    assert not list((tmp_path / "cache" / "parts").rglob("*.safetensors"))
