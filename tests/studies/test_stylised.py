"""Measuring action networks on stylised data sets, end to end with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sdbench.passes
import torch
from sdbench.measure import Measurement
from sdbench.measure_action import measure_action
from sdbench.zoo.action_preparation import ActionPreparation
from torch import Tensor

from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.data import READERS, StylisedDataset
from sdbench.networks import VideoNetwork, build
from sdbench.report.markdown import measurement_sentence
from tests.made.stylised import make, names, read

X3D = ActionPreparation(frames=4, sampling_rate=12, window=48, short_side=36, crop=32)
SLOWFAST = ActionPreparation(frames=8, sampling_rate=2, window=16, short_side=16, crop=16, alpha=4)
FEW = pytest.mark.filterwarnings("ignore:.*the intervals will be wide")


class Means(VideoNetwork):
    """Colour means and changes from frame to frame of each path; counts its views and can stop after some."""

    layers = ("colour", "change")

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__()
        self.seen, self.stop_after = 0, stop_after
        self.shapes: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()

    def trace(self, **paths: Tensor) -> Iterator[tuple[str, Tensor]]:
        clip = list(paths.values())[-1]
        if self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(clip)
        self.shapes.add(tuple((name, tuple(path.shape[1:])) for name, path in paths.items()))
        yield "colour", clip
        yield "change", (clip[:, :, 1:] - clip[:, :, :-1]).abs()


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", quiet=True)


def dataset(folder: Path, layout: str = "ssv2", videos: int = 12, frames: int = 40) -> StylisedDataset:
    return read(make(folder / layout, layout, dict.fromkeys(names(videos, layout), frames)), layout)


def shares(found: Measurement) -> np.ndarray:
    return np.array([list(found.layer(layer).estimate.shares.values()) for layer in found.layers])


@FEW
@pytest.mark.parametrize("layout", READERS)
def test_a_network_of_the_paper_is_measured_with_both_protocols(
    layout: str, tmp_path: Path, own_store: AssetStore
) -> None:
    torch.manual_seed(0)
    network = build("x3d_xs")
    clips = dataset(tmp_path, layout)
    for protocol in ("published", "corrected"):
        found = measure_action(
            network,
            clips,
            protocol=protocol,
            store=own_store,
            preparation=X3D,
            name="x3d_xs",
            layers=network.layers[:5],
        )
        assert (found.network, found.dataset, found.protocol) == ("x3d_xs", layout, protocol)
        assert found.layers == ("stage1", "stage2", "stage3", "stage4", "stage5")
        assert (found.clips, found.samples, found.resampling) == (12, 12, "95 % intervals by resampling 12 videos")
        assert found.passes <= 24
        for layer in found.layers:
            assert sum(found.layer(layer).estimate.shares.values()) == pytest.approx(100)
            assert found.layer(layer).intervals is not None
        sentence = measurement_sentence(found.as_record())
        assert f"protocol {protocol}" in sentence
        assert ("quirk 1 reproduced" in sentence) is (protocol == "published")
        assert "12 pairs are fewer than 32: the intervals will be wide" in sentence


@FEW
def test_every_distinct_view_costs_one_pass_and_paths_have_their_shapes(tmp_path: Path, own_store: AssetStore) -> None:
    network = Means()
    found = measure_action(
        network, dataset(tmp_path), protocol="corrected", store=own_store, preparation=SLOWFAST, name="means"
    )
    assert network.seen == found.passes == 24
    assert network.shapes == {(("slow", (3, 2, 16, 16)), ("fast", (3, 8, 16, 16)))}
    assert found.pairs == 6
    colour, _ = shares(found)
    assert colour[1] > colour[0], "the colours of a video stay when its frames are shuffled"


@FEW
def test_what_the_network_sees_are_the_frames_of_the_plan(tmp_path: Path, own_store: AssetStore, monkeypatch) -> None:
    seen: list[Tensor] = []
    original = sdbench.passes.units

    def units(module, inputs, layers):
        seen.append(inputs["video"])
        return original(module, inputs, layers)

    monkeypatch.setattr(sdbench.passes, "units", units)
    clips = dataset(tmp_path, "activitynet")
    small = ActionPreparation(frames=4, sampling_rate=4, window=16, short_side=20, crop=20)
    measure_action(Means(), clips, protocol="corrected", store=own_store, preparation=small, name="means")
    views = torch.cat(seen)
    assert len(views) == 24
    for i, video in enumerate(clips.videos):
        first, second = views[2 * i], views[2 * i + 1]
        filmed = {style: small(clips.read(video, style, (0, 5, 10, 15))) for style in clips.styles}
        (style,) = [name for name, clip in filmed.items() if torch.equal(clip, first)]
        if not any(torch.equal(clip, second) for name, clip in filmed.items() if name != style):
            (order,) = [
                p for p in torch.cartesian_prod(*4 * [torch.arange(4)]) if torch.equal(filmed[style][:, p], second)
            ]
            assert sorted(order.tolist()) == [0, 1, 2, 3]
            assert order.tolist() != [0, 1, 2, 3]


@FEW
def test_an_interrupted_measurement_goes_on_where_it_stopped(tmp_path: Path, own_store: AssetStore) -> None:
    clips = dataset(tmp_path)
    options = {"protocol": "corrected", "store": own_store, "preparation": X3D, "name": "means"}
    whole = measure_action(Means(), clips, **options)
    with pytest.raises(KeyboardInterrupt):
        measure_action(Means(stop_after=8), clips, **options)
    network = Means()
    resumed = measure_action(network, clips, **options)
    assert (resumed.resumed, network.seen) == (4, 16)
    np.testing.assert_array_equal(shares(resumed), shares(whole))
    assert not list((own_store.folder / "unfinished").iterdir())


@FEW
def test_an_unreadable_frame_stops_it_and_what_was_done_is_kept(tmp_path: Path, own_store: AssetStore) -> None:
    clips = dataset(tmp_path, "activitynet")
    options = {"protocol": "corrected", "store": own_store, "preparation": X3D, "name": "means"}
    whole = measure_action(Means(), clips, **options)
    folders = [clips.folder / style / clips.videos[7].name for style in clips.styles]
    frames = [folder / "000001.jpg" for folder in folders]
    kept = [frame.read_bytes() for frame in frames]
    for frame in frames:
        frame.write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(InputError, match=r"000001\.jpg cannot be read as a picture .*; replace it and run again"):
        measure_action(Means(), clips, **options)
    for frame, content in zip(frames, kept, strict=True):
        frame.write_bytes(content)
    resumed = measure_action(Means(), clips, **options)
    assert resumed.resumed == 6, "the videos before, in whole batches"
    np.testing.assert_array_equal(shares(resumed), shares(whole))


@FEW
def test_the_seed_decides_the_draws(tmp_path: Path, own_store: AssetStore) -> None:
    clips = dataset(tmp_path)
    options = {"protocol": "corrected", "store": own_store, "preparation": X3D, "name": "means"}
    first, again, other = (shares(measure_action(Means(), clips, seed=seed, **options)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_fewer_than_32_pairs_are_warned_of(tmp_path: Path, own_store: AssetStore) -> None:
    clips = dataset(tmp_path, videos=33, frames=10)
    options = {"protocol": "corrected", "store": own_store, "preparation": X3D, "name": "means"}
    assert measure_action(Means(), clips, **options).notes == ()
    with pytest.warns(UserWarning, match="31 pairs are fewer than 32: the intervals will be wide") as caught:
        found = measure_action(Means(), clips, pairs=31, **options)
    assert found.notes == ("31 pairs are fewer than 32: the intervals will be wide",)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": None, "preparation": None}, "say with name= which network of the paper it is"),
        ({"name": "x3d_xx", "preparation": None}, "unknown action network of the paper 'x3d_xx'"),
        ({"protocol": "balanced"}, "unknown protocol 'balanced'"),
        ({"pairs": 13}, "of 12 videos 13 pairs cannot be drawn"),
        ({"layers": ["colours"]}, "unknown layer 'colours'; did you mean colour"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
    ],
)
def test_options_that_make_no_sense_are_named(tmp_path: Path, own_store: AssetStore, options: dict, said: str) -> None:
    clips = dataset(tmp_path)
    with pytest.raises(InputError, match=said):
        measure_action(Means(), clips, **{"name": "means", "preparation": X3D, "store": own_store, **options})
