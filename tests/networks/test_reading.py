"""Reading units: by name, in one pass, of any network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from sdbench import build, units
from sdbench.base.errors import InputError
from sdbench.networks import VideoNetwork, network_names
from sdbench.networks.reading import average_to_units


class Staged(VideoNetwork):
    """Two layers; counts how often each of them runs."""

    layers = ("first", "second")

    def __init__(self) -> None:
        super().__init__()
        self.ran = {"first": 0, "second": 0}

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        self.ran["first"] += 1
        yield "first", video * 2
        self.ran["second"] += 1
        yield "second", video.flatten(2).mean(2)


VIDEO = torch.arange(2 * 3 * 4 * 5 * 5, dtype=torch.float32).reshape(2, 3, 4, 5, 5)


def test_all_layers_cost_one_pass() -> None:
    module = Staged()
    read = units(module, {"video": VIDEO})
    assert list(read) == ["first", "second"]
    assert module.ran == {"first": 1, "second": 1}
    torch.testing.assert_close(read["first"], 2 * VIDEO.mean(dim=(2, 3, 4)))
    torch.testing.assert_close(module(VIDEO), read["second"])


def test_the_pass_ends_with_the_last_layer_asked_for() -> None:
    module = Staged()
    assert list(units(module, {"video": VIDEO}, ["first"])) == ["first"]
    assert module.ran == {"first": 1, "second": 0}
    assert units(module, {"video": VIDEO}, []) == {}


def test_a_module_of_the_users_own_is_read_by_submodule() -> None:
    module = nn.Sequential(nn.Conv3d(3, 6, 1), nn.ReLU(), nn.Conv3d(6, 2, 1))
    read = units(module, {"video": VIDEO}, ["0", "2"])
    assert {name: tuple(value.shape) for name, value in read.items()} == {"0": (2, 6), "2": (2, 2)}
    assert not module[0]._forward_hooks


def test_tokens_are_averaged_over_tokens() -> None:
    tokens = torch.rand(2, 7, 5)
    torch.testing.assert_close(average_to_units(tokens), tokens.mean(1))
    assert average_to_units(torch.ones(2, 3, 4, 4, dtype=torch.float16)).dtype == torch.float32
    with pytest.raises(InputError, match="got \\(3,\\)"):
        average_to_units(torch.zeros(3))


def test_unknown_layers_are_named_with_their_neighbours() -> None:
    with pytest.raises(InputError, match="unknown layer 'fist'; did you mean first"):
        units(Staged(), {"video": VIDEO}, ["fist"])
    with pytest.raises(InputError, match="unknown layer '9'"):
        units(nn.Sequential(nn.ReLU()), {"video": VIDEO}, ["9"])
    with pytest.raises(InputError, match="say which layers"):
        units(nn.Sequential(nn.ReLU()), {"video": VIDEO})


def test_a_submodule_that_does_not_run_is_named() -> None:
    module = nn.Sequential(nn.ReLU())
    module[0].idle = nn.ReLU()
    with pytest.raises(InputError, match=r"'0.idle' exists but did not run"):
        units(module, {"video": VIDEO}, ["0.idle"])


@pytest.mark.parametrize("name", network_names())
def test_every_network_lists_what_it_yields(name: str) -> None:
    module = build(name)
    assert len(set(module.layers)) == len(module.layers)
    assert not module.training


def test_unknown_networks_and_options_are_named() -> None:
    with pytest.raises(InputError, match="unknown network 'i3d_incepton'; did you mean i3d_inception"):
        build("i3d_incepton")
    with pytest.raises(InputError, match="network i3d_inception has no options"):
        build("i3d_inception", width=3)


def test_the_classifier_has_the_size_asked_for() -> None:
    module = build("i3d_inception", num_classes=7)
    assert module(torch.zeros(1, 3, 4, 32, 48)).shape == (1, 7)
