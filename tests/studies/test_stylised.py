"""Measuring action networks on stylised data sets, end to end with random weights."""

from __future__ import annotations

import linecache
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sdbench import Feed, InputError, Measurement, Network, measure, studies
from sdbench.assets import AssetStore
from sdbench.data import READERS, StylisedDataset
from sdbench.data.layouts import STYLE_FOLDERS
from sdbench.networks import VideoNetwork, build
from sdbench.report.markdown import measurement_sentence
from sdbench.studies.stylised_study import StylisedStudy
from tests.made.stylised import make, names, read

X3D = Feed(4, 32, window=48, short_side=36, resample="bilinear")
SLOWFAST = Feed(8, 16, window=16, resample="bilinear", alpha=4)
FEW = pytest.mark.filterwarnings("ignore:.*the intervals will be wide")


class Means(VideoNetwork):
    """Colour means and changes from frame to frame of each path; keeps what it is shown and can stop after some."""

    layers = ("colour", "change")

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__()
        self.stop_after = stop_after
        self.clips: list[Tensor] = []
        self.shapes: set[tuple[tuple[str, tuple[int, ...]], ...]] = set()

    @property
    def seen(self) -> int:
        return len(self.clips)

    def trace(self, **paths: Tensor) -> Iterator[tuple[str, Tensor]]:
        clip = list(paths.values())[-1]
        if self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.clips += list(clip)
        self.shapes.add(tuple((name, tuple(path.shape[1:])) for name, path in paths.items()))
        yield "colour", clip
        yield "change", (clip[:, :, 1:] - clip[:, :, :-1]).abs()


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)


def dataset(folder: Path, layout: str = "ssv2", videos: int = 12, frames: int = 40) -> StylisedDataset:
    return read(make(folder / layout, layout, dict.fromkeys(names(videos, layout), frames)), layout)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., StylisedDataset]:
    """shared(layout="ssv2"): twelve videos that several tests read and none changes."""
    folder = tmp_path_factory.mktemp("shared")

    def opened(layout: str = "ssv2") -> StylisedDataset:
        return read(folder / layout, layout) if (folder / layout).exists() else dataset(folder, layout)

    return opened


def measured(module: VideoNetwork, clips: StylisedDataset, store: AssetStore, **options: Any) -> Measurement:
    feed = options.pop("feed", X3D)
    of_study = {name: options.pop(name) for name in ("protocol", "pairs") if name in options}
    study = StylisedStudy(clips, store, **{"protocol": "corrected", **of_study})
    return measure(Network(module, feed, "means", options.pop("layers", None)), study, store=store, **options)


def shares(found: Measurement) -> np.ndarray:
    return np.array([list(found.layer(layer).estimate.shares.values()) for layer in found.layers])


@FEW
@pytest.mark.parametrize("layout", READERS)
def test_a_network_of_the_paper_is_measured_with_both_protocols(
    layout: str, shared: Callable[..., StylisedDataset], own_store: AssetStore
) -> None:
    torch.manual_seed(0)
    network = Network(build("x3d_xs"), X3D, "x3d_xs", [f"stage{i}" for i in range(1, 6)])
    folder = shared(layout).folder
    for protocol in ("published", "corrected"):
        found = measure(network, studies.stylised(layout, folder, protocol=protocol, store=own_store), store=own_store)
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
        assert "12 videos, each with one pair, are fewer than 32: the intervals will be wide" in sentence


@FEW
def test_several_seeds_draw_their_pairs_of_the_same_videos(tmp_path: Path, own_store: AssetStore) -> None:
    clips = dataset(tmp_path)
    study = studies.stylised("ssv2", clips.folder, protocol="corrected", seeds=3, store=own_store)
    alone = [StylisedStudy(clips, own_store, "corrected").plan(X3D, seed).samples for seed in range(3)]
    samples = study.plan(X3D, 0).samples
    assert [sample.shown for sample in samples] == [sample.shown for plan in alone for sample in plan]
    assert [sample.seed for sample in samples] == [0] * 12 + [1] * 12 + [2] * 12
    assert [sample.block for sample in samples] == 3 * [sample.block for sample in alone[0]]
    found = measure(Network(Means(), X3D, "means"), study, store=own_store)
    assert (found.seeds, found.clips, found.resampling_units) == (3, 12, 12)
    reading = found.layer("change").read("shares")
    each = [run.shares["static"] for run in found.layer("change").runs]
    assert reading.values["static"] == pytest.approx(np.mean(each))
    assert reading.reproduction is not None
    limits = reading.reproduction["static"]
    assert (limits.low + limits.high) / 2 == pytest.approx(reading.values["static"])
    assert limits.half_width > 0
    with pytest.raises(InputError, match="at least 1 seed is needed; got 0"):
        StylisedStudy(clips, own_store, seeds=0)


@FEW
def test_every_distinct_view_costs_one_pass_and_paths_have_their_shapes(
    shared: Callable[..., StylisedDataset], own_store: AssetStore
) -> None:
    network = Means()
    found = measured(network, shared(), own_store, feed=SLOWFAST)
    assert network.seen == found.passes == 24
    assert network.shapes == {(("slow", (3, 2, 16, 16)), ("fast", (3, 8, 16, 16)))}
    assert found.pairs == 6
    colour, _ = shares(found)
    assert colour[1] > colour[0], "the colours of a video stay when its frames are shuffled"


@FEW
def test_what_the_network_sees_are_the_frames_of_the_plan(
    shared: Callable[..., StylisedDataset], own_store: AssetStore
) -> None:
    clips, network = shared("activitynet"), Means()
    small = Feed(4, 20, window=16, resample="bilinear")
    measured(network, clips, own_store, feed=small)
    views = network.clips
    assert len(views) == 24
    for i, video in enumerate(clips.videos):
        first, second = views[2 * i], views[2 * i + 1]
        filmed = {style: small.pixels(clips.read(video, style, (0, 5, 10, 15))) for style in clips.styles}
        (style,) = [name for name, clip in filmed.items() if torch.equal(clip, first)]
        if not any(torch.equal(clip, second) for name, clip in filmed.items() if name != style):
            (order,) = [
                p for p in torch.cartesian_prod(*4 * [torch.arange(4)]) if torch.equal(filmed[style][:, p], second)
            ]
            assert sorted(order.tolist()) == [0, 1, 2, 3]
            assert order.tolist() != [0, 1, 2, 3]


PARTS = 32
"""Videos of two views each that make a part."""


@pytest.mark.slow
def test_an_unreadable_frame_stops_it_and_what_was_done_is_kept(tmp_path: Path, own_store: AssetStore) -> None:
    """When the frame is back, all parts before it are found; when it came back as another, its own part is not."""
    clips = dataset(tmp_path, "activitynet", videos=70)
    whole = measured(Means(), clips, own_store)
    folders = [clips.folder / style / clips.videos[40].name for style in clips.styles]
    frames = [path for folder in folders for path in folder.iterdir()]
    kept = {frame: frame.read_bytes() for frame in frames}
    for frame in frames:
        frame.write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(InputError, match=r"jpg cannot be read as a picture .*; replace it and run again"):
        measured(Means(), clips, own_store)
    for frame, content in kept.items():
        frame.write_bytes(content)
    resumed = measured(network := Means(), clips, own_store)
    assert (resumed.resumed, network.seen) == (PARTS, 2 * (70 - PARTS))
    np.testing.assert_array_equal(shares(resumed), shares(whole))
    with pytest.raises(KeyboardInterrupt):
        measured(Means(stop_after=2 * 64), clips, own_store)
    other = dataset(tmp_path / "other", "activitynet", videos=1)
    for frame in frames:
        frame.write_bytes((other.folder / frame.parent.parent.name / other.videos[0].name / frame.name).read_bytes())
    changed = measured(Means(), clips, own_store)
    assert changed.resumed == PARTS, "the part of the changed video is done again"
    assert np.abs(shares(changed) - shares(whole)).max() > 1e-6


@FEW
def test_the_seed_decides_the_draws(shared: Callable[..., StylisedDataset], own_store: AssetStore) -> None:
    clips = shared()
    first, again, other = (shares(measured(Means(), clips, own_store, seed=seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_fewer_than_32_videos_are_warned_of(tmp_path: Path, own_store: AssetStore) -> None:
    clips = dataset(tmp_path, videos=33, frames=10)
    assert measured(Means(), clips, own_store).notes == ()
    said = "30 videos, each with one pair, are fewer than 32: the intervals will be wide"
    network, study = Network(Means(), X3D), StylisedStudy(clips, own_store, "corrected", pairs=15)
    with pytest.warns(UserWarning, match=said) as caught:
        found = measure(network, study, store=own_store)
    assert (found.notes, found.pairs, found.clips) == ((said,), 15, 30)
    assert caught[0].filename == __file__
    line = linecache.getline(__file__, caught[0].lineno)
    assert line.strip() == "found = measure(network, study, store=own_store)"


@FEW
def test_videos_that_were_cut_from_one_are_resampled_together(
    shared: Callable[..., StylisedDataset], own_store: AssetStore
) -> None:
    clips = shared()
    clips.sources = {video.name: "long" for video in clips.videos[:5]}
    found = measured(Means(), clips, own_store)
    assert (found.clips, found.resampling_unit, found.resampling_units) == (12, "video", 8)
    pairs = [int(part.pairs.sum()) for part in found.sums["colour"].values()]
    assert sorted(pairs) == [1, 1, 1, 1, 1, 1, 1, 5]


@FEW
def test_copies_of_a_video_are_resampled_together(tmp_path: Path, own_store: AssetStore) -> None:
    folder = make(tmp_path / "ssv2", "ssv2", dict.fromkeys(names(12, "ssv2"), 40))
    for style in STYLE_FOLDERS:
        shutil.rmtree(folder / style / "1003")
        shutil.copytree(folder / style / "1001", folder / style / "1003")
    plan = StylisedStudy(read(folder, "ssv2"), own_store).plan(X3D, 0)
    assert (plan.about.units, plan.about.clips) == (11, 12)
    assert len({sample.block for sample in plan.samples if sample.name in ("1001", "1003")}) == 1
    assert any("1 of 12 videos hold the same as others" in note and "1003 is 1001" in note for note in plan.about.notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protocol": "balanced"}, "unknown protocol 'balanced'"),
        ({"pairs": 7}, "7 pairs of each factor take 14 videos, and there are 12"),
        ({"layers": ["colours"]}, "unknown layer 'colours'; did you mean colour"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        (
            {"feed": Feed(1, 16, flow="forward")},
            "it is measured on Stylized DAVIS",
        ),
    ],
)
def test_options_that_make_no_sense_are_named(
    shared: Callable[..., StylisedDataset], own_store: AssetStore, options: dict[str, Any], said: str
) -> None:
    clips = shared()
    with pytest.raises(InputError, match=said):
        measured(Means(), clips, own_store, **options)


def test_an_unknown_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown layout 'ssv'; did you mean ssv2"):
        studies.stylised("ssv", tmp_path)
