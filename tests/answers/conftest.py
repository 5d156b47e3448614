"""A place of its own for the parts of each test's runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdbench.assets import AssetStore


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)
