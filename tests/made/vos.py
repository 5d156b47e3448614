"""A small data set of segmented sequences in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdbench.data.segmentation import Mask, VideoSequence
from sdbench.video.frames import Frames
from tests.conftest import moving_squares

STYLES = ("one", "two", "three", "four")


@dataclass
class Remembered:
    """Sequences of coloured blocks; a style is a tint, the flow pictures are smooth and of many colours."""

    count: int = 3
    length: int = 5
    height: int = 32
    width: int = 48
    styles: tuple[str, ...] = STYLES
    painted_size: tuple[int, int] | None = None
    name: str = "remembered"
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ("made up",)
    assets: tuple[str, ...] = ()
    read: dict[str, int] = field(default_factory=lambda: {"image": 0, "flow": 0})

    @property
    def identity(self) -> str:
        return repr((self.count, self.length, self.height, self.width))

    @property
    def sequences(self) -> tuple[VideoSequence, ...]:
        names = tuple(f"{i:05d}" for i in range(self.length))
        return tuple(VideoSequence(f"sequence{i}", names) for i in range(self.count))

    def source_of(self, sequence: VideoSequence) -> str:
        return sequence.name

    def image(self, sequence: VideoSequence, position: int, style: str | None = None) -> Frames:
        self.read["image"] += 1
        height, width = self.painted_size if self.painted_size and style else (self.height, self.width)
        frame = moving_squares(self.length, height, width, seed=self.sequences.index(sequence))[position]
        if style is None:
            return frame
        tint = np.random.default_rng(self.styles.index(style)).uniform(0.2, 1, (3, 3))
        return np.asarray(np.clip(frame @ tint, 0, 255), dtype=np.uint8)

    def flow(self, sequence: VideoSequence, position: int, backward: bool = False) -> Frames:
        self.read["flow"] += 1
        generator = np.random.default_rng([self.sequences.index(sequence), position, backward])
        coarse = generator.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        return coarse.repeat(self.height // 4, axis=0).repeat(self.width // 6, axis=1)

    def mask(self, sequence: VideoSequence, position: int) -> Mask:
        mask = np.zeros((self.height, self.width), dtype=bool)
        mask[8:20, 4 + position : 20 + position] = True
        return mask

    def files(
        self,
        sequence: VideoSequence,
        positions: Sequence[int],
        styles: Sequence[str | None] = (),
        flow: Sequence[bool] = (),
        masks: bool = False,
    ) -> list[Path]:
        return []
