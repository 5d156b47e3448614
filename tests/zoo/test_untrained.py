"""The architecture of a network of the suite with fresh weights: nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.zoo import network_named


@pytest.fixture
def nothing(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path, offline=True, quiet=True)


def test_it_has_the_classes_of_the_data_set_and_weights_of_its_seed(nothing: AssetStore) -> None:
    one, again, other = (
        network_named("slow_r50_8x8", "ssv2", store=nothing, untrained=seed).module.state_dict() for seed in (0, 0, 1)
    )
    assert 174 in {len(value) for value in one.values() if value.ndim}
    assert 400 not in {len(value) for value in one.values() if value.ndim}
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_draws_of_others_go_on_as_before(nothing: AssetStore) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    network_named("x3d_xs", store=nothing, untrained=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"trained_on": "ucf"}, "trained on 'ucf' are known; known: kinetics400"),
        ({"weights": "own.pth"}, "a network is untrained or has weights of your own; say one of the two"),
        ({"revision": "main"}, "revision says nothing of a network of the suite"),
    ],
)
def test_what_does_not_go_with_it_is_said(words: dict[str, str], said: str, nothing: AssetStore) -> None:
    with pytest.raises(InputError, match=said):
        network_named("x3d_xs", store=nothing, untrained=0, **words)  # type: ignore[arg-type]
