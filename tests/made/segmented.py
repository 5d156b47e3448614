"""A data set of segmented videos that exists in memory alone, and networks whose answer is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sdbench.data.segmentation import Mask, VideoSequence
from sdbench.networks import Network, VideoNetwork
from sdbench.video.feed import IMAGENET_MEAN, IMAGENET_STD, Feed
from sdbench.video.frames import Frames

SIZE = (24, 32)
SINGLE = Feed(1, SIZE, IMAGENET_MEAN, IMAGENET_STD, fit="stretch", flow="forward")
PAIRED = replace(SINGLE, flow="both")


class Squares:
    """Sequences of red squares on a dark ground; in the forward flow the square is red too, in the backward one blue.

    Args:
        lengths: number of frames of each sequence.
        wrong: (number of a sequence, position) -> how many of the square's 8 columns the mask lacks.
    """

    name = "squares"
    styles: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    identity = "squares"
    assets: tuple[str, ...] = ()

    def __init__(self, lengths: Sequence[int] = (5, 4), wrong: dict[tuple[int, int], int] | None = None) -> None:
        self.sequences = tuple(
            VideoSequence(f"sequence{number}", tuple(f"{i:05d}" for i in range(length)))
            for number, length in enumerate(lengths)
        )
        self.wrong = wrong or {}
        self.reads: Counter[tuple[str, str, int]] = Counter()

    def source_of(self, sequence: VideoSequence) -> str:
        return sequence.name

    def image(self, sequence: VideoSequence, position: int, style: str | None = None) -> Frames:
        assert style is None
        return self._picture("image", sequence, position, 0)

    def flow(self, sequence: VideoSequence, position: int, backward: bool = False) -> Frames:
        assert position != (0 if backward else len(sequence.frames) - 1)
        return self._picture("backward" if backward else "forward", sequence, position, 2 if backward else 0)

    def mask(self, sequence: VideoSequence, position: int) -> Mask:
        self.reads["mask", sequence.name, position] += 1
        square = self._square(sequence, position)
        lacking = self.wrong.get((self.sequences.index(sequence), position), 0)
        square[:, 2 + position + 8 - lacking :] = False
        return square

    def files(
        self,
        sequence: VideoSequence,
        positions: Sequence[int],
        styles: Sequence[str | None] = (),
        flow: Sequence[bool] = (),
        masks: bool = False,
    ) -> list[Path]:
        return []

    def _picture(self, kind: str, sequence: VideoSequence, position: int, colour: int) -> Frames:
        self.reads[kind, sequence.name, position] += 1
        picture = np.full((*SIZE, 3), 20, dtype=np.uint8)
        picture[self._square(sequence, position), colour] = 230
        return picture

    def _square(self, sequence: VideoSequence, position: int) -> Mask:
        mask = np.zeros(SIZE, dtype=bool)
        top = 2 + self.sequences.index(sequence)
        mask[top : top + 8, 2 + position : 10 + position] = True
        return mask


class Answering(VideoNetwork):
    """Answers what `found` says, and counts its passes.

    Attributes:
        passes: how many there were.
        most: Ctrl-C is pressed in the pass after so many.
    """

    layers: tuple[str, ...] = ("mask",)
    most: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def trace(self, image: Tensor, flow: Tensor) -> Iterator[tuple[str, Tensor]]:
        self.count()
        yield "mask", self.found(image, flow)

    def count(self) -> None:
        if self.passes == self.most:
            raise KeyboardInterrupt
        self.passes += 1

    def found(self, image: Tensor, flow: Tensor) -> Tensor:
        raise NotImplementedError


class Red(Answering):
    """Answers probability 1 where the picture and the flow are red, else 0, in the way of one of the networks.

    Args:
        answer: "logits" of background and object, "probability", or "pair" of probabilities.
    """

    def __init__(self, answer: str = "probability") -> None:
        super().__init__()
        self.answer = answer

    def found(self, image: Tensor, flow: Tensor) -> Tensor:
        if self.answer == "pair":
            assert image.shape[1:3] == (2, 3)
            assert flow.shape[1:3] == (2, 6)
            image, flow = image.flatten(0, 1), flow.flatten(0, 1)
            red = (image[:, :1] > 0) & (flow[:, :1] > 0) & (flow[:, 5:] > 0)
        else:
            red = (image[:, :1] > 0) & (flow[:, :1] > 0)
        probability = red.float()
        if self.answer == "logits":
            return torch.cat([-20 * probability, 20 * probability - 10], dim=1)
        return probability


def single(module: VideoNetwork) -> Network:
    """A network that is fed one frame with its forward flow."""
    return Network(module, SINGLE)


def paired(module: VideoNetwork) -> Network:
    """A network that is fed two frames, each with flow both ways."""
    return Network(module, PAIRED)
