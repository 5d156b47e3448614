"""Every wrong value of a public function is an `InputError`, before anything is fetched or measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sdbench
from sdbench import DiskError, InputError, studies
from sdbench.answers.masks import measure_masks
from sdbench.assets import AssetStore
from sdbench.base import checks
from sdbench.base.machine import free_memory
from sdbench.engine import measure
from sdbench.engine.placing import device_named
from sdbench.engine.running import OneProcess, SeveralProcesses

FEED = sdbench.Feed(frames=4, size=16)
WRONG: tuple[Any, ...] = (-1, 1.5, math.nan, math.inf, "8", None, True, [8], {}, object(), np.float64(8), 10**30)
"""What is no whole number."""


def network(**given: Any) -> sdbench.Network:
    return sdbench.Network(nn.Sequential(nn.Conv3d(3, 8, 3, 2)), FEED, layers=given.pop("layers", ["0"]), **given)


def pairs() -> tuple[np.ndarray, np.ndarray, list[str]]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(8, 3)), generator.normal(size=(8, 3)), ["dynamic", "static"] * 4


def measured(**given: Any) -> Callable[[], object]:
    return lambda: sdbench.measure(network(), studies.rendered(2), workers=0, **given)


NUMBERS: dict[str, Callable[[Any], object]] = {
    "measure seed": lambda value: sdbench.measure(network(), studies.rendered(2), seed=value),
    "scenes": lambda value: studies.rendered(value) if value is not None else studies.rendered(-1),
    "frames": lambda value: sdbench.Feed(frames=value),
    "size": lambda value: sdbench.Feed(size=value),
    "stride": lambda value: sdbench.Feed(stride=value),
    "size, the second": lambda value: sdbench.Feed(size=(16, value)),
    "num_classes": lambda value: sdbench.build("x3d_xs", value),
    "processes": SeveralProcesses,
    "every": lambda value: sdbench.Tracker(network(), every=value),
    "tracker seed": lambda value: sdbench.Tracker(network(), seed=value),
    "step": lambda value: sdbench.Tracker(network()).step(value),
    "seeds": lambda value: studies.davis(".", ".", seeds=value),
    "draws": lambda value: studies.davis(".", ".", draws=value),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value", WRONG, ids=lambda value: type(value).__name__ if type(value) is object else repr(value)
)
def test_a_wrong_number(name: str, value: Any) -> None:
    with pytest.raises(InputError):
        NUMBERS[name](value)


WRONGS: dict[str, Callable[[], object]] = {
    "a study that is no path": lambda: sdbench.measure(network(), ""),
    "a study of another type": lambda: sdbench.measure(network(), 3),  # type: ignore[arg-type]
    "a network of another type": lambda: sdbench.measure(3, studies.rendered(2)),  # type: ignore[arg-type]
    "a network without a name": lambda: sdbench.measure("", studies.rendered(2)),
    "a file of weights": lambda: sdbench.measure("weights.pt", studies.rendered(2)),
    "threshold text": measured(threshold="0.5"),
    "threshold NaN": measured(threshold=math.nan),
    "threshold 20": measured(threshold=20),
    "device number": measured(device=0),
    "device None": measured(device=None),
    "device meta": measured(device="meta"),
    "device mps": measured(device=torch.device("mps")),
    "device with nonsense": measured(device="cpu:x"),
    "precision": measured(precision=16),
    "compiling": measured(compiling=True),
    "runner": lambda: sdbench.measure(network(), studies.rendered(2), runner=3),  # type: ignore[arg-type]
    "layers number": measured(layers=3),
    "layers text": measured(layers="0"),
    "layers of numbers": measured(layers=[0]),
    "workers": lambda: sdbench.measure(network(), studies.rendered(2), workers=-1),
    "workers text": lambda: OneProcess("x"),  # type: ignore[arg-type]
    "workers too many": lambda: OneProcess(10**9),
    "Network layers": lambda: network(layers=3),
    "Network layers of numbers": lambda: network(layers=[0]),
    "Network name": lambda: network(name=3),
    "Layer name": lambda: sdbench.Layer(3),  # type: ignore[arg-type]
    "Layer empty": lambda: sdbench.Layer(""),
    "Layer axes": lambda: sdbench.Layer("a", axes=3),  # type: ignore[arg-type]
    "Layer item": lambda: sdbench.Layer("a", item=1.5),  # type: ignore[arg-type]
    "mean of two": lambda: sdbench.Feed(mean=(1, 2)),  # type: ignore[arg-type]
    "mean NaN": lambda: sdbench.Feed(mean=math.nan),
    "mean text": lambda: sdbench.Feed(mean="0.5"),  # type: ignore[arg-type]
    "std None": lambda: sdbench.Feed(std=None),  # type: ignore[arg-type]
    "std 0": lambda: sdbench.Feed(std=[0.2, 0, 0.2]),  # type: ignore[arg-type]
    "size of three": lambda: sdbench.Feed(size=(1, 2, 3)),  # type: ignore[arg-type]
    "order": lambda: sdbench.Feed(order=3),  # type: ignore[arg-type]
    "order list": lambda: sdbench.Feed(order=["BCTHW"]),  # type: ignore[arg-type]
    "argument": lambda: sdbench.Feed(argument=3),  # type: ignore[arg-type]
    "build number": lambda: sdbench.build(3),  # type: ignore[arg-type]
    "build list": lambda: sdbench.build(["i3d"]),  # type: ignore[arg-type]
    "load number": lambda: sdbench.load(3),  # type: ignore[arg-type]
    "load weights": lambda: sdbench.load("i3d", "nowhere.pt"),
    "units of nothing": lambda: sdbench.units(sdbench.build("x3d_xs"), {}),
    "units of no mapping": lambda: sdbench.units(sdbench.build("x3d_xs"), torch.zeros(1)),  # type: ignore[arg-type]
    "units of no module": lambda: sdbench.units("x3d_xs", {"video": torch.zeros(1)}),  # type: ignore[arg-type]
    "styles text": lambda: studies.clips(".", styles="style1"),
    "styles number": lambda: studies.clips(".", styles=3),  # type: ignore[arg-type]
    "folder empty": lambda: studies.clips(""),
    "folder number": lambda: studies.appearance_free(3),  # type: ignore[arg-type]
    "pairs": lambda: studies.clips(".", pairs=1.5),  # type: ignore[arg-type]
    "layout": lambda: studies.stylised(3, "."),  # type: ignore[arg-type]
    "layout list": lambda: studies.stylised(["ssv2"], "."),  # type: ignore[arg-type]
    "davis folder": lambda: studies.davis(3, "."),  # type: ignore[arg-type]
    "protocol": lambda: studies.davis(".", ".", protocol=3),  # type: ignore[arg-type]
    "too many scenes": lambda: studies.rendered(10**15),
    "estimate threshold": lambda: sdbench.estimate(*pairs(), threshold="0.5"),  # type: ignore[arg-type]
    "estimate threshold NaN": lambda: sdbench.estimate(*pairs(), threshold=math.nan),
    "estimate ragged": lambda: sdbench.estimate([[1.0], [1.0, 2.0]], [[1.0], [1.0, 2.0]], [0, 1]),
    "estimate None": lambda: sdbench.estimate(None, None, None),  # type: ignore[arg-type]
    "estimate generator": lambda: sdbench.estimate((n for n in [1]), (n for n in [1]), [0]),  # type: ignore[arg-type]
    "compare": lambda: sdbench.compare(3, 4),  # type: ignore[arg-type]
    "tracker network": lambda: sdbench.Tracker("i3d"),  # type: ignore[arg-type]
    "tracker study": lambda: sdbench.Tracker(network(), 3),  # type: ignore[arg-type]
    "tracker workers": lambda: sdbench.Tracker(network(), workers=-1),
    "picture": lambda: checks.text("picture", ""),
}


@pytest.mark.parametrize("name", WRONGS)
def test_a_wrong_value(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    with pytest.raises(InputError):
        WRONGS[name]()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_can_be_meant_is_taken(tmp_path: Path) -> None:
    feed = sdbench.Feed(np.int64(4), [16, np.int32(16)], np.array([0.5, 0.5, 0.5]), [0.2, 0.2, 0.2])  # type: ignore[arg-type]
    assert feed == sdbench.Feed(4, (16, 16), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    assert repr(feed) == repr(sdbench.Feed(4, (16, 16), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))), "one key of a measurement"
    named = network(layers=(name for name in ["0"]))
    store = AssetStore(tmp_path, offline=True, quiet=True)
    given = {"seed": np.int64(3), "threshold": np.float32(0.5), "device": torch.device("cpu")}
    found = measure(named, studies.rendered(np.int64(8)), store=store, workers=np.int64(0), compiling="off", **given)
    assert (found.seed, found.threshold, found.device) == (3, 0.5, "cpu")
    assert type(found.seed) is int
    first, second, factor = pairs()
    plain = sdbench.estimate(first, second, factor)
    of_tensors = sdbench.estimate(torch.tensor(first, requires_grad=True), torch.tensor(second), factor)
    assert of_tensors.shares == plain.shares


def test_masks_are_not_measured_at_a_threshold_that_is_none() -> None:
    for value in (math.nan, -1, 1, "0.5"):
        with pytest.raises(InputError):
            measure_masks(None, None, threshold=value)  # type: ignore[arg-type]


def test_what_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (free_memory() or 1) > 0
    monkeypatch.setattr(checks, "free_memory", lambda: 10**6)
    with pytest.raises(InputError, match=r"one input of .* takes .* GB of memory, and 0.001 GB are free: use fewer"):
        sdbench.measure(
            sdbench.Network(nn.Sequential(nn.Conv3d(3, 8, 3)), sdbench.Feed(), layers=["0"]), studies.rendered(2)
        )
    with pytest.raises(InputError, match="the plan of 2000 scenes takes"):
        studies.rendered(2000)
    monkeypatch.setattr(checks, "free_memory", lambda: None)
    studies.rendered(2000)


def test_a_cache_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "parts").touch()
    store = AssetStore(tmp_path, offline=True, quiet=True)
    with pytest.raises(DiskError, match=r"parts cannot be written \(.*; .*SDBENCH_CACHE"):
        measure(network(), studies.rendered(2), store=store, runner=Unused())


class Unused:
    """A runner that nothing is asked of."""

    def sums(self, *_: object) -> Any:
        raise AssertionError("nothing is measured")


def test_a_gpu_beyond_the_last_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_named("cuda:1").index == 1
    with pytest.raises(InputError, match=r"there is no cuda:2 here: CUDA devices are counted to cuda:1"):
        device_named("cuda:2")


@pytest.mark.parametrize(
    "call",
    [
        lambda path: sdbench.measure(network(), path),
        lambda path: sdbench.measure(f"{path}/net.py:net", studies.rendered(2)),
        studies.clips,
        studies.appearance_free,
        lambda path: sdbench.compare(path, path),
        lambda path: sdbench.load("i3d_inception", weights=path),
    ],
)
def test_a_file_that_the_system_refuses_is_a_sentence(
    call: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Path.stat

    def refused(path: Path, **given: Any) -> object:
        if "shut" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return asked(path, **given)

    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(InputError, match="shut"):
        call(str(tmp_path / "shut" / "a"))
