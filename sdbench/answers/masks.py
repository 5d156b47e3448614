"""How well a network finds the object of a video: intersection over union of masks, averaged as DAVIS does it.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016: the Jaccard
index J of each frame, averaged over a sequence, then over sequences. As in its evaluation code, the first and the last
frame of a sequence do not count; all other frames have flow both ways, so that every network can be asked for them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdbench.answers.scoring import frame_scores
from sdbench.answers.segmenting import Condition, ObjectMap, check_threshold
from sdbench.assets.store import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.data.segmentation import Mask, SegmentationDataset, VideoSequence
from sdbench.engine import Finished
from sdbench.networks.network import Network
from sdbench.statistics import Interval
from sdbench.statistics.resampling import bootstrap_means, percentiles


def intersection_over_union(found: Mask, true: Mask) -> float:
    """Pixels in both masks over pixels in either, from 0 to 1; 1 where both are empty, as in DAVIS's evaluation.

    Raises:
        InputError: they are not of one shape.
    """
    if found.shape != true.shape:
        raise InputError(f"masks must be of one shape; got {found.shape} and {true.shape}")
    union = np.count_nonzero(found | true)
    return np.count_nonzero(found & true) / union if union else 1.0


@dataclass(frozen=True)
class Masks:
    """Holds found objects against the masks of a data set, at the masks' own resolution.

    Attributes:
        dataset: frames, flow and masks.
        threshold: a pixel belongs to the found object where its probability is above.

    Raises:
        InputError: the threshold is no probability below 1.
    """

    dataset: SegmentationDataset
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The one that is asked for."""
        return (self.threshold,)

    def positions(self, sequence: VideoSequence, paired: bool) -> Sequence[int]:  # noqa: ARG002 - the same for all
        """All frames but the first and the last."""
        return range(1, len(sequence.frames) - 1)

    def truth(self, sequence: VideoSequence, position: int) -> Mask:
        """The mask of a frame."""
        return self.dataset.mask(sequence, position)

    def score(self, found: ObjectMap, truth: Mask) -> tuple[float, ...]:
        """Intersection over union, from 0 to 1, at each of `thresholds`."""
        height, width = truth.shape
        probability = found.at((height, width))
        return tuple(intersection_over_union(probability > threshold, truth) for threshold in self.thresholds)


@dataclass(frozen=True)
class MaskQuality:
    """How well the masks of a data set were found.

    Attributes:
        miou: mean over sequences of the mean intersection over union of their frames, in percent: DAVIS's J mean.
        interval: its 95 % interval by resampling sequences; None below 8 sequences.
        sequences: name -> mean of its frames, in percent.
        frames: number of frames that count.
        seconds: how long it took.
    """

    miou: float
    interval: Interval | None
    sequences: dict[str, float]
    frames: int
    seconds: float


def measure_masks(
    network: Network,
    dataset: SegmentationDataset,
    *,
    threshold: float = 0.5,
    flip: bool = False,
    frames: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    store: AssetStore | None = None,
    workers: int | None = None,
    finished: Finished | None = None,
) -> MaskQuality:
    """Mean intersection over union of found and true masks. Interrupted, it goes on where it stopped.

    Args:
        network: it takes {"image", "flow"}; for what it answers see `sdbench.answers.segmenting.Segmenter`, for what it
            was fed when its masks were published, `sdbench.answers.segmenting.published_input`.
        dataset: sequences of at least 3 frames, at least 4 for RTNet.
        threshold: a pixel belongs to the found object where its probability is above; at least 0 and below 1.
        flip: average with the answer to the mirror image.
        frames: at most so many of each sequence, evenly spread; all that count by default.
        seed: of the second frames of RTNet's samples and of the resampling.
        device: "cpu", "cuda" or any other device of torch.
        store: parts of unfinished runs lie in its folder.
        workers: processes that read frames while the network is busy; by default one a core.
        finished: takes the parts of this run, which then stay on disk until the caller discards them.

    Raises:
        InputError: sequences are too short, or the network answers something else: see `frame_scores`.
        DiskError: what is finished cannot be written.
    """
    started = time.perf_counter()
    scores = frame_scores(
        network,
        Masks(dataset, threshold),
        [Condition(flip=flip)],
        frames=frames,
        seed=seed,
        device=device,
        store=store,
        workers=workers,
        finished=finished,
    )
    means = np.array([float(part.mean()) for part in scores.values()])
    drawn = bootstrap_means(means[:, None], generator_for(seed, "resampling"))
    return MaskQuality(
        miou=100 * float(means.mean()),
        interval=None if drawn is None else percentiles(100 * drawn[:, 0]),
        sequences={sequence: 100 * float(mean) for sequence, mean in zip(scores, means, strict=True)},
        frames=sum(len(part) for part in scores.values()),
        seconds=time.perf_counter() - started,
    )
