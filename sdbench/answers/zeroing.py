"""What the small action networks lose when units that the method calls dynamic, or static, are set to zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sdbench.answers.ablation import top_units
from sdbench.base.errors import InputError, unknown_name
from sdbench.calibration.tasks import draw_batch, unseen_textures
from sdbench.calibration.trained import Kind, kind_named, load_trained
from sdbench.calibration.training import one_thread, score_of
from sdbench.engine import Measurement
from sdbench.networks.reading import VideoNetwork
from sdbench.networks.without import Units, answer_without
from sdbench.statistics import FACTORS

STAGE, PERCENT = "stage3", 50.0
"""Where units are set to zero, in all pathways, and how many percent: those with the highest scores of a factor."""

_VIDEOS, _BATCH = 256, 64
_SEED = 3


@dataclass(frozen=True)
class Lost:
    """Right answers of one network in percent, and what it loses without some units.

    Attributes:
        whole: right answers of the network as it is, in percent.
        lost: factor -> percentage points lost without the units that score highest for it.
    """

    whole: float
    lost: dict[str, float]


def lost_without(found: Measurement, task: str, stage: str = STAGE, percent: float = PERCENT) -> list[Lost]:
    """What each training of a small network loses on its own task, on unseen textures.

    Args:
        found: the measurement of the network trained on that task, see `measure_trained`.
        task: the task.
        stage: the layer of this name, or the layers that are this stage of several pathways, before they are joined.
        percent: how many percent of each layer's units are set to zero.

    Raises:
        InputError: the network finds sprites, or the stage was not measured.
    """
    kind = kind_named(found.network)
    if kind.segments:
        raise InputError(f"{found.network} finds sprites; expected an action network")
    layers = [layer for layer in found.layers if layer.rpartition(".")[2] == stage]
    if not layers:
        raise unknown_name("stage", stage, found.layers)
    answers = []
    for number in range(found.seeds):
        module = load_trained(found.network, task, number)
        estimates = {layer: found.run(layer, number).estimate for layer in layers}
        zeroed = [
            {layer: top_units(estimate, factor, percent) for layer, estimate in estimates.items()} for factor in FACTORS
        ]
        whole, *without = _right(kind, module, task, [{}, *zeroed])
        answers.append(Lost(whole, {factor: whole - left for factor, left in zip(FACTORS, without, strict=True)}))
    return answers


def _right(kind: Kind, module: VideoNetwork, task: str, conditions: Sequence[Mapping[str, Units]]) -> list[float]:
    """Right answers in percent, under each of several conditions: layer -> units that are set to zero."""
    generator, textures = np.random.Generator(np.random.PCG64(_SEED)), unseen_textures()
    scores = []
    with one_thread():
        for _ in range(_VIDEOS // _BATCH):
            inputs, answer = draw_batch(kind, task, textures, _BATCH, generator)
            answers = [answer_without(module, inputs, zeroed) for zeroed in conditions]
            scores.append(torch.stack([score_of(kind, answered, answer) for answered in answers]))
    return [100 * float(of_one.mean()) for of_one in torch.cat(scores, dim=1)]
