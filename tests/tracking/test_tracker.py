"""Measuring a network while it is trained: the training does not notice, and the history is kept."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sdbench
from sdbench import AssetError, Feed, InputError, Network, Tracker, studies
from sdbench.assets import AssetStore
from sdbench.engine.written import content_of
from sdbench.tracking.undisturbed import undisturbed

FEED = Feed(4, 16)


class Small(nn.Module):
    """Convolutions, batch norm and dropout: what a training leaves in a module, and draws at random."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm3d(6)
        self.top = nn.Conv3d(6, 5, 3, padding=1)

    def forward(self, video: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(video)))
        x = torch.nn.functional.dropout(x, 0.3, self.training)
        return self.top(x).mean(dim=(2, 3, 4))


def tracker(module: nn.Module, path: Path | None = None, **options) -> Tracker:
    network = Network(module, FEED, "small", ["conv", "top"])
    return Tracker(network, options.pop("study", studies.rendered(9)), path=path, **options)


def trained(step: Callable[[int, Small], object], steps: int = 4) -> dict[str, bytes]:
    """All that a training leaves: weights, gradients, what its optimiser holds, modes, and what is drawn next."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    module = Small().train()
    module.norm.eval()  # a mode of its own
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.05)
    for number in range(steps):
        video = torch.randn(5, 3, 4, 16, 16)
        loss = torch.nn.functional.cross_entropy(module(video), torch.randint(5, (5,)))
        loss.backward()
        if number % 2:  # gradients of two steps are added up, and the tracker comes between them
            nn.utils.clip_grad_norm_(module.parameters(), 0.1)
            optimiser.step()
            optimiser.zero_grad()
        step(number, module)
    left = {name: value.numpy().tobytes() for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        left[f"{name}.grad"] = b"" if parameter.grad is None else parameter.grad.numpy().tobytes()
        left[f"{name}.layout"] = str((parameter.stride(), parameter.requires_grad)).encode()
        for key, value in optimiser.state[parameter].items():
            left[f"{name}.{key}"] = value.numpy().tobytes()
    left["modes"] = str([part.training for part in module.modules()]).encode()
    left["drawn"] = str((torch.rand(3), random.random(), np.random.rand())).encode()
    return left


def test_the_training_is_bit_for_bit_what_it_is_without() -> None:
    found: list[Tracker] = []

    def step(number: int, module: Small) -> None:
        if not found:
            found.append(tracker(module))
        assert found[0].step(number) is not None
        torch.rand(1)  # a disturbed generator would draw something else here

    def without(number: int, module: Small) -> None:
        torch.rand(1)

    assert trained(step) == trained(without)
    shares = [record["layers"]["top"]["shares"]["static"] for record in found[0].history]
    assert [record["step"] for record in found[0].history] == [0, 1, 2, 3]
    assert len(set(shares)) > 1, "the network has changed, and so has what is measured"


def test_what_is_measured_is_the_module_as_it_is_now() -> None:
    torch.manual_seed(0)
    module = Small().train()
    tracked = tracker(module)
    tracked.step(0)
    with torch.no_grad():
        module.conv.weight.mul_(-1)
    record = tracked.step(1)
    assert record is not None
    found = sdbench.measure(tracked.network, studies.rendered(9), workers=0, compiling="off")
    assert record["layers"] == content_of(found)["layers"]
    assert record["layers"] != tracked.history[0]["layers"]
    assert tracked.history[0]["measurement"]["weights"] != record["measurement"]["weights"]
    assert module.training


def test_every_says_which_steps(tmp_path: Path) -> None:
    tracked = tracker(Small(), every=3)
    measured = [number for number in range(8) if tracked.step(number) is not None]
    assert measured == [record["step"] for record in tracked.history] == [0, 3, 6]


def test_the_history_is_kept_and_goes_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, path = Small(), tmp_path / "track.json"
    first = tracker(module, path)
    for number in range(3):
        first.step(number)
        with torch.no_grad():
            module.conv.weight.add_(0.1 * torch.randn_like(module.conv.weight))
    again = tracker(module, path)
    assert again.history == first.history
    again.step(3)
    assert [record["step"] for record in tracker(module, path).history] == [0, 1, 2, 3]
    again.step(1)
    assert [record["step"] for record in again.history] == [0, 1], "the training went back"
    assert not list(tmp_path.glob(".*")), "nothing half written is left"


def test_the_file_is_one_that_compare_reads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, path = Small(), tmp_path / "track.json"
    tracked = tracker(module, path)
    tracked.step(0)
    with torch.no_grad():
        module.conv.weight.copy_(torch.randn_like(module.conv.weight))
    tracked.step(5)
    found = sdbench.compare(path, f"{path}@0")
    assert found.paired
    assert (found.one, found.other) == ("small (track.json)", "small (track.json, step 0)")
    now, before = (record["layers"]["top"]["shares"]["static"] for record in reversed(tracked.history))
    assert found.layer("top").values["static"] == pytest.approx(now - before)
    assert sdbench.compare(f"{path}@5:top", f"{path}@0:conv").paired
    with pytest.raises(InputError, match="holds no step 3; its steps are 0, 5"):
        sdbench.compare(f"{path}@3", path)
    tracked.picture(tmp_path / "track.png")
    assert (tmp_path / "track.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_tracked_is_told(tmp_path: Path) -> None:
    module, path = Small(), tmp_path / "track.json"
    with pytest.raises(InputError, match=r"expected sdbench.Network\(module, feed\) of the module that is trained"):
        Tracker("i3d")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="every must be a positive whole number of steps; got 0"):
        tracker(module, every=0)
    empty = tracker(module)
    for use in (empty.save, empty.picture):
        with pytest.raises(InputError, match=r"nothing was measured yet: call tracker.step\(0\)"):
            use(tmp_path / "a")
    tracker(module, path).step(0)
    with pytest.raises(InputError, match="holds the history of small, not the history of other: name another file"):
        Tracker(Network(module, FEED, "other", ["conv"]), path=path)
    for change in ({"study": studies.rendered(10)}, {"seed": 1}, {"layers": ["conv"]}):
        changed = tracker(module, path, **change)
        with pytest.raises(InputError, match="is of another study, another seed or other layers: name another file"):
            changed.step(1)
    content = json.loads(path.read_text())
    del content["history"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="holds a measurement of small, not the history of small"):
        tracker(module, path)


def test_without_a_study_it_is_two_hundred_rendered_scenes(tmp_path: Path) -> None:
    tracked = Tracker(Network(Small(), FEED, "small", ["top"]), store=AssetStore(tmp_path, quiet=True))
    record = tracked.step(0)
    assert record is not None
    assert record["measurement"]["samples"] == 200
    assert record["measurement"]["dataset"].startswith("rendered")
    assert record["layers"]["top"]["intervals"]["static"][0] < record["layers"]["top"]["shares"]["static"]


def test_a_library_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdbench.zoo.adapters.extras.find_spec", lambda _: None)
    with pytest.raises(
        AssetError, match=r'lightning is not installed; get it with: pip install "sdbench\[lightning\]"'
    ):
        tracker(Small()).lightning()
    with pytest.raises(AssetError, match=r'accelerate is not installed; get it with: pip install "sdbench\[trainer\]"'):
        tracker(Small()).trainer()
    with pytest.raises(InputError, match="unknown way of counting 'epochs'; did you mean epoch"):
        tracker(Small()).lightning(by="epochs")  # type: ignore[arg-type]


def legacy() -> np.ndarray:
    """The state of numpy's own generator."""
    return np.asarray(np.random.get_state()[1])  # type: ignore[index]


def test_what_is_drawn_meanwhile_is_not_missed_afterwards() -> None:
    """A study of one's own may draw from the generators of everybody."""
    module = Small()
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    before = (torch.get_rng_state().clone(), random.getstate(), legacy().copy())
    with undisturbed(module):
        torch.rand(3)
        random.random()
        np.random.rand()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    np.testing.assert_array_equal(legacy(), before[2])
