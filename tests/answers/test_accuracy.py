"""Accuracy as filmed and shuffled, with networks whose answer is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sdbench.answers.accuracy import measure_accuracy, reach_of_orders
from sdbench.assets import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.data.kinetics import LabelledFolder
from sdbench.engine import Finished
from sdbench.networks import Network, VideoNetwork
from sdbench.video.feed import Feed, evenly_spaced
from tests.conftest import write_video
from tests.made.segmented import SINGLE

FEED = Feed(8, 32, window=16, resample="bilinear")


class Answering(VideoNetwork):
    """Answers what `answer` says; remembers the brightness of each frame of what it was shown, and counts its passes.

    Attributes:
        most: Ctrl-C is pressed in the pass after so many.
    """

    layers = ("classes",)
    most: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, np.ndarray]] = []

    def trace(self, **inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        if len(self.seen) == self.most:
            raise KeyboardInterrupt
        brightness = {name: clips.mean(dim=(1, 3, 4)) for name, clips in inputs.items()}
        self.seen.append({name: values.numpy() for name, values in brightness.items()})
        yield "classes", self.answer(next(iter(brightness.values())))

    def answer(self, brightness: Tensor) -> Tensor:
        raise NotImplementedError


class Brightening(Answering):
    """Answers class 0 where a video grows brighter and class 1 where it grows darker: order is all it looks at."""

    def answer(self, brightness: Tensor) -> Tensor:
        ordered = (brightness.diff(dim=1) > 0).all(dim=1) | (brightness.diff(dim=1) < 0).all(dim=1)
        rising = (brightness[:, -1] > brightness[:, 0]).float()
        wrong = torch.tensor([0.0, 0.0, 9.0])
        right = torch.stack([rising, 1 - rising, torch.zeros_like(rising)], dim=1)
        return torch.where(ordered[:, None], right, wrong)


class Ends(Answering):
    """Answers class 0 where the last frame is brighter than the first: shuffled, it is right by chance."""

    def answer(self, brightness: Tensor) -> Tensor:
        rising = (brightness[:, -1] > brightness[:, 0]).float()
        return torch.stack([rising, 1 - rising], dim=1)


class Bright(Answering):
    """Answers class 0 for bright videos and class 1 for dark ones: order means nothing to it."""

    def answer(self, brightness: Tensor) -> Tensor:
        level = brightness.mean(dim=1)
        return torch.stack([level, -level], dim=1)


def make_folder(folder: Path, each: int) -> LabelledFolder:
    """Videos of 20 frames that grow brighter or darker; those that grow brighter are brighter throughout."""
    noise = np.random.default_rng(0).integers(0, 20, (40, 40, 3))
    for label, sign in (("brighter", 1), ("darker", -1)):
        (folder / label).mkdir(parents=True)
        for number in range(each):
            level = (80 + 90 * (label == "brighter") + sign * 3 * (np.arange(20) - 10)).clip(20, 235)
            frames = (noise + level[:, None, None, None] - 10).clip(0, 255).astype(np.uint8)
            write_video(folder / label / f"{number}.mp4", frames)
    return LabelledFolder(folder)


@pytest.fixture
def videos(tmp_path: Path) -> LabelledFolder:
    return make_folder(tmp_path / "videos", 5)


def network(module: nn.Module, feed: Feed = FEED) -> Network:
    return Network(module, feed)


def test_a_network_that_looks_at_order_loses_all(videos: LabelledFolder, own_store: AssetStore) -> None:
    found = measure_accuracy(network(Brightening()), videos, store=own_store)
    assert found.values["top1"] == 100
    assert found.values["top1_shuffled"] == 0
    assert found.values["change"] == -100
    assert found.videos == 10
    assert found.intervals is not None
    assert found.intervals["change"].low == found.intervals["change"].high == -100


def test_a_network_that_looks_at_single_frames_loses_nothing(videos: LabelledFolder, own_store: AssetStore) -> None:
    found = measure_accuracy(network(Bright()), videos, store=own_store)
    assert found.values["top1"] == found.values["top1_shuffled"] == 100
    assert found.values["change"] == 0
    assert found.values["top5"] == 100


@pytest.mark.parametrize("alpha", [None, 2])
def test_the_middle_window_is_shown_as_filmed_and_in_the_drawn_order(
    alpha: int | None, videos: LabelledFolder, own_store: AssetStore
) -> None:
    """The draws, once more: first the videos, then an order for each video and path."""
    module = Ends()
    feed = Feed(8, 32, window=16, resample="bilinear", alpha=alpha)
    found = measure_accuracy(network(module, feed), videos, seed=3, videos=9, store=own_store)
    generator = generator_for(3, "shuffle")
    chosen = np.sort(generator.choice(10, size=9, replace=False))
    right = []
    for number, seen in zip(chosen, module.seen, strict=True):
        assert list(seen) == (["video"] if alpha is None else ["slow", "fast"])
        for (ordered, shuffled), count in zip(seen.values(), [8] if alpha is None else [4, 8], strict=True):
            rising = np.diff(ordered) > 0
            assert rising.all() if number < 5 else not rising.any()
            first = 255 * (0.45 + 0.225 * ordered[0])  # of 20 frames the middle 16 are seen, from the third on
            assert first == pytest.approx(170 - 8 * 3 if number < 5 else 80 + 8 * 3, abs=1.4)
            order = generator.permutation(evenly_spaced(count, 16))
            np.testing.assert_array_equal(shuffled, ordered[np.searchsorted(np.sort(order), order)])
        (ordered, shuffled), *_ = seen.values()
        right.append([(clip[-1] > clip[0]) == (number < 5) for clip in (ordered, shuffled)])
    assert found.values["top1"] == 100
    assert found.values["top1_shuffled"] == pytest.approx(100 * np.mean(right, axis=0)[1])
    resampled = generator.multinomial(9, np.full(9, 1 / 9), size=2000) @ np.array(right)[:, 1] / 9
    assert found.intervals is not None
    limits = found.intervals["top1_shuffled"]
    assert (limits.low, limits.high) == pytest.approx(tuple(100 * np.percentile(resampled, (2.5, 97.5))))


def test_several_orders_of_each_video_are_means_and_show_what_an_order_does(
    videos: LabelledFolder, own_store: AssetStore
) -> None:
    module = Ends()
    found = measure_accuracy(network(module), videos, seed=3, orders=5, store=own_store)
    assert found.orders == 5
    shown = [seen["video"] for seen in module.seen]
    assert {len(clips) for clips in shown} == {6}, "as filmed, and five orders"
    assert len({clip.tobytes() for clips in shown for clip in clips[1:]}) > 25
    right = np.array(
        [[(clip[-1] > clip[0]) == (number < 5) for clip in clips[1:]] for number, clips in enumerate(shown)]
    )
    assert found.values["top1_shuffled"] == pytest.approx(100 * right.mean())
    one = measure_accuracy(network(Ends()), videos, seed=3, store=own_store)
    assert one.values["top1_shuffled"] == pytest.approx(100 * right[:, 0].mean()), (
        "the first order is that of a single one"
    )
    half = 1.96 * 100 * np.sqrt((right.var(axis=1, ddof=1) / 5).sum()) / 10
    assert found.reproduction["change"].half_width == pytest.approx(half)
    with pytest.raises(InputError, match="at least 1 random order"):
        measure_accuracy(network(Ends()), videos, orders=0, store=own_store)


def test_where_other_orders_of_the_same_videos_would_lie() -> None:
    """The videos stay: what differs is the draw. One order gives an upper bound, several the truth."""
    generator = np.random.default_rng(0)
    chances = np.where(generator.random(600) < 0.7, generator.beta(4, 1, 600), generator.beta(1, 4, 600))
    ordered = (generator.random(600) < 0.8).astype(float)

    def change(shuffled: np.ndarray) -> float:
        return 100 * (shuffled.mean(axis=1).sum() - ordered.sum()) / ordered.sum()

    for orders, least, most in ((1, 0.95, 1.0), (4, 0.92, 0.98)):
        centre = change(chances[:, None])
        covered = []
        for _ in range(400):
            shuffled = (generator.random((600, orders)) < chances[:, None]).astype(float)
            covered.append(abs(change(shuffled) - centre) <= reach_of_orders(ordered, shuffled))
        assert least <= np.mean(covered) <= most


def test_another_seed_draws_other_orders_and_few_videos_give_no_interval(
    videos: LabelledFolder, own_store: AssetStore
) -> None:
    modules = [Ends() for _ in range(3)]
    runs = [
        measure_accuracy(network(module), videos, videos=6, seed=seed, store=own_store)
        for module, seed in zip(modules, (3, 3, 4), strict=True)
    ]
    shown = [np.stack([seen["video"] for seen in module.seen]) for module in modules]
    np.testing.assert_array_equal(shown[0], shown[1])
    assert (shown[0] != shown[2]).any()
    assert runs[0].values == runs[1].values
    assert runs[0].intervals is None


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> LabelledFolder:
    """34 videos: a full part and one of two videos."""
    return make_folder(tmp_path_factory.mktemp("many"), 17)


@pytest.mark.parametrize("workers", [0, 2])
def test_interrupted_it_goes_on_behind_its_last_part(many: LabelledFolder, own_store: AssetStore, workers: int) -> None:
    whole = measure_accuracy(network(Ends()), many, store=own_store, workers=0)
    module = Ends()
    module.most = 33
    with pytest.raises(KeyboardInterrupt):
        measure_accuracy(network(module), many, store=own_store, workers=workers)
    again = Ends()
    found = measure_accuracy(network(again), many, store=own_store, workers=workers)
    assert len(again.seen) == 2
    assert (found.values, found.intervals) == (whole.values, whole.intervals)
    after = Ends()
    measure_accuracy(network(after), many, store=own_store, workers=0)
    assert len(after.seen) == 34, "a finished run leaves nothing behind"


def test_what_was_answered_is_not_asked_again_but_of_another_video_or_seed(
    videos: LabelledFolder, own_store: AssetStore
) -> None:
    finished = Finished()

    def passes(seed: int) -> int:
        module = Ends()
        measure_accuracy(network(module), videos, seed=seed, store=own_store, finished=finished)
        return len(module.seen)

    assert [passes(0), passes(0), passes(1), passes(0)] == [10, 0, 10, 0]
    write_video(videos.file(videos.videos[3]), np.full((20, 40, 40, 3), 99, dtype=np.uint8))
    assert passes(0) == 10


def test_classes_that_do_not_fit_are_named(videos: LabelledFolder, own_store: AssetStore) -> None:
    class One(Answering):
        def answer(self, brightness: Tensor) -> Tensor:
            return brightness[:, :1]

    class EachFrame(Answering):
        def answer(self, brightness: Tensor) -> Tensor:
            return brightness.reshape(-1, 1).expand(-1, 2)

    with pytest.raises(InputError, match=r"class number 1, expected one row a clip with one number for each class"):
        measure_accuracy(network(One()), videos, store=own_store)
    with pytest.raises(InputError, match=r"answers 2 clips with shape \(16, 2\)"):
        measure_accuracy(network(EachFrame()), videos, store=own_store)
    with pytest.raises(InputError, match="between 2 and 10 videos can be used; 11"):
        measure_accuracy(network(Bright()), videos, videos=11, store=own_store)
    with pytest.raises(InputError, match="sees frames with their optical flow; expected a network that names actions"):
        measure_accuracy(network(Bright(), SINGLE), videos, store=own_store)


def test_nothing_recognised_is_an_error(videos: LabelledFolder, own_store: AssetStore) -> None:
    class Wrong(Bright):
        def answer(self, brightness: Tensor) -> Tensor:
            return super().answer(brightness).flip(1)

    with pytest.raises(InputError, match="recognises none of 10 videos"):
        measure_accuracy(network(Wrong()), videos, store=own_store)
