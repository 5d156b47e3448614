"""Measuring segmentation networks end to end, on sequences in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sdbench.passes
import torch
from PIL import Image
from sdbench.measure import Measurement
from sdbench.measure_vos import measure_vos
from sdbench.studies.davis import plan_sequences
from sdbench.zoo.vos_preparation import VosPreparation
from torch import Tensor

from sdbench import estimate
from sdbench.assets import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.data.davis_here import davis_at_hand
from sdbench.data.davis_packaged import packaged_davis
from sdbench.data.segmentation import SegmentationDataset
from sdbench.networks import VideoNetwork, build, units
from sdbench.networks.filled import fill_state_dict
from sdbench.report.markdown import measurement_sentence
from sdbench.statistics import Estimate
from sdbench.video.jitter import draw_jitters
from tests.made.vos import Remembered

SMALL = VosPreparation((32, 48))
PAIRED = VosPreparation((32, 48), paired=True)


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


def test_every_distinct_frame_goes_through_the_network_once_for_each_seed(own_store: AssetStore) -> None:
    network, videos = Means(), Remembered(count=4, length=7)
    found = measure_vos(network, videos, seeds=2, store=own_store, preparation=SMALL)
    assert len(network.seen) == found.passes
    counts = []
    for seed in range(2):
        plans = plan_sequences("published", videos.sequences, videos.styles, False, generator_for(seed, "pairs"))
        counts.append(sum(len(set(plan.views)) * 6 for plan in plans))
    assert found.passes == sum(counts)
    assert len(set(network.seen[: counts[0]])) == counts[0]
    assert len(set(network.seen[counts[0] :])) == counts[1]
    assert found.samples == 2 * 4 * 6
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
    for plan in plan_sequences("published", videos.sequences, videos.styles, False, drawing, frames=frames):
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
    return {layer: estimate(*map(np.stack, rows[layer]), factors) for layer in layers}


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


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
        videos, size, frames = packaged_davis(request.getfixturevalue("store")), (40, 72), 1
    elif source == "own":
        if "SDBENCH_DATA" not in os.environ:
            pytest.skip("needs DAVIS 2016 and its painted copies: name the folder that holds them in SDBENCH_DATA")
        videos, size, frames = davis_at_hand(Path(os.environ["SDBENCH_DATA"]), own_store), (60, 107), 1
    options = {"seeds": 2, "seed": 5, "frames": frames, "store": own_store, "preparation": VosPreparation(size)}
    if videos.assets:
        options["store"] = request.getfixturevalue("store")
    found = measure_vos(network, videos, name="fusionseg", **options)
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
def test_rtnet_sees_two_frames_with_both_flows_and_mixes_only_as_published(
    protocol: str, own_store: AssetStore
) -> None:
    network = build("rtnet", width=16)
    fill_state_dict(network, 0)
    network.double()
    videos = Remembered(count=2, length=9)
    layers = ("appearance.layer1", "motion.layer3")
    options = {"seeds": 1, "store": own_store, "preparation": PAIRED, "layers": layers, "protocol": protocol}
    found = measure_vos(network, videos, **options)
    assert not network.mixed_batch
    plans = plan_sequences(protocol, videos.sequences, STYLES, True, generator_for(0, "pairs"))
    rows: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {layer: ([], []) for layer in layers}
    factors: list[int] = []
    network.mixed_batch = protocol == "published"
    size = 5 if protocol == "published" else 1
    for plan in plans:
        for start in range(0, len(plan.rows), size):
            part = plan.rows[start : start + size]
            for first, second, factor in plan.pairs:
                for side, view in enumerate((plan.views[first], plan.views[second])):
                    inputs = {"image": [], "flow": []}
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
        plain = estimate(*map(np.stack, rows[layer]), factors)
        for name, share in plain.shares.items():
            assert found.layer(layer).estimate.shares[name] == pytest.approx(share, abs=1e-9)
    assert any("mixes frames" in note for note in found.notes) == (protocol == "published")


def test_an_interrupted_measurement_goes_on_and_gives_the_same(own_store: AssetStore, tmp_path: Path) -> None:
    videos = Remembered(count=3, length=6)
    whole = measure_vos(Means(), videos, seeds=2, store=own_store, preparation=SMALL)
    with pytest.raises(KeyboardInterrupt):
        measure_vos(Means(stop_after=40), videos, seeds=2, store=own_store, preparation=SMALL)
    second = Means()
    resumed = measure_vos(second, videos, seeds=2, store=own_store, preparation=SMALL)
    assert resumed.resumed > 0
    assert len(second.seen) < whole.passes
    np.testing.assert_allclose(numbers(resumed), numbers(whole), atol=1e-9)


def test_sequences_are_what_is_resampled(own_store: AssetStore) -> None:
    few = measure_vos(Means(), Remembered(count=3), seeds=2, store=own_store, preparation=SMALL)
    assert few.resampling == "no intervals: 3 sequences, at least 8 needed"
    assert few.layer("image").intervals is None
    many = measure_vos(Means(), Remembered(count=8), seeds=2, store=own_store, preparation=SMALL)
    assert many.resampling == "95 % intervals by resampling 8 sequences"
    reading = many.layer("flow").read("shares")
    assert reading.intervals is not None
    for name, interval in reading.intervals.items():
        assert interval.low <= interval.high
        assert interval.high - reading.values[name] > -5
    assert many.layer("flow").intervals.groups == 8
    assert "resampling 8 sequences" in measurement_sentence(many.as_record())


def test_memory_of_the_sums_does_not_grow_with_frames(own_store: AssetStore) -> None:
    short = measure_vos(Means(), Remembered(length=3), seeds=2, store=own_store, preparation=SMALL)
    long = measure_vos(Means(), Remembered(length=12), seeds=2, store=own_store, preparation=SMALL)
    assert [len(parts) for parts in short.sums.values()] == [len(parts) for parts in long.sums.values()] == [6, 6]


def test_fewer_frames_can_be_asked_for(own_store: AssetStore) -> None:
    found = measure_vos(Means(), Remembered(length=9), seeds=1, frames=2, store=own_store, preparation=SMALL)
    assert found.samples == 3 * 2


def test_a_flow_picture_of_another_size_is_brought_to_the_painted_image_as_published(own_store: AssetStore) -> None:
    videos = Remembered(painted_size=(16, 24))
    network = Means()
    measure_vos(network, videos, seeds=1, store=own_store, preparation=SMALL)
    sequence = videos.sequences[0]
    plan = plan_sequences("published", videos.sequences, STYLES, False, generator_for(0, "pairs"))[0]
    position = next(i for i, view in enumerate(plan.views) if view.jitter is None)
    picture = Image.fromarray(videos.flow(sequence, 0)).resize((24, 16))
    shrunk = np.asarray(picture.resize((48, 32), Image.Resampling.BILINEAR))
    assert network.seen[position].endswith(normalised(shrunk).float().numpy().tobytes())


def test_what_cannot_be_measured_is_refused(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="at least 1 seed"):
        measure_vos(Means(), Remembered(), seeds=0, store=own_store, preparation=SMALL)
    with pytest.raises(InputError, match="say with name= which network of the paper it is"):
        measure_vos(Means(), Remembered(), store=own_store)
    with pytest.raises(InputError, match="sequence0 has 1 frame; at least 2 are needed"):
        measure_vos(Means(), Remembered(length=1), store=own_store, preparation=SMALL)
    with pytest.raises(InputError, match=r"unknown layer 'fusion.layer3'.*fusion.layer2"):
        measure_vos(
            build("fusionseg", width=4), Remembered(), store=own_store, preparation=SMALL, layers=["fusion.layer3"]
        )
    with pytest.raises(InputError, match="image must have shape"):
        measure_vos(build("rtnet", width=16), Remembered(), store=own_store, preparation=SMALL, seeds=1)


def test_a_batch_ends_where_a_view_must_be_alone() -> None:
    sample = sdbench.passes.Sample("one", "0", {"video": torch.zeros(6, 1)}, [(0, 1, 0)], together=3)
    assert [len(batch["video"][0]) for batch in sdbench.passes._batches([sample])] == [3, 3]
    shared = sdbench.passes.Sample("two", "0", {"video": torch.zeros(6, 1)}, [(0, 1, 0)])
    assert len(list(sdbench.passes._batches([shared, shared]))) == 1
