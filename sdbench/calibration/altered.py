"""What the small networks are trained on, shown otherwise: frames shuffled, one frame alone, noise for pictures.

These are the usual tests of whether a network sees motion. Each way of showing keeps the answer that the same videos or
scenes have as they were drawn, and alters their inputs:

    way        videos                                        scenes
    filmed     as drawn                                      as drawn
    shuffled   frames in a random order                      the optical flow of another scene
    frozen     the middle frame, repeated                    a flow picture of a scene at rest: white
    noise      noise that moves as the video did             noise in the place of the picture, under the same flow
    elsewhere  -                                             the picture of another scene

Every draw comes from the generator that is passed in.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sdbench.calibration.drawing import (
    HEADINGS,
    KINDS,
    PERIOD,
    Appearances,
    Ints,
    Textures,
    draw_appearances,
    draw_motions,
)
from sdbench.calibration.scenes import Looks, Sprites, draw_looks, draw_moves, scene_tensors
from sdbench.calibration.tasks import ALPHA, Batch, scene_inputs, video_inputs
from sdbench.calibration.trained import Kind

VIDEO_WAYS = ("filmed", "shuffled", "frozen", "noise")
"""How videos are shown."""

SCENE_WAYS = (*VIDEO_WAYS, "elsewhere")
"""How scenes are shown."""

_WHITE = 16  # noises in a pool

Inputs = dict[str, Tensor]


def white_textures(generator: np.random.Generator) -> Textures:
    """A pool of noise: every pixel has a colour of its own, all colours alike.

    Moved by whole pixels it is what `sdbench.video.noise` makes of a flow that is the same everywhere: a single frame
    shows nothing, and neighbouring frames the motion.
    """
    pictures = generator.random((_WHITE, PERIOD, PERIOD, 3), dtype=np.float32)
    return Textures(pictures, np.repeat(np.arange(len(KINDS)), _WHITE // len(KINDS)))


def draw_altered(
    kind: Kind, task: str, textures: Textures, count: int, generator: np.random.Generator
) -> dict[str, Batch]:
    """A batch of a task, shown in each of `VIDEO_WAYS` or `SCENE_WAYS`: inputs and answer.

    Videos of every class are equally many.

    Args:
        kind: the network.
        task: one of its tasks.
        textures: the pool.
        count: videos or scenes, at least 2: one lends another its flow or its picture.
        generator: source of every draw.
    """
    if kind.segments:
        return _altered_scenes(kind, task, textures, count, generator)
    label, other = balanced(len(KINDS), count, generator), generator.integers(0, len(HEADINGS), count)
    shown = draw_appearances(textures, other if task == "motion" else label, generator)
    moved = draw_motions(other if task == "texture" else label, generator)
    filmed, answer = video_inputs(kind, textures, shown, moved), torch.from_numpy(label)
    return {
        "filmed": (filmed, answer),
        "shuffled": (shuffled(filmed, generator), answer),
        "frozen": (frozen(filmed), answer),
        "noise": (video_inputs(kind, *_noise_shown(count, generator), moved), answer),
    }


def draw_conflicting(
    kind: Kind, textures: Textures, count: int, generator: np.random.Generator
) -> tuple[Inputs, Tensor, Tensor]:
    """Videos whose motion says one class and whose texture says another: inputs, class by motion, class by texture."""
    by_motion = balanced(len(HEADINGS), count, generator)
    by_texture = (by_motion + generator.integers(1, len(KINDS), count)) % len(KINDS)
    shown = draw_appearances(textures, by_texture, generator)
    inputs = video_inputs(kind, textures, shown, draw_motions(by_motion, generator))
    return inputs, torch.from_numpy(by_motion), torch.from_numpy(by_texture)


def draw_noise_pairs(kind: Kind, count: int, generator: np.random.Generator) -> tuple[Inputs, Inputs, Inputs]:
    """Noise of which two views share exactly one factor.

    The views are: `count` noises as they move; others that move alike; and the first ones with their frames shuffled,
    or, of scenes, under another flow. The first two are dynamic pairs, the first and the last static ones: see
    `sdbench.studies.appearance_free_study.AppearanceFreeStudy`.
    """
    white = white_textures(generator)
    if kind.segments:
        moves, others = draw_moves(count, generator), draw_moves(count, generator)
        one, two = (_bare(draw_looks(white, count, generator)) for _ in range(2))
        return (
            scene_inputs(kind, white, one, moves),
            scene_inputs(kind, white, two, moves),
            scene_inputs(kind, white, one, others),
        )
    moved = draw_motions(generator.integers(0, len(HEADINGS), count), generator)
    kinds = (generator.integers(0, len(KINDS), count) for _ in range(2))
    one_shown, two_shown = (draw_appearances(white, each, generator) for each in kinds)
    first = video_inputs(kind, white, one_shown, moved)
    return first, video_inputs(kind, white, two_shown, moved), shuffled(first, generator)


def balanced(classes: int, count: int, generator: np.random.Generator) -> Ints:
    """(count,) classes in a random order, equally many of each: one answer to all of them is right by chance alone."""
    return generator.permutation(np.arange(count) % classes)


def shuffled(inputs: Inputs, generator: np.random.Generator) -> Inputs:
    """Videos with their frames in a random order; slow and fast ones each in their own."""

    def one(video: Tensor) -> Tensor:
        order = generator.permuted(np.tile(np.arange(video.shape[2]), (len(video), 1)), axis=1)
        return torch.stack([clip[:, frames] for clip, frames in zip(video, torch.from_numpy(order), strict=True)])

    return {name: one(video) for name, video in inputs.items()}


def frozen(inputs: Inputs) -> Inputs:
    """Videos that show their middle frame all the time; slow and fast ones the same frame."""
    every = inputs["fast"] if "fast" in inputs else inputs["video"]
    middle = every.shape[2] // 2 // ALPHA * ALPHA  # one that the slow path sees as well
    return {name: every[:, :, middle : middle + 1].expand_as(video).contiguous() for name, video in inputs.items()}


def _altered_scenes(
    kind: Kind, task: str, textures: Textures, count: int, generator: np.random.Generator
) -> dict[str, Batch]:
    looks, moves = draw_looks(textures, count, generator), draw_moves(count, generator)

    def answer_of(still: Tensor, moving: Tensor) -> Tensor:
        return (moving if task == "camouflaged" else still).float()

    filmed, still, moving = scene_tensors(textures, looks, moves, kind.paired)
    answer = answer_of(still, moving)
    at_rest = replace(moves, ground=np.zeros_like(moves.ground), own=np.zeros_like(moves.own))
    rest, rest_still, rest_moving = scene_tensors(textures, looks, at_rest, kind.paired)
    return {
        "filmed": (filmed, answer),
        "shuffled": ({**filmed, "flow": filmed["flow"].roll(1, dims=0)}, answer),
        "frozen": (rest, answer_of(rest_still, rest_moving)),
        "noise": (scene_inputs(kind, *_noise_looks(count, generator), moves), answer),
        "elsewhere": ({**filmed, "image": filmed["image"].roll(1, dims=0)}, answer),
    }


def _noise_shown(count: int, generator: np.random.Generator) -> tuple[Textures, Appearances]:
    white = white_textures(generator)
    return white, draw_appearances(white, generator.integers(0, len(KINDS), count), generator)


def _noise_looks(count: int, generator: np.random.Generator) -> tuple[Textures, Looks]:
    white = white_textures(generator)
    return white, _bare(draw_looks(white, count, generator))


def _bare(looks: Looks) -> Looks:
    """The same without a still sprite: one that has no size."""
    sprite = looks.sprite
    return replace(looks, sprite=Sprites(sprite.centre, np.full_like(sprite.radii, 1e-9), sprite.turn))
