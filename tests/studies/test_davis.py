"""Measuring segmentation networks end to end, on sequences in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sdbench import Feed, InputError, Measurement, Network, estimate, measure
from sdbench.assets import AssetStore
from sdbench.base.draws import generator_for
from sdbench.data.davis_here import davis_at_hand
from sdbench.data.davis_packaged import packaged_davis
from sdbench.data.segmentation import SegmentationDataset, VideoSequence
from sdbench.engine.parts import cut
from sdbench.networks import VideoNetwork, build, units
from sdbench.networks.filled import fill_state_dict
from sdbench.networks.vos.rtnet import RTNet
from sdbench.report.markdown import measurement_sentence
from sdbench.statistics import Estimate
from sdbench.studies import shot_finder
from sdbench.studies.davis_study import DavisStudy
from sdbench.studies.sequences import draw_sequences
from sdbench.video.feed import IMAGENET_MEAN, IMAGENET_STD
from sdbench.video.jitter import draw_jitters
from tests.made.vos import Remembered


def feed_at(size: tuple[int, int], paired: bool = False) -> Feed:
    return Feed(1, size, IMAGENET_MEAN, IMAGENET_STD, fit="stretch", flow="both" if paired else "forward")


SMALL = feed_at((32, 48))
PAIRED = feed_at((32, 48), paired=True)


def measured(
    module: VideoNetwork, videos: SegmentationDataset, store: AssetStore, feed: Feed = SMALL, **options: Any
) -> Measurement:
    of_study = {name: options.pop(name) for name in ("protocol", "seeds", "frames") if name in options}
    network = Network(module, feed, "means", options.pop("layers", None))
    return measure(network, DavisStudy(lambda _backward: videos, store, **of_study), store=store, workers=0, **options)


class Means(VideoNetwork):
    """Colour means of the image and of the flow; remembers every input and can stop after some."""

    layers = ("image", "flow")

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__()
        self.seen: list[bytes] = []
        self.stop_after = stop_after

    def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
        if len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += [a.numpy().tobytes() + b.numpy().tobytes() for a, b in zip(image, flow, strict=True)]
        yield "image", image
        yield "flow", flow


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", quiet=True)


def numbers(found: Measurement) -> np.ndarray:
    return np.array([list(found.layer(layer).read("shares").values.values()) for layer in found.layers])


def test_what_is_shown_goes_through_the_network_once_in_a_part(own_store: AssetStore) -> None:
    network, videos = Means(), Remembered(count=4, length=7)
    found = measured(network, videos, own_store, seeds=2)
    assert len(network.seen) == found.passes
    plan = DavisStudy(lambda _backward: videos, own_store, seeds=2).plan(SMALL, 0)
    parts = cut(plan.samples)
    assert len(parts) > 1
    for part in parts:
        shown = [what for sample in part.samples for what in sample.shows]
        assert len(set(shown)) == part.inputs < len(shown), "seeds show the same in part"
        seen, network.seen = network.seen[: part.inputs], network.seen[part.inputs :]
        assert len(set(seen)) == part.inputs
    assert network.seen == []
    # All views of every seed are in the sums, whether or not they were shown before.
    assert sum(sample.inputs for sample in plan.samples) == sum(
        len(set(each.views)) * 6
        for seed in range(2)
        for each in draw_sequences("published", videos.sequences, videos.styles, False, generator_for(seed, "pairs"))
    )
    assert found.samples == 2 * 4 * 6
    assert found.seeds == 2
    assert found.pairs == 2 * 10 * 6
    # Of each frame, every picture is read once for all views that show it.
    assert videos.read["flow"] == 2 * 4 * 6
    assert videos.read["image"] <= 2 * 4 * 6 * 4


def in_plain_code(
    network: VideoNetwork, videos: SegmentationDataset, seed: int, frames: int, size: tuple[int, int]
) -> dict[str, Estimate]:
    """The same features frame by frame, without the pipeline, passed to the public estimator."""
    layers = [layer for layer in network.layers if layer != "mask"]
    rows: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {layer: ([], []) for layer in layers}
    factors = []
    drawing = generator_for(seed, "pairs")
    for plan in draw_sequences("published", videos.sequences, videos.styles, False, drawing, frames=frames):
        for first, second, factor in plan.pairs:
            for position in plan.rows:
                for side, view in enumerate((plan.views[first], plan.views[second])):
                    flow = resized(videos.flow(plan.sequence, position), size)
                    if view.jitter is not None:
                        purpose = f"jitter {plan.sequence.name} {view.jitter} {position} 0"
                        flow = draw_jitters(1, generator_for(seed, purpose))[0](flow)
                    image = resized(videos.image(plan.sequence, position, view.style), size)
                    for layer, values in units(network, {"image": normalised(image), "flow": normalised(flow)}).items():
                        if layer in rows:
                            rows[layer][side].append(values.numpy()[0])
                factors.append(factor)
    return {layer: estimate(np.stack(one), np.stack(other), factors) for layer, (one, other) in rows.items()}


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


@pytest.mark.slow
@pytest.mark.parametrize("source", ["remembered", pytest.param("packaged", marks=pytest.mark.assets), "own"])
def test_a_network_of_the_paper_agrees_with_plain_code(
    source: str, own_store: AssetStore, request: pytest.FixtureRequest
) -> None:
    """On made-up frames, on packaged real ones with DIS flow and painted styles, and on the user's DAVIS."""
    network = build("fusionseg", width=4)
    fill_state_dict(network, 0)
    network.double()
    videos: SegmentationDataset = Remembered(count=3, length=4)
    size, frames = (32, 48), 3
    if source == "packaged":
        store = request.getfixturevalue("store")
        videos, size, frames = packaged_davis(store, shot_finder(store)), (40, 72), 1
    elif source == "own":
        if "SDBENCH_DATA" not in os.environ:
            pytest.skip("needs DAVIS 2016 and its painted copies: name the folder that holds them in SDBENCH_DATA")
        videos, size, frames = davis_at_hand(Path(os.environ["SDBENCH_DATA"]), own_store), (60, 107), 1
    where = request.getfixturevalue("store") if videos.assets else own_store
    found = measured(network, videos, where, feed_at(size), seeds=2, seed=5, frames=frames)
    by_seed = [in_plain_code(network, videos, seed, frames, size) for seed in (5, 6)]
    assert found.layers == tuple(by_seed[0])
    for layer in found.layers:
        read = found.layer(layer).read("shares")
        for name in ("dynamic", "static", "residual"):
            given = [answers[layer].shares[name] for answers in by_seed]
            assert read.values[name] == pytest.approx(np.mean(given), abs=1e-9)
            assert read.spread is not None
            assert read.spread[name] == pytest.approx(1.96 * np.std(given) / np.sqrt(2), abs=1e-9)
        classes = [answers[layer].unit_classes["joint"] for answers in by_seed]
        total = sum(by_seed[0][layer].unit_classes.values())
        assert found.layer(layer).read("units").values["joint"] == pytest.approx(100 * np.mean(classes) / total)


STYLES = Remembered().styles


def normalised(picture: np.ndarray) -> Tensor:
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    values = (picture.astype(np.float32) / np.float32(255) - mean) / std
    return torch.from_numpy(values.transpose(2, 0, 1)[None]).double()


@pytest.mark.parametrize("protocol", ["published", "corrected"])
@pytest.mark.slow
def test_rtnet_sees_two_frames_with_both_flows_and_mixes_only_as_published(
    protocol: str, own_store: AssetStore
) -> None:
    network = build("rtnet", width=16, mixed_batch=True)
    assert isinstance(network, RTNet)
    fill_state_dict(network, 0)
    network.double()
    videos = Remembered(count=1, length=8)
    layers = ("appearance.layer1", "motion.layer3")
    found = measured(network, videos, own_store, PAIRED, seeds=1, layers=layers, protocol=protocol)
    plans = draw_sequences(protocol, videos.sequences, STYLES, True, generator_for(0, "pairs"))
    rows: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {layer: ([], []) for layer in layers}
    factors: list[int] = []
    network.mixed_batch = protocol == "published"
    size = 5 if protocol == "published" else 1
    for plan in plans:
        for start in range(0, len(plan.rows), size):
            part = plan.rows[start : start + size]
            for first, second, factor in plan.pairs:
                for side, view in enumerate((plan.views[first], plan.views[second])):
                    assert view.offset is not None
                    inputs: dict[str, list[list[Tensor]]] = {"image": [], "flow": []}
                    for row in part:
                        frames = (row, plan.rows[(plan.rows.index(row) + view.offset) % len(plan.rows)])
                        inputs["image"].append(
                            [normalised(videos.image(plan.sequence, f, view.style))[0] for f in frames]
                        )
                        flows = []
                        for member, frame in enumerate(frames):
                            both = [videos.flow(plan.sequence, frame, back) for back in (False, True)]
                            if view.jitter is not None:
                                purpose = f"jitter {plan.sequence.name} {view.jitter} {row} {member}"
                                moves = draw_jitters(2, generator_for(0, purpose))
                                both = [move(picture) for move, picture in zip(moves, both, strict=True)]
                            flows.append(torch.cat([normalised(picture)[0] for picture in both]))
                        inputs["flow"].append(flows)
                    stacked = {
                        name: torch.stack([torch.stack(pair) for pair in rows_]) for name, rows_ in inputs.items()
                    }
                    for layer, values in units(network, stacked, layers).items():
                        rows[layer][side].extend(values.numpy())
                factors += [factor] * 2 * len(part)
    for layer in layers:
        one, other = rows[layer]
        plain = estimate(np.stack(one), np.stack(other), factors)
        for name, share in plain.shares.items():
            assert found.layer(layer).estimate.shares[name] == pytest.approx(share, abs=1e-9)
    assert any("means mixes frames of the samples" in note for note in found.notes) == (protocol == "published")


def test_an_interrupted_measurement_goes_on_and_gives_the_same(own_store: AssetStore) -> None:
    videos = Remembered(count=3, length=6)
    whole = measured(Means(), videos, own_store, seeds=2)
    with pytest.raises(KeyboardInterrupt):
        measured(Means(stop_after=80), videos, own_store, seeds=2)
    second = Means()
    resumed = measured(second, videos, own_store, seeds=2)
    assert resumed.resumed > 0
    assert len(second.seen) < whole.passes
    np.testing.assert_array_equal(numbers(resumed), numbers(whole))


def test_sequences_are_what_is_resampled(own_store: AssetStore) -> None:
    few = measured(Means(), Remembered(count=3), own_store, seeds=2)
    assert few.resampling == "no intervals: 3 sequences, at least 8 needed"
    assert few.layer("image").intervals is None
    many = measured(Means(), Remembered(count=8), own_store, seeds=2)
    assert many.resampling == "95 % intervals by resampling 8 sequences"
    reading = many.layer("flow").read("shares")
    assert reading.generalisation is not None
    for name, interval in reading.generalisation.items():
        assert interval.low <= interval.high
        assert interval.high - reading.values[name] > -5
    limits = many.layer("flow").intervals
    assert limits is not None
    assert limits.groups == 8
    assert "resampling 8 sequences" in measurement_sentence(many.as_record())


class OfOneVideo(Remembered):
    """Sequences of which every two are shots of one video."""

    def source_of(self, sequence: VideoSequence) -> str:
        return f"video{self.sequences.index(sequence) // 2}"


def test_sequences_that_were_cut_from_one_are_resampled_together(own_store: AssetStore) -> None:
    found = measured(Means(), OfOneVideo(count=6), own_store, seeds=1)
    assert (found.clips, found.resampling_unit, found.resampling_units) == (6, "shot", 3)
    assert [len(parts) for parts in found.sums.values()] == [3, 3]


def test_memory_of_the_sums_does_not_grow_with_frames(own_store: AssetStore) -> None:
    short = measured(Means(), Remembered(length=3), own_store, seeds=2)
    long = measured(Means(), Remembered(length=12), own_store, seeds=2)
    assert [len(parts) for parts in short.sums.values()] == [len(parts) for parts in long.sums.values()] == [6, 6]


def test_fewer_frames_can_be_asked_for(own_store: AssetStore) -> None:
    found = measured(Means(), Remembered(length=9), own_store, seeds=1, frames=2)
    assert found.samples == 3 * 2


def test_a_flow_picture_of_another_size_is_brought_to_the_painted_image_as_published(own_store: AssetStore) -> None:
    videos = Remembered(painted_size=(16, 24))
    network = Means()
    measured(network, videos, own_store, seeds=1)
    sequence = videos.sequences[0]
    plan = draw_sequences("published", videos.sequences, STYLES, False, generator_for(0, "pairs"))[0]
    position = next(i for i, view in enumerate(plan.views) if view.jitter is None)
    picture = Image.fromarray(videos.flow(sequence, 0)).resize((24, 16))
    shrunk = np.asarray(picture.resize((48, 32), Image.Resampling.BILINEAR))
    assert network.seen[position].endswith(normalised(shrunk).float().numpy().tobytes())


def test_what_cannot_be_measured_is_refused(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="at least 1 seed"):
        measured(Means(), Remembered(), own_store, seeds=0)
    with pytest.raises(InputError, match="unknown protocol 'publishd'; did you mean published"):
        measured(Means(), Remembered(), own_store, protocol="publishd")
    with pytest.raises(InputError, match="this network sees no optical flow"):
        measured(Means(), Remembered(), own_store, Feed(8, 32))
    with pytest.raises(InputError, match="sequence0 has 1 frame; at least 2 are needed"):
        measured(Means(), Remembered(length=1), own_store)
    with pytest.raises(InputError, match=r"unknown layer 'fusion.layer3'.*fusion.layer2"):
        measured(build("fusionseg", width=4), Remembered(), own_store, layers=["fusion.layer3"])
    with pytest.raises(InputError, match="image must have shape"):
        measured(build("rtnet", width=16), Remembered(), own_store, seeds=1)


def test_the_mask_is_read_only_when_it_is_asked_for() -> None:
    assert "mask" not in [layer.name for layer in Network(build("fusionseg", width=4), SMALL).read]
    assert [layer.name for layer in Network(build("fusionseg", width=4), SMALL, layers=["mask"]).read] == ["mask"]
