"""Units taken away: which they are, and what is lost, with networks whose units are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sdbench import Estimate
from sdbench.answers.ablation import Ablation, ablate, count_of, random_units, ranked, stronger_factor, top_units
from sdbench.answers.masks import Masks, measure_masks
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.networks import Network, build
from sdbench.report.ablation_picture import ablation_picture
from sdbench.statistics import Interval
from tests.answers.plain import plain_ious
from tests.made.segmented import PAIRED, SINGLE, Answering, Squares, paired, single

NAN = float("nan")


def estimated(dynamic: list[float], static: list[float], shares: tuple[float, float] = (30.0, 40.0)) -> Estimate:
    """An estimate with these unit scores; nothing else of it is looked at but the shares."""
    return Estimate(
        shares={"dynamic": shares[0], "static": shares[1], "residual": 100 - sum(shares)},
        dimensions={},
        published_percent={},
        unit_scores={"dynamic": np.array(dynamic), "static": np.array(static)},
        unit_classes={},
        unit_labels=np.array([]),
        layer_scores={},
        pairs={},
        threshold=0.5,
    )


def test_units_are_ranked_with_equals_in_order_and_dead_ones_last() -> None:
    scores = [0.5, NAN, 0.9, 0.5, -0.2]
    assert ranked(scores).tolist() == [2, 0, 3, 4, 1]
    assert ranked(scores, highest_first=False).tolist() == [4, 0, 3, 2, 1]


def test_percentages_are_rounded_to_units() -> None:
    assert [count_of(percent, 256) for percent in (0.1, 5, 10, 50, 100)] == [1, 13, 26, 128, 256]
    for percent in (0, -5, 101, NAN):
        with pytest.raises(InputError, match="above 0 and at most 100"):
            count_of(percent, 10)


def test_the_highest_scores_of_a_factor_are_chosen() -> None:
    estimate = estimated([0.1, 0.9, NAN, 0.8, 0.9], [0.7, 0.1, NAN, 0.2, 0.3])
    assert top_units(estimate, "dynamic", 40).tolist() == [1, 4]
    assert top_units(estimate, "dynamic", 60).tolist() == [1, 3, 4]
    assert top_units(estimate, "static", 20).tolist() == [0]
    assert top_units(estimate, "static", 100).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="unknown factor 'dynamics'; did you mean dynamic"):
        top_units(estimate, "dynamics", 20)


def test_random_units_come_from_those_least_biased_to_the_stronger_factor() -> None:
    scores = np.linspace(1, -1, 100)  # unit 99 is the least biased
    estimate = estimated([0.0] * 100, scores.tolist())
    drawn = [random_units(estimate, "static", 10, np.random.default_rng(seed)) for seed in range(200)]
    assert all(len(set(units.tolist())) == 10 for units in drawn)
    assert set(np.concatenate(drawn).tolist()) == set(range(85, 100))  # 15 % of them
    assert len({tuple(units) for units in drawn}) > 150
    again = random_units(estimate, "static", 10, np.random.default_rng(7))
    np.testing.assert_array_equal(drawn[7], again)
    assert len(random_units(estimate, "static", 100, np.random.default_rng(0))) == 100
    with pytest.raises(InputError, match="unknown factor 'random'"):
        random_units(estimate, "random", 10, np.random.default_rng(0))


def test_the_stronger_factor_has_the_larger_share() -> None:
    assert stronger_factor(estimated([0], [0], (30, 40))) == "static"
    assert stronger_factor(estimated([0], [0], (40, 30))) == "dynamic"
    assert stronger_factor(estimated([0], [0], (40, 40))) == "dynamic"


class Halves(Answering):
    """Four units: the left and the right half of what is red, and two that are zero; the answer is their sum.

    The halves are those of the square, which moves by a column each frame: columns 2 to 6 and 6 to 10 of frame 0.
    """

    layers: tuple[str, ...] = ("halves", "mask")

    def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
        self.count()
        red = (image[:, :1] > 0).float()
        left = red * (nn.functional.pad(red, (0, 4))[..., 4:] > 0)
        activation = torch.cat([left, red - left, 0 * red, 0 * red], dim=1)
        yield "halves", activation
        yield "mask", activation.sum(dim=1, keepdim=True)


HALVES = estimated([0.9, 0.3, 0.1, NAN], [0.2, 0.8, -0.5, 0.1])


def test_what_is_lost_is_what_the_units_were_worth(own_store: AssetStore) -> None:
    dataset = Squares((5, 4), wrong={(0, 2): 4})  # in one of three frames the mask lacks the right half
    result = ablate(single(Halves()), Masks(dataset), "halves", HALVES, percents=(25, 50), store=own_store)
    assert (result.layer, result.stronger, result.sequences, result.frames) == ("halves", "static", 2, 5)
    whole = (100 * (1 + 0.5 + 1) / 3 + 100) / 2
    assert result.miou == pytest.approx(whole)
    points = {(point.selection, point.percent): point for point in result.points}
    assert list(points) == [(s, p) for s in ("dynamic", "static", "random") for p in (25.0, 50.0)]
    left_gone = points["dynamic", 25.0]
    assert left_gone.units == (0,)
    assert left_gone.miou == pytest.approx((100 * (0.5 + 0 + 0.5) / 3 + 50) / 2)
    assert left_gone.change == pytest.approx(100 * (left_gone.miou - whole) / whole)
    right_gone = points["static", 25.0]
    assert right_gone.units == (1,)
    assert right_gone.miou == pytest.approx((100 * (0.5 + 1 + 0.5) / 3 + 50) / 2)
    assert points["dynamic", 50.0].units == points["static", 50.0].units == (0, 1)
    assert points["dynamic", 50.0].miou == 0
    assert points["dynamic", 50.0].change == pytest.approx(-100)
    # 30 % of four units is one, the least static: unit 2, which is always zero.
    assert points["random", 25.0].units == (2,)
    assert points["random", 25.0].change == 0
    assert left_gone.interval is None


def test_frames_are_read_once_whatever_is_taken_away(own_store: AssetStore) -> None:
    dataset = Squares((5, 4))
    ablate(single(Halves()), Masks(dataset), "halves", HALVES, percents=(25, 50, 75, 100), store=own_store)
    assert set(dataset.reads.values()) == {1}
    assert len(dataset.reads) == 3 * 5  # image, flow and mask of the frames that count


def assert_interval(found: Interval | None, low: float, high: float) -> None:
    assert found is not None
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)


def test_intervals_of_changes_compare_the_same_sequences(own_store: AssetStore) -> None:
    wrong = {(i, 1): i % 8 for i in range(12)}
    dataset = Squares((3,) * 12, wrong=wrong)

    def run(seed: int) -> Ablation:
        return ablate(single(Halves()), Masks(dataset), "halves", HALVES, percents=(25,), seed=seed, store=own_store)

    result, again = run(1), run(1)
    assert result.points == again.points
    dynamic, static, random = result.points
    # What this code answered when it kept nothing on disk: no draw has changed since.
    assert_interval(result.interval, 48.958333, 80.208333)
    assert_interval(dynamic.change_interval, -79.166667, -59.740260)
    assert_interval(static.change_interval, -24.898944, 31.428571)
    assert result.interval is not None
    assert result.interval.low < result.miou < result.interval.high
    for point in (dynamic, static):
        assert point.interval is not None
        assert point.change_interval is not None
        assert point.change is not None
        assert point.interval.low < point.miou < point.interval.high
        assert point.change_interval.low <= point.change <= point.change_interval.high
    # What does nothing does nothing in every sample of sequences, however different the sequences are.
    assert random.change_interval is not None
    assert (random.change_interval.low, random.change_interval.high) == (0, 0)


def test_a_network_that_finds_nothing_has_no_relative_change(own_store: AssetStore) -> None:
    class Blind(Halves):
        def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
            for layer, activation in super().trace(image, flow):
                yield layer, activation * 0

    result = ablate(single(Blind()), Masks(Squares((3,) * 8)), "halves", HALVES, percents=(25,), store=own_store)
    assert result.miou == 0
    assert all(point.change is None and point.change_interval is None for point in result.points)
    json.dumps(result.record(), allow_nan=False)


def test_the_record_is_plain_json(own_store: AssetStore) -> None:
    result = ablate(single(Halves()), Masks(Squares((5, 4))), "halves", HALVES, percents=(25,), store=own_store)
    record = json.loads(json.dumps(result.record(), allow_nan=False))
    assert record["points"][0]["units"] == [0]
    assert record["miou"] == result.miou


def test_a_module_of_the_users_own_is_ablated_by_submodule(own_store: AssetStore) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.joined = nn.Conv2d(1, 4, 1, bias=False)
            self.joined.weight.data = torch.tensor([0.3, 0.3, 0.3, 0.1]).reshape(4, 1, 1, 1)

        def forward(self, image: Tensor, flow: Tensor) -> Tensor:
            red = ((image[:, :1] > 0) & (flow[:, :1] > 0)).float()
            return self.joined(red).sum(dim=1, keepdim=True).clamp(0, 1)

    network = Network(Own(), SINGLE, layers=["joined"])
    result = ablate(network, Masks(Squares((4,))), "joined", HALVES, percents=(25, 50), store=own_store)
    assert result.miou == 100
    assert [point.miou for point in result.points] == [100, 0, 100, 0, 100, 100]


@pytest.mark.parametrize(
    ("name", "layer", "threshold"),
    [("fusionseg", "fusion.layer5", 0.55), ("matnet", "fusion.layer5", 0.48), ("rtnet34", "fusion.layer2", 0.3)],
)
def test_the_networks_lose_what_plain_code_says(name: str, layer: str, threshold: float, own_store: AssetStore) -> None:
    torch.manual_seed(0)
    module = build(name, width=16 if name == "rtnet34" else 4).eval()
    network = Network(module, PAIRED if name == "rtnet34" else SINGLE)
    inputs = {"image": torch.zeros(1, 3, 32, 32), "flow": torch.zeros(1, 3, 32, 32)}
    if name == "rtnet34":
        inputs = {"image": torch.zeros(1, 2, 3, 32, 32), "flow": torch.zeros(1, 2, 6, 32, 32)}
    with torch.no_grad():
        count = dict(module.trace(**inputs))[layer].shape[1]
    generator = np.random.default_rng(0)
    estimate = estimated(generator.random(count).tolist(), generator.random(count).tolist())
    result = ablate(network, Masks(Squares((5,)), threshold), layer, estimate, percents=(50,), store=own_store)
    found = [result.miou, *(point.miou for point in result.points)]
    for miou, zeroed in zip(found, ({}, *({layer: p.units} for p in result.points)), strict=True):
        (ious,) = plain_ious(module, Squares((5,)), name == "rtnet34", threshold, zeroed)
        assert miou == pytest.approx(100 * np.mean(ious), rel=0.02)
    assert len(set(found)) > 1, "what is zeroed matters"


def test_a_fusion_without_a_unit_is_one_whose_weights_of_it_are_zero(own_store: AssetStore) -> None:
    torch.manual_seed(0)
    module = build("fusionseg", width=4)
    task = Masks(Squares((5,)), threshold=0.55)
    fusion: Any = module.get_submodule("backbone.sensor_fusion.layer4")
    count = len(fusion.weight)
    generator = np.random.default_rng(0)
    estimate = estimated(generator.random(count).tolist(), generator.random(count).tolist())
    result = ablate(single(module), task, "fusion.layer5", estimate, percents=(50,), store=own_store)
    whole = measure_masks(single(module), task.dataset, threshold=0.55, store=own_store)
    assert result.miou == whole.miou
    chosen = list(result.points[0].units)
    fusion.weight.data[chosen] = 0
    fusion.bias.data[chosen] = 0
    without = measure_masks(single(module), task.dataset, threshold=0.55, store=own_store)
    assert result.points[0].miou == pytest.approx(without.miou, rel=0.02)
    assert without.miou != whole.miou


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"layer": "halfs"}, "unknown layer 'halfs'; did you mean halves"),
        ({"layer": "mask"}, "mask is the network's answer"),
        ({"percents": ()}, "give at least one percentage"),
        ({"percents": (0,)}, "above 0 and at most 100; got 0"),
        ({"selections": ("dynamics",)}, "unknown selection of units 'dynamics'; did you mean dynamic"),
        ({"stronger": "residual"}, "unknown factor 'residual'"),
        ({"estimate": estimated([0.1] * 3, [0.2] * 3)}, "halves has 4 units; those .* were chosen among 3"),
        ({"device": "gpu"}, "unknown device"),
    ],
)
def test_says_what_is_wrong(arguments: dict[str, Any], complaint: str, own_store: AssetStore) -> None:
    given: dict[str, Any] = {"layer": "halves", "estimate": HALVES, "percents": (25,), "store": own_store, **arguments}
    with pytest.raises(InputError, match=complaint):
        ablate(single(Halves()), Masks(Squares((4,))), **given)


def test_a_dead_end_cannot_be_ablated(own_store: AssetStore) -> None:
    module = build("rtnet34", width=16)
    with pytest.raises(InputError, match=r"the answer of RTNet34 is not made of motion\.layer5"):
        ablate(paired(module), Masks(Squares((5,))), "motion.layer5", HALVES, store=own_store)


@pytest.mark.parametrize("lengths", [(5, 4), (3,) * 9])
def test_the_picture_is_drawn(lengths: tuple[int, ...], tmp_path: Path, own_store: AssetStore) -> None:
    dataset = Squares(lengths, wrong={(0, 1): 4, (1, 1): 2})
    result = ablate(single(Halves()), Masks(dataset), "halves", HALVES, percents=(25, 50, 75), store=own_store)
    path = tmp_path / "pictures" / "ablation.png"
    path.parent.mkdir()
    ablation_picture("halves of squares", result.record(), path)
    with Image.open(path) as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 50
    assert [entry.name for entry in path.parent.iterdir()] == ["ablation.png"]
