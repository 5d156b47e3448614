"""Optical flow and its pictures: hue says where to, saturation how fast, white is at rest.

Flow is computed by OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016), or by a
method of the user's own, and drawn with the colour wheel of Baker et al. ("A Database and Evaluation Methodology for
Optical Flow", IJCV 2011).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError, unknown_name
from sdbench.video.frames import Frames

Flow = npt.NDArray[np.float32]
"""(H, W, 2) in pixels: to the right, and down."""

DESCRIPTION = "flow.json"
"""Lies in a folder of flow pictures and says what made them; those that came with the data have none."""

PRESETS = ("ultrafast", "fast", "medium")
"""Of OpenCV's DIS, from coarse to fine."""

_UNKNOWN = 1e9
"""Pixels: from here on a number marks flow that is not known (Middlebury's files have 1e10)."""

_SEGMENTS = (
    ((255, 0, 0), 15),  # red to yellow
    ((255, 255, 0), 6),  # yellow to green
    ((0, 255, 0), 4),  # green to cyan
    ((0, 255, 255), 11),  # cyan to blue
    ((0, 0, 255), 13),  # blue to magenta
    ((255, 0, 255), 6),  # magenta to red
)
"""Where each segment of the colour wheel starts, and how many of its 55 hues it has: as many as the eye tells apart."""


@dataclass(frozen=True)
class FlowMethod:
    """A way to compute optical flow.

    Attributes:
        name: for reports.
        compute: of two frames (H, W, 3) uint8 the flow from the first to the second, (H, W, 2) float32 in pixels; it is
            called from several threads at once.
        details: what else decides its answer, such as version and preset.
    """

    name: str
    compute: Callable[[Frames, Frames], Flow]
    details: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, first: Frames, second: Frames) -> Flow:
        """The flow from one frame to another of the same size.

        Raises:
            InputError: the frames differ in size, or the method's answer is no flow.
        """
        if first.shape != second.shape:
            raise InputError(
                f"optical flow needs frames of one size; got {first.shape[1]} x {first.shape[0]} and "
                f"{second.shape[1]} x {second.shape[0]}"
            )
        flow = np.asarray(self.compute(first, second), dtype=np.float32)
        if flow.shape != (*first.shape[:2], 2) or not np.isfinite(flow).all():
            raise InputError(
                f"flow method {self.name} must answer finite numbers ({first.shape[0]}, {first.shape[1]}, 2); "
                f"got {flow.shape}{'' if np.isfinite(flow).all() else ' with NaN or infinity'}"
            )
        farthest = float(np.abs(flow).max(initial=0))
        if farthest > sum(first.shape[:2]):
            row, column, _ = np.unravel_index(np.abs(flow).argmax(), flow.shape)
            raise InputError(
                f"flow method {self.name} answers a motion of {farthest:.3g} pixels at row {row}, column {column} of "
                f"frames of {first.shape[1]} x {first.shape[0]}, which no motion within them can be (1e10 marks "
                "unknown flow): every pixel needs a flow, filled in from its neighbours where it is not known"
            )
        return flow

    def described(self) -> dict[str, str]:
        """Plain values, to be written beside the pictures."""
        wheel = "Baker et al. 2011, normalised by the largest speed of each frame"
        return {"method": self.name, **self.details, "colour_wheel": wheel}


def dis_method(preset: str = "medium") -> FlowMethod:
    """OpenCV's DIS, on grey frames.

    Raises:
        InputError: OpenCV is not installed, or has no such preset.
    """
    if preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError:
        raise InputError('optical flow needs OpenCV: pip install "sdbench[flow]"') from None
    cv2.setNumThreads(1)  # DIS cuts a frame into as many stripes as there are threads; its answer depends on that

    def compute(first: Frames, second: Frames) -> Flow:
        # An object keeps what it computed before, and its next answer depends on that.
        fresh = cv2.DISOpticalFlow_create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset.upper()}"))
        try:
            grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in (first, second)]
            return np.asarray(fresh.calc(*grey, None))
        except cv2.error as error:
            raise InputError(
                f"OpenCV finds no flow between frames of {first.shape[1]} x {first.shape[0]} pixels ({error.err})"
            ) from None

    return FlowMethod("OpenCV DIS", compute, {"version": cv2.__version__, "preset": preset})


def flow_method(name: str, preset: str = "medium") -> FlowMethod:
    """The method of this name: dis, or `module:function` for one of the user's own (see `FlowMethod.compute`).

    Raises:
        InputError: there is no such module or function, or OpenCV is not installed.
    """
    if name == "dis":
        return dis_method(preset)
    module, colon, function = name.partition(":")
    if not (colon and module and function):
        raise InputError(f"flow method {name!r} is not known; expected dis, or module:function for one of your own")
    try:
        compute = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(f"flow method {name} cannot be imported ({error}); is it on PYTHONPATH?") from None
    return FlowMethod(name, compute)


def colour_wheel() -> npt.NDArray[np.float64]:
    """The 55 hues of Baker et al., (55, 3) in 0 to 255, from red over yellow, green, cyan, blue and magenta to red."""
    hues = []
    for (start, count), (end, _) in zip(_SEGMENTS, _SEGMENTS[1:] + _SEGMENTS[:1], strict=True):
        steps = 255 * np.arange(count) // count
        hues.append(np.array(start) + np.outer(steps, np.sign(np.subtract(end, start))))
    return np.concatenate(hues).astype(np.float64)


_WHEEL = colour_wheel() / 255


def draw_flow(flow: Flow) -> Frames:
    """A picture of optical flow: hue is the direction, saturation the speed as a part of the frame's largest.

    Args:
        flow: (H, W, 2) in pixels: to the right, and down.

    Returns:
        (H, W, 3) uint8; white where nothing moves.

    Raises:
        InputError: it is no flow, or not known somewhere: NaN, infinite, or marked by 1e9 and more.
    """
    if flow.ndim != 3 or flow.shape[2] != 2 or not (np.abs(flow) < _UNKNOWN).all():
        raise InputError(
            f"only flow (H, W, 2) that is known everywhere can be drawn, with numbers below {_UNKNOWN:g}; got "
            f"{flow.shape} up to {np.abs(flow).max(initial=0):.3g}"
        )
    right, down = flow[..., 0].astype(np.float64), flow[..., 1].astype(np.float64)
    speed = np.hypot(right, down)
    fastest = speed.max(initial=0)
    if fastest > 0:
        speed /= fastest
    # As in the figures of the paper: the first hue, red, and the last meet where things move to the right.
    position = (np.arctan2(-down, -right) / np.pi + 1) / 2 * (len(_WHEEL) - 1)
    picture = np.empty((*speed.shape, 3), dtype=np.uint8)
    for channel in range(3):
        hue = np.interp(position, np.arange(len(_WHEEL)), _WHEEL[:, channel])
        picture[..., channel] = np.floor(255 * (1 - speed * (1 - hue)))
    return picture


def flow_folder(backward: bool = False) -> str:
    """Name of the folder of flow pictures: from each frame to the next, or (`backward`) to the one before."""
    return "FlowImages_gap-1" if backward else "FlowImages_gap1"


def flow_description(folder: Path) -> dict[str, Any] | None:
    """What the flow pictures in `folder` were made with; None where they came with the data.

    Raises:
        InputError: the description is damaged.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found["method"], str):
            return dict(found)
    except (ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path} is damaged; delete its folder and run `sdbench flow` again")


def flow_sentence(description: Mapping[str, Any] | None) -> str:
    """Which optical flow it is, for the readers of a report."""
    if description is None:
        return "flow pictures as they came with the data"
    details = [f"{name} {description[name]}" for name in ("version", "preset") if name in description]
    shown = f" ({', '.join(details)})" if details else ""
    wheel = "drawn with the colour wheel of Baker et al."
    return f"optical flow by {description['method']}{shown}, {wheel}; not the published method"
