"""Painted sequences with optical flow, for networks that see an image and its flow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sdbench.assets.store import AssetStore
from sdbench.base.cache_keys import identity_of
from sdbench.base.checks import whole
from sdbench.base.content import Contents
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError, unknown_name
from sdbench.data.segmentation import SegmentationDataset, VideoSequence
from sdbench.engine.study import About, Plan, Planned, blocks_of
from sdbench.studies.sequences import (
    DRAWS,
    PAIRED_QUIRKS,
    PUBLISHED_BATCH,
    QUIRKS,
    SEEDS,
    VOS_PROTOCOLS,
    SequencePlan,
    SequenceView,
    draw_sequences,
)
from sdbench.video.feed import Feed
from sdbench.video.frames import Frames
from sdbench.video.jitter import Jitter, draw_jitters

Shown = tuple[str, tuple[tuple[int, tuple[Jitter, ...] | None], ...]]
"""An input of a network: the style of its images, and for each of its one or two frames its position and, where its
flow pictures are jittered, how: one disturbance a direction."""


@dataclass(frozen=True, kw_only=True)
class PlannedFrames(Planned):
    """What is to be done with one frame of a sequence, or with several that meet in the network.

    Attributes:
        sequence: the sequence.
        shown: for each view its inputs, one a row.
    """

    sequence: VideoSequence
    shown: tuple[tuple[Shown, ...], ...]


_MOST = 100_000
"""More seeds or draws than this are a slip of the keyboard."""


class DavisStudy:
    """Pairs of frames of painted sequences.

    Args:
        videos: of whether backward flow is seen, the sequences, in at least two styles and with optical flow.
        store: where hashes of pictures are kept.
        protocol: "published" or "corrected": see `draw_sequences`.
        seeds: how many: values are means over them.
        frames: use at most so many frames of each sequence, evenly spaced; all by default.
        draws: pairs of each sequence and seed.

    Raises:
        InputError: the protocol is unknown, or there is no seed or draw.
    """

    def __init__(
        self,
        videos: Callable[[bool], SegmentationDataset],
        store: AssetStore,
        protocol: str = "published",
        seeds: int = SEEDS,
        frames: int | None = None,
        draws: int = DRAWS,
    ) -> None:
        if protocol not in VOS_PROTOCOLS:
            raise unknown_name("protocol", protocol, VOS_PROTOCOLS)
        if frames is not None:
            frames = whole("frames", frames, 1)
        if whole("seeds", seeds, 0, _MOST) < 1 or whole("draws", draws, 0, _MOST) < 1:
            raise InputError(f"at least 1 seed and 1 draw of each sequence are needed; got {seeds} and {draws}")
        self.videos, self.store = videos, store
        self.protocol, self.seeds, self.frames, self.draws = protocol, seeds, frames, draws
        self._opened: dict[bool, SegmentationDataset] = {}

    def plan(self, feed: Feed, seed: int) -> Plan[PlannedFrames]:
        """Which frames are shown in which styles, and how their flow is disturbed.

        Raises:
            InputError: a sequence is too short or lacks something, or the network does not see optical flow.
        """
        if feed.flow is None:
            raise InputError("this network sees no optical flow; expected one of video object segmentation")
        paired = feed.flow == "both"
        dataset = self._dataset(feed)
        sources = [dataset.source_of(sequence) for sequence in dataset.sequences]
        block = blocks_of(sources)
        contents = Contents(self.store.cache.contents)
        samples: list[PlannedFrames] = []
        runs = range(seed, seed + self.seeds)
        drawn = [
            draw_sequences(
                self.protocol,
                dataset.sequences,
                dataset.styles,
                paired,
                generator_for(run, "pairs"),
                draws=self.draws,
                frames=self.frames,
            )
            for run in runs
        ]
        for plans in zip(*drawn, strict=True):
            of_runs = [
                self._samples(dataset, plan, run, block[dataset.source_of(plan.sequence)], paired, contents)
                for run, plan in zip(runs, plans, strict=True)
            ]
            # All seeds of a frame follow each other: undisturbed, they show the same in part.
            samples += itertools.chain.from_iterable(zip(*of_runs, strict=True))
        about = About(
            dataset=dataset.name,
            protocol=self.protocol,
            unit="sequence" if len(set(sources)) == len(sources) else "shot",
            units=len(set(sources)),
            clips=len(dataset.sequences),
            styles=dataset.styles,
            notes=(*dataset.notes, *self._notes(paired)),
            skipped=dataset.skipped,
            assets=dataset.assets,
            identity=self._identity(dataset, block, seed, contents),
        )
        return Plan(about, tuple(samples))

    def _notes(self, paired: bool) -> tuple[str, ...]:
        notes = [*QUIRKS, *(PAIRED_QUIRKS if paired else ())] if self.protocol == "published" else []
        if self.draws != DRAWS:
            notes.append(f"{self.draws} draws of each sequence and seed; the study made {DRAWS}")
        return tuple(notes)

    def _identity(self, dataset: SegmentationDataset, block: Mapping[str, str], seed: int, contents: Contents) -> str:
        """Hash of what is shown, to networks of one frame as of two: see `About`.

        The first pictures of a sequence, in each style, and its first forward flow stand for the others: which of those
        are shown is the network's.
        """
        shown = [
            (
                block[dataset.source_of(sequence)],
                sequence,
                contents.of(dataset.files(sequence, [0], styles=dataset.styles, flow=(False,))),
            )
            for sequence in dataset.sequences
        ]
        how = (self.protocol, dataset.styles, dataset.notes, seed, self.seeds, self.frames, self.draws)
        return identity_of(dataset.name, how, shown)

    def _samples(
        self,
        dataset: SegmentationDataset,
        plan: SequencePlan,
        run: int,
        block: str,
        paired: bool,
        contents: Contents,
    ) -> Iterator[PlannedFrames]:
        # The published run of RTNet put several samples into a batch, among which its code mixes frames.
        rows = PUBLISHED_BATCH if paired and self.protocol == "published" else 1
        for start in range(0, len(plan.rows), rows):
            positions = plan.rows[start : start + rows]
            shown = tuple(
                tuple(_shown(plan, view, position, run, paired) for position in positions) for view in plan.views
            )
            seen = sorted({position for view in shown for _, frames in view for position, _ in frames})
            styles = sorted({style for view in shown for style, _ in view})
            yield PlannedFrames(
                name=f"{plan.sequence.name}, frame {plan.sequence.frames[positions[0]]}",
                block=block,
                views=len(plan.views),
                pairs=plan.pairs,
                seed=run,
                rows=len(positions),
                together=paired,
                content=contents.of(
                    dataset.files(plan.sequence, seen, styles=styles, flow=(False, True) if paired else (False,))
                ),
                shows=() if paired else tuple((plan.sequence.name, what) for view in shown for what in view),
                sequence=plan.sequence,
                shown=shown,
            )

    def draw(self, planned: PlannedFrames, feed: Feed) -> Mapping[str, Tensor]:
        """The frames' views; see `sdbench.engine.study.Study.draw`.

        A picture is read, brought to size and normalised once for all inputs that show it.
        """
        pictures = _Pictures(self._dataset(feed), planned.sequence, feed, as_image=self._as_image(feed))
        inputs = [pictures.input(shown) for view in planned.shown for shown in view]
        images, flows = zip(*inputs, strict=True)
        return {"image": torch.stack(images), "flow": torch.stack(flows)}

    def _as_image(self, feed: Feed) -> bool:
        """As published, the flow picture of a network that takes one frame is first brought to the image's size."""
        return self.protocol == "published" and feed.flow == "forward"

    def _dataset(self, feed: Feed) -> SegmentationDataset:
        backward = feed.flow == "both"
        if backward not in self._opened:
            self._opened[backward] = self.videos(backward)
        return self._opened[backward]


def _shown(plan: SequencePlan, view: SequenceView, position: int, run: int, paired: bool) -> Shown:
    """The input of one frame in one view, with the draws that disturb its flow."""
    positions = [position] if view.offset is None else [position, plan.partner(position, view.offset)]
    frames = []
    for member, place in enumerate(positions):
        jitters = None
        if view.jitter is not None:
            purpose = f"jitter {plan.sequence.name} {view.jitter} {position} {member}"
            jitters = draw_jitters(2 if paired else 1, generator_for(run, purpose))
        frames.append((place, jitters))
    return view.style, tuple(frames)


@dataclass
class _Pictures:
    """The pictures of a few frames of one sequence, each read and prepared once."""

    dataset: SegmentationDataset
    sequence: VideoSequence
    feed: Feed
    as_image: bool
    _images: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    _sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    _flows: dict[tuple[int, bool, tuple[int, int] | None], Frames] = field(default_factory=dict)

    def input(self, shown: Shown) -> tuple[Tensor, Tensor]:
        """Image and flow of one input: (3, H, W) each, or of two frames (2, 3, H, W) and (2, 6, H, W)."""
        style, frames = shown
        images = [self._image(style, position) for position, _ in frames]
        flows = [self._flow(style, position, jitters) for position, jitters in frames]
        if self.feed.flow == "forward":
            return images[0], flows[0]
        return torch.stack(images), torch.stack(flows)

    def _image(self, style: str, position: int) -> Tensor:
        key = (style, position)
        if key not in self._images:
            picture = self.dataset.image(self.sequence, position, style)
            self._sizes[key] = (picture.shape[0], picture.shape[1])
            self._images[key] = self.feed.pixels(picture[None])[:, 0]
        return self._images[key]

    def _flow(self, style: str, position: int, jitters: tuple[Jitter, ...] | None) -> Tensor:
        """Flow pictures of a frame, one above the other where there are two directions."""
        size = self._sizes[style, position] if self.as_image else None
        directions = (False, True) if self.feed.flow == "both" else (False,)
        pictures = [self._picture(position, backward, size) for backward in directions]
        if jitters is not None:
            pictures = [jitter(picture) for jitter, picture in zip(jitters, pictures, strict=True)]
        return torch.cat([self.feed.normalise(picture[None])[:, 0] for picture in pictures])

    def _picture(self, position: int, backward: bool, size: tuple[int, int] | None) -> Frames:
        key = (position, backward, size)
        if key not in self._flows:
            picture = self.dataset.flow(self.sequence, position, backward)
            if size is not None and picture.shape[:2] != size:
                picture = np.asarray(Image.fromarray(picture).resize((size[1], size[0])))
            self._flows[key] = self.feed.resize(picture[None])[0]
        return self._flows[key]
