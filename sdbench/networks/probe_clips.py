"""Made-up clips, which show what a network does before it is given any video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from sdbench.video.feed import Feed
from sdbench.video.frames import Frames


class MadeUpClips:
    """Made-up clips as a network takes them.

    Args:
        feed: what the network is fed.
        module: whose device and type they have.
    """

    def __init__(self, feed: Feed, module: nn.Module) -> None:
        self.feed, self.frames = feed, feed.frames
        floating = (values for values in module.parameters() if values.is_floating_point())
        self._like = next(floating, None)

    @property
    def other_frames(self) -> tuple[Feed, ...]:
        """The feed with half as many frames, and with twice as many; as it is where there is one frame only."""
        if self.feed.flow is not None or self.frames == 1:
            return (self.feed,)
        step = self.feed.alpha or 1
        half = self.frames // 2
        numbers = [*([half] if half and half % step == 0 else []), 2 * self.frames]
        return tuple(replace(self.feed, frames=number, window=None, stride=1) for number in numbers)

    @property
    def other_sizes(self) -> tuple[Feed, ...]:
        """The feed with half the height and width, and with twice as much."""
        height, width = self.feed.height_and_width
        sizes = [(height // 2, width // 2), (2 * height, 2 * width)]
        return tuple(replace(self.feed, size=size, short_side=None) for size in sizes if min(size))

    def __call__(self, clips: Sequence[int], feed: Feed | None = None) -> dict[str, Tensor]:
        """The inputs of some clips, by their numbers."""
        made = [made_up(feed or self.feed, number) for number in clips]
        joined = {name: torch.cat([of[name] for of in made]) for name in made[0]}
        return {name: self._placed(values) for name, values in joined.items()}

    def _placed(self, values: Tensor) -> Tensor:
        if self._like is None:
            return values
        return values.to(self._like.device, self._like.dtype if values.is_floating_point() else values.dtype)


class GivenClips:
    """Clips of noise of the shape and type of inputs that were given, where no feed says more.

    Args:
        inputs: by name.
        count: how many clips they have.
    """

    other_frames: Sequence[Feed] = ()
    other_sizes: Sequence[Feed] = ()
    frames = 0

    def __init__(self, inputs: Mapping[str, Tensor], count: int) -> None:
        self.inputs, self.count = inputs, count

    def __call__(self, clips: Sequence[int], _feed: Feed | None = None) -> dict[str, Tensor]:
        """The inputs of some clips, by their numbers."""
        return {name: torch.cat([self._clip(values, each) for each in clips]) for name, values in self.inputs.items()}

    def _clip(self, values: Tensor, number: int) -> Tensor:
        first = torch.chunk(values, self.count)[0]
        if not values.is_floating_point():
            return first if number == 0 else first.flip(-1)
        generator = torch.Generator().manual_seed(number)
        return torch.randn(first.shape, generator=generator).to(first)


def made_up(feed: Feed, number: int = 0) -> dict[str, Tensor]:
    """One clip as the network takes it: of noise, or (from number 1) of blocks of colour that move, each another."""
    size = tuple(side + (feed.side - min(feed.height_and_width)) for side in feed.height_and_width)
    generator = np.random.default_rng(number)
    frames = generator.integers(0, 256, (feed.frames, *size, 3), dtype=np.uint8)
    if number:
        frames = np.stack([_blocks(frames[0], frame, number) for frame in range(feed.frames)])
    if feed.flow is None:
        return feed(frames)
    if feed.flow == "forward":
        picture = feed.pixels(frames[:1]).transpose(0, 1)
        return {"image": picture, "flow": picture}
    pictures = feed.pixels(generator.integers(0, 256, (2, *size, 3), dtype=np.uint8)).transpose(0, 1)
    return {"image": pictures[None], "flow": torch.cat([pictures, pictures], dim=1)[None]}


def _blocks(noise: Frames, frame: int, number: int) -> Frames:
    """Blocks in the colours of noise that have moved for so many frames; the brighter, the higher the number."""
    height, width, _ = noise.shape
    side = max(height, width) // 4 + 1
    shown = noise[: height // side + 1, : width // side + 1].repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    moved = np.roll(shown, (frame, 2 * frame), axis=(0, 1))
    return np.asarray(np.minimum(moved.astype(np.int64) // 2 + 40 * number, 255), dtype=np.uint8)
