"""The painter of the paper against what the published one answers, and the files that its models come in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sdbench.base.errors import AssetError, InputError
from sdbench.networks.filled import fill_state_dict
from sdbench.video.fewshot import FewShotPainter, PatchNetwork, pictures, read_patch_network
from tests.conftest import CONFORMANCE, moving_squares
from tests.made.fewshot import FORMS, published_model, save_whole
from tests.made.filled import make_input

CASE = json.loads((CONFORMANCE / "fewshot_generator.json").read_text())
FRAME = moving_squares(1, 24, 32)[0]


@pytest.fixture(scope="module")
def network() -> PatchNetwork:
    module = PatchNetwork().eval()
    fill_state_dict(module, CASE["seed"])
    return module


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_whole(published_model(), tmp_path_factory.mktemp("models") / "model_00020.pth")


def test_its_entries_are_the_published_ones() -> None:
    found = {name: list(value.shape) for name, value in PatchNetwork().state_dict().items()}
    assert list(found.items()) == list(CASE["state_dict"].items())


@torch.no_grad()
def test_it_paints_as_the_published_one(network: PatchNetwork) -> None:
    expected = np.load(CONFORMANCE / "fewshot_generator.npz")
    painted = network(make_input(CASE["inputs"]["image"], CASE["seed"], "image").clamp(-1, 1))
    assert np.abs(painted.numpy() - expected["output"]).max() < 1e-4
    np.testing.assert_array_equal(pictures(painted), expected["picture"])


@pytest.mark.parametrize("form", FORMS)
def test_a_module_that_was_saved_whole_is_read(form: str, network: PatchNetwork, tmp_path: Path) -> None:
    found = read_patch_network(save_whole(published_model(), tmp_path / "model.pth", form))
    assert not found.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("form", [*FORMS, "safetensors"])
def test_a_plain_state_dict_is_read(form: str, network: PatchNetwork, tmp_path: Path) -> None:
    path, state = tmp_path / "model", network.state_dict()
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    found = read_patch_network(path).state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())


@torch.no_grad()
def test_a_frame_is_brought_to_between_minus_one_and_one_and_its_picture_cut(
    network: PatchNetwork, model: Path
) -> None:
    (painted,) = FewShotPainter({"Lynx": model}).paint_frame(FRAME, ["Lynx"])
    image = torch.from_numpy(FRAME.transpose(2, 0, 1).astype(np.float32)[None]) / 127.5 - 1
    values = (network(image)[0].numpy().astype(np.float64) + 1) * 127.5
    assert np.abs(painted.transpose(2, 0, 1) - (values - 0.5)).max() < 0.501, "cut, not rounded"
    assert painted.dtype == np.uint8


def test_each_style_has_a_model_of_its_own_and_threads_do_not_matter(model: Path, tmp_path: Path) -> None:
    other = save_whole(published_model(1), tmp_path / "other.pth")
    painter = FewShotPainter({"Lynx": model, "Zuzka1": other})
    one, two, again = painter.paint_frame(FRAME, ["Lynx", "Zuzka1", "Lynx"])
    assert np.abs(one.astype(int) - two).mean() > 1
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        (with_others,) = painter.paint_frame(FRAME, ["Lynx"])
        assert torch.get_num_threads() != threads, "left as it was"
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one, with_others)


def test_what_does_not_fit_is_named(model: Path) -> None:
    painter = FewShotPainter({"Lynx": model})
    with pytest.raises(InputError, match="unknown style 'Linx'; did you mean Lynx"):
        list(painter.paint_frame(FRAME, ["Linx"]))
    with pytest.raises(InputError, match="has 32 x 22 pixels; the few-shot network needs multiples of 4"):
        list(painter.paint_frame(FRAME[:22], ["Lynx"]))
    with pytest.raises(InputError, match="must be uint8"):
        list(painter.paint_frame(FRAME.astype(np.float32), ["Lynx"]))


def test_another_file_is_named(network: PatchNetwork, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with pytest.raises(AssetError, match=r"no file at .*; expected a model of the few-shot network"):
        read_patch_network(path)
    path.write_text("<!DOCTYPE html><title>Google Drive - Virus scan warning</title>")
    with pytest.raises(AssetError, match="is a web page, not a model"):
        read_patch_network(path)
    state = network.state_dict()
    lacking = {name: value for name, value in state.items() if not name.startswith("resnets.6.conv")}
    torch.save({**lacking, "conv_12.0.bias": torch.zeros(4), "more": torch.zeros(1)}, path)
    with pytest.raises(AssetError, match=r"it lacks resnets\.6\.conv_0\.weight, .* and 3 more; get the file from"):
        read_patch_network(path)
    torch.save({**state, "conv_12.0.bias": torch.full((3,), float("nan"))}, path)
    with pytest.raises(AssetError, match=r"its conv_12\.0\.bias holds values that are no numbers"):
        read_patch_network(path)
    path.write_bytes(b"\x40\x00\x00\x00\x00\x00\x00\x00{broken")
    with pytest.raises(AssetError, match="cannot be read as safetensors"):
        read_patch_network(path)
