"""The object that a network finds in every frame is scored, under each of several conditions, in as few passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sdbench.answers.asking import asked
from sdbench.answers.segmenting import Condition, ObjectMap, Segmenter
from sdbench.assets.store import AssetStore
from sdbench.base.content import Contents
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, some
from sdbench.base.kept import Arrays
from sdbench.data.segmentation import SegmentationDataset, VideoSequence
from sdbench.engine import Finished, Planned
from sdbench.engine.loader import Drawn
from sdbench.engine.placing import device_named
from sdbench.networks.network import Network
from sdbench.statistics.resampling import FloatArray
from sdbench.video.feed import Feed

_REACH = 10  # frames to either side among which the second frame of a sample is drawn


class Target(Protocol):
    """What a found object is held against."""

    @property
    def dataset(self) -> SegmentationDataset:
        """Where frames and flow come from."""
        ...

    @property
    def threshold(self) -> float:
        """A pixel belongs to the found object where its probability is above; one of `thresholds`."""
        ...

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Those that every frame is scored at in one go, because they will be asked for too."""
        ...

    def positions(self, sequence: VideoSequence, paired: bool) -> Sequence[int]:
        """The frames of a sequence that count, from 0; where `paired`, they must have flow both ways."""
        ...

    def truth(self, sequence: VideoSequence, position: int) -> Any:
        """What is known of a frame: what `score` takes."""
        ...

    def score(self, found: ObjectMap, truth: Any) -> tuple[float, ...]:
        """How well they agree at each of `thresholds`, from 0 to 1."""
        ...


@dataclass(frozen=True, kw_only=True)
class PlannedFrame(Planned):
    """A frame whose object is looked for.

    Attributes:
        sequence: the sequence.
        positions: of the frame; where the network takes two, of the second as well.
    """

    sequence: VideoSequence
    positions: tuple[int, ...]


def frame_scores(
    network: Network,
    target: Target,
    conditions: Sequence[Condition],
    *,
    frames: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    store: AssetStore | None = None,
    workers: int | None = None,
    finished: Finished | None = None,
) -> dict[str, FloatArray]:
    """Score every frame that counts, under each of several conditions.

    A frame is read once for all conditions, and goes through the network once for each, whether or not another call
    asks for that condition or another threshold of the target too: see `sdbench.answers.asking`.

    Args:
        network: it takes {"image", "flow"}; for what it answers see `sdbench.answers.segmenting.Segmenter`.
        target: what is found is held against.
        conditions: which units are set to zero, and whether the mirror image is shown too.
        frames: at most so many of each sequence, evenly spread; all that count by default.
        seed: of the second frames of RTNet's samples, the same for all conditions.
        device: "cpu", "cuda" or any other device of torch.
        store: parts of unfinished runs lie in its folder.
        workers: processes that read frames while the network is busy; by default one a core.
        finished: takes the parts of this run, which then stay on disk until the caller discards them.

    Returns:
        Name of a sequence -> (frames, conditions) scores from 0 to 1, in the order of the data set.

    Raises:
        InputError: the network sees no flow, sequences have no frame that counts, or too few to pair, or a layer lacks
            the units.
        DiskError: what is finished cannot be written.
    """
    store = store or AssetStore()
    where = device_named(device)
    if network.feed.flow is None:
        raise InputError(f"{network.name} is fed no optical flow; expected a network of video object segmentation")
    segmenter = Segmenter(network.module, where, network.feed.flow == "both", network.name)
    planned = list(_planned(target, segmenter.paired, frames, seed, Contents(store.cache.contents)))
    held_against = (target.dataset.name, type(target).__name__, target.thresholds, seed)
    questions = {(held_against, condition): partial(_Scores, segmenter, target, condition) for condition in conditions}
    answers = asked(
        network,
        planned,
        questions,
        partial(_drawn, target, network.feed),
        doing=f"masks of {network.name}",
        device=where,
        store=store,
        workers=workers,
        finished=finished,
    )
    column = target.thresholds.index(target.threshold)
    scores = np.stack([answers[held_against, condition]["scores"][:, column] for condition in conditions], axis=1)
    of = np.array([sample.sequence.name for sample in planned])
    return {sequence.name: scores[of == sequence.name] for sequence in target.dataset.sequences}


class _Scores:
    """Scores of some frames under one condition: `sdbench.engine.parts.Work`."""

    def __init__(self, segmenter: Segmenter, target: Target, condition: Condition) -> None:
        self.segmenter, self.target, self.condition = segmenter, target, condition
        self._scores: list[tuple[float, ...]] = []

    def see(self, sample: Drawn) -> None:
        inputs, truth = sample.value
        found = self.segmenter(inputs, sample.planned.name, self.condition)
        self._scores.append(self.target.score(found, truth))

    def finish(self) -> Arrays:
        return {"scores": np.array(self._scores, dtype=np.float64)}


def _planned(target: Target, paired: bool, most: int | None, seed: int, contents: Contents) -> Iterator[PlannedFrame]:
    generator = generator_for(seed, "segmentation")
    dataset = target.dataset
    flow = (False, True) if paired else (False,)
    for sequence, positions in _chosen(target, paired, most):
        for position in positions:
            with_flow = range(1, len(sequence.frames) - 1)
            seconds = (partner(position, with_flow, generator),) if paired else ()
            seen = dataset.files(sequence, (position, *seconds), styles=(None,), flow=flow)
            held_against = dataset.files(sequence, (position,), masks=True)
            yield PlannedFrame(
                name=f"frame {sequence.frames[position]} of {sequence.name}",
                block=sequence.name,
                views=1,
                pairs=(),
                content=contents.of([*seen, *held_against]),
                sequence=sequence,
                positions=(position, *seconds),
            )


def _chosen(target: Target, paired: bool, most: int | None) -> list[tuple[VideoSequence, Sequence[int]]]:
    """Each sequence and which of its frames are shown."""
    dataset = target.dataset
    if not dataset.sequences:
        raise InputError(f"{dataset.name} has no sequence; expected at least one with frames that count")
    fewest = 4 if paired else 3
    chosen = [(sequence, thinned(target.positions(sequence, paired), most)) for sequence in dataset.sequences]
    short = [s.name for s, positions in chosen if not positions or (paired and len(s.frames) < fewest)]
    if short:
        why = ", as the network looks at two of them that have flow both ways" if paired else ""
        raise InputError(
            f"sequences of {dataset.name} with too few frames that count: {some(short)}; expected at least {fewest} "
            f"frames{why}: leave these sequences out"
        )
    return chosen


def partner(position: int, positions: Sequence[int], generator: np.random.Generator) -> int:
    """The second frame of a sample: one of `positions`, at an offset from -10 to 9 but not 0, all alike probable.

    Raises:
        InputError: there is none.
    """
    near = [other for other in positions if other != position and -_REACH <= other - position < _REACH]
    if not near:
        raise InputError(f"frame {position} has no other frame with flow both ways within {_REACH} frames")
    return near[int(generator.integers(len(near)))]


def thinned(positions: Sequence[int], most: int | None) -> Sequence[int]:
    """At most so many of the positions, evenly spread from the first to the last; all of them where `most` is None.

    Raises:
        InputError: none are wanted.
    """
    if most is None or len(positions) <= most:
        return positions
    if most < 1:
        raise InputError(f"at least one frame of each sequence is needed; {most} were asked for")
    return [positions[round(place)] for place in np.linspace(0, len(positions) - 1, most)]


def _drawn(target: Target, feed: Feed, planned: PlannedFrame) -> tuple[Mapping[str, Tensor], Any]:
    """The network's inputs, and what is known of the frame.

    "image" is (1, 3, H, W) and "flow" (1, 3, H, W), or where the network takes two frames (1, 2, 3, H, W) and
    (1, 2, 6, H, W).
    """
    views = [_view(target.dataset, feed, planned.sequence, position) for position in planned.positions]
    image, flow = (torch.stack(parts)[None] for parts in zip(*views, strict=True))
    if feed.flow == "forward":
        image, flow = image[0], flow[0]
    return {"image": image, "flow": flow}, target.truth(planned.sequence, planned.positions[0])


def _view(dataset: SegmentationDataset, feed: Feed, sequence: VideoSequence, position: int) -> tuple[Tensor, Tensor]:
    """A frame and its flow, as the network takes them."""
    directions = (False, True) if feed.flow == "both" else (False,)
    flows = [dataset.flow(sequence, position, backward) for backward in directions]
    return _fed(feed, dataset.image(sequence, position)), torch.cat([_fed(feed, flow) for flow in flows])


def _fed(feed: Feed, picture: Any) -> Tensor:
    """A picture (H, W, 3) uint8 as the network takes it: (3, *size)."""
    return feed.pixels(picture[None])[:, 0]
