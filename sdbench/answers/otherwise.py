"""What the small networks answer when videos or scenes are shown otherwise than they were drawn."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

import numpy as np
import numpy.typing as npt
import torch

from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.calibration.altered import draw_altered, draw_conflicting
from sdbench.calibration.tasks import unseen_textures
from sdbench.calibration.trained import SEEDS, Kind, kind_named, load_trained
from sdbench.calibration.training import one_thread, score_of
from sdbench.networks import VideoNetwork

SHOWN = "ways of showing"
"""The purpose that videos and scenes are drawn for."""

_BATCH = 64

Scores = npt.NDArray[np.float64]


def scores_when_shown(
    kind: Kind, module: VideoNetwork, task: str, count: int, generator: np.random.Generator
) -> dict[str, Scores]:
    """How right a network is for each of some videos or scenes, in each way of showing.

    Args:
        kind: the network's kind.
        module: the network.
        task: what it is asked for: one of the tasks of its kind.
        count: videos or scenes, in textures that no network was trained on.
        generator: source of every draw.

    Returns:
        One of `sdbench.calibration.altered.VIDEO_WAYS` or `SCENE_WAYS` -> (count,) in 0 to 1: right or not, or the
        intersection over union of the mask.

    Raises:
        InputError: fewer than 2 are asked for.
    """
    if count < 2:
        raise InputError(f"at least 2 videos or scenes are needed, one lends another its flow; got {count}")
    scores: dict[str, list[Scores]] = {}
    with one_thread(), torch.no_grad():
        for several in _batches(count):
            for way, (inputs, answer) in draw_altered(kind, task, unseen_textures(), several, generator).items():
                found = score_of(kind, module(**inputs), answer).double().numpy()
                scores.setdefault(way, []).append(found.reshape(several, -1).mean(axis=1))
    return {way: np.concatenate(parts) for way, parts in scores.items()}


def mean_scores(name: str, task: str, count: int, seed: int) -> dict[str, float]:
    """The same in percent: means over all trainings of a small network on a task, which are shown the same.

    Args:
        name: one of `sdbench.calibration.trained.KINDS`.
        task: one of its tasks.
        count: videos or scenes.
        seed: of all that is drawn.

    Raises:
        InputError: the network or the task is unknown, or there are fewer than 2 videos or scenes.
        AssetError: its weights are missing or damaged.
    """
    kind = kind_named(name)
    of = [
        scores_when_shown(kind, load_trained(name, task, number), task, count, generator_for(seed, SHOWN))
        for number in range(SEEDS)
    ]
    return {way: 100 * fmean(float(scores[way].mean()) for scores in of) for way in of[0]}


def sided_with(kind: Kind, module: VideoNetwork, count: int, generator: np.random.Generator) -> dict[str, Scores]:
    """What an action network goes by where motion says one class and texture another.

    Args:
        kind: the network's kind.
        module: the network.
        count: videos, in textures that no network was trained on.
        generator: source of every draw.

    Returns:
        "motion" and "texture" -> (count,) of 0 and 1: whether the answer was the class that this factor says.

    Raises:
        InputError: the network finds sprites.
    """
    if kind.segments:
        raise InputError("a network that finds sprites names no class; expected an action network")
    sides: dict[str, list[Scores]] = {"motion": [], "texture": []}
    with one_thread(), torch.no_grad():
        for several in _batches(count):
            inputs, by_motion, by_texture = draw_conflicting(kind, unseen_textures(), several, generator)
            answered = module(**inputs).argmax(dim=1)
            sides["motion"].append((answered == by_motion).double().numpy())
            sides["texture"].append((answered == by_texture).double().numpy())
    return {factor: np.concatenate(parts) for factor, parts in sides.items()}


def _batches(count: int) -> Iterator[int]:
    """Sizes of batches; none has a single member."""
    number = -(-count // _BATCH)
    yield from (len(part) for part in np.array_split(np.arange(count), number))
