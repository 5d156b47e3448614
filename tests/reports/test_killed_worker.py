"""A process that loads samples, or paints, is killed: https://github.com/pytorch/pytorch/issues/8976, and others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from sdbench.assets import AssetStore
from sdbench.base.errors import SdbenchError
from sdbench.base.warned import SdbenchWarning
from sdbench.data.make import stylised
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


class FewSurvive(ThreadPoolExecutor):
    """A pool of processes, the first of which die before anything is painted."""

    sizes: ClassVar[list[int]] = []
    deaths = 2

    def __init__(self, processes: int, *_given: object) -> None:
        super().__init__(processes)
        self.sizes.append(processes)

    def submit(self, *given: Any, **named: Any) -> Any:
        if len(self.sizes) <= self.deaths:
            raise BrokenProcessPool
        return super().submit(*given, **named)


def test_painting_goes_on_with_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stylised, "ProcessPoolExecutor", FewSurvive)
    monkeypatch.setattr(stylised, "_paint_in_worker", lambda name, _source: f"{name} painted")
    monkeypatch.setattr(FewSurvive, "sizes", [])
    sources = {name: Path(name) for name in "abcd"}
    with pytest.warns(SdbenchWarning) as said:
        found = dict(stylised._in_processes(cast("Any", None), sources, 3))
    assert found == {name: f"{name} painted" for name in "abcd"}
    assert FewSurvive.sizes == [3, 2, 1]
    assert [str(each.message).rpartition("; ")[2] for each in said] == ["2 go on", "1 goes on"]
    monkeypatch.setattr(FewSurvive, "deaths", 99)
    with pytest.warns(SdbenchWarning), pytest.raises(SdbenchError, match="twice at a: leave it out"):
        list(stylised._in_processes(cast("Any", None), sources, 2))
