"""Mean IoU and success rates on MoCA, as the study of Kowal et al., CVPR 2022, evaluates its networks there.

MoCA has boxes, not masks: a found mask is reduced to a box, and the two boxes are compared. The evaluation is that of
the motion grouping project (Yang et al., ICCV 2021) with one change by the study: of several regions, the project takes
that with the largest bounding box, the study that whose bounding box holds the most found pixels. The study's is used.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sdbench.answers.scoring import frame_scores
from sdbench.answers.segmenting import Condition, Grey, ObjectMap, check_threshold
from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.data.moca import Box, MocaDataset
from sdbench.data.segmentation import VideoSequence
from sdbench.engine import Finished
from sdbench.networks.network import Network
from sdbench.statistics import Interval
from sdbench.statistics.resampling import FloatArray, bootstrap_weights, percentiles

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a box; the last two are not inside."""

SUCCESS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""A frame is a success where its IoU is above."""

PUBLISHED_THRESHOLDS = (0.1, 0.2)
"""Probabilities above which a pixel belongs to the found object, in the published table."""

MEASURES = ("miou", *(f"sr_{level}" for level in SUCCESS), "msr")

_QUANTILE = 1.96
"""Of a normal: 95 % lie within so many standard deviations."""

_NEIGHBOURS = np.ones((3, 3), dtype=np.bool_)  # a corner is enough to connect two pixels


def found_box(grey: Grey, threshold: float) -> Edges | None:
    """The box around the object in a picture of its probability.

    Where more than half of the pixels on the picture's border are above mid-grey, background was taken for the object,
    and the picture is inverted first. Of the connected regions above the threshold, the one counts whose bounding box
    holds the most pixels above the threshold; of equals, the one that begins lowest, then farthest right, which is
    where OpenCV's contours start.

    Args:
        grey: (H, W) from 0 to 255.
        threshold: of the probability, from 0 to 1.

    Returns:
        None where nothing is above the threshold.
    """
    border = np.ones(grey.shape, dtype=np.bool_)
    border[1:-1, 1:-1] = False
    height, width = grey.shape
    if np.count_nonzero(grey[border] > 127.5) / (2 * height + 2 * width - 4) > 0.5:
        grey = 255 - grey
    found: npt.NDArray[np.bool_] = grey > threshold * 255
    regions, _ = ndimage.label(found, _NEIGHBOURS)
    largest, best = 0, None
    for rows, columns in ndimage.find_objects(regions):  # in the order of their first pixels, line by line
        pixels = int(np.count_nonzero(found[rows, columns]))
        if pixels >= largest:
            largest, best = pixels, (columns.start, rows.start, columns.stop, rows.stop)
    return best


def box_iou(first: Edges, second: Edges) -> float:
    """Intersection over union of two boxes, from 0 to 1; 0 where they do not overlap."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return float(width * height / (areas - width * height))


@dataclass(frozen=True)
class Boxes:
    """Holds the boxes around found objects against those of MoCA.

    Attributes:
        dataset: MoCA.
        threshold: a pixel belongs to the found object where its probability is above; the study used 0.2.

    Raises:
        InputError: the threshold is no probability below 1.
    """

    dataset: MocaDataset
    threshold: float = 0.2

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Both published ones, whichever of them is asked for; else the one that is."""
        return PUBLISHED_THRESHOLDS if self.threshold in PUBLISHED_THRESHOLDS else (self.threshold,)

    def positions(self, sequence: VideoSequence, paired: bool) -> Sequence[int]:
        """The annotated frames; of the last (where `paired`, of the first too) there is no flow."""
        first = 1 if paired else 0
        return [i for i in range(first, len(sequence.frames) - 1) if self.dataset.box(sequence, i) is not None]

    def truth(self, sequence: VideoSequence, position: int) -> tuple[Box, tuple[int, int]]:
        """The annotated box, and height and width of the frame."""
        box = self.dataset.box(sequence, position)
        assert box is not None
        return box, self.dataset.size(sequence)

    def score(self, found: ObjectMap, truth: tuple[Box, tuple[int, int]]) -> tuple[float, ...]:
        """Intersection over union of the boxes at each of `thresholds`, from 0 to 1; 0 where nothing was found."""
        box, size = truth
        true, grey = (box.left, box.top, box.right, box.bottom), found.grey(size)
        edges = [found_box(grey, threshold) for threshold in self.thresholds]
        return tuple(0.0 if one is None else box_iou(one, true) for one in edges)


@dataclass(frozen=True)
class MocaQuality:
    """How well the animals of MoCA were found.

    Attributes:
        values: in percent: "miou", the mean over videos of the mean IoU of their frames; "sr_0.5" to "sr_0.9", the
            frames of all videos whose IoU is above; "msr", the mean of these five.
        intervals: 95 % interval of each by resampling videos, as if there could be others; None below 8 videos.
        reproduction: 95 % interval of each on the same videos: points where nothing is drawn at random; of RTNet, whose
            second frames are, an upper bound.
        videos: name -> mean IoU of its frames, in percent.
        frames: number of frames that count.
        seconds: how long it took.
    """

    values: dict[str, float]
    intervals: dict[str, Interval] | None
    reproduction: dict[str, Interval]
    videos: dict[str, float]
    frames: int
    seconds: float


def measure_moca(
    network: Network,
    dataset: MocaDataset,
    *,
    threshold: float = 0.2,
    flip: bool = False,
    seed: int = 0,
    device: str = "cpu",
    store: AssetStore | None = None,
    workers: int | None = None,
    finished: Finished | None = None,
) -> MocaQuality:
    """Mean IoU and success rates on MoCA. Interrupted, it goes on where it stopped.

    Args:
        network: it takes {"image", "flow"}; for what it answers see `sdbench.answers.segmenting.Segmenter`, for what it
            was fed when its masks were published, `sdbench.answers.segmenting.published_input`.
        dataset: MoCA; with backward flow for RTNet.
        threshold: a pixel belongs to the found object where its probability is above: 0.1 or 0.2 in the published
            table; at least 0 and below 1. Frames are scored at both in one pass.
        flip: average with the answer to the mirror image.
        seed: of the second frames of RTNet's samples and of the resampling.
        device: "cpu", "cuda" or any other device of torch.
        store: parts of unfinished runs lie in its folder.
        workers: processes that read frames while the network is busy; by default one a core.
        finished: takes the parts of this run, which then stay on disk until the caller discards them.

    Raises:
        InputError: see `frame_scores`.
        DiskError: what is finished cannot be written.
    """
    started = time.perf_counter()
    scores = frame_scores(
        network,
        Boxes(dataset, threshold),
        [Condition(flip=flip)],
        seed=seed,
        device=device,
        store=store,
        workers=workers,
        finished=finished,
    )
    ious = {video: part[:, 0] for video, part in scores.items()}
    return moca_quality(ious, generator_for(seed, "resampling"), network.feed.flow == "both", started)


def moca_quality(
    ious: dict[str, FloatArray],
    generator: np.random.Generator,
    drawn: bool = False,
    started: float | None = None,
) -> MocaQuality:
    """What follows from the IoU of every frame.

    Args:
        ious: video -> (frames,) IoU, from 0 to 1.
        generator: draws the resampled videos.
        drawn: whether what a network sees of a frame was drawn at random.
        started: when the measurement began, by `time.perf_counter`.
    """
    means = np.array([float(part.mean()) for part in ious.values()])
    frames = np.array([len(part) for part in ious.values()])
    successes = np.array([[np.count_nonzero(part > level) for level in SUCCESS] for part in ious.values()])
    (values,) = _measured(np.ones((1, len(means))), means, frames, successes)
    weights = bootstrap_weights(len(means), generator)
    intervals: dict[str, Interval] | None = None
    if weights is not None:
        columns = _measured(weights, means, frames, successes).T
        intervals = {}
        for measure, column in zip(MEASURES, columns, strict=True):
            limits = percentiles(column)
            assert limits is not None
            intervals[measure] = limits
    reach = _reach(list(ious.values())) if drawn else np.zeros(len(MEASURES))
    return MocaQuality(
        values=dict(zip(MEASURES, values.tolist(), strict=True)),
        intervals=intervals,
        reproduction={
            measure: Interval(value - half, value + half)
            for measure, value, half in zip(MEASURES, values.tolist(), reach.tolist(), strict=True)
        },
        videos={video: 100 * float(mean) for video, mean in zip(ious, means, strict=True)},
        frames=int(frames.sum()),
        seconds=0.0 if started is None else time.perf_counter() - started,
    )


def _reach(ious: Sequence[FloatArray]) -> FloatArray:
    """How far `MEASURES` would lie with other random draws for each frame: half of 95 % intervals, in percent.

    Neighbouring frames of a video differ by their draws, and a little by what they show: half of the mean square of
    their differences is a frame's variance by its draws, or more. A video of one frame takes that of the others.
    """
    count, frames = len(ious), sum(len(part) for part in ious)
    total, alone, known = np.zeros(len(MEASURES)), np.zeros(len(MEASURES)), 0
    for part in ious:
        success = np.stack([part > level for level in SUCCESS], axis=1).astype(np.float64)
        columns = np.column_stack([part * frames / (count * len(part)), success, success.mean(axis=1)])
        if len(part) > 1:
            variance = (np.diff(columns, axis=0) ** 2).mean(axis=0) / 2
            total += len(part) * variance
            known += len(part)
    if known:
        alone = total / known
    return np.asarray(_QUANTILE * 100 * np.sqrt(total + (frames - known) * alone) / frames)


def _measured(
    weights: FloatArray, means: FloatArray, frames: npt.NDArray[np.int64], successes: npt.NDArray[np.int64]
) -> FloatArray:
    """`MEASURES` in percent, (R, 7), for videos weighted by each row of `weights` (R, V)."""
    miou = weights @ means / weights.sum(axis=1)
    rates = weights @ successes / (weights @ frames)[:, None]
    return 100 * np.column_stack([miou, rates, rates.mean(axis=1)])
