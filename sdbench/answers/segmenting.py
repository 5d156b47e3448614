"""From frames and flow pictures to the probability of each pixel to belong to the object.

What the published test codes do is taken from them as facts. That of MATNet (Zhou et al., AAAI 2020; the study's own
copy of it) feeds 473 x 473 pixels, shrunk by Pillow's bicubic filter, and brings the answer back to the frame's size
the same way, as 8-bit grey. That of RTNet (Ren et al., CVPR 2021) feeds 384 x 672 pixels, interpolated with aligned
corners after normalisation; the second frame of a sample lies a random offset away, from -10 to 9 but not 0, in the
same sequence; each frame's answer is stretched so that it reaches from 0 to 1. How FusionSeg was fed is not published:
frames come to 480 x 854, as they do where units are measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from sdbench.base.checks import number
from sdbench.base.errors import InputError
from sdbench.engine.placing import on_device
from sdbench.networks.without import answer_without
from sdbench.video.feed import Feed
from sdbench.zoo.feeds import feed_of

Probability = npt.NDArray[np.float32]
"""(H, W), from 0 to 1: how probably each pixel belongs to the object."""

Grey = npt.NDArray[np.uint8]
"""(H, W), the same from 0 to 255, cut to whole numbers."""

_MATNET_SIZE = (473, 473)
_RTNET_SIZE = (384, 672)


def published_input(architecture: str) -> Feed:
    """What a network is fed where its masks are measured; see the module's text.

    Where units are measured, the study fed all networks alike: `sdbench.zoo.feeds.feed_of`.

    Raises:
        InputError: it is no network of video object segmentation.
    """
    usual = feed_of(architecture)
    if usual.flow is None:
        raise InputError(
            f"{architecture} is no network of video object segmentation: it sees no optical flow; ask for fusionseg, "
            "matnet or rtnet"
        )
    if usual.flow == "both":
        return replace(usual, size=_RTNET_SIZE, resample="corners")
    return replace(usual, size=_MATNET_SIZE, resample="bicubic") if architecture == "matnet" else usual


@dataclass(frozen=True)
class Zeroed:
    """Units of a layer that are set to zero.

    Attributes:
        layer: its name.
        units: their numbers, from 0, ascending.
        of: how many units the layer has.
    """

    layer: str
    units: tuple[int, ...]
    of: int

    @property
    def chosen(self) -> npt.NDArray[np.bool_]:
        """(of,) true where a unit is set to zero."""
        return np.isin(np.arange(self.of), self.units)


@dataclass(frozen=True)
class Condition:
    """Under which condition a network is asked for the object of a frame.

    Attributes:
        zeroed: the units that are set to zero, one entry a layer; none for the whole network.
        flip: whether the probabilities of the frame and of its mirror image are averaged, as the study's test code can.
            The flow picture is mirrored like the frame, though the directions that its colours stand for are not.
    """

    zeroed: tuple[Zeroed, ...] = ()
    flip: bool = False


WHOLE = Condition()
"""The whole network, and no mirror image."""


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
    """A network of video object segmentation that answers probabilities, under any condition.

    Attributes:
        module: the network, on `device` and in eval mode. It answers (1, 2, h, w) logits of background and object, or
            probabilities: (1, 1, h, w), where `paired` (2, 1, h, w) of which the first row counts.
        device: where it runs.
        paired: whether a sample is two frames, as RTNet takes them.
        name: how to call the network in errors.
    """

    module: nn.Module
    device: torch.device
    paired: bool
    name: str = "the network"

    def __call__(self, inputs: Mapping[str, Tensor], what: str, condition: Condition = WHOLE) -> ObjectMap:
        """The object in one frame.

        Args:
            inputs: "image" and "flow" of one sample, (1, ..., H, W).
            what: how to call the frame in an error.
            condition: which units are set to zero, and whether the mirror image is asked for too.

        Raises:
            InputError: the answer is not of the shapes above, or not probabilities; or see `answer_without`.
        """
        found = self._probability(inputs, what, condition)
        if condition.flip:
            mirrored = {key: value.flip(-1) for key, value in inputs.items()}
            found = (found + self._probability(mirrored, what, condition).flip(-1)) / 2
        return ObjectMap(found.cpu(), stretched=self.paired)

    def _probability(self, inputs: Mapping[str, Tensor], what: str, condition: Condition) -> Tensor:
        """(h, w) on the device: one pass."""
        shown = {key: on_device(value, self.module, self.device) for key, value in inputs.items()}
        answer = answer_without(self.module, shown, {zeroed.layer: zeroed.chosen for zeroed in condition.zeroed})
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
    if not 0 <= number("threshold", threshold) < 1:
        raise InputError(f"a threshold must be at least 0 and below 1, as probabilities are; got {threshold:g}")
