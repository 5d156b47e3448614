"""How much of its accuracy an action network loses when it sees the frames of a video in a random order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sdbench.ahead import ahead
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.base.progress import progress
from sdbench.data.kinetics import LabelledFolder, LabelledVideo
from sdbench.passes import device_named, one_right_answer
from sdbench.statistics import FEWEST_GROUPS, Interval
from sdbench.video.transform import window
from sdbench.zoo.action_preparation import ActionPreparation

_AHEAD = 4
_REPLICATES = 2000
_BEST = 5
_MEASURES = ("top1", "top5", "top1_shuffled", "top5_shuffled", "change")


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on videos as filmed and with their frames shuffled.

    Attributes:
        values: "top1", "top5", "top1_shuffled", "top5_shuffled" in percent of the videos, and "change": the relative
            change of top-1 in percent of the ordered top-1, negative where shuffling costs accuracy.
        intervals: 95 % interval of each by resampling videos; None below 8 videos.
        videos: number of videos.
        seconds: how long it took.
    """

    values: dict[str, float]
    intervals: dict[str, Interval] | None
    videos: int
    seconds: float


def measure_accuracy(
    module: nn.Module,
    dataset: LabelledFolder,
    preparation: ActionPreparation,
    *,
    seed: int = 0,
    videos: int | None = None,
    device: str = "cpu",
    name: str = "the network",
    quiet: bool = False,
) -> Accuracy:
    """Top-1 and top-5 accuracy, ordered and shuffled, of one view of each video.

    The view is the middle window of the video and the middle crop; shuffled, the same frames come in a random order,
    SlowFast's two paths each in their own. Both go through the network together.

    Args:
        module: an action network whose answer has one number a class.
        dataset: the labelled videos; a random part of them where `videos` is given.
        preparation: what the network is fed.
        seed: of the random orders and of the part.
        videos: how many to use; all by default.
        device: "cpu", "cuda" or any other device of torch.
        name: how to call the network on the progress bar and in errors.
        quiet: no progress bar.

    Raises:
        InputError: the answer has too few classes, fewer than two videos are asked for, a video cannot be decoded, or
            no video is recognised as filmed, so that there is no relative change.
    """
    started = time.perf_counter()
    where = device_named(device)
    module = module.to(where).eval()
    generator = generator_for(seed, "shuffle")
    chosen = _chosen(dataset.videos, videos, generator)
    right: list[npt.NDArray[np.bool_]] = []
    samples = _samples(dataset, chosen, preparation, generator)
    with (
        one_right_answer(),
        progress(f"accuracy of {name}", len(chosen), 0, quiet) as advance,
        ahead(samples, _AHEAD) as coming,
        torch.no_grad(),
    ):
        for video, inputs in coming:
            answers = module(**{key: value.to(where) for key, value in inputs.items()})
            right.append(_right(answers, video, name))
            advance(len(right))
    hits = np.stack(right)
    values = _values(hits.mean(axis=0))
    if not np.isfinite(values["change"]):
        raise InputError(
            f"{name} recognises none of {len(chosen)} videos as filmed, so shuffling can change nothing; "
            "check that the classes are in the order of its answer"
        )
    return Accuracy(values, _intervals(hits, generator), len(chosen), time.perf_counter() - started)


def _chosen(
    videos: Sequence[LabelledVideo], count: int | None, generator: np.random.Generator
) -> tuple[LabelledVideo, ...]:
    if count is None:
        return tuple(videos)
    if not 2 <= count <= len(videos):
        raise InputError(f"between 2 and {len(videos)} videos can be used; {count} were asked for")
    return tuple(videos[int(i)] for i in np.sort(generator.choice(len(videos), size=count, replace=False)))


def _samples(
    dataset: LabelledFolder,
    videos: Sequence[LabelledVideo],
    preparation: ActionPreparation,
    generator: np.random.Generator,
) -> Iterator[tuple[LabelledVideo, dict[str, Tensor]]]:
    """Each video and the network's inputs, ordered and shuffled: (2, 3, T, H, W) each."""
    chosen = preparation.choose()
    needed = sorted({position for positions in chosen.values() for position in positions})

    def middle(length: int) -> list[int]:
        start = max(0, (length - preparation.window) // 2)
        positions = window(start, preparation.window, length)
        return [positions[i] for i in needed]

    for video in videos:
        prepared = preparation(dataset.read(video, middle))
        inputs = {}
        for key, positions in chosen.items():
            ordered = [needed.index(position) for position in positions]
            shuffled = generator.permutation(ordered).tolist()
            inputs[key] = torch.stack([prepared[:, ordered], prepared[:, shuffled]])
        yield video, inputs


def _right(answers: Tensor, video: LabelledVideo, name: str) -> npt.NDArray[np.bool_]:
    """(4,) whether the class is the first, and among the first five: ordered, ordered, shuffled, shuffled."""
    if answers.ndim != 2 or answers.shape[1] <= video.class_index:
        raise InputError(
            f"{name} answers with shape {tuple(answers.shape)}; {video.name} has class number {video.class_index}, "
            "expected one number for each class: are these its classes?"
        )
    best = answers.topk(min(_BEST, answers.shape[1]), dim=1).indices.cpu().numpy()
    return np.array([part for row in best for part in (row[0] == video.class_index, video.class_index in row)])


def _values(means: npt.NDArray[np.float64]) -> dict[str, float]:
    top1, top5, shuffled1, shuffled5 = (100 * float(mean) for mean in means)
    change = 100 * (shuffled1 - top1) / top1 if top1 else float("nan")
    return dict(zip(_MEASURES, (top1, top5, shuffled1, shuffled5, change), strict=True))


def _intervals(hits: npt.NDArray[np.bool_], generator: np.random.Generator) -> dict[str, Interval] | None:
    """Percentiles over bootstrap samples of videos; a video's four outcomes stay together."""
    count = len(hits)
    if count < FEWEST_GROUPS:
        return None
    drawn = [_values(hits[generator.integers(count, size=count)].mean(axis=0)) for _ in range(_REPLICATES)]
    limits = {}
    for measure in _MEASURES:
        column = np.array([values[measure] for values in drawn])
        low, high = np.percentile(column[np.isfinite(column)], (2.5, 97.5))
        limits[measure] = Interval(float(low), float(high))
    return limits
