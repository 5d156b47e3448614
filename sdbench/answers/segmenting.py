"""From frames and flow pictures to the probability of each pixel to belong to the object.

What the published test codes do is taken from them as facts. That of MATNet (Zhou et al., AAAI 2020; the study's own
copy of it) feeds 473 x 473 pixels, shrunk by Pillow's bicubic filter, and brings the answer back to the frame's size
the same way, as 8-bit grey. That of RTNet (Ren et al., CVPR 2021) feeds 384 x 672 pixels, interpolated with aligned
corners after normalisation; the second frame of a sample lies a random offset away, from -10 to 9 but not 0, in the
same sequence; each frame's answer is stretched so that it reaches from 0 to 1. How FusionSeg was fed is not published:
frames come to 480 x 854, as they do where units are measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sdbench.base.errors import InputError
from sdbench.data.segmentation import SegmentationDataset, VideoSequence
from sdbench.networks.reading import Units, answer_without
from sdbench.video.frames import Frames
from sdbench.zoo.vos_preparation import VosPreparation, vos_preparation_for

Probability = npt.NDArray[np.float32]
"""(H, W), from 0 to 1: how probably each pixel belongs to the object."""

Grey = npt.NDArray[np.uint8]
"""(H, W), the same from 0 to 255, cut to whole numbers."""

_MATNET_SIZE = (473, 473)
_RTNET_SIZE = (384, 672)
_REACH = 10  # frames to either side among which the second frame of a sample is drawn
_NOTHING: Mapping[str, Units] = MappingProxyType({})


@dataclass(frozen=True)
class _Bicubic(VosPreparation):
    """Shrinks pictures by Pillow's bicubic filter, the default of `Image.resize` that MATNet's test code relies on."""

    def resize(self, picture: Frames) -> Frames:
        return self._resized(picture, Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class _AlignedCorners(VosPreparation):
    """Interpolates normalised pictures with aligned corners and no averaging, as RTNet's test code does."""

    def __call__(self, picture: Frames) -> Tensor:
        normal = self.normalise(picture)
        return F.interpolate(normal[None], size=self.size, mode="bilinear", align_corners=True)[0]


def published_input(architecture: str) -> VosPreparation:
    """What a network is fed where its masks are measured; see the module's text.

    Where units are measured, the study fed all networks alike: `sdbench.zoo.vos_preparation.vos_preparation_for`.

    Raises:
        InputError: it is no network of video object segmentation.
    """
    usual = vos_preparation_for(architecture)
    if usual.paired:
        return _AlignedCorners(_RTNET_SIZE, paired=True)
    return _Bicubic(_MATNET_SIZE) if architecture == "matnet" else usual


@dataclass(frozen=True)
class ObjectMap:
    """What a network answers for one frame, at its own resolution.

    Attributes:
        probability: (h, w) float32 in [0, 1], on the CPU.
        stretched: whether it is brought to the frame's size with aligned corners and then stretched to reach from 0 to
            1, as RTNet's test code does.
    """

    probability: Tensor
    stretched: bool = False

    def at(self, size: tuple[int, int]) -> Probability:
        """The probability at another height and width, bilinear."""
        x = self.probability[None, None]
        if x.shape[2:] != size:
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=self.stretched)
        if self.stretched:
            low, high = x.min(), x.max()
            x = (x - low + 1e-12) / (high - low + 1e-12)
        values: Probability = x[0, 0].numpy()
        return values

    def grey(self, size: tuple[int, int]) -> Grey:
        """8-bit grey at another height and width, as the published test codes save it.

        Cut to whole numbers, then resized by Pillow's bicubic filter; where `stretched`, resized first.
        """
        if self.stretched:
            return (self.at(size) * 255).astype(np.uint8)
        grey = (self.probability.numpy() * 255).astype(np.uint8)
        if grey.shape == size:
            return grey
        return np.asarray(Image.fromarray(grey).resize((size[1], size[0]), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Segmenter:
    """A network of video object segmentation that answers probabilities, with or without some of its units.

    Attributes:
        module: the network, on `device` and in eval mode. It answers (1, 2, h, w) logits of background and object, or
            probabilities: (1, 1, h, w), where `paired` (2, 1, h, w) of which the first row counts.
        device: where it runs.
        paired: whether a sample is two frames, as RTNet takes them.
        flip: average the probabilities of the frame and of its mirror image, as the study's test code can. The flow
            picture is mirrored like the frame, though the directions that its colours stand for are not.
        name: how to call the network in errors.
    """

    module: nn.Module
    device: torch.device
    paired: bool
    flip: bool = False
    name: str = "the network"

    def __call__(self, inputs: Mapping[str, Tensor], what: str, without: Mapping[str, Units] = _NOTHING) -> ObjectMap:
        """The object in one frame.

        Args:
            inputs: "image" and "flow" of one sample, (1, ..., H, W).
            what: how to call the frame in an error.
            without: layer -> units that are set to zero.

        Raises:
            InputError: the answer is not of the shapes above, or not probabilities; or see `answer_without`.
        """
        placed = {key: value.to(self.device) for key, value in inputs.items()}
        found = self._probability(answer_without(self.module, placed, without), what)
        if self.flip:
            mirrored = {key: value.flip(-1) for key, value in placed.items()}
            other = self._probability(answer_without(self.module, mirrored, without), what)
            found = (found + other.flip(-1)) / 2
        return ObjectMap(found.cpu(), stretched=self.paired)

    def _probability(self, answer: Tensor, what: str) -> Tensor:
        if answer.ndim != 4 or answer.shape[:2] not in ((1, 2), (1 + self.paired, 1)):
            expected = "(2, 1, h, w)" if self.paired else "(1, 2, h, w) or (1, 1, h, w)"
            raise InputError(f"{self.name} answers {what} with shape {tuple(answer.shape)}; expected {expected}")
        values = answer.float().softmax(dim=1)[0, 1] if answer.shape[1] == 2 else answer[0, 0].float()
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError(
                f"{self.name} answers NaN or infinity for {what}; "
                "check the network's weights and how its input is normalised"
            )
        if low < 0 or high > 1:
            raise InputError(
                f"{self.name} answers values from {low:.3g} to {high:.3g} for {what}; expected probabilities, from 0 "
                "to 1: does a sigmoid follow?"
            )
        return values


def check_threshold(threshold: float) -> None:
    """Raise InputError unless a probability can be above the threshold and another below or at it."""
    if not 0 <= threshold < 1:
        raise InputError(f"a threshold must be at least 0 and below 1, as probabilities are; got {threshold:g}")


class Task(Protocol):
    """What a found object is held against."""

    @property
    def dataset(self) -> SegmentationDataset:
        """Where frames and flow come from."""
        ...

    def positions(self, sequence: VideoSequence, paired: bool) -> Sequence[int]:
        """The frames of a sequence that count, from 0; where `paired`, they must have flow both ways."""
        ...

    def truth(self, sequence: VideoSequence, position: int) -> Any:
        """What is known of a frame: what `score` takes."""
        ...

    def score(self, found: ObjectMap, truth: Any) -> float:
        """How well they agree, from 0 to 1."""
        ...


@dataclass(frozen=True)
class Shown:
    """A frame, ready for the network.

    Attributes:
        name: how to call it in an error.
        inputs: "image" (1, 3, H, W) and "flow" (1, 3, H, W), or (1, 2, 3, H, W) and (1, 2, 6, H, W) where paired.
        truth: what the task knows of it.
    """

    name: str
    inputs: dict[str, Tensor]
    truth: Any


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


def shown(
    task: Task, preparation: VosPreparation, chosen: Mapping[str, Sequence[int]], generator: np.random.Generator
) -> Iterator[Shown]:
    """Frames of a task, ready for the network.

    Args:
        task: says what is known of them.
        preparation: what the network is fed.
        chosen: name of a sequence -> the positions of its frames.
        generator: draws the second frames of paired samples.
    """
    dataset = task.dataset
    for sequence in dataset.sequences:
        for position in chosen[sequence.name]:
            if preparation.paired:
                with_flow = range(1, len(sequence.frames) - 1)
                both = (position, partner(position, with_flow, generator))
                views = [_view(dataset, preparation, sequence, chosen) for chosen in both]
                image, flow = (torch.stack(parts)[None] for parts in zip(*views, strict=True))
            else:
                image, flow = (part[None] for part in _view(dataset, preparation, sequence, position))
            yield Shown(
                f"frame {sequence.frames[position]} of {sequence.name}",
                {"image": image, "flow": flow},
                task.truth(sequence, position),
            )


def _view(
    dataset: SegmentationDataset, preparation: VosPreparation, sequence: VideoSequence, position: int
) -> tuple[Tensor, Tensor]:
    """A frame and its flow, as the network takes them."""
    flow = preparation(dataset.flow(sequence, position))
    if preparation.paired:
        flow = torch.cat([flow, preparation(dataset.flow(sequence, position, backward=True))])
    return preparation(dataset.image(sequence, position)), flow
