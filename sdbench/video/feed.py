"""What a network is fed: how the frames of a video, or a frame with its optical flow, become its input."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sdbench.base.checks import whole
from sdbench.base.errors import InputError, unknown_name
from sdbench.video.frames import Frames, crop_positions, scaled_size

Order = Literal["BCTHW", "BTCHW", "BTHWC", "(BT)CHW"]
Fit = Literal["crop", "crops", "stretch"]
Resample = Literal["area", "bicubic", "bilinear", "corners"]
Flow = Literal["forward", "both"]
Colours = Literal["rgb", "bgr"]
Colour = float | tuple[float, float, float]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_LARGEST = 2**31 - 1
"""Of the numbers of a feed: no tensor has a longer axis that Pillow or a codec could make."""

_FILTERS = {"area": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
"""How Pillow brings 8-bit pictures to another size; both average where they shrink."""


@dataclass(frozen=True)
class Feed:
    """From frames to a network's input.

    Attributes:
        frames: how many frames a network sees at once, at least 1; of SlowFast, its fast path; of a network of image
            and flow, 1.
        size: height and width that it is fed, in pixels; one number for a square.
        mean, std: subtracted and divided by, of colours between 0 and 1, so that both lie there too; one number for
            all colours, or red, green and blue, in this order whatever `colours` says. A `mean` of None feeds the bytes
            as they are (uint8, 0 to 255).
        order: of the axes of the input. "(BT)CHW" is for image networks, to which every frame is a picture of its own.
        argument: the input's name among the arguments of the network's forward.
        stride: frames of a video for each that is seen.
        window: how many consecutive frames those that are seen are spread over, first and last included; by default
            every `stride`-th of `frames` x `stride`.
        short_side: length that the shorter side of a frame is brought to, in pixels, before it is cropped; by default
            the longer side of `size`.
        fit: "crop" cuts out the middle, "crops" one or (of a wide or tall video) three crops that are fed one after the
            other, "stretch" squeezes the whole frame.
        resample: how frames are brought to another size. "area": Pillow's bilinear filter on 8 bits, which averages
            where it shrinks; "bicubic": the same with a bicubic filter; "bilinear": interpolation of four neighbours of
            the normalised frame, as SlowFast's code does it; "corners": the same with aligned corners.
        alpha: of SlowFast, how many frames the fast path sees for one of the slow path: the network then takes "slow"
            and "fast" in place of `argument`.
        flow: the network takes "image" and "flow" in place of `argument`: a frame with the picture of its "forward"
            flow, or (RTNet) two frames of a video, each with forward and backward flow ("both").
        colours: the order in which the network takes them: "rgb", or "bgr" for networks trained with Caffe or OpenCV.

    Lists are taken where tuples are expected, as they come from files.

    Raises:
        InputError: a value is no number or one that cannot be meant, does not fit the others, or a word is unknown.
    """

    frames: int = 16
    size: int | tuple[int, int] = 224
    mean: Colour | None = 0.45
    std: Colour = 0.225
    order: Order = "BCTHW"
    argument: str = "video"
    stride: int = 1
    window: int | None = None
    short_side: int | None = None
    fit: Fit = "crop"
    resample: Resample = "area"
    alpha: int | None = None
    flow: Flow | None = None
    colours: Colours = "rgb"

    def __post_init__(self) -> None:
        for kind, given, known in (
            ("order of axes", self.order, get_args(Order)),
            ("fit", self.fit, get_args(Fit)),
            ("resample", self.resample, get_args(Resample)),
            ("flow", self.flow, (None, *get_args(Flow))),
            ("order of colours", self.colours, get_args(Colours)),
        ):
            if given not in known:
                raise unknown_name(kind, str(given), (str(name) for name in known))
        if not isinstance(self.argument, str) or not self.argument:
            raise InputError(f"the argument of a feed is a name; got {self.argument!r}")
        for name in ("size", "mean", "std"):
            given = getattr(self, name)
            if isinstance(given, (list, tuple, np.ndarray)):
                object.__setattr__(self, name, tuple(_plain(number) for number in given))
        for name in ("frames", "stride", "size", "window", "short_side", "alpha"):
            self._check_whole(name, optional=name in ("window", "short_side", "alpha"))
        if self.mean is not None:
            self._check_colours("mean", "at least 0 and at most 1", lambda value: 0 <= value <= 1)
            self._check_colours("std", "above 0 and at most 1", lambda value: 0 < value <= 1)
        if self.fit != "stretch" and self.short_side is not None and min(self.height_and_width) > self.short_side:
            raise InputError(f"a crop of {self.size} does not fit into a short side of {self.short_side} pixels")
        if self.window is not None and self.stride != 1:
            raise InputError("frames are spread over a window or taken at a stride; give one of the two")
        if self.alpha is not None and self.frames % self.alpha:
            raise InputError(f"the fast path's {self.frames} frames are not a multiple of alpha {self.alpha}")

    def _check_whole(self, name: str, optional: bool) -> None:
        """See that a field is a positive whole number; `size` may be two.

        Raises:
            InputError: it is not.
        """
        given = getattr(self, name)
        if given is None and optional:
            return
        numbers = given if isinstance(given, tuple) and len(given) == 2 and name == "size" else (given,)
        try:
            plain = tuple(whole(name, _plain(number), 1, _LARGEST) for number in numbers)
        except InputError:
            two = (
                "one or two positive whole numbers (height and width)" if name == "size" else "a positive whole number"
            )
            raise InputError(f"{name} of a feed must be {two}; got {given!r} (the largest is {_LARGEST})") from None
        object.__setattr__(self, name, plain if isinstance(given, tuple) else plain[0])

    def _check_colours(self, name: str, expected: str, is_meant: Callable[[float], bool]) -> None:
        """See that a field is one number or three, in the range of colours between 0 and 1.

        Raises:
            InputError: it is not.
        """
        given = _plain(getattr(self, name))
        values = given if isinstance(given, tuple) else (given,)
        numbers = all(isinstance(value, (int, float)) for value in values)
        if len(values) not in (1, 3) or not numbers or not all(map(is_meant, values)):
            large = numbers and any(value > 1 for value in values)
            raise InputError(
                f"{name} of a feed must be one number or three (red, green, blue), {expected}, as it is of colours "
                f"between 0 and 1; got {given!r}" + (": divide it by 255" if large else "")
            )
        object.__setattr__(self, name, given if len(values) == 3 else values[0])

    @property
    def bytes(self) -> int:
        """Memory that one input takes, as numbers and as the frames that they are made of."""
        height, width = self.height_and_width
        return 3 * sum(self.inputs.values()) * (4 * height * width + self.side**2)

    @property
    def height_and_width(self) -> tuple[int, int]:
        """What is fed, in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def span(self) -> int:
        """How many consecutive frames of a video one input is taken from."""
        return self.window if self.window is not None else self.frames * self.stride

    @property
    def side(self) -> int:
        """Length that the shorter side of a frame is brought to before it is cropped, in pixels."""
        return self.short_side if self.short_side is not None else max(self.height_and_width)

    @property
    def inputs(self) -> Mapping[str, int]:
        """Name of each of the network's inputs -> how many frames it takes."""
        if self.flow is not None:
            frames = 2 if self.flow == "both" else 1
            return {"image": frames, "flow": frames}
        if self.alpha is None:
            return {self.argument: self.frames}
        return {"slow": self.frames // self.alpha, "fast": self.frames}

    def choose(self) -> dict[str, tuple[int, ...]]:
        """Name of each input -> the positions in `span` consecutive frames of those it takes, in their order.

        From a window they are evenly spaced; the slow path is chosen from the window itself, not from the frames of the
        fast path. At a stride they are every `stride`-th, and of those the slow path takes evenly spaced ones.
        """
        if self.window is not None:
            return {name: evenly_spaced(count, self.window) for name, count in self.inputs.items()}
        return {
            name: tuple(self.stride * position for position in evenly_spaced(count, self.frames))
            for name, count in self.inputs.items()
        }

    def decoded(self, height: int, width: int) -> tuple[int, int]:
        """Height and width, multiples of 4, that frames of a video are decoded to before they are painted."""
        return scaled_size(height, width, self.side)

    def crops(self, height: int, width: int) -> int:
        """How many crops are fed of frames of this size."""
        return len(crop_positions(height, width, self.height_and_width)) if self.fit == "crops" else 1

    def pixels(self, frames: Frames, crop: int = 0) -> Tensor:
        """Frames (T, H, W, 3) uint8 as the network sees them, without the order of axes: (3, T, *size).

        Args:
            frames: (T, H, W, 3) uint8.
            crop: which of `crops`.

        Returns:
            float32, normalised; or uint8 where `mean` is None.

        Raises:
            InputError: the frames have another shape or type, or are smaller than what is cut out of them.
        """
        return self.normalise(self.resize(frames), crop)

    def resize(self, frames: Frames) -> Frames:
        """Frames (T, H, W, 3) uint8 at the size at which they are cropped, where that is done on 8 bits; else as given.

        Raises:
            InputError: the frames have another shape or type.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
            raise InputError(f"expected uint8 frames (T, H, W, 3); got {frames.dtype} {frames.shape}")
        size = self._scaled(frames.shape[1], frames.shape[2])
        if self.resample not in _FILTERS or frames.shape[1:3] == size:
            return frames
        return np.stack([_resized(frame, size, _FILTERS[self.resample]) for frame in frames])

    def normalise(self, frames: Frames, crop: int = 0) -> Tensor:
        """What `resize` answers as (3, T, *size): less the mean, over the deviation, and cropped.

        Raises:
            InputError: the frames are smaller than what is cut out of them.
        """
        x = torch.from_numpy(np.ascontiguousarray(frames.transpose(3, 0, 1, 2)))
        if self.mean is not None:
            x = x.float().div_(255).sub_(_column(self.mean)).div_(_column(self.std))
        if self.resample not in _FILTERS:
            size = self._scaled(frames.shape[1], frames.shape[2])
            if x.shape[2:] != size:
                corners = self.resample == "corners"
                x = F.interpolate(x, size=size, mode="bilinear", align_corners=corners, antialias=False)
        if self.colours == "bgr":
            x = x.flip(0)
        if self.fit == "stretch":
            return x
        height, width = self.height_and_width
        spare = (x.shape[2] - height, x.shape[3] - width)
        if min(spare) < 0:
            raise InputError(f"frames of {x.shape[2]} x {x.shape[3]} pixels cannot give crops of {height} x {width}")
        if self.fit == "crops":
            top, left = crop_positions(x.shape[2], x.shape[3], (height, width))[crop]
        else:
            top, left = (round(rest / 2) for rest in spare)
        return x[:, :, top : top + height, left : left + width].contiguous()

    def mask(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """A mask (H, W) brought to `size` by nearest neighbour."""
        return _resized(mask.astype(np.uint8), self.height_and_width, Image.Resampling.NEAREST).astype(np.bool_)

    def ordered(self, views: Sequence[Tensor]) -> Tensor:
        """Views (3, T, H, W) as one batch, with its axes in the network's order; of "(BT)CHW" a row for each frame."""
        batch = torch.stack(list(views))
        if self.order == "BCTHW":
            return batch
        if self.order == "BTHWC":
            return batch.permute(0, 2, 3, 4, 1).contiguous()
        batch = batch.transpose(1, 2)
        return (batch.flatten(0, 1) if self.order == "(BT)CHW" else batch).contiguous()

    def __call__(self, frames: Frames, crop: int = 0) -> dict[str, Tensor]:
        """The network's input for one clip.

        Args:
            frames: (T, H, W, 3) uint8, where T is `frames` (all that the network sees) or `span` (which those are
                chosen from).
            crop: which of `crops`.

        Returns:
            name of each input -> tensor with a batch axis of 1: the network is called with it as it is.

        Raises:
            InputError: the number of frames is another, the shape or type does not fit, or the network takes a frame
                with its flow.
        """
        if self.flow is not None:
            raise InputError("this network takes frames with pictures of their optical flow, not frames alone")
        if len(frames) == self.span:
            chosen = self.choose()
        elif len(frames) == self.frames:
            chosen = {name: evenly_spaced(count, self.frames) for name, count in self.inputs.items()}
        else:
            either = f"{self.frames}" + (f" or {self.span}" if self.span != self.frames else "")
            raise InputError(f"expected a clip of {either} frames; got {len(frames)}")
        seen = sorted({position for positions in chosen.values() for position in positions})
        pixels = self.pixels(frames[seen], crop)
        return {
            name: self.ordered([pixels[:, [seen.index(position) for position in positions]]])
            for name, positions in chosen.items()
        }

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which frames of this size are cropped: the longer side is cut down to an integer."""
        if self.fit == "stretch":
            return self.height_and_width
        if min(height, width) == self.side:
            return height, width
        if width < height:
            return math.floor(height / width * self.side), self.side
        return self.side, math.floor(width / height * self.side)


@functools.lru_cache(maxsize=4096)
def evenly_spaced(count: int, length: int) -> tuple[int, ...]:
    """Positions of `count` evenly spaced frames of `length`, from the first to the last, cut down to integers.

    The spacing is taken in float32 as in the published code: where a position should be a whole number, float32 may
    fall just below it, and the cut then takes the frame before.

    Raises:
        InputError: `count` or `length` is not positive.
    """
    if count < 1 or length < 1:
        raise InputError(f"frames can be chosen only from a window that has some; got {count} of {length}")
    return tuple(int(position) for position in torch.linspace(0, length - 1, count).long())


def window(start: int, length: int, available: int) -> tuple[int, ...]:
    """Positions of `length` consecutive frames from `start`, repeated cyclically where the video ends before.

    Args:
        start: position of the first frame, from 0.
        length: how many frames.
        available: how many frames the video has.

    Raises:
        InputError: the video ends before `start`.
    """
    left = available - start
    if start < 0 or left < 1:
        raise InputError(f"a window cannot start at frame {start} of a video of {available} frames")
    return tuple(start + i % left for i in range(length))


def _plain(value: Any) -> Any:
    """A number of numpy or torch as Python's; True and False are none."""
    if isinstance(value, (bool, np.bool_)):
        return str(value)
    return value.item() if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.ndim == 0) else value


def _colours(value: Colour) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value, value, value)


def _column(value: Colour) -> Tensor:
    return torch.tensor(_colours(value)).view(3, 1, 1, 1)


def _resized(pixels: Frames, size: tuple[int, int], how: Image.Resampling) -> Frames:
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), how))
