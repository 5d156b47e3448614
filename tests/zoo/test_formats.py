"""Every published format, written from random weights and read back bit for bit.

`tests/networks/test_action_networks.py` shows that networks with these weights answer as the published ones do; one is
asked here too.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import sdbench
from sdbench.base.errors import AssetError, InputError
from sdbench.networks import build, units
from sdbench.zoo import model, read_checkpoint
from sdbench.zoo.caffe2 import caffe2_name
from sdbench.zoo.pytorchvideo import from_pytorchvideo
from tests.made.filled import fill_state_dict, make_input
from tests.networks.test_action_networks import AGREEMENT, CASES, CONFORMANCE, described, filled, our_layer

CAFFE2 = json.loads((CONFORMANCE / "caffe2_names.json").read_text(encoding="utf-8"))
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def published_state(case: str) -> State:
    return filled(described(case)["state_dict"])


def is_loaded(module: torch.nn.Module, state: State) -> None:
    """Every entry has these values, but for the counters of batches, which a checkpoint need not have."""
    own = module.state_dict()
    assert {name for name in own if not name.endswith("num_batches_tracked")} <= state.keys() <= own.keys()
    assert not [name for name, value in state.items() if not torch.equal(own[name], value)]


def agrees(module: torch.nn.Module, case: str) -> None:
    """Its layers are those of the published network with the same weights."""
    description = described(case)
    inputs = {entry: make_input(shape, 0, entry)[:1] for entry, shape in description["inputs"].items()}
    read = units(module, inputs)
    with np.load(CONFORMANCE / f"{case}.npz") as published:
        for layer in published.files:
            theirs, ours = published[layer], read[our_layer(layer, case)].numpy()
            assert np.abs(ours - theirs[:1]).max() / theirs.std() < AGREEMENT, layer


class _Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike as Python 2 writes its strings."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self: Any, text: str | bytes) -> None:
        content = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(text)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


def write_torch(state: State, path: Path) -> None:
    torch.save(state, path)


def write_pyth(state: State, path: Path) -> None:
    """As PySlowFast saves it: with the state of the optimiser, which may hold a number of numpy's."""
    optimiser = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": np.float64(0.1)}]}
    content = {"epoch": 3, "model_state": OrderedDict(state), "optimizer_state": optimiser, "cfg": "MODEL: {}\n"}
    torch.save(content, path)


def write_legacy(state: State, path: Path) -> None:
    torch.save({"model_state": OrderedDict(state)}, path, _use_new_zipfile_serialization=False)


def write_data_parallel(state: State, path: Path) -> None:
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, path)


def caffe2_blobs(state: State, network: str) -> dict[str, Any]:
    blobs = {blob: state[ours].numpy() for blob, ours in CAFFE2[network].items()}
    blobs |= {"lr": np.float32(0.1), "model_iter": np.int64(7), "conv1_w_momentum": blobs["conv1_w"]}
    return blobs


def write_caffe2(state: State, path: Path, network: str) -> None:
    path.write_bytes(pickle.dumps({"blobs": caffe2_blobs(state, network)}))


def write_caffe2_of_bytes(state: State, path: Path, network: str) -> None:
    blobs = {name.encode(): value for name, value in caffe2_blobs(state, network).items()}
    path.write_bytes(pickle.dumps({b"blobs": blobs}))


def write_caffe2_of_python2(state: State, path: Path, network: str) -> None:
    # Caffe2's classifiers and other 1 x 1 convolutions may come without their last axes.
    blobs = caffe2_blobs(state, network)
    blobs["res2_0_branch1_w"] = blobs["res2_0_branch1_w"][..., 0, 0, 0]
    with path.open("wb") as file:
        _Python2Pickler(file, protocol=2).dump({"blobs": blobs})


@pytest.mark.parametrize("writer", [write_torch, write_pyth, write_legacy, write_data_parallel])
def test_torch_checkpoints(tmp_path: Path, writer: Callable) -> None:
    path, state = tmp_path / "x3d_xs.pyth", published_state("x3d_xs")
    writer(state, path)
    module = sdbench.load("x3d_xs", weights=path)
    is_loaded(module, state)
    agrees(module, "x3d_xs")


@pytest.mark.parametrize(
    ("case", "writer"),
    [
        ("i3d", write_caffe2),
        ("slow_r50_8x8", write_caffe2_of_bytes),
        ("slow_r50_4x16", write_caffe2_of_python2),
        ("slowfast_r50_4x16", write_caffe2),
    ],
)
@pytest.mark.slow
def test_caffe2_checkpoints(tmp_path: Path, case: str, writer: Callable) -> None:
    path, state = tmp_path / "weights.pkl", published_state(case)
    writer(state, path, case)
    is_loaded(sdbench.load(case, weights=path), state)


def test_the_python2_writer_writes_what_only_latin1_reads(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    write_caffe2_of_python2(published_state("slow_r50_4x16"), path, "slow_r50_4x16")
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(path.read_bytes())
    assert "conv1_w" in pickle.loads(path.read_bytes(), encoding="latin1")["blobs"]


@pytest.mark.parametrize("network", CAFFE2)
def test_the_rule_gives_every_published_caffe2_name(network: str) -> None:
    assert {blob: caffe2_name(blob) for blob in CAFFE2[network]} == CAFFE2[network]
    with torch.device("meta"):
        entries = set(build(network).state_dict())
    assert {name for name in entries if not name.endswith("num_batches_tracked")} == set(CAFFE2[network].values())


@pytest.mark.slow
def test_a_pkl_file_that_is_a_torch_archive(tmp_path: Path) -> None:
    path, state = tmp_path / "SLOWFAST_16x8_R50.pkl", published_state("slowfast_ssv2_16x8")
    write_pyth(state, path)
    is_loaded(sdbench.load("slowfast_r50_16x8", weights=path), state)


@pytest.mark.parametrize("case", ["slow_ssv2_r50_8x8", "slowfast_ssv2_r50_8x8"])
@pytest.mark.slow
def test_pytorchvideo_checkpoints(tmp_path: Path, case: str) -> None:
    state = published_state(case)
    path = tmp_path / "weights.pyth"
    write_pyth(state, path)
    is_loaded(sdbench.load(CASES[case][0], weights=path, trained_on="ssv2"), from_pytorchvideo(state))


@pytest.fixture
def _one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """TimeSformer has one block instead of twelve, which are alike."""
    monkeypatch.setattr("sdbench.networks.action.timesformer._DEPTH", 1)


def names_of_one_block(entries: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    others = tuple(f"model.blocks.{number}." for number in range(1, 12))
    return {name: shape for name, shape in entries.items() if not name.startswith(others)}


@pytest.mark.usefixtures("_one_block")
def test_timesformer_with_its_prefix_and_twice_as_many_times(tmp_path: Path) -> None:
    """The nearest of 16 entries that stand in pairs are the 8 that they were made of."""
    state = filled(names_of_one_block(described("timesformer")["state_dict"]))
    assert all(name.startswith("model.") for name in state)
    twice = state["model.time_embed"].repeat_interleave(2, dim=1)
    write_pyth({**state, "model.time_embed": twice}, tmp_path / "TimeSformer.pyth")
    is_loaded(sdbench.load("timesformer_8x32", weights=tmp_path / "TimeSformer.pyth"), state)


@pytest.mark.usefixtures("_one_block")
def test_timesformer_of_eight_frames_without_its_prefix(tmp_path: Path) -> None:
    state = small_state("timesformer_8x32", 174)
    bare = {name.removeprefix("model."): value for name, value in state.items()}
    write_pyth(bare, tmp_path / "TimeSformer.pyth")
    loaded = sdbench.load("timesformer_16x8", weights=tmp_path / "TimeSformer.pyth").state_dict()
    twice = state["model.time_embed"].repeat_interleave(2, dim=1)
    assert all(torch.equal(loaded[name], value) for name, value in {**state, "model.time_embed": twice}.items())


def test_safetensors_are_read_whatever_their_ending(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = published_state("x3d_xs")
    save_file(state, tmp_path / "weights.pyth")
    read = read_checkpoint(tmp_path / "weights.pyth", "x3d_xs")
    assert all(torch.equal(read[name], value) for name, value in state.items())


@pytest.mark.parametrize("network", ["mvit_b_16x4", "x3d_l"])
def test_our_own_names_are_kept(tmp_path: Path, network: str) -> None:
    state = small_state(network)
    write_pyth(state, tmp_path / "weights.pyth")
    loaded = sdbench.load(network, weights=tmp_path / "weights.pyth").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_c2d_of_pytorchvideo_counts_its_pooling_as_a_block(tmp_path: Path) -> None:
    module = build("c2d")
    fill_state_dict(module, 0)
    theirs = {}
    for name, value in module.state_dict().items():
        stage, _, inside = name.replace("pathway0_", "").partition(".")
        block = {"s1": 0, "s2": 1, "s3": 3, "s4": 4, "s5": 5, "head": 6}[stage]
        inside = inside.replace("stem.conv", "conv").replace("stem.bn", "norm").replace("projection", "proj")
        inside = inside.replace("branch1_bn", "branch1_norm") if "_bn" in inside else inside
        inside = inside.replace("branch1.", "branch1_conv.").replace("res", "res_blocks.")
        for step in "abc":
            inside = inside.replace(f"branch2.{step}.", f"branch2.conv_{step}.")
            inside = inside.replace(f"branch2.{step}_bn.", f"branch2.norm_{step}.")
        theirs[f"blocks.{block}.{inside}"] = value
    write_pyth(theirs, tmp_path / "C2D_8x8_R50.pyth")
    loaded = sdbench.load("c2d", weights=tmp_path / "C2D_8x8_R50.pyth").state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in module.state_dict().items())


class Calling:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("true",))


def small_state(network: str = "x3d_xs", num_classes: int = 400) -> State:
    return build(network, num_classes=num_classes).state_dict()


def test_weights_of_another_number_of_classes_are_refused(tmp_path: Path) -> None:
    write_pyth(small_state("slow_r50_8x8", 174), tmp_path / "ssv2.pyth")
    with pytest.raises(AssetError) as caught:
        sdbench.load("slow_r50_8x8", weights=tmp_path / "ssv2.pyth")
    for part in (
        "2 entries (0 missing, 0 left over, 2 of another shape)",
        "head.projection.weight has shape (174, 2048), expected (400, 2048)",
        "it knows 174 classes, the network 400",
    ):
        assert part in str(caught.value)
    assert sdbench.load("slow_r50_8x8", weights=tmp_path / "ssv2.pyth", trained_on="ssv2")


@pytest.mark.parametrize(("writer", "file"), [(write_torch, "a.pyth"), (write_caffe2, "a.pkl")])
def test_weights_of_another_network_are_refused(tmp_path: Path, writer: Callable, file: str) -> None:
    state = small_state("i3d")
    writer(state, tmp_path / file, *(("i3d",) if writer is write_caffe2 else ()))
    with pytest.raises(AssetError, match=r"does not fit X3D.*missing s1.*it seems to be a checkpoint of another"):
        sdbench.load("x3d_xs", weights=tmp_path / file)
    with pytest.raises(
        AssetError, match=r"6[05] missing, 0 left over.*missing s3.pathway0_nonlocal1.conv_theta.weight"
    ):
        sdbench.load("i3d_nln", weights=tmp_path / file)


def test_pytorchvideo_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    write_torch({"blocks.0.conv.conv_t.weight": torch.zeros(1)}, tmp_path / "a.pyth")
    with pytest.raises(AssetError, match=r"a\.pyth: unexpected entry blocks\.0\.conv\.conv_t\.weight in a"):
        sdbench.load("slow_r50_8x8", weights=tmp_path / "a.pyth")


@pytest.mark.parametrize(
    ("writer", "said"),
    [
        (write_pyth, "is cut off: a zip archive without its end"),
        (write_legacy, "cannot be read as a torch checkpoint.*if it is cut off"),
        (lambda state, path: write_caffe2(small_state("i3d"), path, "i3d"), "is not a whole pickle"),
    ],
)
def test_truncated_checkpoints_are_refused(tmp_path: Path, writer: Callable, said: str) -> None:
    path = tmp_path / "weights"
    writer(small_state(), path)
    whole = path.read_bytes()
    for part in (0.3, 0.9):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(AssetError, match=said):
            sdbench.load("x3d_xs", weights=path)


def test_pickles_that_name_a_callable_are_refused_and_not_run(tmp_path: Path) -> None:
    evil = {"model_state": {"x": Calling()}, "blobs": {"x": Calling()}}
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(evil))
    torch.save(evil, tmp_path / "evil.pyth")
    torch.save(evil, tmp_path / "old.pyth", _use_new_zipfile_serialization=False)
    for name in ("evil.pkl", "evil.pyth", "old.pyth"):
        with pytest.raises(AssetError, match=r"asks for (posix|nt)\.system.*get the file from its publisher"):
            sdbench.load("x3d_xs", weights=tmp_path / name)


def test_other_files_are_refused_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner/C2D.pkl", b"weights")
    with pytest.raises(AssetError, match=r"is a zip archive of inner/C2D\.pkl, not a checkpoint.*unpack it first"):
        sdbench.load("c2d", weights=path)
    path.write_bytes(b"\n<!DOCTYPE html><html>Sign in</html>")
    with pytest.raises(AssetError, match="is a web page, not a checkpoint"):
        sdbench.load("c2d", weights=path)
    path.write_bytes(pickle.dumps({"weights": np.zeros(1)}))
    with pytest.raises(AssetError, match=r"pickle of a dict with the keys weights; expected .* blobs"):
        sdbench.load("c2d", weights=path)
    path.write_bytes(pickle.dumps([np.zeros(1)]))
    with pytest.raises(AssetError, match=r"pickle of a list; expected"):
        sdbench.load("c2d", weights=path)
    path.write_bytes(pickle.dumps({"blobs": {"pred_w": "text"}}))
    with pytest.raises(AssetError, match=r"blob pred_w is a str; expected an array"):
        sdbench.load("c2d", weights=path)
    path.write_bytes(b"")
    with pytest.raises(AssetError, match="is not a whole pickle"):
        sdbench.load("c2d", weights=path)


def test_one_architecture_has_several_weights() -> None:
    assert model("slow_r50_8x8").asset == "slow_r50_8x8_kinetics400"
    assert model("slow_r50_8x8", "ssv2").build().state_dict()["head.projection.bias"].shape == (174,)
    assert model("fast_r50_8x8", "diving48").build().state_dict()["head.projection.bias"].shape == (48,)
    assert model("slowfast_r50_16x8_multigrid").architecture == "slowfast_r50_16x8"
    video = torch.zeros(1, 3, 4, 32, 32)
    lengths = {name: dict(model(name).build().trace(video))["stage5"].shape[2] for name in ("c2d", "c2d_nopool")}
    assert lengths == {"c2d": 2, "c2d_nopool": 4}
    with pytest.raises(InputError, match=r"no weights of x3d_xs trained on 'ssv2' are known; known: kinetics400"):
        model("x3d_xs", "ssv2")
