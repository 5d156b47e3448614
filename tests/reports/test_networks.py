"""Public reports of networks that answered something else than they seemed to, told in our own words.

The network of each is the smallest that shows it; what is right follows from a network that cannot go wrong in the same
way.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx
import torch.utils.checkpoint
from torch import Tensor, nn

import sdbench
from sdbench import Feed, InputError, Measurement, Network
from sdbench.assets import AssetStore
from sdbench.base.warned import SdbenchWarning
from sdbench.cli import main
from sdbench.engine import measure, passes
from sdbench.engine.measuring import PARTS
from sdbench.engine.written import content_of
from sdbench.networks import VideoNetwork
from sdbench.report import measurements_page
from sdbench.report.markdown import measurement_sentence
from tests.made.studies import NoiseStudy

FEED = Feed(4, 8, mean=0.5, std=0.5)
SAMPLES = 24
"""Of three inputs each: two parts, of 66 and of 6 inputs."""


class Plain(nn.Module):
    """Two convolutions, each clip by itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv3d(3, 8, (1, 4, 4), stride=(1, 4, 4))
        self.act: Any = nn.ReLU()
        self.last: Any = nn.Conv3d(8, 8, (2, 1, 1))

    def forward(self, video: Tensor) -> Tensor:
        answer: Tensor = self.last(self.act(self.stem(video)))
        return answer


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)


def measured(module: nn.Module, store: AssetStore, layer: str = "last", **options: Any) -> Measurement:
    """Measured in this process, with the whole of each part in one batch."""
    network = Network(module, options.pop("feed", FEED), layers=[sdbench.Layer(layer, axes="BCTHW")])
    return measure(network, NoiseStudy(SAMPLES), store=store, workers=0, compiling="off", **options)


def shares(found: Measurement) -> dict[str, float]:
    (layer,) = found.layers
    return dict(found.layer(layer).estimate.shares)


class OfBatch(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.BatchNorm3d(8, track_running_stats=False)


class LessTheMean(Plain):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video - video.mean(0, keepdim=True))


class TrainsItself(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.BatchNorm3d(8)

    def forward(self, video: Tensor) -> Tensor:
        self.act.train()
        return super().forward(video)


class Drops(Plain):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(video))  # in eval mode too: training is True by default


class DrawsOfNumPy(Plain):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video * float(np.random.rand()))


class DrawsOfPython(Plain):
    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video.roll(random.randrange(4), 2))


class DropsPathsRarely(Plain):
    def forward(self, video: Tensor) -> Tensor:
        kept = torch.rand(len(video), 1, 1, 1, 1) < 0.98  # whatever the mode is
        return super().forward(video * kept)


class Counts(Plain):
    passes = 0

    def forward(self, video: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(video * self.passes)


UNSOUND = [
    (OfBatch, "depends on the other clips of its batch"),
    (LessTheMean, "depends on the other clips of its batch"),
    (TrainsItself, "depends on the other clips of its batch"),
    (Drops, "answers the same clip differently each time"),
    (DrawsOfNumPy, "answers the same clip differently each time"),
    (DrawsOfPython, "answers the same clip differently each time"),
    (DropsPathsRarely, "answers the same clip differently each time"),
    (Counts, "depends on what it saw before"),
]


@pytest.mark.parametrize(("kind", "sentence"), UNSOUND)
def test_answers_that_depend_on_more_than_the_clip(
    kind: Callable[[], nn.Module], sentence: str, own_store: AssetStore, tmp_path: Path
) -> None:
    """facebookresearch/mmf #720, ArrowLuo/CLIP4Clip #12, WangFeng18/Swin-Transformer #7: one clip, several answers."""
    module = kind()
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(InputError, match=sentence) as caught:
        measured(module, own_store)
    assert "--unchecked" in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(part.training for part in module.modules())
    found = measured(kind(), own_store, unchecked=True)
    assert any(note.startswith("unchecked, as asked for: ") and sentence in note for note in found.notes)
    assert sentence in measurement_sentence(found.as_record())
    assert any(sentence in note for note in content_of(found)["measurement"]["notes"])
    measurements_page([found], tmp_path / "page.html")
    assert sentence in (tmp_path / "page.html").read_text()


class DrawsForNothing(Plain):
    def forward(self, video: Tensor) -> Tensor:
        torch.rand(1)
        return super().forward(video)


class SeedsItself(Plain):
    def forward(self, video: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(video + torch.rand(1))


@pytest.mark.parametrize("kind", [DrawsForNothing, SeedsItself])
def test_random_numbers_that_change_nothing_are_no_chance(kind: Callable[[], nn.Module], own_store: AssetStore) -> None:
    """The same reports from the other side: what is drawn and not used is named, a network's own seed is its own."""
    found = measured(kind(), own_store)
    assert any("draws random numbers, which changed nothing in" in of for of in found.notes) == (
        kind is DrawsForNothing
    )


class ListsItsLayers(VideoNetwork):
    """One's own, of the suite's kind."""

    layers = ("last",)

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def trace(self, *args: Any, **inputs: Any) -> Iterator[tuple[str, Tensor]]:
        yield "last", self.inside(**inputs)


@pytest.mark.parametrize(("kind", "sentence"), [UNSOUND[0], UNSOUND[3], UNSOUND[-1]])
def test_networks_that_list_their_layers_are_checked_too(
    kind: Callable[[], nn.Module], sentence: str, own_store: AssetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same reports, of a network of another library or one's own in the clothes of the suite's."""
    monkeypatch.setattr(sdbench.networks.network, "OWNERS", frozenset({"sdbench", "torch"}))
    study = NoiseStudy(SAMPLES)
    with pytest.raises(InputError, match=sentence):
        measure(Network(ListsItsLayers(kind()), FEED), study, store=own_store, workers=0, compiling="off")
    assert not Network(ListsItsLayers(kind()), FEED).is_known
    sound = measure(Network(ListsItsLayers(Plain()), FEED), study, store=own_store, workers=0, compiling="off")
    assert "self-check: 3 passes" in sound.check
    assert shares(sound) == shares(measured(Plain(), own_store))
    assert Network(sdbench.build("x3d_xs"), FEED).is_known


def test_numbers_that_depend_on_the_batch_are_those_of_one_size(own_store: AssetStore) -> None:
    """The same reports again: parts of other batches are not gone on with, and no batch is halved."""

    class Interrupted(OfBatch):
        left = 99

        def forward(self, video: Tensor) -> Tensor:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().forward(video)

    module = Interrupted()
    module.left = 7  # two for the axes, four of the self-check, and the first part
    with pytest.raises(KeyboardInterrupt):
        measured(module, own_store, unchecked=True, batch_size=66)
    assert len(list((own_store.folder / PARTS).rglob("*.safetensors"))) == 1
    assert measured(Interrupted(), own_store, unchecked=True, batch_size=33).resumed == 0
    assert measured(Interrupted(), own_store, unchecked=True, batch_size=66).resumed == 22


def test_numbers_do_not_depend_on_the_batch(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same reports, of a network that is sound: batches of any size give its numbers."""
    right = shares(measured(Plain(), own_store))
    assert shares(measured(Plain(), own_store, batch_size=5)) == pytest.approx(right, rel=1e-5)
    monkeypatch.setattr(passes, "_MOST_INPUTS", 3)
    found = measured(Plain(), own_store)
    assert shares(found) == pytest.approx(right, rel=1e-5)
    assert "self-check: 3 passes" in found.check
    assert found.passes == 3 * SAMPLES, "those of the self-check are counted apart"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), RuntimeError(
    "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes."
)])  # fmt: skip
def test_a_batch_that_memory_does_not_hold_is_halved(error: BaseException, own_store: AssetStore) -> None:
    """Cadene/vqa.pytorch #46, openvax/mhcflurry #366: one batch that was too large, and nothing came of the rest."""

    class Tight(Plain):
        most, largest = 5, 0

        def forward(self, video: Tensor) -> Tensor:
            if len(video) > self.most:
                raise error
            self.largest = max(self.largest, len(video))
            return super().forward(video)

    module = Tight()
    with pytest.warns(SdbenchWarning) as said:
        found = measured(module, own_store)
    assert [str(each.message).partition(" (")[0] for each in said] == [
        f"memory does not hold {whole} inputs of Tight at once; it goes on with {half}"
        for whole, half in ((66, 33), (33, 17), (17, 9), (9, 5))
    ]
    assert shares(found) == pytest.approx(shares(measured(Plain(), own_store)), rel=1e-5)
    assert module.largest == 5
    module.most = 0
    with pytest.raises(InputError, match=r"memory does not hold one pass of Tight.* use fewer --frames"):
        measured(module, own_store)


def test_a_state_dict_may_hold_other_things_than_tensors(own_store: AssetStore) -> None:
    """huggingface/accelerate #1246: what was written for tensors met an entry of a state dict that is none."""

    class Extra(Plain):
        state: Any = None

        def get_extra_state(self) -> Any:
            return self.state

        def set_extra_state(self, state: Any) -> None:
            self.state = state

    right = shares(measured(Plain(), own_store))
    hashes = set()
    for state in ({"version": 2}, {"version": 3}, [1, b"x", None, {4}], np.arange(3), torch.zeros(2).to_sparse()):
        module = Extra()
        module.state = state
        found = measured(module, own_store)
        assert shares(found) == right
        hashes.add(found.weights)
    assert len(hashes) == 5, "what differs is another network"


class Bank(Plain):
    """Keeps a running mean of what it saw."""

    bank: Tensor

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("bank", torch.zeros(8))
        self.hidden: Tensor | None = None

    def forward(self, video: Tensor) -> Tensor:
        x = self.stem(video)
        if self.how == "in place":
            self.bank.mul_(0.5).add_(x[0].mean((1, 2, 3)))
        elif self.how == "behind its back":
            self.bank.data.add_(1.0)
        elif self.how == "another":
            self.bank = self.bank + 1
        elif self.how == "mode":
            self.act.train()
        elif self.how == "hook":
            self.act.register_forward_hook(lambda *_given: None)
        else:
            self.hidden = x if self.hidden is None else self.hidden.mean() + x
        answer: Tensor = self.last(self.act(x))
        return answer


@pytest.mark.parametrize("how", ["in place", "behind its back", "another", "attribute", "mode", "hook"])
def test_a_module_comes_back_as_given(how: str, own_store: AssetStore) -> None:
    """A promise of our own: whatever forward passes leave behind in a module is undone, by value."""
    module = Bank(how)
    bank = module.bank
    found = measured(module, own_store)
    assert shares(found) == shares(measured(Plain(), own_store))
    assert module.bank is bank
    assert not bank.any()
    assert module.hidden is None
    assert module.training
    assert module.act.training
    assert not module.act._forward_hooks
    changed = [note for note in found.notes if "changes its bank: every pass began with what was given" in note]
    assert bool(changed) == (how in ("in place", "behind its back", "another"))


class CapturesInside(Plain):
    """Hooks its own parts at its first pass, and then believes that they are."""

    is_hooked = False

    def forward(self, video: Tensor) -> Tensor:
        self.held: list[Tensor] = []
        if not self.is_hooked:
            self.act.register_forward_hook(lambda _part, _given, answer: self.held.append(answer))
            self.is_hooked = True
        self.act(self.stem(video))
        answer: Tensor = self.last(self.held[0])
        return answer


def test_hooks_that_a_network_sets_once_are_set_again(own_store: AssetStore) -> None:
    """huggingface/transformers #48081: hidden states are captured by hooks that are set once, at a first pass."""
    module = CapturesInside()
    assert shares(measured(module, own_store)) == shares(measured(Plain(), own_store))
    assert not module.is_hooked
    assert not module.act._forward_hooks


class Checkpointed(Plain):
    def forward(self, video: Tensor) -> Any:
        return torch.utils.checkpoint.checkpoint(super().forward, video, use_reentrant=False)


def compiled(part: bool) -> nn.Module:
    """Compiled by a backend that compiles nothing, and used before."""
    module: Any = Plain()
    if part:
        module.act = torch.compile(module.act, backend="eager")
    else:
        module = torch.compile(module, backend="eager")
    with torch.no_grad():
        module(torch.zeros(66, 3, 4, 8, 8))
    made: nn.Module = module
    return made


def compiled_function() -> nn.Module:
    """A function inside was compiled, which no module says, and used before."""
    module: Any = Plain()
    last = module.last

    def behind(x: Tensor) -> Any:
        return last(x)

    used = torch.compile(behind, backend="eager", dynamic=True)
    module.act = torch.nn.Sequential(nn.ReLU())
    module.forward = lambda video: used(module.act(module.stem(video)))
    with torch.no_grad():
        for clips in (2, 3, 66):
            module.eval()(torch.zeros(clips, 3, 4, 8, 8))
    made: nn.Module = module
    return made


class Holding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = torch.jit.trace(Plain(), torch.zeros(2, 3, 4, 8, 8))

    def forward(self, video: Tensor) -> Any:
        return self.last(video)


def exported() -> nn.Module:
    return torch.export.export(Plain(), (torch.zeros(2, 3, 4, 8, 8),)).module()


def lazy() -> nn.Module:
    module = Plain()
    module.last = nn.LazyConv3d(8, 1)
    return module


@pytest.mark.slow
def test_wrappers_and_compilers_change_no_number(own_store: AssetStore) -> None:
    """pytorch/pytorch #95617, #117758, meta-pytorch/captum #165: hooks of compiled or wrapped modules did not run."""
    right = shares(measured(Plain(), own_store))
    for module, layer in (
        (nn.DataParallel(Plain()), "module.last"),
        (compiled(part=False), "_orig_mod.last"),
        (compiled(part=True), "last"),
        (compiled_function(), "last"),
        (torch.fx.symbolic_trace(Plain()), "last"),
        (Checkpointed(), "last"),
        (Plain().double(), "last"),
    ):
        assert shares(measured(module, own_store, layer)) == pytest.approx(right, rel=1e-4), type(module)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda: torch.jit.trace(Plain(), torch.zeros(2, 3, 4, 8, 8)), "lies in TorchScript, which lets nothing be"),
        (Holding, "lies in TorchScript, which lets nothing be"),
        pytest.param(exported, "was exported or traced into a graph", marks=pytest.mark.slow),
        (lazy, "last.weight of Plain is lazy: it has no values before the first forward pass"),
        (lambda: Plain().to("meta"), "stem.weight of Plain is on the meta device"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_cause(
    make: Callable[[], nn.Module], cause: str, own_store: AssetStore
) -> None:
    """pytorch/pytorch #34329: in some kinds of modules hooks never run, and nothing says so."""
    with pytest.raises(InputError, match=cause):
        measured(make(), own_store)


def test_batches_that_a_network_does_not_take_are_not_made(own_store: AssetStore) -> None:
    """fastai/fastai #1750, open-edge-platform/anomalib #2883: a `squeeze` takes a batch of one for none."""

    class One(Plain):
        def forward(self, video: Tensor) -> Tensor:
            (clip,) = video
            return super().forward(clip[None])

    class Several(Plain):
        def forward(self, video: Tensor) -> Tensor:
            return super().forward(video.squeeze(0) if len(video) == 1 else video)

    right = shares(measured(Plain(), own_store))
    found = measured(One(), own_store)
    assert shares(found) == pytest.approx(right, rel=1e-5)
    assert any("One takes one clip at a time" in note for note in found.notes)
    assert shares(measured(Several(), own_store, batch_size=5)) == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda module: module.half(), "float16"),
        (lambda module: module.bfloat16(), "bfloat16"),
        (lambda module: module.double(), "float64"),
        (lambda module: module, "float32"),
    ],
)
def test_the_precision_that_is_reported_was_used(
    change: Callable[[nn.Module], nn.Module], seen: str, own_store: AssetStore
) -> None:
    """huggingface/transformers #21681: the precision that is said of a model is not the one it has."""
    found = measured(change(Plain()), own_store)
    assert found.precision == seen
    assert f"; in {seen};" in measurement_sentence(found.as_record())
    assert shares(found) == pytest.approx(shares(measured(Plain(), own_store)), rel=0.02)


class Window(Plain):
    """Looks at the first frames alone; is interrupted after some passes."""

    window: Tensor

    def __init__(self, frames: int = 4, act: Any = torch.relu, left: int | None = None) -> None:
        super().__init__()
        del self.act
        self.act, self.left = act, left
        self.register_buffer("window", (torch.arange(4) < frames).float().view(1, 1, -1, 1, 1), persistent=False)

    def forward(self, video: Tensor) -> Tensor:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return super().forward(video * self.window)


class Brighter(Feed):
    def normalise(self, frames: Any, crop: int = 0) -> Tensor:
        return super().normalise(frames, crop) + 1


CHANGES: dict[str, tuple[Callable[[], nn.Module], Feed]] = {
    "a buffer that is not saved": (lambda: Window(1), FEED),
    "an activation function": (lambda: Window(act=torch.tanh), FEED),
    "an activation function that is nearly the same": (lambda: Window(act=lambda x: torch.relu(x) * 1.001), FEED),
    "preprocessing": (Window, Brighter(4, 8, mean=0.5, std=0.5)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_parts_of_another_network_are_not_gone_on_with(change: str, own_store: AssetStore) -> None:
    """EleutherAI/lm-evaluation-harness #4063, #2715: what was cached was of another model than the one at hand."""
    with pytest.raises(KeyboardInterrupt):
        measured(Window(left=6), own_store)  # two for the axes, three of the self-check, and the first part
    assert len(list((own_store.folder / PARTS).rglob("*.safetensors"))) == 1
    make, feed = CHANGES[change]
    found = measured(make(), own_store, feed=feed)
    assert found.resumed == 0
    assert shares(found) == shares(measured(make(), own_store, feed=feed))
    again = measured(Window(), own_store)
    assert again.resumed == 22, "the first part waited for the network that it is of"
    assert "22 of 24 samples are from an earlier run, interrupted or a slice" in measurement_sentence(again.as_record())
    assert content_of(again)["measurement"]["resumed"] == 22
    assert shares(again) == shares(measured(Window(), own_store))
    assert not list((own_store.folder / PARTS).glob("*/*"))


def test_a_network_of_chance_is_not_gone_on_with(own_store: AssetStore) -> None:
    """The same reports: two runs of it are no single one."""

    class Chance(Window):
        def forward(self, video: Tensor) -> Tensor:
            return super().forward(nn.functional.dropout(video))

    with pytest.raises(KeyboardInterrupt):
        measured(Chance(left=8), own_store, unchecked=True)
    assert measured(Chance(), own_store, unchecked=True).resumed == 0


@pytest.mark.parametrize("counts", [False, True])
def test_what_is_nothing_but_rounding_is_refused(counts: bool, own_store: AssetStore) -> None:
    """Means over an instance norm are 0 whatever it is shown, also where the pass changes the module besides."""

    class Normed(Plain):
        passes: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.act = nn.InstanceNorm3d(8)
            self.register_buffer("passes", torch.zeros(()))

        def forward(self, video: Tensor) -> Tensor:
            if counts:
                self.passes += 1
            return super().forward(video)

    with pytest.raises(InputError, match=r"the channels of layer act of Normed average to 0 in every clip"):
        measured(Normed(), own_store, "act")
    said = " ".join(measured(Normed(), own_store, "stem").notes)
    assert ("changes its passes" in said) == counts, "the layer before is measured"


def failing(raised: BaseException) -> type[Plain]:
    class Failing(Plain):
        def forward(self, video: Tensor) -> Tensor:
            raise raised

    return Failing


@pytest.mark.parametrize(
    "raised",
    [AttributeError("no such"), ZeroDivisionError("by zero"), SystemExit("no licence"), OSError(2, "no file"),
     NotImplementedError(), StopIteration(), ValueError("a shape"), BaseException("of no kind")],
    ids=lambda raised: type(raised).__name__,
)  # fmt: skip
def test_whatever_a_network_raises_is_a_sentence_with_its_line(raised: BaseException, own_store: AssetStore) -> None:
    """pytorch/pytorch #33934: an error in the user's own code came out with words and a line of another place."""
    line = failing(raised)().forward.__code__.co_firstlineno + 1
    with pytest.raises(InputError, match=rf"{type(raised).__name__}: .*test_networks\.py, line {line}\)") as caught:
        measured(failing(raised)(), own_store)
    assert caught.value.__cause__ is raised


def test_the_traceback_is_shown_where_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same: --debug shows where, before the words of a command or behind them."""
    source = (
        "import torch\nclass Net(torch.nn.Sequential):\n    def forward(self, video):\n        return self.nowhere\n"
    )
    (tmp_path / "wrong.py").write_text(f"{source}def build():\n    return Net(torch.nn.Linear(2, 2))\n")
    monkeypatch.chdir(tmp_path)
    words = ["layers", "wrong.py:build", "--frames", "4", "--size", "8"]
    for given, shown in ((words, False), (["--debug", *words], True), ([*words, "--debug"], True)):
        assert main(given) == 1
        said = capsys.readouterr().err
        assert "AttributeError: 'Net' object has no attribute 'nowhere'; wrong.py, line 4" in said
        assert ("Traceback (most recent call last)" in said) == shown
        assert ("--debug shows the traceback" in said) != shown
