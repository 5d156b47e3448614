"""Reading checkpoints: nothing but arrays comes out of a pickle, and what does not fit is listed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sdbench
from sdbench.base.errors import AssetError, InputError
from sdbench.zoo.checkpoints import converted, load_state, read_checkpoint, read_converted, read_safetensors, read_torch
from sdbench.zoo.flax import from_flax_i3d
from sdbench.zoo.pickled import read_pickled_arrays


class Callable:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("true",))


def dump(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


TREE = {
    "params": {"a": {"Conv_0": {"kernel": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 2, 2)}}},
    "batch_stats": {"a": {"BatchNorm_0": {"mean": np.ones((1, 1, 1, 1, 2), np.float32)}}},
}


def test_arrays_are_read(tmp_path: Path) -> None:
    tree = read_pickled_arrays(dump(tmp_path / "a.pkl", TREE))
    np.testing.assert_array_equal(tree["params"]["a"]["Conv_0"]["kernel"], TREE["params"]["a"]["Conv_0"]["kernel"])


@pytest.mark.parametrize("protocol", range(2, 6))
def test_every_pickle_protocol_of_numpy_is_admitted(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"x": np.arange(5.0), "n": np.float32(3)}, protocol))
    np.testing.assert_array_equal(read_pickled_arrays(path)["x"], np.arange(5.0))


def test_a_pickle_that_names_a_callable_is_refused_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match=r"asks for (posix|nt)\.system; only numpy arrays"):
        read_pickled_arrays(dump(tmp_path / "evil.pkl", {"params": Callable()}))


def test_object_arrays_and_damaged_pickles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="entry x holds Python objects"):
        read_pickled_arrays(dump(tmp_path / "o.pkl", {"x": np.array([None, {}], dtype=object)}))
    endless: dict[str, object] = {}
    endless["x"] = endless
    with pytest.raises(AssetError, match="containers that hold themselves"):
        read_pickled_arrays(dump(tmp_path / "endless.pkl", endless))
    path = dump(tmp_path / "cut.pkl", TREE)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(AssetError, match="is not a whole pickle"):
        read_pickled_arrays(path)


def test_flax_names_and_axes_become_torch_ones() -> None:
    state = from_flax_i3d(TREE)
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "a.Conv_0.weight": (2, 2, 1, 2, 3),
        "a.BatchNorm_0.running_mean": (2,),
    }
    with pytest.raises(AssetError, match="unexpected entry params/step"):
        from_flax_i3d({"params": {"step": np.zeros(1)}})


def test_torch_checkpoints_hold_tensors_alone(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "good.pth")
    assert read_torch(tmp_path / "good.pth")["w"].tolist() == [1, 1]
    torch.save({"w": Callable()}, tmp_path / "evil.pth")
    with pytest.raises(AssetError, match="cannot be read as a torch checkpoint of tensors alone"):
        read_torch(tmp_path / "evil.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(AssetError, match="holds list, expected a dict"):
        read_torch(tmp_path / "list.pth")
    dump(tmp_path / "pickle.pth", TREE)
    with pytest.raises(AssetError, match="is not a checkpoint as torch writes it"):
        read_torch(tmp_path / "pickle.pth")


def test_a_checkpoint_is_converted_once_and_a_bad_copy_made_anew(tmp_path: Path, monkeypatch) -> None:
    path = dump(tmp_path / "a.pkl", TREE)
    calls = []

    def counted(given: Path, network: str, options: object) -> dict[str, torch.Tensor]:
        calls.append(given)
        return read_checkpoint(given, network)

    monkeypatch.setattr("sdbench.zoo.checkpoints.read_checkpoint", counted)
    for _ in range(2):
        state = read_converted(path, "i3d_inception", tmp_path / "converted")
    state = {name: value.clone() for name, value in state.items()}
    assert len(calls) == 1
    (copy,) = (tmp_path / "converted").glob("*.safetensors")
    copy.write_bytes(copy.read_bytes()[:-4] + b"\0\0\0\0")
    again = read_converted(path, "i3d_inception", tmp_path / "converted")
    assert len(calls) == 2
    assert all(torch.equal(again[name], state[name]) for name in state)
    copy.write_bytes(b"short")
    with pytest.raises(AssetError, match="cannot be read as safetensors"):
        read_safetensors(copy)


def test_what_is_converted_keeps_kinds_and_shapes(tmp_path: Path) -> None:
    state = {"half": torch.ones(2, 3).half(), "counter": torch.tensor(5), "view": torch.arange(6.0).reshape(2, 3).T}
    for _ in range(2):
        found = converted(tmp_path, "source", "network", {}, lambda: state)
        assert found.keys() == state.keys()
        for name, value in state.items():
            assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
            assert torch.equal(found[name], value)


def test_everything_that_does_not_fit_is_listed() -> None:
    state = {"weight": torch.zeros(3, 3), "extra": torch.zeros(1)}
    with pytest.raises(AssetError) as caught:
        load_state(nn.Linear(2, 2), state, "the checkpoint x")
    message = str(caught.value)
    for part in ("3 entries", "missing bias", "left over extra", "weight has shape (3, 3), expected (2, 2)"):
        assert part in message


def test_entries_that_may_lack_keep_their_values() -> None:
    module = nn.Linear(2, 2)
    bias = module.bias.detach().clone()
    load_state(module, {"weight": torch.ones(2, 2)}, "the checkpoint x", spare=("bias",))
    assert torch.equal(module.weight, torch.ones(2, 2))
    assert torch.equal(module.bias, bias)
    with pytest.raises(AssetError, match=r"1 entries.*missing weight"):
        load_state(module, {}, "the checkpoint x", spare=("bias",))


def test_own_weights_can_be_loaded(tmp_path: Path) -> None:
    state = sdbench.build("transnetv2").state_dict()
    torch.save(state, tmp_path / "own.pth")
    loaded = sdbench.load("transnetv2", weights=tmp_path / "own.pth")
    assert torch.equal(loaded.state_dict()["fc1.weight"], state["fc1.weight"])
    with pytest.raises(InputError, match="no checkpoint at"):
        sdbench.load("transnetv2", weights=tmp_path / "missing.pth")
    with pytest.raises(InputError, match="did you mean transnetv2"):
        sdbench.load("transnet")
