"""Image networks of timm, untrained and small, shown frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdbench
from sdbench.assets import AssetStore
from sdbench.cli import main
from sdbench.zoo import network_named

pytestmark = pytest.mark.adapters
timm = pytest.importorskip("timm", reason="timm is not here, or not beside a torchvision", exc_type=ImportError)

SMALL = {"frames": 3, "size": 64}
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": SMALL,
    "convnext_atto": SMALL,
    "mobilenetv3_small_050": SMALL,
    "vit_tiny_patch16_224": {"frames": 2},
    "swin_tiny_patch4_window7_224": {"frames": 2},
}


def opened(name: str, **asked: Any) -> sdbench.Network:
    return network_named(f"timm:{name}", store=AssetStore(quiet=True), **{"untrained": 0, **asked})


def clips(feed: sdbench.Feed, count: int) -> tuple[dict[str, torch.Tensor], list[np.ndarray]]:
    """One batch of several clips, and their frames."""
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (feed.frames, feed.side, feed.side, 3), np.uint8) for _ in range(count)]
    return {"x": torch.cat([feed(one)["x"] for one in frames])}, frames


@pytest.mark.parametrize("name", NETWORKS)
def test_units_are_means_of_what_timm_answers_to_each_frame(name: str) -> None:
    network = opened(name, feed=NETWORKS[name])
    feed = network.feed
    inputs, _ = clips(feed, 2)
    units = sdbench.units(network.module, inputs, network.read, feed=feed)
    # timm's own way to its features, whatever the submodules answer, has the channels second.
    with torch.no_grad():
        features = network.module.forward_intermediates(  # type: ignore[operator]
            inputs["x"], intermediates_only=True, norm=False, output_fmt="NCHW"
        )
    assert len(units) == len(network.read)
    wide = {values.shape[1] for values in units.values()}
    assert wide <= {of["num_chs"] for of in network.module.feature_info}  # type: ignore[union-attr]
    theirs = [one.mean((2, 3)).reshape(2, feed.frames, -1).mean(1) for one in features]
    matched = [
        any(one.shape == values.shape and torch.allclose(one, values, rtol=1e-4, atol=1e-5) for one in theirs)
        for values in units.values()
    ]
    if name.startswith("vit"):  # their features leave out the class token, which units include
        answers: dict[str, torch.Tensor] = {}
        for layer in network.read:
            network.module.get_submodule(layer.name).register_forward_hook(
                lambda _m, _i, output, key=layer.name: answers.update({key: output})
            )
        with torch.no_grad():
            network.module(inputs["x"])
        for key, values in units.items():
            torch.testing.assert_close(values, answers[key].reshape(2, -1, values.shape[1]).mean(1))
        return
    assert all(matched), dict(zip(units, matched, strict=True))


def test_order_of_frames_is_not_seen() -> None:
    network = opened("resnet18", feed=SMALL)
    inputs, frames = clips(network.feed, 2)
    shuffled = {"x": torch.cat([network.feed(one[[2, 0, 1]])["x"] for one in frames])}
    one, other = (sdbench.units(network.module, given, network.read, feed=network.feed) for given in (inputs, shuffled))
    for layer, values in one.items():
        torch.testing.assert_close(other[layer], values, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(values[0], values[1], rtol=1e-3)


def test_fed_as_timm_evaluates() -> None:
    feed = opened("resnet18").feed
    assert (feed.frames, feed.size, feed.short_side, feed.resample, feed.order) == (8, 224, 235, "bicubic", "(BT)CHW")
    assert feed.mean == (0.485, 0.456, 0.406)
    assert opened("vgg11", layers=["features.0"]).feed.resample == "area"


def test_channels_innermost_are_found_inside_stages_too() -> None:
    network = opened("swin_tiny_patch4_window7_224", feed={"frames": 2}, layers=["layers.1.blocks.0", "layers.3"])
    assert [layer.axes for layer in network.read] == ["(BT)HWC", "(BT)HWC"]
    inputs, _ = clips(network.feed, 1)
    units = sdbench.units(network.module, inputs, network.read, feed=network.feed)
    assert [values.shape[1] for values in units.values()] == [192, 768]


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("resnet81", {}, "unknown network of timm 'resnet81'; did you mean resnet"),
        ("resnet18.moon", {}, "unknown tag of resnet18 in timm 'moon'"),
        ("hf-hub:some/one", {}, "not of timm's own list"),
        ("resnet18", {"layers": ["layer9"]}, "unknown layer 'layer9'"),
        ("resnet18", {"revision": "x"}, "revision says nothing of a network of timm"),
        ("test_vit", {"feed": {"size": 50}}, r"test_vit does not take what it is fed, x of shape \(2, 3, 50, 50\)"),
    ],
)
def test_what_cannot_be_opened(name: str, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(sdbench.InputError, match=sentence):
        opened(name, **asked)


def test_offline_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(sdbench.AssetError, match="the weights of timm:resnet18 are not in the cache"):
        opened("resnet18", untrained=None)


def test_measured_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path))
    words = "--untrained --frames 2 --size 32 --scenes 4 --workers 0"
    assert main(["measure", "timm:resnet18", *words.split()]) == 0
    assert "frame by frame: units are means over the frames of a clip" in capsys.readouterr().out
