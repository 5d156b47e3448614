"""What tests of videos share: shot networks whose answer is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdbench import load
from sdbench.assets import AssetStore
from sdbench.base.content import Contents
from sdbench.data.shots import ShotFinder
from sdbench.networks.transnetv2 import TransNetV2


class WithoutCuts(TransNetV2):
    """Sees no cut in any video, at once."""

    def forward(self, video: Tensor) -> Tensor:
        return torch.full((*video.shape[:2], 1), -9.0)


@pytest.fixture
def one_shot(tmp_path: Path) -> ShotFinder:
    """Every video is one shot."""
    return ShotFinder(WithoutCuts(), "without cuts", tmp_path / "kept" / "shots")


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    """Hashes of files, kept beside the test's videos."""
    return Contents(tmp_path / "kept" / "contents")


@pytest.fixture
def shots(store: AssetStore) -> ShotFinder:
    """The packaged network, with answers that are kept in the user's cache."""
    network = load("transnetv2", store=store)
    assert isinstance(network, TransNetV2)
    return ShotFinder(network, store.sha256("transnetv2"), store.folder / "shots")
