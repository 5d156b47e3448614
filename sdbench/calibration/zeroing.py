"""What the small action networks lose when units that the method calls dynamic, or static, are set to zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sdbench.ablation import top_units
from sdbench.calibration.tasks import draw_batch, unseen_textures
from sdbench.calibration.trained import Kind, kind_named, load_trained
from sdbench.calibration.training import score_of
from sdbench.errors import InputError
from sdbench.measure import Measurement
from sdbench.networks.reading import VideoNetwork, answer_without
from sdbench.statistics import FACTORS

PERCENT = 25.0
"""Part of a layer's units that is set to zero: those with the highest scores of a factor."""

_VIDEOS, _BATCH = 256, 64
_SEED = 3


@dataclass(frozen=True)
class Lost:
    """Right answers of one network in percent, and what it loses without some units.

    Attributes:
        whole: right answers of the network as it is, in percent.
        lost: factor -> percentage points lost without the units that score highest for it.
        units: how many units were set to zero, of each factor.
    """

    whole: float
    lost: dict[str, float]
    units: int


def lost_without(found: Measurement, task: str, layer: str, percent: float = PERCENT) -> list[Lost]:
    """What each training of a small network loses on its own task, on unseen textures.

    Args:
        found: the measurement of the network trained on that task, see `measure_trained`.
        task: the task.
        layer: the layer whose units are set to zero.
        percent: how many percent of them.

    Raises:
        InputError: the network finds sprites, or the layer was not measured.
    """
    kind = kind_named(found.network)
    if kind.segments:
        raise InputError(f"{found.network} finds sprites; expected an action network")
    answers = []
    for number in range(found.seeds):
        module = load_trained(found.network, task, number)
        estimate = found.run(layer, number).estimate
        chosen = {factor: top_units(estimate, factor, percent) for factor in FACTORS}
        whole = _right(kind, module, task, {})
        lost = {factor: whole - _right(kind, module, task, {layer: units}) for factor, units in chosen.items()}
        answers.append(Lost(whole, lost, len(chosen[FACTORS[0]])))
    return answers


def _right(kind: Kind, module: VideoNetwork, task: str, zeroed: dict[str, np.ndarray]) -> float:
    generator, textures = np.random.Generator(np.random.PCG64(_SEED)), unseen_textures()
    scores = []
    for _ in range(_VIDEOS // _BATCH):
        inputs, answer = draw_batch(kind, task, textures, _BATCH, generator)
        scores.append(score_of(kind, answer_without(module, inputs, zeroed), answer))
    return 100 * float(torch.cat(scores).mean())
