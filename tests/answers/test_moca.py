"""MoCA: the box around a found mask, and the published measures with answers worked out by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sdbench.answers.moca import Boxes, box_iou, found_box, measure_moca, moca_quality
from sdbench.answers.segmenting import ObjectMap
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.data.moca import MocaDataset
from sdbench.engine import Finished
from sdbench.networks import Network
from tests.made.moca import FOUND, SIZE, blank, make_moca
from tests.made.segmented import SINGLE, Answering


@pytest.fixture
def moca(tmp_path: Path) -> Path:
    return make_moca(tmp_path / "moca")


def network(module: Answering | None = None) -> Network:
    """Fed pictures at their own size."""
    return Network(module or AsDrawn(), replace(SINGLE, size=SIZE))


class AsDrawn(Answering):
    """Answers the red channel of the flow picture as the probability."""

    def found(self, image: Tensor, flow: Tensor) -> Tensor:
        return (flow[:, :1] * 0.229 + 0.485).mul(255).round().clamp(0, 255) / 255


def test_measures_worked_out_by_hand(moca: Path, own_store: AssetStore) -> None:
    quality = measure_moca(network(), MocaDataset(moca), store=own_store)
    # IoU 1, 0.5 (no success at 0.5: it must be above) and 0; and 0.75. The unannotated frame does not count.
    assert quality.frames == 4
    assert quality.videos == pytest.approx({"adder": 50, "bear": 75})
    assert quality.values == pytest.approx(
        {"miou": 62.5, "sr_0.5": 50, "sr_0.6": 50, "sr_0.7": 50, "sr_0.8": 25, "sr_0.9": 25, "msr": 40}
    )
    assert quality.intervals is None
    # At 0.1 the third frame of the first video is found too.
    lower = measure_moca(network(), MocaDataset(moca), threshold=0.1, store=own_store)
    assert lower.values["miou"] == pytest.approx((250 / 3 + 75) / 2)
    assert lower.values["sr_0.9"] == pytest.approx(50)


def test_a_flip_changes_what_is_only_found_one_way(moca: Path, own_store: AssetStore) -> None:
    class Left(AsDrawn):
        def found(self, image: Tensor, flow: Tensor) -> Tensor:
            found = super().found(image, flow)
            found[..., 5:] = 0
            return found

    dataset = MocaDataset(moca)
    plain = measure_moca(network(Left()), dataset, store=own_store)
    flipped = measure_moca(network(Left()), dataset, flip=True, store=own_store)
    assert plain.videos["adder"] == pytest.approx(100 * (0.5 + 0 + 0) / 3)  # columns 2 to 5 of 2 to 8
    # Mirrored, columns 15 to 20 are seen: the found object is the same, at half the probability.
    assert flipped.videos["adder"] == pytest.approx(plain.videos["adder"])


def test_rtnet_needs_backward_flow_and_leaves_out_the_first_frame(moca: Path) -> None:
    with pytest.raises(InputError, match=r"lacks 5 flow pictures: FlowImages_gap-1/adder/00001.png, "):
        MocaDataset(moca, backward_flow=True)
    for video, pictures in FOUND.items():
        target = moca / "FlowImages_gap-1" / video
        target.mkdir(parents=True)
        for number in range(len(pictures)):
            shutil.copy(moca / "FlowImages_gap1" / video / f"{number:05d}.png", target / f"{number + 1:05d}.png")
    dataset = MocaDataset(moca, backward_flow=True)
    adder, bear = dataset.sequences
    task = Boxes(dataset)
    assert list(task.positions(adder, paired=False)) == [0, 1, 2]
    assert list(task.positions(adder, paired=True)) == [1, 2]
    assert list(task.positions(bear, paired=True)) == []


def test_the_box_with_the_most_found_pixels_counts() -> None:
    diagonal = np.zeros((12, 30), dtype=np.uint8)
    diagonal[range(9), range(9)] = 255  # one region, as corners connect: 9 pixels in a box of 81
    square = diagonal.copy()
    square[4:8, 15:19] = 255  # 16 pixels in a box of 16
    assert found_box(square, 0.2) == (15, 4, 19, 8)
    assert found_box(diagonal, 0.2) == (0, 0, 9, 9)
    within = diagonal.copy()
    within[0:3, 5:9] = 255  # pixels inside another region's box count for that box too: 9 + 12
    assert found_box(within, 0.2) == (0, 0, 9, 9)


def test_holes_borders_and_ties() -> None:
    ring = blank((4, 2, 14, 9))
    ring[4:7, 6:12] = 0
    ring[5, 8] = 255  # what lies in the hole is not outside
    assert found_box(ring, 0.2) == (4, 2, 14, 9)
    assert found_box(blank((2, 2, 5, 5), (10, 6, 13, 9)), 0.2) == (10, 6, 13, 9)  # of equals, the lower
    assert found_box(blank((2, 2, 5, 5), (10, 2, 13, 5)), 0.2) == (10, 2, 13, 5)  # then the one farther right
    assert found_box(blank(), 0.2) is None
    # 28 of the 56 pixels on the border: not more than half, so nothing is inverted.
    half = blank()
    half[0, :], half[-1, :8] = 255, 255
    assert np.count_nonzero(half[0]) + np.count_nonzero(half[-1]) == 28
    assert found_box(half, 0.2) == (0, 0, 20, 1)
    half[-1, 8] = 255
    assert found_box(half, 0.2) == (0, 1, 20, 10)


def test_overlap_of_boxes_is_that_of_their_pixels() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        boxes, pixels = [], []
        for _ in range(2):
            left, top = generator.integers(0, 8, 2)
            width, height = generator.integers(1, 8, 2)
            boxes.append((float(left), float(top), float(left + width), float(top + height)))
            drawn = np.zeros((16, 16), dtype=bool)
            drawn[top : top + height, left : left + width] = True
            pixels.append(drawn)
        expected = (pixels[0] & pixels[1]).sum() / (pixels[0] | pixels[1]).sum()
        assert box_iou(*boxes) == pytest.approx(expected)


def regions_of(found: np.ndarray) -> Iterator[list[tuple[int, int]]]:
    """Connected regions by flooding, corners connecting, in the order of their first pixels."""
    left = {(int(y), int(x)) for y, x in np.argwhere(found)}
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        region, front = [start], [start]
        while front:
            y, x = front.pop()
            for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if near in left:
                    left.discard(near)
                    region.append(near)
                    front.append(near)
        yield region


def plain_box(grey: np.ndarray, threshold: float) -> tuple[int, int, int, int] | None:
    """The evaluation once more, pixel by pixel."""
    height, width = grey.shape
    on_border = [(y, x) for y in range(height) for x in range(width) if y in (0, height - 1) or x in (0, width - 1)]
    bright = sum(int(grey[y, x]) > 127.5 for y, x in on_border)
    values = 255 - grey.astype(int) if bright / len(on_border) > 0.5 else grey.astype(int)
    found = values > threshold * 255
    best, most = None, 0
    for region in regions_of(found):
        rows, columns = [y for y, _ in region], [x for _, x in region]
        box = (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
        inside = sum(found[y, x] for y in range(box[1], box[3]) for x in range(box[0], box[2]))
        if inside >= most:
            best, most = box, inside
    return best


def random_greys(count: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(1)
    for _ in range(count):
        height, width = generator.integers(3, 14, 2)
        grey = generator.integers(0, 256, (height, width), dtype=np.uint8)
        grey[generator.random((height, width)) < generator.choice([0.2, 0.5, 0.8])] = generator.choice([0, 255])
        yield grey


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.5])
def test_boxes_agree_with_plain_code(threshold: float) -> None:
    for grey in random_greys(300):
        assert found_box(grey, threshold) == plain_box(grey, threshold)


def test_boxes_agree_with_opencv() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; boxes are compared with plain code alone")
    for grey in random_greys(500):
        found = (grey > 127).astype(np.uint8)
        best, most = None, 0
        for contour in cv2.findContours(found * 255, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            left, top, width, height = cv2.boundingRect(contour)
            inside = int(found[top : top + height, left : left + width].sum())
            if inside > most:
                best, most = (left, top, left + width, top + height), inside
        border = np.ones_like(found, dtype=bool)
        border[1:-1, 1:-1] = False
        if found[border].mean() <= 0.5:
            assert found_box(found * 255, 0.5) == best


def test_success_is_counted_over_frames_and_intervals_over_videos() -> None:
    generator = np.random.default_rng(2)
    ious = {f"video{i}": generator.random(3 + 5 * i) for i in range(9)}
    quality = moca_quality(ious, np.random.default_rng(0))
    frames = np.concatenate(list(ious.values()))
    assert quality.values["miou"] == pytest.approx(100 * np.mean([part.mean() for part in ious.values()]))
    assert quality.values["sr_0.7"] == pytest.approx(100 * np.mean(frames > 0.7))
    assert quality.values["msr"] == pytest.approx(
        np.mean([quality.values[f"sr_{t}"] for t in (0.5, 0.6, 0.7, 0.8, 0.9)])
    )
    assert quality.intervals is not None
    assert list(quality.intervals) == list(quality.values)
    for measure, value in quality.values.items():
        assert quality.intervals[measure].low < value < quality.intervals[measure].high
    assert quality.intervals == moca_quality(ious, np.random.default_rng(0)).intervals
    for measure, value in quality.values.items():
        limits = quality.reproduction[measure]
        assert limits.low == limits.high == value, "nothing is drawn: the same videos give the same number"


def test_what_is_drawn_for_each_frame_averages_out_over_the_frames() -> None:
    """A slow change from frame to frame is the video's; what neighbours differ by beside it is the draws'."""
    generator = np.random.default_rng(3)
    slow = {f"video{i}": 0.2 + 0.6 * np.linspace(0, 1, 40 + i) for i in range(12)}
    covered, found = [], []
    for _ in range(100):
        ious = {name: part + 0.1 * generator.standard_normal(len(part)) for name, part in slow.items()}
        quality = moca_quality({"one frame": np.array([0.5])} | ious, generator, drawn=True)
        found.append(quality.values["miou"])
        covered.append(quality.reproduction["miou"])
    half = np.mean([limits.half_width for limits in covered])
    assert half == pytest.approx(1.96 * np.std(found), rel=0.35)
    centre = np.mean(found)
    assert np.mean([limits.low <= centre <= limits.high for limits in covered]) >= 0.9


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_a_threshold_is_a_probability(moca: Path, threshold: float, own_store: AssetStore) -> None:
    with pytest.raises(InputError, match=r"threshold must be (at least 0 and below 1|a finite number)"):
        measure_moca(network(), MocaDataset(moca), threshold=threshold, store=own_store)


def test_a_damaged_picture_is_named_and_styles_are_refused(moca: Path, own_store: AssetStore) -> None:
    dataset = MocaDataset(moca)
    (moca / "FlowImages_gap1" / "adder" / "00001.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00001.png cannot be read as a picture"):
        measure_moca(network(), dataset, store=own_store)
    (moca / "JPEGImages" / "bear" / "00000.jpg").unlink()
    with pytest.raises(InputError, match=r"00000.jpg is no longer there"):
        dataset.image(dataset.sequences[1], 0)
    with pytest.raises(InputError, match="MoCA has no styles; 'Lynx' was asked for"):
        dataset.image(dataset.sequences[0], 0, "Lynx")


def test_a_probability_is_quantised_before_the_threshold(moca: Path) -> None:
    """0.2 x 255 is 51: as 8-bit grey, 0.203 is not above a threshold of 0.2."""
    task = Boxes(MocaDataset(moca))
    truth = task.truth(task.dataset.sequences[0], 0)
    drawn = torch.from_numpy(blank((2, 2, 8, 6)) / 255).float()
    assert task.score(ObjectMap(0.203 * drawn), truth) == (1, 0)  # at 0.1 and at 0.2
    assert task.score(ObjectMap(0.204 * drawn), truth) == (1, 1)
    assert Boxes(task.dataset, 0.15).score(ObjectMap(0.203 * drawn), truth) == (1,)


def test_the_two_published_thresholds_share_their_passes(moca: Path, own_store: AssetStore) -> None:
    counting, finished = network(), Finished()
    found = [
        measure_moca(counting, MocaDataset(moca), threshold=threshold, store=own_store, finished=finished)
        for threshold in (0.1, 0.2)
    ]
    assert counting.module.passes == 4
    assert found[0].values["miou"] > found[1].values["miou"]
    measure_moca(counting, MocaDataset(moca), threshold=0.3, store=own_store, finished=finished)
    assert counting.module.passes == 8
