"""What a network yields is what the rest of it continues from: changing it changes the answer, and nothing escapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sdbench.base.errors import InputError
from sdbench.networks import VideoNetwork, build, network_names
from sdbench.networks.action.slowfast import SlowFast
from sdbench.networks.reading import channel_axis
from sdbench.networks.vos.matnet import CROSS_CONNECTIONS, FUSIONS
from sdbench.networks.without import answer_without, zero_units

NARROW: dict[str, dict[str, int]] = {
    "fusionseg": {"width": 4},
    "matnet": {"width": 4},
    "rtnet": {"width": 16},
    "rtnet34": {"width": 16},
    "fast_r50_8x8": {"width_per_group": 8},
    "slowfast_r50_4x16": {"width_per_group": 8},
    "slowfast_r50_8x8": {"width_per_group": 8},
    **{name: {"width_per_group": 4} for name in ("c2d", "i3d", "i3d_nln", "slow_r50_8x8")},
}
SAME = {"timesformer_16x8", "x3d_s", "x3d_m", "slow_r50_4x16", "slowfast_r50_16x8"}  # the modules of another name
CASES: list[tuple[str, dict[str, Any]]] = [(name, NARROW.get(name, {})) for name in network_names() if name not in SAME]
CASES += [
    ("matnet", {"width": 4, "cross_connection": cross_connection, "fusion": fusion})
    for cross_connection in CROSS_CONNECTIONS
    for fusion in FUSIONS
]
CASES += [("rtnet", {"width": 16, "mixed_batch": True}), ("c2d", {"width_per_group": 4, "temporal_pool": 1})]
SLOW = ("rtnet", "timesformer_8x32")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def inputs_of(module: VideoNetwork, name: str) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    if name.startswith("rtnet"):
        return {"image": noise(2, 2, 3, 32, 32), "flow": noise(2, 2, 6, 32, 32)}
    if name in ("fusionseg", "matnet"):
        return {"image": noise(1, 3, 32, 32), "flow": noise(1, 3, 32, 32)}
    if name.startswith("slowfast"):
        assert isinstance(module, SlowFast)
        return {"slow": noise(1, 3, 2, 32, 32), "fast": noise(1, 3, 2 * module.alpha, 32, 32)}
    if name == "transnetv2":
        return {"video": torch.randint(0, 256, (1, 4, 27, 48, 3), generator=draw, dtype=torch.uint8)}
    return {"video": noise(1, 3, 4, 32, 32)}


class Uses(TorchDispatchMode):
    """Remembers the memory of every tensor from which another was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[int] = set()
        self.kept: list[Any] = []  # memory that is given back could be handed out again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {x.untyped_storage().data_ptr() for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        answer = func(*args, **(kwargs or {}))
        made = {x.untyped_storage().data_ptr() for x in tree_leaves(answer) if isinstance(x, Tensor)}
        self.used |= given - made
        self.kept.append((args, kwargs, answer))
        return answer


@pytest.mark.parametrize(
    ("name", "options"),
    [pytest.param(*case, marks=pytest.mark.slow) if case[0] in SLOW else case for case in CASES],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_what_is_yielded_is_what_the_network_continues_from(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = build(name, **options)
    inputs = inputs_of(module, name)
    given = {x.untyped_storage().data_ptr() for x in inputs.values()}
    with torch.no_grad(), Uses() as uses:
        for layer, activation in module.trace(**inputs):
            memory = activation.untyped_storage().data_ptr()
            assert memory not in uses.used, f"something was computed from {layer} before it was yielded"
            assert memory not in given, f"{layer} is an input"
            uses.kept.append(activation)
    whole = answer_without(module, inputs, {})
    torch.testing.assert_close(whole, module(**inputs).detach(), rtol=0, atol=0)
    before = {key: x.clone() for key, x in inputs.items()}
    for layer in module.layers:
        units = np.arange(0, channels(module, inputs, layer), 2)
        if layer in module.dead_ends:
            with pytest.raises(InputError, match=f"is not made of {layer}; choose another layer"):
                answer_without(module, inputs, {layer: units})
            continue
        changed = answer_without(module, inputs, {layer: units})
        assert changed.shape == whole.shape
        assert not torch.equal(changed, whole), f"the answer does not depend on what {layer} yields"
    for key, x in inputs.items():
        assert torch.equal(x, before[key])


@pytest.mark.parametrize("name", ["rtnet", "rtnet34"])
def test_a_dead_end_is_one(name: str) -> None:
    torch.manual_seed(0)
    module = build(name, width=16)
    inputs = inputs_of(module, name)
    assert module.dead_ends == ("motion.layer5",)
    with torch.no_grad():
        for layer, activation in module.trace(**inputs):
            if layer in module.dead_ends:
                activation.fill_(float("nan"))
    assert torch.isfinite(activation).all()


def channels(module: VideoNetwork, inputs: dict[str, Tensor], layer: str) -> int:
    with torch.no_grad():
        for name, activation in module.trace(**inputs):
            if name == layer:
                return activation.shape[channel_axis(activation)]
    raise AssertionError(layer)


def test_a_layer_without_units_is_the_rest_of_the_network_on_zeros() -> None:
    torch.manual_seed(0)
    module = build("fusionseg", width=4)
    inputs = inputs_of(module, "fusionseg")
    with torch.no_grad():
        read = dict(module.trace(**inputs))
        low, high = read["fusion.layer2"], read["fusion.layer5"]
        expected = nn.functional.interpolate(
            module.get_submodule("classifier")(low, torch.zeros_like(high)),
            size=(32, 32),
            mode="bilinear",
            align_corners=False,
        )
    answer = answer_without(module, inputs, {"fusion.layer5": np.ones(high.shape[1], dtype=bool)})
    torch.testing.assert_close(answer, expected)


class Copies(VideoNetwork):
    """Two layers of two units; the answer is their sum."""

    layers = ("double", "sum")

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        doubled = 2 * video
        yield "double", doubled
        yield "sum", doubled.sum(dim=1, keepdim=True)


def test_units_are_named_by_number_or_by_mask() -> None:
    video = torch.tensor([[1.0, 10.0]])
    assert answer_without(Copies(), {"video": video}, {}).item() == 22
    assert answer_without(Copies(), {"video": video}, {"double": [1]}).item() == 2
    assert answer_without(Copies(), {"video": video}, {"double": np.array([True, False])}).item() == 20
    assert answer_without(Copies(), {"video": video}, {"double": []}).item() == 22
    assert answer_without(Copies(), {"video": video}, {"double": [0], "sum": [0]}).item() == 0


def test_tokens_have_their_units_last() -> None:
    tokens = torch.ones(2, 3, 4)
    zero_units(tokens, [1, 3])
    assert tokens.sum(dim=(0, 1)).tolist() == [6, 0, 6, 0]
    maps = torch.ones(2, 3, 4, 5)
    zero_units(maps, [2])
    assert maps.sum(dim=(0, 2, 3)).tolist() == [40, 40, 0]


def test_units_of_a_module_of_the_users_own() -> None:
    linear = nn.Linear(2, 1, bias=False)
    module = nn.Sequential(nn.Identity(), nn.Flatten(), linear)
    linear.weight.data.fill_(1)
    video = torch.tensor([[1.0, 10.0]])
    assert answer_without(module, {"video": video}, {"0": [1]}).item() == 1
    assert video.tolist() == [[1.0, 10.0]]
    assert not module[0]._forward_hooks


@pytest.mark.parametrize(
    ("zeroed", "complaint"),
    [
        ({"dubble": [0]}, "unknown layer 'dubble'; did you mean double"),
        ({"double": [2]}, "double has units 0 to 1; unit 2 was to be set to zero"),
        ({"double": [-1]}, "unit -1 was"),
        ({"double": np.ones(3, dtype=bool)}, "double has 2 units; those to set to zero were chosen among 3"),
        ({"double": [0.5]}, "units must be given by their numbers; got float64"),
    ],
)
def test_says_which_units_there_are(zeroed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        answer_without(Copies(), {"video": torch.ones(1, 2)}, zeroed)


def test_says_that_a_layer_of_ones_own_did_not_run_or_is_no_tensor() -> None:
    module = nn.Sequential(nn.Identity())
    module[0].idle = nn.Identity()
    with pytest.raises(InputError, match="exists but did not run"):
        answer_without(module, {"video": torch.ones(1, 2)}, {"0.idle": [0]})

    class Pair(nn.Module):
        def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
            return video, video

    with pytest.raises(InputError, match="answers tuple"):
        answer_without(Pair(), {"video": torch.ones(1, 2)}, {})
