"""A cache with made-up weights of narrow networks, for the commands that are called here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def fill_cache(folder: Path) -> None:
    """Put made-up weights of narrow networks into a cache, as if they had been fetched."""
    from sdbench.assets import AssetStore
    from tests.made.small_zoo import bring_weights

    (folder / "given").mkdir()
    bring_weights(AssetStore(folder / "cache", quiet=True), folder / "given")


@pytest.fixture
def small_cache(
    tmp_path: Path, make_once: Callable[[str, Callable[[Path], object]], Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The zoo knows narrow networks, and the cache of this test alone has their weights."""
    from tests.made.small_zoo import make_small

    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setattr)
        made = make_once("cli-cache", fill_cache)
    make_small(monkeypatch.setattr)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(made / "cache", tmp_path / "cache"))
