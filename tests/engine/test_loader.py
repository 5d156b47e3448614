"""Samples that are drawn ahead come in their order, whoever draws them, and no more of them than is said."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from torch import Tensor

from sdbench import InputError, Measurement, Network
from sdbench.assets import AssetStore
from sdbench.base.warned import SdbenchWarning
from sdbench.engine import Study, measure
from sdbench.engine.loader import Drawn, Kind, _LostError, drawn
from sdbench.engine.placing import Placement
from sdbench.engine.running import Job, SeveralProcesses
from tests.made.studies import FEED, Counting, NoiseStudy, PlannedNoise

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked")
KINDS: tuple[Kind, ...] = ("processes", "threads")


def samples(count: int) -> tuple[PlannedNoise, ...]:
    return NoiseStudy(count).plan(FEED, 0).samples


def number(planned: PlannedNoise) -> int:
    time.sleep(0.001 * (planned.number % 3))  # neighbours are not ready in their order
    return planned.number


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_samples_come_in_their_order(kind: Kind, workers: int) -> None:
    found = [sample.value for sample in drawn(number, samples(50), workers, kind)]
    assert found == list(range(50))
    assert list(drawn(number, (), workers, kind)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_when_its_turn_comes(kind: Kind, workers: int) -> None:
    study = NoiseStudy(50, broken=(30,))
    coming = drawn(lambda planned: study.draw(planned, FEED), study.plan(FEED, 0).samples, workers, kind)
    assert [next(coming).planned.name for _ in range(30)] == [f"noise {n}" for n in range(30)]
    with pytest.raises(InputError, match="noise 30 is damaged"):
        next(coming)


def test_threads_are_ahead_by_so_much_and_end() -> None:
    drawn_so_far: list[int] = []

    def draw(planned: PlannedNoise) -> int:
        drawn_so_far.append(planned.number)
        return planned.number

    coming = drawn(draw, samples(300), 2, "threads")
    next(coming)
    time.sleep(0.3)
    # A chunk has three samples of three inputs; two workers are two chunks ahead each.
    assert 3 <= len(drawn_so_far) <= 12
    coming.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sdbench-draw")]


def test_a_study_that_draws_on_the_device_of_the_network_is_drawn_by_threads(tmp_path: Path) -> None:
    class OnDevice(NoiseStudy):
        def on(self, device: str) -> Study:
            return self

    network = Network(Counting(), FEED)
    shown = [(study, device) for study in (OnDevice(3), NoiseStudy(3)) for device in ("cpu", "cuda")]
    jobs = [Job(network, study, Placement(device), 1, 1, tmp_path) for study, device in shown]
    assert [job.kind for job in jobs] == ["processes", "threads", "processes", "processes"]
    assert [job.pinned for job in jobs] == [False, True, False, True]


def test_threads_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = AssetStore(tmp_path / "cache", offline=True, quiet=True)
    plain = measure(Network(Counting(), FEED), NoiseStudy(70), store=store, workers=0)
    monkeypatch.setattr(Job, "kind", "threads")
    by_threads = measure(Network(Counting(), FEED), NoiseStudy(70), store=store, workers=2)
    assert sums(by_threads) == sums(plain)


class Dying:
    """Draws the number of a sample; the process that draws `at` dies, `times` times."""

    def __init__(self, folder: Path, at: int, how: int, times: int = 1) -> None:
        self.folder, self.at, self.how, self.times, self.main = folder, at, how, times, os.getpid()

    def __call__(self, planned: PlannedNoise) -> int:
        died = len(list(self.folder.iterdir()))
        if planned.number == self.at and died < self.times:
            (self.folder / str(died)).touch()
            assert os.getpid() != self.main, "this process would die"
            if self.how > 0:
                os.kill(os.getpid(), self.how)
            os._exit(-self.how)
        return planned.number


@linux
@pytest.mark.parametrize(
    ("how", "workers", "said"),
    [
        (signal.SIGKILL, 2, r"SIGKILL, as the system does when memory runs out.*; 1 goes on"),
        (signal.SIGKILL, 1, r"SIGKILL, as the system does when memory runs out.*; the samples are loaded without it"),
        (signal.SIGSEGV, 2, r"SIGSEGV, as a decoder does on a damaged file.*; 1 goes on"),
        (-3, 2, r"it ended with status 3.*; 1 goes on"),
    ],
)
def test_where_a_process_dies_fewer_go_on(how: int, workers: int, said: str, tmp_path: Path) -> None:
    with pytest.warns(SdbenchWarning, match=said):
        found = [sample.value for sample in drawn(Dying(tmp_path, 20, how), samples(40), workers)]
    assert found == list(range(40))


@linux
def test_the_likely_cause_of_a_death_is_said() -> None:
    assert "shared memory runs out: a container takes --shm-size" in str(_LostError([-signal.SIGBUS]))
    assert "(SIGTERM, from outside)" in str(_LostError([-signal.SIGTERM]))
    assert [_LostError([code]).crashed for code in (3, -signal.SIGABRT, -signal.SIGKILL)] == [True, True, False]


@linux
def test_a_sample_that_crashes_every_process_is_named(tmp_path: Path) -> None:
    dying = Dying(tmp_path, 20, signal.SIGSEGV, 99)
    with pytest.warns(SdbenchWarning), pytest.raises(InputError, match=r"SIGSEGV, .*each time at noise 20: leave"):
        list(drawn(dying, samples(40), 2))


@linux
def test_a_death_is_not_told_in_the_middle_of_other_work(tmp_path: Path) -> None:
    """torch's loader would raise it from a signal handler: here while this process computes."""
    coming = drawn(Dying(tmp_path, 9, signal.SIGKILL), samples(40), 2)
    found = [next(coming).value]
    until = time.monotonic() + 5
    while not list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    with pytest.warns(SdbenchWarning):
        found += [sample.value for sample in coming]
    assert found == list(range(40))


@linux
def test_several_processes_change_no_bit_and_do_no_part_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = AssetStore(tmp_path / "cache", offline=True, quiet=True)
    plain = measure(Network(Counting(), FEED), NoiseStudy(70), store=store, workers=0)
    here = os.getpid()

    class Elsewhere(Counting):
        def forward(self, video: Tensor) -> Tensor:
            assert os.getpid() != here, "the network ran in this process"
            return super().forward(video)

    by_processes = measure(
        Network(Elsewhere(), FEED, "counting"), NoiseStudy(70), store=store, runner=SeveralProcesses(2)
    )
    assert sums(by_processes) == sums(plain)
    assert by_processes.seconds["network"] > 0

    broken = NoiseStudy(70, broken=(50,))  # in the third part of four
    with pytest.raises(InputError, match="noise 50 is damaged"):
        measure(Network(Elsewhere(), FEED, "counting"), broken, store=store, runner=SeveralProcesses(2))
    mended = measure(Network(Elsewhere(), FEED, "counting"), NoiseStudy(70), store=store, runner=SeveralProcesses(2))
    assert mended.resumed >= 44, "two parts of 22 samples were done"
    assert sums(mended) == sums(plain)


def sums(found: Measurement) -> list[bytes]:
    return [part.product.tobytes() for blocks in found.sums.values() for part in blocks.values()]


def test_what_is_pinned_is_asked_of_torch_by_name() -> None:
    class Pinned(Tensor):
        def pin_memory(self, *_given: object) -> Tensor:
            return self + 1

    value: Mapping[str, Tensor] = {"video": Pinned([1.0]), "name": "as it is"}  # type: ignore[dict-item]
    found = Drawn(samples(1)[0], value, 0.5).pin_memory()
    assert found.value["video"].tolist() == [2.0]
    assert (found.value["name"], found.seconds) == ("as it is", 0.5)
