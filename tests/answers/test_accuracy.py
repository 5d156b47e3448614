"""Accuracy as filmed and shuffled, with networks whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sdbench.answers.accuracy import measure_accuracy
from sdbench.base.errors import InputError
from sdbench.data.kinetics import LabelledFolder
from sdbench.zoo.action_preparation import ActionPreparation
from tests.conftest import write_video

PREPARATION = ActionPreparation(frames=8, sampling_rate=2, window=16, short_side=32, crop=32)


class Brightening(nn.Module):
    """Answers class 0 where a video grows brighter and class 1 where it grows darker: order is all it looks at."""

    def forward(self, video: Tensor) -> Tensor:
        brightness = video.mean(dim=(1, 3, 4))
        ordered = (brightness.diff(dim=1) > 0).all(dim=1) | (brightness.diff(dim=1) < 0).all(dim=1)
        rising = (brightness[:, -1] > brightness[:, 0]).float()
        wrong = torch.tensor([0.0, 0.0, 9.0])
        right = torch.stack([rising, 1 - rising, torch.zeros_like(rising)], dim=1)
        return torch.where(ordered[:, None], right, wrong)


class Bright(nn.Module):
    """Answers class 0 for bright videos and class 1 for dark ones: order means nothing to it."""

    def forward(self, video: Tensor) -> Tensor:
        level = video.mean(dim=(1, 2, 3, 4))
        return torch.stack([level, -level], dim=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 20, (40, 40, 3))
    for label, sign in (("brighter", 1), ("darker", -1)):
        (tmp_path / label).mkdir()
        for number in range(5):
            level = (80 + 90 * (label == "brighter") + sign * 3 * (np.arange(20) - 10)).clip(20, 235)
            frames = (noise + level[:, None, None, None] - 10).clip(0, 255).astype(np.uint8)
            write_video(tmp_path / label / f"{number}.mp4", frames)
    return tmp_path


def test_a_network_that_looks_at_order_loses_all(folder: Path) -> None:
    found = measure_accuracy(Brightening(), LabelledFolder(folder), PREPARATION, quiet=True)
    assert found.values["top1"] == 100
    assert found.values["top1_shuffled"] == 0
    assert found.values["change"] == -100
    assert found.videos == 10
    assert found.intervals is not None
    assert found.intervals["change"].low == found.intervals["change"].high == -100


def test_a_network_that_looks_at_single_frames_loses_nothing(folder: Path) -> None:
    found = measure_accuracy(Bright(), LabelledFolder(folder), PREPARATION, quiet=True)
    assert found.values["top1"] == found.values["top1_shuffled"] == 100
    assert found.values["change"] == 0
    assert found.values["top5"] == 100


def test_same_seed_same_answer_and_few_videos_no_interval(folder: Path) -> None:
    runs = [
        measure_accuracy(Bright(), LabelledFolder(folder), PREPARATION, videos=6, seed=3, quiet=True) for _ in range(2)
    ]
    assert runs[0].values == runs[1].values
    assert runs[0].intervals is None


def test_classes_that_do_not_fit_are_named(folder: Path) -> None:
    class One(nn.Module):
        def forward(self, video: Tensor) -> Tensor:
            return video.new_zeros(len(video), 1)

    with pytest.raises(InputError, match=r"class number 1, expected one number for each class"):
        measure_accuracy(One(), LabelledFolder(folder), PREPARATION, quiet=True)
    with pytest.raises(InputError, match="between 2 and 10 videos can be used; 11"):
        measure_accuracy(Bright(), LabelledFolder(folder), PREPARATION, videos=11, quiet=True)


def test_nothing_recognised_is_an_error(folder: Path) -> None:
    class Wrong(Bright):
        def forward(self, video: Tensor) -> Tensor:
            return super().forward(video).flip(1)

    with pytest.raises(InputError, match="recognises none of 10 videos"):
        measure_accuracy(Wrong(), LabelledFolder(folder), PREPARATION, quiet=True)
