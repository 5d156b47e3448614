"""How much of its accuracy an action network loses when it sees the frames of a video in a random order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sdbench.answers.asking import asked
from sdbench.assets.store import AssetStore
from sdbench.base.content import Contents
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.base.kept import Arrays
from sdbench.data.kinetics import LabelledFolder, LabelledVideo
from sdbench.engine import Finished, Planned
from sdbench.engine.loader import Drawn
from sdbench.engine.placing import device_named, on_device
from sdbench.networks.network import Network
from sdbench.networks.without import answer_without
from sdbench.statistics import Interval, bootstrap_means, percentiles
from sdbench.statistics.resampling import FloatArray
from sdbench.video.feed import Feed, window

_BEST = 5

_QUANTILE = 1.96
"""Of a normal: 95 % lie within so many standard deviations."""

_MEASURES = ("top1", "top5", "top1_shuffled", "top5_shuffled", "change")


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on videos as filmed and with their frames shuffled.

    Attributes:
        values: "top1", "top5", "top1_shuffled", "top5_shuffled" in percent of the videos, and "change": the relative
            change of top-1 in percent of the ordered top-1, negative where shuffling costs accuracy.
        intervals: 95 % interval of each by resampling videos, as if others could have been filmed; None below 8 videos.
        reproduction: 95 % interval of "change" with other random orders of the same videos. With one order of each
            video it is an upper bound.
        videos: number of videos.
        orders: how many random orders each of them was shown in.
        seconds: how long it took.
    """

    values: dict[str, float]
    intervals: dict[str, Interval] | None
    reproduction: dict[str, Interval]
    videos: int
    orders: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ShuffledVideo(Planned):
    """A video that is shown as filmed and shuffled.

    Attributes:
        video: the video.
        orders: for each random order the name of each of the network's inputs, and the positions that it takes of the
            middle window, from 0, in the order in which they are shown shuffled.
    """

    video: LabelledVideo
    orders: tuple[tuple[tuple[str, tuple[int, ...]], ...], ...]


def measure_accuracy(
    network: Network,
    dataset: LabelledFolder,
    *,
    seed: int = 0,
    videos: int | None = None,
    orders: int = 1,
    device: str = "cpu",
    store: AssetStore | None = None,
    workers: int | None = None,
    finished: Finished | None = None,
) -> Accuracy:
    """Top-1 and top-5 accuracy, ordered and shuffled, of one view of each video. Interrupted, it goes on.

    The view is the middle window of the video and the middle crop; shuffled, the same frames come in a random order,
    SlowFast's two paths each in their own. All go through the network together.

    Args:
        network: an action network whose answer has one number a class.
        dataset: the labelled videos; a random part of them where `videos` is given.
        seed: of the random orders, the part and the resampling.
        videos: how many to use; all by default.
        orders: in how many random orders each video is shown; shuffled accuracy is the mean over them.
        device: "cpu", "cuda" or any other device of torch.
        store: parts of unfinished runs lie in its folder.
        workers: processes that decode videos while the network is busy; by default one a core.
        finished: takes the parts of this run, which then stay on disk until the caller discards them.

    Raises:
        InputError: the network sees optical flow, its answer has too few classes, fewer than two videos or no random
            order are asked for, a video cannot be decoded, or no video is recognised as filmed, so that there is no
            relative change.
        DiskError: what is finished cannot be written.
    """
    started = time.perf_counter()
    store = store or AssetStore()
    where = device_named(device)
    if network.feed.flow is not None:
        raise InputError(f"{network.name} sees frames with their optical flow; expected a network that names actions")
    if orders < 1:
        raise InputError(f"at least 1 random order is needed; got {orders}")
    generator = generator_for(seed, "shuffle")
    further = [generator_for(seed, f"shuffle {number}") for number in range(1, orders)]
    planned = _planned(dataset, network.feed, videos, [generator, *further], Contents(store.cache.contents))
    answers = asked(
        network,
        planned,
        {("accuracy", seed): partial(_Right, network, where)},
        partial(_drawn, dataset, network.feed),
        doing=f"accuracy of {network.name}",
        device=where,
        store=store,
        workers=workers,
        finished=finished,
    )
    right = answers["accuracy", seed]["right"]
    shown = right.astype(np.float64).reshape(len(right), 1 + orders, 2)  # as filmed and in each order: top-1, top-5
    hits = np.concatenate([shown[:, 0], shown[:, 1:].mean(axis=1)], axis=1)
    values = _values(hits.mean(axis=0))
    if not np.isfinite(values["change"]):
        raise InputError(
            f"{network.name} recognises none of {len(planned)} videos as filmed, so shuffling can change nothing; "
            "check that the classes are in the order of its answer"
        )
    reach = reach_of_orders(shown[:, 0, 0], shown[:, 1:, 0])
    reproduction = {"change": Interval(values["change"] - reach, values["change"] + reach)}
    intervals, seconds = _intervals(hits, generator), time.perf_counter() - started
    return Accuracy(values, intervals, reproduction, len(planned), orders, seconds)


def reach_of_orders(ordered: FloatArray, shuffled: FloatArray) -> float:
    """How far the relative change would lie with other random orders: half of a 95 % interval, in percent.

    What the videos are is common to both runs; what differs is which of them are recognised in the orders that were
    drawn. Several orders of a video show that. With one the chance of each video is not known: it is taken to be that
    of all that are recognised as filmed, or of all that are not, which can only make it too long.

    Args:
        ordered: (N,) 1 where a video is recognised as filmed, else 0.
        shuffled: (N, K) the same for each of its random orders.
    """
    orders = shuffled.shape[1]
    if orders > 1:
        variance = shuffled.var(axis=1, ddof=1).sum() / orders
    else:
        alike = [shuffled[ordered == recognised, 0] for recognised in (0, 1)]
        variance = sum(len(part) * part.mean() * (1 - part.mean()) for part in alike if len(part))
    return float(_QUANTILE * 100 * np.sqrt(variance) / ordered.sum())


class _Right:
    """Which answers to some videos are right: `sdbench.engine.parts.Work`."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self.network, self.device = network, device
        self._right: list[npt.NDArray[np.bool_]] = []

    def see(self, sample: Drawn) -> None:
        assert isinstance(sample.planned, ShuffledVideo)
        module = self.network.module
        shown = {name: on_device(values, module, self.device) for name, values in sample.value.items()}
        self._right.append(
            _right(answer_without(module, shown, {}), sample.planned.views, sample.planned.video, self.network.name)
        )

    def finish(self) -> Arrays:
        return {"right": np.stack(self._right)}


def _planned(
    dataset: LabelledFolder,
    feed: Feed,
    count: int | None,
    generators: Sequence[np.random.Generator],
    contents: Contents,
) -> list[ShuffledVideo]:
    chosen = _chosen(dataset.videos, count, generators[0])
    return [
        ShuffledVideo(
            name=video.name,
            block=video.name,
            views=1 + len(generators),
            pairs=(),
            content=contents.of([dataset.file(video)]),
            video=video,
            orders=tuple(
                tuple(
                    (name, tuple(generator.permutation(positions).tolist()))
                    for name, positions in feed.choose().items()
                )
                for generator in generators
            ),
        )
        for video in chosen
    ]


def _chosen(
    videos: Sequence[LabelledVideo], count: int | None, generator: np.random.Generator
) -> tuple[LabelledVideo, ...]:
    if count is None:
        return tuple(videos)
    if not 2 <= count <= len(videos):
        raise InputError(f"between 2 and {len(videos)} videos can be used; {count} were asked for")
    return tuple(videos[int(i)] for i in np.sort(generator.choice(len(videos), size=count, replace=False)))


def _drawn(dataset: LabelledFolder, feed: Feed, planned: ShuffledVideo) -> dict[str, Tensor]:
    """The network's inputs, of one view as filmed and of one for each random order."""
    needed = sorted({position for _, order in planned.orders[0] for position in order})

    def middle(length: int) -> list[int]:
        start = max(0, (length - feed.span) // 2)
        positions = window(start, feed.span, length)
        return [positions[i] for i in needed]

    frames = dataset.read(planned.video, middle)
    pixels = (replace(feed, fit="crop") if feed.fit == "crops" else feed).pixels(frames)
    return {
        name: feed.ordered([pixels[:, [needed.index(i) for i in shown]] for shown in (sorted(orders[0]), *orders)])
        for name, orders in _by_input(planned).items()
    }


def _by_input(planned: ShuffledVideo) -> dict[str, list[tuple[int, ...]]]:
    """Name of each of the network's inputs -> its random orders."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for order in planned.orders:
        for name, positions in order:
            found.setdefault(name, []).append(positions)
    return found


def _right(answers: Tensor, views: int, video: LabelledVideo, name: str) -> npt.NDArray[np.bool_]:
    """(2 views,) whether the class is the first, and among the first five, of each view: as filmed, then shuffled."""
    if answers.ndim != 2 or len(answers) != views or answers.shape[1] <= video.class_index:
        raise InputError(
            f"{name} answers {views} clips with shape {tuple(answers.shape)}; {video.name} has class number "
            f"{video.class_index}, expected one row a clip with one number for each class: are these its classes?"
        )
    best = answers.topk(min(_BEST, answers.shape[1]), dim=1).indices.cpu().numpy()
    return np.array([part for row in best for part in (row[0] == video.class_index, video.class_index in row)])


def _values(means: npt.NDArray[np.float64]) -> dict[str, float]:
    top1, top5, shuffled1, shuffled5 = (100 * float(mean) for mean in means)
    change = 100 * (shuffled1 - top1) / top1 if top1 else float("nan")
    return dict(zip(_MEASURES, (top1, top5, shuffled1, shuffled5, change), strict=True))


def _intervals(hits: FloatArray, generator: np.random.Generator) -> dict[str, Interval] | None:
    """Percentiles over bootstrap samples of videos; a video's outcomes stay together.

    A sample in which no video is recognised as filmed has no relative change and is left out of its interval.
    """
    means = bootstrap_means(hits, generator)
    if means is None:
        return None
    drawn = [_values(row) for row in means]
    columns = {measure: np.array([values[measure] for values in drawn]) for measure in _MEASURES}
    limits = {measure: percentiles(column[np.isfinite(column)]) for measure, column in columns.items()}
    return {measure: interval for measure, interval in limits.items() if interval is not None}
