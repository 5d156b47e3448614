"""Controls: what is static by construction, and what is expected to be motion."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from torch import Tensor

import sdbench
from sdbench import AssetError, Feed, InputError, Measurement, estimate, studies, units
from sdbench.assets import AssetStore
from sdbench.networks import Network
from sdbench.zoo import network_named
from tests.conftest import moving_squares

SMALL = {"frames": 8, "size": 32}


def clip(seed: int = 0, frames: int = 8, size: int = 32) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((1, 3, frames, size, size), dtype=np.float32))


def frame_average() -> Network:
    return network_named("control:frame_average", feed=SMALL)


def measured(network: Network, scenes: int) -> Measurement:
    return sdbench.measure(network, studies.rendered(scenes), workers=0, compiling="off")


def test_a_clip_and_its_shuffle_are_the_same_to_an_average_of_frames() -> None:
    network, video = frame_average(), clip()
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    filmed, shuffled = (units(network.module, {"video": shown}) for shown in (video, video[:, :, order]))
    other = units(network.module, {"video": clip(1)})
    assert list(filmed) == ["conv1", "conv2", "conv3", "conv4", "average"]
    for layer, values in filmed.items():
        torch.testing.assert_close(shuffled[layer], values, rtol=0, atol=1e-6)
        assert (other[layer] - values).abs().max() > 1e-3, "another clip is something else"


def test_its_weights_are_the_same_everywhere() -> None:
    one, other = frame_average(), frame_average()
    assert one.weights == other.weights
    values = units(one.module, {"video": torch.ones(1, 3, 8, 32, 32)}, ["average"])["average"][0]
    assert values[[0, 4]].tolist() == pytest.approx([0.7442486, 0.1744089], abs=1e-5)


@pytest.mark.assets
def test_shuffled_static_pairs_give_what_equal_ones_give(store: AssetStore, tmp_path) -> None:
    """Every unit's static score is then 1 exactly, and the share is that of the variance of the first members."""
    own = AssetStore(tmp_path, quiet=True)
    own.add("styles26", store.path("styles26"))
    videos = {f"clip{i:02d}": moving_squares(8, 32, 32, seed=i) for i in range(9)}
    study = studies.clips(videos, store=own)
    network = frame_average()
    found = sdbench.measure(network, study, store=own, workers=0, compiling="off").layer("average").estimate
    scores = found.unit_scores["static"]
    np.testing.assert_allclose(scores[np.isfinite(scores)], 1, atol=1e-4)
    assert np.isfinite(scores).sum() > 48
    assert found.unit_classes["dynamic"] == found.unit_classes["residual"] == 0
    plan = study.plan(network.feed, 0)
    first, second = [], []
    for sample in plan.samples:
        filmed, painted, _shuffled = units(network.module, study.draw(sample, network.feed), ["average"])["average"]
        first.append(filmed.numpy())
        second.append(painted.numpy())
    exact = estimate(first + first, second + first, ["dynamic"] * len(first) + ["static"] * len(first))
    assert found.shares == pytest.approx(exact.shares, abs=1e-3)


def test_an_average_of_frames_is_far_more_static_than_dynamic() -> None:
    shares = measured(frame_average(), 16).layer("average").estimate.shares
    assert shares["static"] > shares["dynamic"] + 15


def test_a_control_has_nothing_else_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="unknown control 'frames_average'; did you mean frame_average"):
        network_named("control:frames_average")
    with pytest.raises(InputError, match="untrained says nothing of a control: its weights are fixed"):
        network_named("control:frame_average", untrained=0)
    with pytest.raises(InputError, match="order, argument, alpha and flow say nothing of it"):
        network_named("control:frame_average", feed={"order": "BTCHW"})
    monkeypatch.setattr("sdbench.zoo.adapters.extras.find_spec", lambda _: None)
    with pytest.raises(AssetError, match=r'moten is not installed; get it with: pip install "sdbench\[moten\]"'):
        network_named("control:motion_energy")


@pytest.fixture
def motion_energy() -> Network:
    pytest.importorskip("moten", reason="pymoten is not installed: nox -s adapters tries it")
    return network_named("control:motion_energy", feed={"frames": 8, "size": 32})


@pytest.mark.adapters
def test_energies_are_those_of_pymoten(motion_energy: Network) -> None:
    pyramids = importlib.import_module("moten.pyramids")
    video = clip(size=32)
    luminance = torch.einsum("bcthw,c->bthw", video, torch.tensor([0.2126, 0.7152, 0.0722]))[0].double().numpy()
    moving = (luminance - luminance.mean(axis=0)) / luminance.std(ddof=1)
    pyramid = pyramids.MotionEnergyPyramid((32, 32), 24, [2, 4, 8], [2, 4, 8, 16], filter_temporal_width=8)
    expected = np.asarray(pyramid.project_stimulus(moving)).mean(axis=0)
    frequencies = np.array([of["temporal_freq"] for of in pyramid.filters])
    read = units(motion_energy.module, {"video": video})
    assert list(read) == ["energy.2hz", "energy.4hz", "energy.8hz", "energy"]
    for cycles in (2, 4, 8):
        found = read[f"energy.{cycles}hz"][0].numpy()
        np.testing.assert_allclose(found, expected[frequencies == cycles], atol=1e-3)
    torch.testing.assert_close(read["energy"], torch.cat([read[f"energy.{c}hz"] for c in (2, 4, 8)], dim=1))


@pytest.mark.adapters
def test_what_stands_still_has_no_energy_and_contrast_does_not_matter(motion_energy: Network) -> None:
    video = clip()
    still = video[:, :, :1].expand(-1, -1, 8, -1, -1)
    energy = {
        name: units(motion_energy.module, {"video": shown}, ["energy"])["energy"]
        for name, shown in (("moving", video), ("faint", 0.3 + 0.2 * video), ("still", still))
    }
    torch.testing.assert_close(energy["faint"], energy["moving"], atol=1e-3, rtol=0)
    assert energy["still"].max() < -6
    assert energy["moving"].mean() > 0


@pytest.mark.adapters
def test_motion_energy_has_a_part_of_motion_and_an_average_of_frames_has_none(motion_energy: Network) -> None:
    energy = measured(network_named("control:motion_energy"), 64).layer("energy").variance
    average = measured(frame_average(), 64).layer("average").variance
    assert energy is not None
    assert energy.intervals is not None
    assert average is not None
    assert average.intervals is not None
    assert energy.intervals["motion"].low > 0.5
    assert average.intervals["motion"].low < 0 < average.intervals["motion"].high
    assert energy.parts["appearance"] > energy.parts["motion"], "what moves decides more than how"
    assert motion_energy.feed == Feed(8, 32, 0.0, 1.0)
