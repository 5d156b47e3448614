"""What a tracker sees follows what the task forces: where only motion helps, and where only texture does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sdbench
from sdbench import Network, Tracker
from sdbench.calibration.measuring import SceneStudy
from sdbench.calibration.tasks import draw_batch, feed_of, training_textures
from sdbench.calibration.trained import kind_named
from sdbench.calibration.training import one_thread

STEPS = 90
KIND = kind_named("calibration_resnet3d")


class Squared(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


def network() -> nn.Sequential:
    """Squared filters of space and time, which learn a direction in few steps."""
    return nn.Sequential(
        nn.Conv3d(3, 16, (4, 5, 5)),
        nn.BatchNorm3d(16),
        Squared(),
        nn.AvgPool3d((1, 4, 4)),
        nn.Conv3d(16, 16, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.BatchNorm1d(16),
        nn.Linear(16, 4),
    )


def tracked(task: str) -> Tracker:
    generator, textures = np.random.default_rng(0), training_textures()
    torch.manual_seed(0)
    module = network()
    tracker = Tracker(Network(module, feed_of(KIND), "squared", ["5"]), SceneStudy(KIND, 128), every=STEPS // 2)
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.02)
    with one_thread():
        tracker.step(0)
        for step in range(1, STEPS + 1):
            inputs, label = draw_batch(KIND, task, textures, 32, generator)
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(inputs["video"]), label).backward()
            optimiser.step()
            tracker.step(step)
    return tracker


@pytest.mark.slow
def test_the_share_follows_what_the_task_forces() -> None:
    motion, texture = tracked("motion"), tracked("texture")
    assert [record["step"] for record in motion.history] == [0, 45, 90]
    assert motion.history[0]["layers"] == texture.history[0]["layers"], "both begin with the same weights"
    moved = sdbench.compare(motion.history[-1], motion.history[0]).layer("5")
    assert moved.intervals is not None
    assert moved.intervals["static"].high < -4
    assert moved.intervals["dynamic"].low > 0
    assert moved.values["dynamic"] > 4
    apart = sdbench.compare(motion.history[-1], texture.history[-1])
    assert apart.paired
    difference = apart.layer("5")
    assert difference.intervals is not None
    assert difference.intervals["static"].high < -4
    assert difference.intervals["dynamic"].low > 0
    assert difference.values["dynamic"] > 4
    kept = sdbench.compare(texture.history[-1], texture.history[0]).layer("5")
    assert kept.values["static"] == pytest.approx(0, abs=3)
