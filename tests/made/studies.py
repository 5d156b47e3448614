"""A made-up study whose true answer is known, and a network that counts what it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sdbench import Feed
from sdbench.base.errors import InputError
from sdbench.engine import About, Plan, Planned, blocks_of
from sdbench.networks import VideoNetwork

FEED = Feed(4, 8)


@dataclass(frozen=True, kw_only=True)
class PlannedNoise(Planned):
    number: int


class NoiseStudy:
    """Videos of noise: a dynamic pair shares its changes, a static pair its first frame.

    Args:
        samples: how many.
        seeds: how many seeds one plan has.
        together: whether the inputs of a view meet.
        broken: samples that cannot be drawn.
        content: what stands for the content of the files of each sample.
    """

    def __init__(
        self,
        samples: int,
        seeds: int = 1,
        rows: int = 1,
        together: bool = False,
        broken: tuple[int, ...] = (),
        content: Mapping[int, str] | None = None,
    ) -> None:
        self.samples, self.seeds, self.rows, self.together = samples, seeds, rows, together
        self.broken, self.content = broken, content or {}

    def plan(self, feed: Feed, seed: int) -> Plan[PlannedNoise]:
        block = blocks_of(range(self.samples))
        samples = tuple(
            PlannedNoise(
                name=f"noise {number}",
                block=block[number],
                views=3,
                pairs=((0, 1, 0), (0, 2, 1)),
                seed=run,
                rows=self.rows,
                together=self.together,
                content=self.content.get(number, ""),
                number=number,
            )
            for run in range(seed, seed + self.seeds)
            for number in range(self.samples)
        )
        about = About(dataset="noise", protocol="made up", unit="sample", units=self.samples, clips=self.samples)
        return Plan(about, samples)

    def draw(self, planned: PlannedNoise, feed: Feed) -> dict[str, Tensor]:
        if planned.number in self.broken:
            raise InputError(f"{planned.name} is damaged; replace it")
        generator = torch.Generator().manual_seed(1000 * planned.seed + planned.number)
        views: list[list[Tensor]] = [[], [], []]
        for _ in range(self.rows):
            first, other = torch.rand((2, 3, 1, 8, 8), generator=generator)
            change, changed = torch.rand((2, 3, 3, 8, 8), generator=generator)
            for view, (start, moved) in zip(views, ((first, change), (other, change), (first, changed)), strict=True):
                view.append(torch.cat([start, start + moved], dim=1))
        return {"video": torch.stack([row for view in views for row in view])}


class Counting(VideoNetwork):
    """First frames and changes from frame to frame, at 8 x 8 positions; counts its passes and inputs.

    Args:
        stop_after: raise KeyboardInterrupt in the pass after so many.
    """

    layers = ("start", "change")

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.passes, self.seen, self.stop_after = 0, 0, stop_after
        self.scale = torch.nn.Parameter(torch.ones(1))

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        if self.passes == self.stop_after:
            raise KeyboardInterrupt
        self.passes += 1
        self.seen += len(video)
        yield "start", self.scale * video[:, :, 0].flatten(1)
        yield "change", self.scale * (video[:, :, 1:] - video[:, :, :1]).flatten(1)
