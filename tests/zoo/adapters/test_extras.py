"""Libraries that a network needs and that are not here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sdbench import AssetError
from sdbench.zoo.adapters import extras
from sdbench.zoo.adapters.extras import imported


def test_a_library_that_is_here_is_imported() -> None:
    import json.decoder

    assert imported("json.decoder", "transformers") is json.decoder


def test_a_library_that_is_not_here_is_named_with_its_command() -> None:
    with pytest.raises(AssetError, match=r'^nonesuch is not installed; get it with: pip install "sdbench\[timm\]"$'):
        imported("nonesuch.models", "timm")


def test_a_library_that_does_not_import_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('operator nms does not exist\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AssetError) as refused:
        imported("broken_library", "torchvision")
    assert "cannot be imported (operator nms does not exist); install versions that go together" in str(refused.value)
    assert 'pip install --upgrade "sdbench[torchvision]"' in str(refused.value)
    assert "broken_library" not in sys.modules


def test_without_transformers_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from sdbench.zoo import network_named

    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match=r'^transformers is not installed; .*pip install "sdbench\[transformers\]"'):
        network_named("hf:MCG-NJU/videomae-base")
