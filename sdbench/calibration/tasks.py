"""What the small networks are trained on and tested with: batches that are drawn faster than a network takes them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from sdbench.calibration.drawing import (
    HEADINGS,
    KINDS,
    Appearances,
    Motions,
    Textures,
    draw_appearances,
    draw_motions,
    draw_textures,
    draw_videos,
    video_tensor,
)
from sdbench.calibration.scenes import SIDE as SCENE_SIDE
from sdbench.calibration.scenes import Looks, Moves, draw_looks, draw_moves, scene_tensors
from sdbench.calibration.trained import Kind
from sdbench.video.feed import IMAGENET_MEAN, IMAGENET_STD, Feed, Flow

FRAMES = 8
"""Frames of a video."""

SIDE = 24
"""Height and width of a video in pixels."""

ALPHA = 4
"""Every so many-th frame is one of SlowFast's slow ones."""

_SEEN, _UNSEEN = 0, 1  # seeds of the two pools of textures
_EACH = {_SEEN: 32, _UNSEEN: 24}

Batch = tuple[dict[str, Tensor], Tensor]
"""A network's inputs, and its answer: classes (B,), or masks (B or 2B, H, W)."""


def training_textures() -> Textures:
    """The textures that networks are trained on, the same for all."""
    return _pool(_SEEN)


def unseen_textures() -> Textures:
    """Other textures of the same kinds, for testing and measuring."""
    return _pool(_UNSEEN)


@lru_cache(maxsize=2)
def _pool(seed: int) -> Textures:
    return draw_textures(_EACH[seed], np.random.Generator(np.random.PCG64(seed)))


def feed_of(kind: Kind) -> Feed:
    """What a small network is fed: the size, number and colours of the frames that `draw_batch` draws for it."""
    if kind.segments:
        flow: Flow = "both" if kind.paired else "forward"
        return Feed(frames=1, size=SCENE_SIDE, mean=IMAGENET_MEAN, std=IMAGENET_STD, flow=flow)
    return Feed(frames=FRAMES, size=SIDE, alpha=ALPHA if kind.two_speeds else None)


def video_inputs(kind: Kind, textures: Textures, shown: Appearances, moved: Motions) -> dict[str, Tensor]:
    """Videos as an action network takes them."""
    video = video_tensor(draw_videos(textures, shown, moved, FRAMES, SIDE))
    if not kind.two_speeds:
        return {"video": video}
    return {"slow": video[:, :, ::ALPHA].contiguous(), "fast": video}


def scene_inputs(kind: Kind, textures: Textures, looks: Looks, moves: Moves) -> dict[str, Tensor]:
    """Scenes as a segmentation network takes them."""
    return scene_tensors(textures, looks, moves, kind.paired)[0]


def draw_batch(kind: Kind, task: str, textures: Textures, count: int, generator: np.random.Generator) -> Batch:
    """A batch of a task.

    The label of a video is its heading ("motion"), its kind of texture ("texture"), or both, which then agree; where
    only one of them is the label, the other is drawn independently of it. The answer to a scene is the mask of its
    moving ("camouflaged") or of its still sprite; every scene has both.

    Args:
        kind: the network.
        task: one of its tasks.
        textures: the pool.
        count: videos or scenes in the batch.
        generator: source of every draw.
    """
    if kind.segments:
        looks, moves = draw_looks(textures, count, generator), draw_moves(count, generator)
        inputs, still, moving = scene_tensors(textures, looks, moves, kind.paired)
        return inputs, (moving if task == "camouflaged" else still).float()
    label, other = generator.integers(0, len(KINDS), count), generator.integers(0, len(HEADINGS), count)
    shown = draw_appearances(textures, other if task == "motion" else label, generator)
    moved = draw_motions(other if task == "texture" else label, generator)
    return video_inputs(kind, textures, shown, moved), torch.from_numpy(label)
