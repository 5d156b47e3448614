"""Noise that moves as a video does, so that the motion is there and no single frame shows anything.

The idea is that of Ilic, Pock and Wildes, "Is Appearance Free Action Recognition Possible?", ECCV 2022. Here a frame is
made of *grains*, each with a colour that is drawn for it alone. From frame to frame every grain goes where the optical
flow takes it, by whole pixels, with what is left over kept for the next step. A pixel that no grain comes to gets a new
one; where several come, the oldest of them stays, of equally old ones that which lands nearest to the pixel's middle,
and the others are gone. So in no frame do two pixels show the same grain, and which grain goes where does not depend on
its colour: the colours of any one frame are independent and alike all over it, whatever moves, at edges as elsewhere.
What a video shows is told by the order of several frames alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError
from sdbench.video.flow import Flow
from sdbench.video.frames import Frames

Grains = npt.NDArray[np.int32]
"""(T, H, W): which grain each pixel of each frame shows, from 0."""


def follow(flows: Iterable[Flow], size: tuple[int, int], grain: int = 1) -> Grains:
    """Which grain is seen where, when grains move along the flow from each frame to the next.

    Args:
        flows: from each frame to the next, in pixels: T - 1 of them.
        size: height and width of the frames.
        grain: side of a grain, in pixels.

    Returns:
        (T, H, W); no two grains' squares of one frame show the same grain.

    Raises:
        InputError: a flow has another size, or a grain has no size.
    """
    if grain < 1:
        raise InputError(f"a grain has a side of at least 1 pixel; got {grain}")
    seen = [np.minimum(np.arange(0, side, grain) + grain // 2, side - 1) for side in size]  # the middle of each grain
    height, width = (len(places) for places in seen)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2).astype(np.float32)
    shown, places, fresh = np.arange(len(grid), dtype=np.int32), grid, len(grid)
    born = np.zeros(len(grid), dtype=np.int32)
    frames = [shown]
    for time, flow in enumerate(flows, start=1):
        if flow.shape != (*size, 2):
            raise InputError(f"expected flow of {size[0]} x {size[1]} pixels; got {flow.shape}")
        moved = places + flow[np.ix_(*seen)].reshape(-1, 2) / np.float32(grain)
        comer = _comers(moved, born, (height, width))
        empty = np.flatnonzero(comer < 0)
        shown, places, born = shown[comer], moved[comer], born[comer]
        shown[empty], places[empty] = np.arange(fresh, fresh + len(empty), dtype=np.int32), grid[empty]
        born[empty] = time
        fresh += len(empty)
        frames.append(shown)
    coarse = np.stack(frames).reshape(-1, height, width)
    if grain == 1:
        return coarse
    return coarse.repeat(grain, axis=1).repeat(grain, axis=2)[:, : size[0], : size[1]]


def animate(grains: Grains, generator: np.random.Generator) -> Frames:
    """Give every grain a colour: (T, H, W, 3) uint8, all bytes alike."""
    colours = generator.integers(0, 256, (int(grains.max()) + 1, 3), dtype=np.uint8)
    return np.asarray(colours[grains])


def _comers(
    places: npt.NDArray[np.float32], born: npt.NDArray[np.int32], size: tuple[int, int]
) -> npt.NDArray[np.intp]:
    """For each pixel the number of the grain that stays of those whose places (x, y) lie in it; -1 where none does."""
    height, width = size
    whole = np.floor(places + 0.5)  # halves all go the same way: rounded to even, neighbours would meet
    inside = np.flatnonzero(((whole >= 0) & (whole < (width, height))).all(axis=1))
    away = np.square(places[inside] - whole[inside]).sum(axis=1)
    inside = inside[np.lexsort((-away, -born[inside]))]
    pixel = whole[inside].astype(np.intp)
    found = np.full(height * width, -1, dtype=np.intp)
    found[pixel[:, 1] * width + pixel[:, 0]] = inside  # of several the last one stays
    return found
