"""Masks held against masks, with networks whose answer is known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sdbench.answers.masks import Masks, intersection_over_union, measure_masks
from sdbench.answers.scoring import frame_scores, partner, thinned
from sdbench.answers.segmenting import Condition, ObjectMap, Segmenter, Zeroed, published_input
from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.networks import Network, build
from sdbench.statistics import Interval
from sdbench.video.feed import Feed
from tests.answers.plain import plain_ious
from tests.made.segmented import PAIRED, SINGLE, SIZE, Answering, Red, Squares, paired, single


def test_intersection_over_union_by_hand() -> None:
    found = np.array([[1, 1, 0], [0, 0, 0]], dtype=bool)
    true = np.array([[0, 1, 1], [0, 0, 1]], dtype=bool)
    assert intersection_over_union(found, true) == 1 / 4
    assert intersection_over_union(found, found) == 1
    assert intersection_over_union(found, ~found) == 0
    assert intersection_over_union(np.zeros_like(found), true) == 0
    assert intersection_over_union(np.zeros_like(found), np.zeros_like(found)) == 1
    with pytest.raises(InputError, match=r"one shape; got \(2, 3\) and \(3, 2\)"):
        intersection_over_union(found, true.T)


@pytest.mark.parametrize("answer", ["probability", "logits"])
def test_frames_are_averaged_by_sequence_without_the_first_and_the_last(answer: str, own_store: AssetStore) -> None:
    # Frames that count: 3 of IoU 1, 1/2 and 3/4 and 2 of IoU 1; the first and the last would be wrong.
    dataset = Squares((5, 4), wrong={(0, 0): 8, (0, 2): 4, (0, 3): 2, (0, 4): 8, (1, 3): 7})
    quality = measure_masks(single(Red(answer)), dataset, store=own_store)
    assert quality.sequences == pytest.approx({"sequence0": 75.0, "sequence1": 100.0})
    assert quality.miou == pytest.approx(87.5)
    assert quality.frames == 5
    assert quality.interval is None


def test_a_network_of_two_frames_sees_both_flows_and_the_first_frame_is_scored(own_store: AssetStore) -> None:
    dataset = Squares((5, 14), wrong={(0, 2): 4})
    quality = measure_masks(paired(Red("pair")), dataset, store=own_store)
    # Forward flow is red and backward flow is blue where the square is: all of it is found.
    assert quality.sequences == pytest.approx({"sequence0": (100 + 50 + 100) / 3, "sequence1": 100.0})


def test_eight_sequences_give_an_interval_that_one_seed_repeats(own_store: AssetStore) -> None:
    dataset = Squares((3,) * 8, wrong={(i, 1): i for i in range(8)})
    first, again = (measure_masks(single(Red()), dataset, store=own_store, seed=3) for _ in range(2))
    assert first.interval == again.interval
    assert first.interval is not None
    assert first.interval.low < first.miou < first.interval.high
    assert first.miou == pytest.approx(100 * (1 - 3.5 / 8))
    assert first.interval == Interval(37.5, 76.5625)
    spread = 100 / 8 * np.std(np.arange(8)) / np.sqrt(8)
    assert first.interval.half_width == pytest.approx(1.96 * spread, rel=0.1)


def test_the_threshold_is_strict_and_applies_to_probabilities(own_store: AssetStore) -> None:
    class Faint(Red):
        def found(self, image: Tensor, flow: Tensor) -> Tensor:
            return 0.25 * super().found(image, flow)

    assert measure_masks(single(Faint()), Squares(), threshold=0.24, store=own_store).miou == 100
    assert measure_masks(single(Faint()), Squares(), threshold=0.25, store=own_store).miou == 0
    with pytest.raises(InputError, match="threshold must be at least 0 and below 1, as probabilities are; got 20"):
        measure_masks(single(Faint()), Squares(), threshold=20, store=own_store)


def test_masks_are_compared_at_their_own_size(own_store: AssetStore) -> None:
    class Halved(Red):
        def found(self, image: Tensor, flow: Tensor) -> Tensor:
            return nn.functional.avg_pool2d(super().found(image, flow), 2)

    dataset = Squares((5,))
    assert 75 < measure_masks(single(Halved()), dataset, store=own_store).miou < 100


class Ramp(nn.Module):
    """A probability that grows from left to right, whatever is shown; remembers what was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[Tensor, Tensor]] = []

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        self.shown.append((image, flow))
        return torch.linspace(0, 1, image.shape[-1]).expand(1, 1, *image.shape[-2:])


def test_a_flip_mirrors_frame_and_flow_and_averages_probabilities() -> None:
    module = Ramp()
    draw = torch.Generator().manual_seed(0)
    inputs = {key: torch.randn(1, 3, 4, 6, generator=draw) for key in ("image", "flow")}
    segmenter = Segmenter(module, torch.device("cpu"), paired=False)
    found = segmenter(inputs, "a frame", Condition(flip=True))
    torch.testing.assert_close(found.probability, torch.full((4, 6), 0.5))
    (image, flow), (mirrored_image, mirrored_flow) = module.shown
    torch.testing.assert_close(mirrored_image, image.flip(3))
    torch.testing.assert_close(mirrored_flow, flow.flip(3))
    plain = segmenter(inputs, "a frame")
    torch.testing.assert_close(plain.probability[0], torch.linspace(0, 1, 6))


@pytest.mark.parametrize("size", [(24, 32), (40, 57), (15, 20)])
def test_grey_is_what_the_published_test_code_saves(size: tuple[int, int]) -> None:
    probability = torch.rand(24, 32, generator=torch.Generator().manual_seed(1))
    saved = Image.fromarray(probability.numpy() * 255).convert("L").resize((size[1], size[0]))
    np.testing.assert_array_equal(ObjectMap(probability).grey(size), np.asarray(saved))


def test_rtnets_answer_is_stretched_with_its_corners_in_place() -> None:
    probability = torch.tensor([[0.2, 0.3], [0.4, 0.6]])
    found = ObjectMap(probability, stretched=True).at((3, 5))
    np.testing.assert_allclose(found[[0, 0, 2, 2], [0, 4, 0, 4]], [0, 0.25, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(found[1, 2], (0.375 - 0.2) / 0.4, atol=1e-6)
    grey = ObjectMap(probability, stretched=True).grey((3, 5))
    assert grey[[0, 0, 2, 2], [0, 4, 0, 4]].tolist() == [0, 63, 127, 255]
    assert np.isfinite(ObjectMap(torch.full((2, 2), 0.3), stretched=True).at((4, 4))).all()


def test_networks_are_fed_as_their_test_codes_do() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    matnet = published_input("matnet").pixels(picture[None])[:, 0]
    resized = np.asarray(Image.fromarray(picture).resize((473, 473)))  # Pillow's default is bicubic
    np.testing.assert_allclose(matnet.numpy(), ((resized / 255 - mean) / std).transpose(2, 0, 1), atol=1e-5)

    for name in ("rtnet", "rtnet34"):
        feed = published_input(name)
        assert feed.flow == "both"
        normal = torch.from_numpy(((picture / 255 - mean) / std).transpose(2, 0, 1)).float()[None]
        corners = nn.functional.interpolate(normal, size=(384, 672), mode="bilinear", align_corners=True)[0]
        torch.testing.assert_close(feed.pixels(picture[None])[:, 0], corners, atol=1e-5, rtol=0)

    fusionseg = published_input("fusionseg").pixels(picture[None])[:, 0]
    averaged = np.asarray(Image.fromarray(picture).resize((854, 480), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(fusionseg.numpy(), ((averaged / 255 - mean) / std).transpose(2, 0, 1), atol=1e-5)
    with pytest.raises(InputError, match="i3d is no network of video object segmentation"):
        published_input("i3d")


def test_the_second_frame_is_any_within_ten_but_the_first() -> None:
    generator = np.random.default_rng(0)
    offsets = Counter(partner(50, range(1, 100), generator) - 50 for _ in range(4000))
    assert sorted(offsets) == [*range(-10, 0), *range(1, 10)]
    assert min(offsets.values()) > 4000 / 19 / 2
    assert {partner(1, range(1, 4), generator) for _ in range(50)} == {2, 3}
    with pytest.raises(InputError, match="frame 1 has no other frame"):
        partner(1, range(1, 2), generator)


def test_conditions_share_what_is_read_and_the_second_frames(own_store: AssetStore) -> None:
    dataset = Squares((6,))
    torch.manual_seed(0)
    network = Network(build("rtnet34", width=16), PAIRED)
    nothing, some = Zeroed("fusion.layer2", (), 16), Zeroed("fusion.layer2", tuple(range(10)), 16)
    conditions = [Condition(), Condition((some,)), Condition((nothing,)), Condition()]
    scores = frame_scores(network, Masks(dataset, 0.45), conditions, store=own_store)["sequence0"]
    assert scores.shape == (4, 4)
    np.testing.assert_array_equal(scores[:, 0], scores[:, 2])
    np.testing.assert_array_equal(scores[:, 0], scores[:, 3])
    assert (scores[:, 0] != scores[:, 1]).any()
    assert all(dataset.reads["mask", "sequence0", i] == 1 for i in range(1, 5))
    assert sum(n for (kind, _, _), n in dataset.reads.items() if kind == "image") == 8


def test_a_few_frames_of_each_sequence_are_spread_evenly(own_store: AssetStore) -> None:
    assert list(thinned(range(1, 12), 3)) == [1, 6, 11]
    assert list(thinned(range(1, 12), 20)) == list(range(1, 12))
    assert list(thinned(range(1, 12), None)) == list(range(1, 12))
    with pytest.raises(InputError, match="at least one frame"):
        thinned(range(4), 0)
    dataset = Squares((9, 3), wrong={(0, 4): 4})
    quality = measure_masks(single(Red()), dataset, frames=3, store=own_store)
    assert quality.frames == 4
    assert {position for kind, name, position in dataset.reads if name == "sequence0"} == {1, 4, 7}
    assert quality.sequences["sequence0"] == pytest.approx(250 / 3)


@pytest.mark.parametrize(("name", "threshold"), [("fusionseg", 0.55), ("matnet", 0.48), ("rtnet34", 0.3)])
@pytest.mark.parametrize("flip", [False, True])
def test_networks_score_what_plain_code_says(name: str, threshold: float, flip: bool, own_store: AssetStore) -> None:
    torch.manual_seed(0)
    module = build(name, width=16 if name == "rtnet34" else 4)
    feed = PAIRED if name == "rtnet34" else SINGLE
    found = measure_masks(
        Network(module, feed), Squares((5, 4)), threshold=threshold, flip=flip, seed=3, store=own_store
    )
    ious = plain_ious(module, Squares((5, 4)), feed is PAIRED, threshold, flip=flip, seed=3)
    assert list(found.sequences.values()) == pytest.approx([100 * np.mean(part) for part in ious], rel=0.02)


class Constant(Answering):
    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def found(self, image: Tensor, flow: Tensor) -> Tensor:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (torch.zeros(1, 3, 4, 4), r"frame 00001 of sequence0 with shape \(1, 3, 4, 4\); expected \(1, 2, h, w\)"),
        (torch.zeros(1, 10), r"shape \(1, 10\)"),
        (torch.full((1, 1, 4, 4), float("nan")), "NaN or infinity for frame 00001 of sequence0"),
        (torch.full((1, 2, 4, 4), float("inf")), "NaN or infinity"),
        (torch.full((1, 1, 4, 4), 3.0), "values from 3 to 3 .* expected probabilities"),
    ],
)
def test_another_answer_is_refused(answer: Tensor, complaint: str, own_store: AssetStore) -> None:
    with pytest.raises(InputError, match=complaint):
        measure_masks(single(Constant(answer)), Squares(), store=own_store)


def test_a_single_row_is_no_answer_of_a_network_of_two_frames(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match=r"expected \(2, 1, h, w\)"):
        measure_masks(paired(Constant(torch.zeros(1, 1, *SIZE))), Squares(), store=own_store)


def test_sequences_that_are_too_short_are_all_named(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="too few frames that count: sequence1, sequence2; expected at least 3"):
        measure_masks(single(Red()), Squares((5, 2, 1)), store=own_store)
    with pytest.raises(InputError, match="sequence1; expected at least 4 frames"):
        measure_masks(paired(Red("pair")), Squares((5, 3)), store=own_store)
    with pytest.raises(InputError, match="squares has no sequence"):
        measure_masks(single(Red()), Squares(()), store=own_store)


def test_a_network_without_flow_is_refused(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="Red is fed no optical flow; expected a network of video object segmentation"):
        measure_masks(Network(Red(), Feed()), Squares(), store=own_store)
