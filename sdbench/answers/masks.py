"""How well a network finds the object of a video: intersection over union of masks, averaged as DAVIS does it.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016: the Jaccard
index J of each frame, averaged over a sequence, then over sequences. As in its evaluation code, the first and the last
frame of a sequence do not count; all other frames have flow both ways, so that every network can be asked for them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from sdbench.ahead import ahead
from sdbench.answers.segmenting import ObjectMap, Segmenter, Task, check_threshold, shown, thinned
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.base.progress import progress
from sdbench.data.segmentation import Mask, SegmentationDataset, VideoSequence
from sdbench.networks.reading import Units
from sdbench.passes import device_named, one_right_answer
from sdbench.statistics import FEWEST_GROUPS, Interval
from sdbench.zoo.vos_preparation import VosPreparation

FloatArray = npt.NDArray[np.float64]

REPLICATES = 2000
_AHEAD = 4
_NAMED = 5


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
    """

    dataset: SegmentationDataset
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def positions(self, sequence: VideoSequence, paired: bool) -> Sequence[int]:  # noqa: ARG002 - the same for all
        """All frames but the first and the last."""
        return range(1, len(sequence.frames) - 1)

    def truth(self, sequence: VideoSequence, position: int) -> Mask:
        """The mask of a frame."""
        return self.dataset.mask(sequence, position)

    def score(self, found: ObjectMap, truth: Mask) -> float:
        """Intersection over union."""
        height, width = truth.shape
        return intersection_over_union(found.at((height, width)) > self.threshold, truth)


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
    module: nn.Module,
    dataset: SegmentationDataset,
    preparation: VosPreparation,
    *,
    threshold: float = 0.5,
    flip: bool = False,
    frames: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    name: str = "the network",
    quiet: bool = False,
) -> MaskQuality:
    """Mean intersection over union of found and true masks.

    Args:
        module: a network that takes {"image", "flow"}; for what it answers see `sdbench.answers.segmenting.Segmenter`.
        dataset: sequences of at least 3 frames, at least 4 for RTNet.
        preparation: what the network is fed: `sdbench.answers.segmenting.published_input`.
        threshold: a pixel belongs to the found object where its probability is above.
        flip: average with the answer to the mirror image.
        frames: at most so many of each sequence, evenly spread; all that count by default.
        seed: of the second frames of RTNet's samples and of the resampling.
        device: "cpu", "cuda" or any other device of torch.
        name: how to call the network on the progress bar and in errors.
        quiet: no progress bar.

    Raises:
        InputError: sequences are too short, or the network answers something else.
    """
    started = time.perf_counter()
    segmenter = segmenter_for(module, preparation, flip, device, name)
    task = Masks(dataset, threshold)
    draws = generator_for(seed, "segmentation")
    scores = frame_scores(segmenter, task, preparation, [{}], draws, frames=frames, quiet=quiet)
    means = np.array([float(part.mean()) for part in scores.values()])
    drawn = resampled_means(means[:, None], generator_for(seed, "resampling"))
    return MaskQuality(
        miou=100 * float(means.mean()),
        interval=None if drawn is None else percentiles(100 * drawn[:, 0]),
        sequences={sequence: 100 * float(mean) for sequence, mean in zip(scores, means, strict=True)},
        frames=sum(len(part) for part in scores.values()),
        seconds=time.perf_counter() - started,
    )


def segmenter_for(
    module: nn.Module, preparation: VosPreparation, flip: bool = False, device: str = "cpu", name: str = "the network"
) -> Segmenter:
    """The network on its device and in eval mode."""
    where = device_named(device)
    return Segmenter(module.to(where).eval(), where, preparation.paired, flip, name)


def frame_scores(
    segmenter: Segmenter,
    task: Task,
    preparation: VosPreparation,
    conditions: Sequence[Mapping[str, Units]],
    generator: np.random.Generator,
    *,
    frames: int | None = None,
    quiet: bool = False,
) -> dict[str, FloatArray]:
    """Score every frame that counts, under each of several conditions; frames are read once, in the background.

    Args:
        segmenter: the network.
        task: what is found is held against.
        preparation: what the network is fed.
        conditions: for each, layer -> units that are set to zero; {} for the whole network.
        generator: draws the second frames of paired samples, the same for all conditions.
        frames: at most so many of each sequence, evenly spread; all that count by default.
        quiet: no progress bar.

    Returns:
        Name of a sequence -> (frames, conditions) scores, in the order of the data set.

    Raises:
        InputError: sequences have no frame that counts, or too few to pair, or a layer lacks the units.
    """
    chosen = _chosen(task, preparation.paired, frames)
    total = sum(len(positions) for positions in chosen.values())
    scores = np.empty((total, len(conditions)))
    with (
        one_right_answer(),
        progress(f"masks of {segmenter.name}", total, 0, quiet) as advance,
        ahead(shown(task, preparation, chosen, generator), _AHEAD) as coming,
    ):
        for row, frame in enumerate(coming):
            for column, zeroed in enumerate(conditions):
                found = segmenter(frame.inputs, frame.name, zeroed)
                scores[row, column] = task.score(found, frame.truth)
            advance(row + 1)
    parts = np.split(scores, np.cumsum([len(positions) for positions in chosen.values()])[:-1])
    return dict(zip(chosen, parts, strict=True))


def _chosen(task: Task, paired: bool, most: int | None) -> dict[str, Sequence[int]]:
    """Name of a sequence -> which of its frames are shown."""
    sequences = task.dataset.sequences
    if not sequences:
        raise InputError(f"{task.dataset.name} has no sequence")
    fewest = 4 if paired else 3
    chosen = {sequence.name: thinned(task.positions(sequence, paired), most) for sequence in sequences}
    short = [s.name for s in sequences if not chosen[s.name] or (paired and len(s.frames) < fewest)]
    if short:
        named = ", ".join(short[:_NAMED]) + (f" and {len(short) - _NAMED} more" if len(short) > _NAMED else "")
        why = ", as the network looks at two of them that have flow both ways" if paired else ""
        raise InputError(
            f"sequences of {task.dataset.name} with too few frames that count: {named}; expected at least {fewest} "
            f"frames{why}: leave these sequences out"
        )
    return chosen


def resampled_means(means: FloatArray, generator: np.random.Generator) -> FloatArray | None:
    """Means over bootstrap samples of sequences: (sequences, columns) -> (replicates, columns).

    All columns of a replicate are of the same sequences, so that columns can be compared. None below 8 sequences.
    """
    weights = resampling_weights(len(means), generator)
    return None if weights is None else weights @ means / len(means)


def resampling_weights(count: int, generator: np.random.Generator) -> FloatArray | None:
    """(replicates, count): how often each of `count` sequences is in each bootstrap sample; None below 8 sequences."""
    if count < FEWEST_GROUPS:
        return None
    return generator.multinomial(count, np.full(count, 1 / count), size=REPLICATES).astype(np.float64)


def percentiles(values: npt.NDArray[Any]) -> Interval | None:
    """The middle 95 % of bootstrap replicates; None where one has no value."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(low), float(high))
