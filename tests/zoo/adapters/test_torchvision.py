"""Video networks of torchvision, untrained: units are the means of what the library's own modules answer."""

from __future__ import annotations

import hashlib
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
models = pytest.importorskip("torchvision.models", reason="torchvision is not here", exc_type=ImportError)

SMALL = {"frames": 4, "size": 64}
CHANNELS_LAST = {"swin3d_t": SMALL}
CHANNELS_FIRST = {"r3d_18": SMALL, "mc3_18": SMALL, "r2plus1d_18": SMALL, "s3d": {"frames": 16, "size": 224}}
TOKENS: dict[str, dict[str, Any]] = {"mvit_v1_b": {}, "mvit_v2_s": {}}


def opened(name: str, **asked: Any) -> sdbench.Network:
    return network_named(f"torchvision:{name}", store=AssetStore(quiet=True), **{"untrained": 0, **asked})


def clip(feed: sdbench.Feed, seed: int) -> dict[str, torch.Tensor]:
    frames = np.random.default_rng(seed).integers(0, 256, (feed.frames, 2 * feed.side, 3 * feed.side, 3), np.uint8)
    return feed(frames)


@pytest.mark.parametrize("name", [*CHANNELS_FIRST, *CHANNELS_LAST, *TOKENS])
def test_units_are_means_of_what_the_stages_answer(name: str) -> None:
    network = opened(name, feed={**CHANNELS_FIRST, **CHANNELS_LAST, **TOKENS}[name])
    answers: dict[str, Any] = {}
    for layer in network.read:
        part = network.module.get_submodule(layer.name)
        part.register_forward_hook(
            lambda _m, _i, output, key=layer.name: answers.update(
                {key: (output[0] if isinstance(output, tuple) else output).clone()}
            )
        )
    inputs = clip(network.feed, 0)
    units = sdbench.units(network.module, inputs, network.read, feed=network.feed)
    over = {**dict.fromkeys(CHANNELS_FIRST, (2, 3, 4)), **dict.fromkeys(CHANNELS_LAST, (1, 2, 3))}.get(name, (1,))
    assert len(units) >= 5
    for key, values in units.items():
        torch.testing.assert_close(values, answers[key].mean(over), rtol=1e-5, atol=1e-6)


def test_stages_and_their_widths() -> None:
    def widths(name: str, **feed: Any) -> list[int]:
        network = opened(name, feed=feed)
        return [v.shape[1] for v in sdbench.units(network.module, clip(network.feed, 0), network.read).values()]

    assert widths("r3d_18", **SMALL) == [64, 64, 128, 256, 512]
    assert widths("swin3d_t", **SMALL) == [96, 96, 192, 384, 768]
    assert widths("s3d", frames=16, size=224) == [64, 192, 480, 832, 1024]


@pytest.mark.parametrize(
    ("name", "frames", "stride", "size", "short_side", "mean"),
    [
        ("r3d_18", 16, 2, 112, 128, (0.43216, 0.394666, 0.37645)),
        ("s3d", 32, 2, 224, 256, (0.43216, 0.394666, 0.37645)),
        ("mvit_v2_s", 16, 4, 224, 256, (0.45, 0.45, 0.45)),
        ("swin3d_b", 32, 2, 224, 256, (0.485, 0.456, 0.406)),
    ],
)
def test_fed_as_the_library_feeds_it(
    name: str, frames: int, stride: int, size: int, short_side: int, mean: tuple[float, ...]
) -> None:
    feed = opened(name).feed
    assert (feed.frames, feed.stride, feed.size, feed.short_side, feed.mean) == (frames, stride, size, short_side, mean)
    assert (feed.order, feed.argument) == ("BCTHW", "x")


def test_pixels_are_those_of_the_librarys_transforms() -> None:
    feed = opened("swin3d_t").feed
    # Smooth pictures: the library rounds to 8 bits after it has resized.
    rows, columns = np.mgrid[0:300, 0:400]
    frames = np.stack([(rows / 2 + columns / 4 + t) % 200 for t in range(32)]).astype(np.uint8)
    frames = np.repeat(frames[..., None], 3, axis=3)
    transform = models.video.Swin3D_T_Weights.DEFAULT.transforms()
    theirs = transform(torch.from_numpy(frames).permute(0, 3, 1, 2))
    difference = (feed(frames)["x"][0] - theirs).abs()
    assert float(difference.max()) <= 0.51 / 255 / 0.224 + 1e-4


def test_layers_by_glob_keep_their_axes() -> None:
    network = opened("swin3d_t", feed=SMALL, layers=["features.*.0", "norm"])
    assert {layer.axes for layer in network.read if layer.name.startswith("features.0")} == {"BTHWC"}
    assert network.read[-1] == sdbench.Layer("norm", "BTHWC")
    told = sdbench.units(network.module, clip(network.feed, 1), network.read, feed=network.feed)
    assert told["features.0.0"].shape == (1, 96)
    seen = sdbench.units(network.module, clip(network.feed, 1), ["features.0.0"], feed=network.feed)
    torch.testing.assert_close(seen["features.0.0"], told["features.0.0"])


def test_untrained_follows_from_the_seed_and_says_so() -> None:
    one, same, other = opened("r3d_18"), opened("r3d_18"), opened("r3d_18", untrained=1)
    assert one.weights == same.weights != other.weights
    assert "untrained: the architecture with fresh weights of seed 0" in one.notes


def cached(folder: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, torch.Tensor], named: str = "") -> Path:
    """Weights in torch's cache, and a list of the library that names them."""
    monkeypatch.setenv("TORCH_HOME", str(folder))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    checkpoints = folder / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(content, checkpoints / "written.pth")
    digest = hashlib.sha256((checkpoints / "written.pth").read_bytes()).hexdigest()
    path = (checkpoints / "written.pth").rename(checkpoints / f"r3d_18-{named or digest[:8]}.pth")
    first = models.video.R3D_18_Weights.DEFAULT

    class Known(models.WeightsEnum):  # type: ignore[misc, name-defined]
        KINETICS400_V1 = models.Weights(f"https://weights.invalid/{path.name}", first.transforms, first.meta)
        DEFAULT = KINETICS400_V1

    monkeypatch.setattr(models, "get_model_weights", lambda name: Known)
    return path


def test_weights_in_the_cache_are_read_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = opened("r3d_18", untrained=3)
    path = cached(tmp_path, monkeypatch, fresh.module.state_dict())
    network = opened("r3d_18", untrained=None, trained_on="kinetics400_v1")
    assert network.weights == fresh.weights
    assert network.assets == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    assert any("KINETICS400_V1" in note for note in network.notes)


def test_weights_that_are_not_what_their_name_says_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(tmp_path, monkeypatch, {"a": torch.zeros(1)}, named="00000000")
    with pytest.raises(sdbench.AssetError, match=r"is damaged: its SHA-256 begins with .*, not with 00000000"):
        opened("r3d_18", untrained=None)


def test_weights_of_another_network_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(tmp_path, monkeypatch, {"a": torch.zeros(1)})
    with pytest.raises(sdbench.AssetError, match="does not hold the weights of this version"):
        opened("r3d_18", untrained=None)


def test_offline_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    with pytest.raises(sdbench.AssetError, match=r"offline .* r3d_18-.*\.pth is not in .*--untrained"):
        opened("r3d_18", untrained=None)


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("r3d_81", {}, "did you mean r3d_18"),
        ("r3d_18", {"trained_on": "kinetics"}, "unknown set of weights 'kinetics'; did you mean KINETICS400_V1"),
        ("r3d_18", {"layers": ["layer9"]}, "unknown layer 'layer9'; did you mean layer"),
        ("r3d_18", {"weights": "own.pth"}, "weights says nothing of a network of torchvision"),
        ("mvit_v1_b", {"feed": {"frames": 8}}, "has learnt positions of 16 frames of 224 x 224 pixels"),
    ],
)
def test_what_cannot_be_opened(name: str, asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(sdbench.InputError, match=sentence):
        opened(name, **asked)


def test_measured_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path))
    words = "--untrained --frames 4 --size 32 --scenes 4 --workers 0 --layers layer1,layer4"
    assert main(["measure", "torchvision:r3d_18", *words.split()]) == 0
    printed = capsys.readouterr().out
    assert "torchvision squeezes frames to 128 x 171 pixels" in printed
    assert "layer4" in printed


def test_listed_by_the_command(capsys: Any) -> None:
    assert main(["layers", "torchvision:swin3d_t", "--frames", "4", "--size", "64"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("features.6"))
    assert row.split() == ["features.6", "(1,", "2,", "2,", "2,", "768)", "BTHW[C]", "768"]
