"""Networks that are right by construction: what is measured of them must be what was built in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.engine import LayerMeasurement, measure
from sdbench.networks import Network
from sdbench.studies.rendered_study import RenderedStudy, RenderedVideos
from sdbench.video.feed import Feed
from sdbench.video.render import Motion, Path, draw_appearance, render
from tests.made.known_networks import (
    ColourNetwork,
    JoinedNetwork,
    MixedNetwork,
    MotionNetwork,
    expected_classes,
    expected_shares,
    motion_statistics,
)

FEED = Feed(frames=8, size=32)
SHOWN: dict[str, Any] = {"textures": ("noise", "blobs", "checks"), "looks": ("field",)}
PROPORTIONS = np.tile([0.1, 0.3, 0.7, 0.9, 0.8, 0.65, 0.2, 0.75], 4)


@pytest.fixture(scope="module")
def settled() -> tuple[ColourNetwork, MotionNetwork]:
    generator = np.random.default_rng(99)
    population = RenderedVideos(300, generator, size=(32, 32), frames=8, **SHOWN)
    clips = [FEED(population.clip(population.scene(i)).frames)["video"] for i in range(population.count)]
    colours, motion = ColourNetwork(32, generator), MotionNetwork(32, generator)
    colours.settle(clips)
    motion.settle(clips)
    return colours, motion


@pytest.fixture(scope="module")
def measured(
    settled: tuple[ColourNetwork, MotionNetwork], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, LayerMeasurement]:
    colours, motion = settled
    store = AssetStore(tmp_path_factory.mktemp("store"), quiet=True)
    networks = (MixedNetwork(colours, motion, PROPORTIONS), JoinedNetwork(colours, motion))
    found = [measure(Network(module, FEED), RenderedStudy(500, **SHOWN), store=store) for module in networks]
    return {**{name: found[0].layer(name) for name in found[0].layers}, "joined": found[1].layer("joined")}


@pytest.mark.parametrize(
    ("layer", "static"),
    [
        ("colours", np.ones(32)),
        ("motion", np.zeros(32)),
        ("joined", np.repeat([1.0, 0.0], 32)),
        ("mixed", PROPORTIONS),
    ],
)
@pytest.mark.slow
def test_measured_is_what_was_built(measured, layer: str, static: np.ndarray) -> None:
    found = measured[layer]
    right = found.estimate.unit_labels == expected_classes(static)
    assert right.mean() >= 0.98
    for name, share in expected_shares(static).items():
        assert found.estimate.shares[name] == pytest.approx(share, abs=1.0)
        assert found.intervals.shares[name].half_width < 1.5


def test_motion_is_told_in_pixels_whatever_the_texture() -> None:
    generator = np.random.default_rng(1)
    moved = {
        Path((0.7, -0.4)): (0.7, -0.4, 0, 0),
        Path(turn=0.03): (0, 0, 0.48, 0),
        Path(growth=-0.02): (0, 0, 0, -0.32),
    }
    for path, expected in moved.items():
        for texture in ("noise", "blobs", "leaves"):
            clip = render(draw_appearance((texture,), generator, (32, 32), ("field",)), Motion("", path), (32, 32), 6)
            found = motion_statistics(Feed(frames=6, size=32)(clip.frames)["video"])[0].numpy()
            np.testing.assert_allclose(found, expected, atol=0.12)


def test_colours_do_not_see_places_nor_order() -> None:
    generator = np.random.default_rng(2)
    network = ColourNetwork(8, generator)
    video = torch.from_numpy(generator.random((2, 3, 4, 6, 6))).float()
    shuffled = video[:, :, [2, 0, 3, 1]].flatten(3)[..., torch.randperm(36)].reshape(video.shape)
    torch.testing.assert_close(network(video), network(shuffled))


def test_motion_does_not_see_contrast_nor_brightness() -> None:
    generator = np.random.default_rng(3)
    network = MotionNetwork(8, generator)
    video = torch.from_numpy(generator.random((2, 3, 4, 8, 8)))
    torch.testing.assert_close(network.double()(video), network(0.3 * video + 5))


def test_a_blank_clip_has_no_motion() -> None:
    assert not motion_statistics(torch.ones(1, 3, 4, 16, 16)).any()


def test_shares_by_hand() -> None:
    powers = np.exp([0.75, 0.25, 1.0])
    assert list(expected_shares([0.5, 0.0]).values()) == pytest.approx(100 * powers / powers.sum())
    assert list(expected_classes([0.5, 0.2, 0.8])) == ["residual", "dynamic", "static"]
    assert list(expected_classes([0.5], threshold=0.4)) == ["joint"]


def test_bad_input_is_named() -> None:
    generator = np.random.default_rng(4)
    colours, motion = ColourNetwork(4, generator), MotionNetwork(5, generator)
    with pytest.raises(InputError, match="4 static and 5 dynamic units"):
        MixedNetwork(colours, motion, [0.5] * 4)
    with pytest.raises(InputError, match=r"got 0 to 1\.5"):
        MixedNetwork(colours, MotionNetwork(4, generator), [0, 0.5, 1, 1.5])
    with pytest.raises(InputError, match="at least 2 clips; got 1"):
        colours.settle([torch.zeros(1, 3, 4, 8, 8)])
