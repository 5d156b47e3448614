"""Passes are compiled where that saves time; shares do not move, and a compiler that fails costs no number."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from torch import nn

from sdbench import DiskError, Feed, InputError, Measurement, Network, build, studies
from sdbench.assets import AssetStore
from sdbench.cli import arguments
from sdbench.engine import compiling, measure, passes, placing
from sdbench.engine.compiling import Choice, choose, keep_choice, known_choice
from sdbench.engine.measuring import prepare
from sdbench.engine.placing import Placement
from sdbench.networks import network_names, units
from sdbench.networks.registry import _BUILDERS
from sdbench.report.markdown import measurement_sentence
from sdbench.zoo import feed_of
from tests.made.studies import FEED, Counting, NoiseStudy

POINTS = 0.01
"""So much may a share move."""

ROOT = Path(__file__).parents[2]
BOTH = ("float32", "bfloat16")


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)


def seen(compiler: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Put a stand-in in place of the compiler; the shapes of the batches that its passes take."""
    shapes: list[tuple[int, ...]] = []

    def watched(read: Any) -> Any:
        inner = compiler(read)

        def run(batch: dict[str, torch.Tensor]) -> Any:
            shapes.append(tuple(next(iter(batch.values())).shape))
            return inner(batch)

        return run

    monkeypatch.setattr(passes, "compiled", watched)
    return shapes


def moved(one: Measurement, other: Measurement) -> float:
    """The largest difference of a share, in points."""
    assert one.layers == other.layers
    return max(
        abs(one.layer(layer).estimate.shares[name] - other.layer(layer).estimate.shares[name])
        for layer in one.layers
        for name in ("dynamic", "static", "residual")
    )


class TestChoice:
    """What is chosen of given times; no compiler runs."""

    def chosen(self, mode: str, passes: int, eager: float, faster: float | None) -> tuple[Choice, int]:
        tried = []

        def compiled() -> float:
            tried.append(1)
            if faster is None:
                raise RuntimeError("backend='inductor' raised:\nno C++ compiler\n\nand much more")
            return faster

        return choose(mode, nn.Sequential(nn.Conv3d(3, 3, 1)), passes, lambda: eager, compiled), len(tried)

    def test_few_passes_are_not_worth_it(self) -> None:
        choice, tried = self.chosen("auto", 40, 1.0, 0.1)
        assert (choice.compiled, tried) == (False, 0)
        assert choice.why == "not compiled: 40 passes of 1 s save less than the 15 s that compiling takes"

    def test_many_are(self) -> None:
        choice, tried = self.chosen("auto", 1000, 1.0, 0.4)
        assert (choice.compiled, tried) == (True, 1)
        assert choice.why.endswith("1000 passes take 0.4 s each in place of 1 s")

    def test_passes_that_are_no_faster_stay_as_they_are(self) -> None:
        choice, _ = self.chosen("auto", 1000, 1.0, 1.1)
        assert choice == Choice(False, "not compiled: a pass takes 1 s, compiled 1.1 s")

    @pytest.mark.parametrize("mode", ["auto", "on"])
    def test_a_compiler_that_fails_is_named(self, mode: str) -> None:
        choice, _ = self.chosen(mode, 1000, 1.0, None)
        assert choice == Choice(False, "not compiled: torch.compile failed (RuntimeError: no C++ compiler)")

    def test_words_are_obeyed(self) -> None:
        assert self.chosen("off", 10**6, 1.0, 0.1) == (Choice(False, "not compiled, as asked for"), 0)
        assert self.chosen("on", 1, 1.0, 2.0)[0].compiled

    def test_the_first_worker_chooses_for_all(self, tmp_path: Path) -> None:
        assert known_choice(tmp_path) is None
        first, second = Choice(True, "faster"), Choice(False, "slower")
        assert keep_choice(tmp_path, first) == keep_choice(tmp_path, second) == known_choice(tmp_path) == first


def test_compiled_passes_take_batches_of_one_size(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(Network(Counting(), FEED), NoiseStudy(50), store=own_store, compiling="off")
    shapes = seen(lambda read: read, monkeypatch)
    found = measure(Network(Counting(), FEED), NoiseStudy(50), store=own_store, compiling="on")
    assert found.compiled.startswith("compiled, as asked for")
    assert len(set(shapes)) == 1
    assert len(shapes) == 2 + 3, "two to see how long one takes, then one a part, the last of them filled"
    assert moved(whole, found) == 0


def test_inputs_that_meet_are_never_filled(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = seen(lambda read: read, monkeypatch)
    study = NoiseStudy(10, rows=3, together=True)
    found = measure(Network(Counting(), FEED), study, store=own_store, compiling="on")
    assert (shapes, found.compiled) == ([], "")


def test_a_compiler_that_fails_costs_no_number(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_read: Any) -> Any:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found")

    whole = measure(Network(Counting(), FEED), NoiseStudy(50), store=own_store, compiling="off")
    monkeypatch.setattr(passes, "compiled", none)
    module = Counting()
    found = measure(Network(module, FEED), NoiseStudy(50), store=own_store, compiling="on")
    assert found.compiled.startswith("not compiled: torch.compile failed (RuntimeError: InvalidCxxCompiler")
    assert (moved(whole, found), module.seen) == (0, 150)


def test_a_resumed_measurement_keeps_its_choice(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "compiled", lambda read: read)
    monkeypatch.setattr(passes, "choose", lambda *_given: Choice(True, "said once"))
    with pytest.raises(KeyboardInterrupt):
        measure(Network(Counting(stop_after=2), FEED), NoiseStudy(50), store=own_store)
    monkeypatch.undo()
    monkeypatch.setattr(passes, "compiled", lambda read: read)
    assert measure(Network(Counting(), FEED), NoiseStudy(50), store=own_store).compiled == "said once"
    assert measure(Network(Counting(), FEED), NoiseStudy(50), store=own_store).compiled != "said once", "over"


def inputs_of(name: str) -> dict[str, torch.Tensor]:
    """Two small inputs of a network of the suite."""
    generator = torch.Generator().manual_seed(0)
    if name == "transnetv2":
        return {"video": torch.randint(0, 256, (2, 10, 27, 48, 3), generator=generator, dtype=torch.uint8)}
    feed = feed_of(name)
    if feed.flow == "both":
        pairs = {"image": 3, "flow": 6}
        return {part: torch.rand(2, 2, channels, 64, 64, generator=generator) for part, channels in pairs.items()}
    if feed.flow is not None:
        return {part: torch.rand(2, 3, 64, 64, generator=generator) for part in ("image", "flow")}
    size = feed.height_and_width[0] if name.startswith("mvit") else 64
    return {part: torch.rand(2, 3, count, size, size, generator=generator) for part, count in feed.inputs.items()}


SAME_WALK = {
    *("slow_r50_4x16", "slowfast_r50_4x16", "slowfast_r50_16x8", "timesformer_16x8"),
    *("x3d_s", "x3d_m", "x3d_l", "rtnet"),
}
"""Those that differ from another in numbers of frames, blocks or channels alone."""

SHALLOW: dict[str, Any] = {"depths": (2, 2, 2, 2), "width": 16, "width_per_group": 16}
"""Two blocks a stage, the first of which leaps, and few channels: more of them are the same walk for longer."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*network_names()} - SAME_WALK))
def test_the_walk_of_every_network_is_one_graph(name: str) -> None:
    """What a compiler is given is one graph, without a break, and answers as the network does."""
    torch.manual_seed(0)
    known = inspect.signature(_BUILDERS[name]).parameters
    module = build(name, **{option: value for option, value in SHALLOW.items() if option in known})
    inputs = inputs_of(name)
    graph = torch.compile(lambda batch: units(module, batch), dynamic=False, fullgraph=True, backend="eager")
    try:
        traced, plain = graph(inputs), units(module, inputs)
    finally:
        torch.compiler.reset()
    assert list(traced) == list(plain) == list(module.layers)
    for layer, values in plain.items():
        torch.testing.assert_close(traced[layer], values, rtol=1e-4, atol=1e-5)


class Own(nn.Sequential):
    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Conv3d(3, 12, 3), nn.ReLU(), nn.Conv3d(12, 13, 3))


COMPILED = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from torch import nn
from sdbench import Network, studies
from sdbench.assets import AssetStore
from sdbench.engine import measure
from sdbench.networks.action.x3d import X3D
from sdbench.zoo import feed_of
from tests.engine.test_compiling import moved

torch.manual_seed(0)
x3d = X3D(400, depth_factor=0.4)  # its stem, and a block with squeeze and excitation
blocks = nn.Sequential(*x3d.s1.children(), *x3d.s2.children())
network = Network(blocks, replace(feed_of("x3d_xs"), size=64), "x3d", ["0", "1"])
store, study = AssetStore(Path(sys.argv[1]), quiet=True), studies.rendered(8)
plain, found = (measure(network, study, store=store, compiling=word) for word in ("off", "on"))
print(moved(plain, found), found.compiled)
"""


@pytest.mark.slow
def test_shares_do_not_move_when_passes_are_compiled(tmp_path: Path) -> None:
    """The real compiler, on a part of a network and small inputs.

    In a process of its own: it stays in memory, with processes that it starts.

    benchmarks/compare_precision.py does so for every network at full size.
    """
    command = [sys.executable, "-c", COMPILED, str(tmp_path / "cache")]
    settings = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    points, said = done.stdout.split(" ", 1)
    assert said.startswith("compiled, as asked for"), said
    assert float(points) < POINTS


class TestPrecision:
    def test_bfloat16_is_another_measurement_and_near(self, own_store: AssetStore) -> None:
        network, study = Network(Own(), Feed(8, 32), "own", ["0", "2"]), studies.rendered(8)
        keys = [prepare(network, study, None, 0, 0.5, Placement("cpu", p, "off"), own_store).kept.key for p in BOTH]
        assert keys[0] != keys[1]
        exact, coarse = (measure(network, study, store=own_store, precision=p, compiling="off") for p in BOTH)
        assert (exact.precision, coarse.precision) == BOTH
        assert 1e-6 < moved(exact, coarse) < 1
        assert "in bfloat16;" in measurement_sentence(coarse.as_record())
        assert not torch.is_autocast_enabled("cpu")

    def test_words_are_checked(self) -> None:
        with pytest.raises(InputError, match="unknown precision 'bf16'; did you mean bfloat16"):
            Placement(precision="bf16")
        with pytest.raises(InputError, match="tf32 is a mode of CUDA devices; cpu has none"):
            Placement(precision="tf32")
        with pytest.raises(InputError, match="unknown way of compiling 'yes'"):
            Placement(compiling="yes")
        assert (arguments.PRECISIONS, arguments.COMPILING) == (placing.PRECISIONS, placing.COMPILING)

    @pytest.mark.parametrize(("version", "warned"), [(90700, False), (90800, True), (91002, True), (91100, False)])
    def test_a_library_that_is_known_to_be_wrong_is_named(
        self, version: int, warned: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: version)
        said = Placement("cuda", "bfloat16").warning(Own())
        assert (said is not None) == warned
        assert said is None or f"cuDNN {version}" in said
        assert Placement("cuda", "float32").warning(Own()) is None
        assert Placement("cuda", "bfloat16").warning(nn.Linear(3, 3)) is None


def test_what_would_end_the_process_is_refused() -> None:
    leaping = nn.Sequential(nn.Conv3d(3, 4, (5, 1, 1), stride=(8, 1, 1)))
    with pytest.raises(InputError, match=r"^0 is a convolution with a stride \(8\) longer than its kernel \(5\)"):
        Placement("cpu", "bfloat16").warning(leaping)
    assert Placement("cpu", "float32").warning(leaping) is None
    for kernel, stride in ((5, 4), (1, 2), (8, 8)):
        fine = nn.Conv3d(3, 4, (kernel, 1, 1), stride=(stride, 1, 1))
        assert Placement("cpu", "bfloat16").warning(fine) is None


def test_a_choice_is_kept_though_another_process_removes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, wanted = tmp_path / "parts" / "key", Choice(True, "as asked for")
    removed: list[Path] = []

    def lock_of(path: Path) -> Any:
        if not removed:
            removed.append(path)
            folder.rmdir()
            raise FileNotFoundError(path)
        return FileLock(path)

    monkeypatch.setattr(compiling, "FileLock", lock_of)
    assert keep_choice(folder, wanted) == wanted == known_choice(folder)
    assert removed


def test_a_folder_that_cannot_be_kept_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock_of(path: Path) -> Any:
        raise FileNotFoundError(2, "No such file", str(path))

    monkeypatch.setattr(compiling, "FileLock", lock_of)
    with pytest.raises(DiskError, match=r"compiled\.json cannot be written"):
        keep_choice(tmp_path, Choice(True, "as asked for"))
