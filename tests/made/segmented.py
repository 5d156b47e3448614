"""A data set of segmented videos that exists in memory alone, and networks whose answer is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sdbench.zoo.vos_preparation import VosPreparation
from torch import Tensor, nn

from sdbench.data.segmentation import Mask, VideoSequence
from sdbench.video.frames import Frames

SIZE = (24, 32)
SINGLE = VosPreparation(SIZE)
PAIRED = VosPreparation(SIZE, paired=True)


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


class Red(nn.Module):
    """Answers probability 1 where the picture and the flow are red, else 0, in the way of one of the networks.

    Args:
        answer: "logits" of background and object, "probability", or "pair" of probabilities.
    """

    def __init__(self, answer: str = "probability") -> None:
        super().__init__()
        self.answer = answer

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
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
