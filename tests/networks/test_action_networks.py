"""The action-recognition networks against what the published implementations answer to the same weights and inputs."""

from __future__ import annotations

import functools
import gc
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdbench.base.errors import InputError
from sdbench.networks import VideoNetwork, build, units
from sdbench.networks.action.tokens import resize_positions
from sdbench.zoo.pytorchvideo import from_pytorchvideo
from tests.made.filled import Filled, make_input

CONFORMANCE = Path(__file__).parents[1] / "conformance"
AGREEMENT = 1e-3
CASES = {
    "c2d": ("c2d", 400),
    "i3d": ("i3d", 400),
    "i3d_nln": ("i3d_nln", 400),
    "slow_r50_8x8": ("slow_r50_8x8", 400),
    "slow_r50_4x16": ("slow_r50_4x16", 400),
    "slow_ssv2_r50_8x8": ("slow_r50_8x8", 174),
    "fast": ("fast_r50_8x8", 400),
    "fast_ssv2": ("fast_r50_8x8", 174),
    "fast_diving48": ("fast_r50_8x8", 48),
    "slowfast_r50_8x8": ("slowfast_r50_8x8", 400),
    "slowfast_r50_4x16": ("slowfast_r50_4x16", 400),
    "slowfast_ssv2_16x8": ("slowfast_r50_16x8", 174),
    "slowfast_ssv2_16x8_multigrid": ("slowfast_r50_16x8", 174),
    "slowfast_ssv2_r50_8x8": ("slowfast_r50_8x8", 174),
    "x3d_xs": ("x3d_xs", 400),
    "x3d_s": ("x3d_s", 400),
    "x3d_m": ("x3d_m", 400),
    "x3d_l": ("x3d_l", 400),
    "mvit": ("mvit_b_16x4", 400),
    "timesformer": ("timesformer_8x32", 400),
    "timesformer_ssv2": ("timesformer_16x8", 174),
}
PYTORCHVIDEO = ("slow_ssv2_r50_8x8", "slowfast_ssv2_r50_8x8")
TRANSFORMERS = ("mvit", "timesformer", "timesformer_ssv2")
NARROW = ("c2d", "i3d", "i3d_nln", "slow_r50_8x8", "fast_r50_8x8")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on busy cores take several times as long as one that does not."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    transformer.cache_clear()


@pytest.fixture(autouse=True)
def _free_networks() -> Iterator[None]:
    yield
    gc.collect()


def described(case: str) -> dict[str, Any]:
    description: dict[str, Any] = json.loads((CONFORMANCE / f"{case}.json").read_text(encoding="utf-8"))
    description["state_dict"] = {name: tuple(shape) for name, shape in dict(description["state_dict"]).items()}
    return description


def shapes(state: dict[str, torch.Tensor]) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(value.shape)) for name, value in state.items()]


def filled(entries: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """A state dict of these shapes; counters, which alone have no axis, become zero."""
    return Filled().state(entries)


def our_layer(published: str, case: str) -> str:
    """The published name of a layer, `stageN.pathway.fused` for SlowFast, as one of ours."""
    if "." not in published:
        return published
    stage, pathway, fusion = published.split(".")
    # PyTorchVideo's SlowFast gives the slow pathway only after its fusion, whatever it is asked for.
    fused = pathway == "slow" and stage != "stage5" and (fusion == "fused" or case in PYTORCHVIDEO)
    return f"{pathway}.{stage}.fused" if fused else f"{pathway}.{stage}"


@pytest.mark.parametrize("case", CASES)
def test_state_dict_is_the_published_one(case: str) -> None:
    name, num_classes = CASES[case]
    description = described(case)
    with torch.device("meta"):
        module = build(name, num_classes=num_classes)
        published = {entry: torch.empty(shape) for entry, shape in description["state_dict"].items()}
    if case in PYTORCHVIDEO:
        published = from_pytorchvideo(published)
    assert shapes(module.state_dict()) == shapes(published)
    assert sum(parameter.numel() for parameter in module.parameters()) == description["parameters"]


@pytest.fixture(scope="module")
def filled_states() -> Filled:
    return Filled()


QUICK = ("fast", "fast_diving48", "slow_r50_8x8", "x3d_xs", "x3d_s")


@pytest.mark.parametrize(
    "case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_layers_agree_with_the_published_ones(case: str, filled_states: Filled) -> None:
    name, num_classes = CASES[case]
    description = described(case)
    with torch.device("meta"):
        module = build(name, num_classes=num_classes)
    state = filled_states.state(description["state_dict"])
    module.load_state_dict(from_pytorchvideo(state) if case in PYTORCHVIDEO else state, assign=True)
    # In eval mode one clip knows nothing of the next: for the transformers, the slowest, the first will do.
    clips = 1 if case in TRANSFORMERS else 2
    inputs = {entry: make_input(shape, 0, entry)[:clips] for entry, shape in description["inputs"].items()}
    read = units(module, inputs)
    assert tuple(read) == module.layers
    assert read["logits"].shape == (clips, num_classes)
    with np.load(CONFORMANCE / f"{case}.npz") as published:
        assert set(published.files) == set(description["stages"])
        for layer in published.files:
            theirs, ours = published[layer], read[our_layer(layer, case)].numpy()
            assert ours.shape == (clips, *theirs.shape[1:]), layer
            assert np.abs(ours - theirs[:clips]).max() / theirs.std() < AGREEMENT, layer


@functools.lru_cache(maxsize=1)
def transformer(name: str) -> VideoNetwork:
    """They cannot be thin, so that their weights take a while to draw."""
    torch.manual_seed(0)
    return build(name, num_classes=5)


def small_network(name: str) -> VideoNetwork:
    if name in ("mvit_b_16x4", "timesformer_8x32"):
        return transformer(name)
    torch.manual_seed(0)
    return build(name, num_classes=5, **({"width_per_group": 8} if name in NARROW or "slowfast" in name else {}))


@pytest.mark.parametrize("size", [(1, 16, 16), (3, 40, 72)])
@pytest.mark.parametrize("name", [*NARROW, "x3d_xs", "mvit_b_16x4", "timesformer_8x32"])
def test_runs_at_other_sizes(name: str, size: tuple[int, int, int]) -> None:
    module = small_network(name)
    video = torch.randn(1, 3, *size)
    with torch.no_grad():
        layers, activations = zip(*module.trace(video=video), strict=True)
        assert layers == module.layers
        assert all(bool(activation.isfinite().all()) for activation in activations)
        assert activations[-1].shape == (1, 5)
        torch.testing.assert_close(module(video), activations[-1])


@pytest.mark.parametrize(("name", "alpha"), [("slowfast_r50_8x8", 4), ("slowfast_r50_4x16", 8)])
def test_slowfast_runs_at_other_sizes(name: str, alpha: int) -> None:
    module = small_network(name)
    for frames, height, width in ((1, 16, 16), (3, 40, 72)):
        slow, fast = torch.randn(1, 3, frames, height, width), torch.randn(1, 3, alpha * frames, height, width)
        read = units(module, {"slow": slow, "fast": fast})
        assert tuple(read) == module.layers
        assert read["slow.stage2"].shape == (1, 32)
        assert read["fast.stage2"].shape == (1, 4)
        assert read["slow.stage2.fused"].shape == (1, 32 + 8)
        assert read["logits"].shape == (1, 5)


@pytest.mark.parametrize("name", ["i3d_nln", "slowfast_r50_8x8", "x3d_xs"])
def test_every_parameter_can_be_trained(name: str) -> None:
    module = small_network(name).train()
    slow = torch.randn(2, 3, 2, 32, 32)
    inputs = {"slow": slow, "fast": slow.repeat_interleave(4, dim=2)} if "slowfast" in name else {"video": slow}
    module(**inputs).square().sum().backward()
    for entry, parameter in module.named_parameters():
        assert parameter.grad is not None, entry
        assert parameter.grad.isfinite().all(), entry


def test_positions_are_resized_to_the_nearest() -> None:
    positions = torch.arange(14 * 14 * 2, dtype=torch.float32).reshape(1, 14 * 14, 2)
    nearest = [math.floor(place * 14 / 16) for place in range(16)]
    expected = positions.reshape(14, 14, 2)[nearest][:, nearest].reshape(1, 16 * 16, 2)
    torch.testing.assert_close(resize_positions(positions, (14, 14), (16, 16)), expected)
    assert resize_positions(positions, (14, 14), (14, 14)) is positions
    in_time = resize_positions(positions[:, :4], (4,), (8,))
    torch.testing.assert_close(in_time, positions[:, :4].repeat_interleave(2, dim=1))


def test_timesformer_reads_larger_crops() -> None:
    with torch.no_grad():
        layer, tokens = next(iter(small_network("timesformer_8x32").trace(torch.randn(1, 3, 2, 256, 256))))
    assert layer == "block0"
    assert tokens.shape == (1, 1 + 16 * 16 * 2, 768)


@pytest.mark.parametrize("name", ["c2d", "i3d", "slow_r50_8x8", "fast_r50_8x8", "slowfast_r50_8x8"])
def test_can_be_shallow_and_thin(name: str) -> None:
    torch.manual_seed(0)
    thin = {"width_per_group": 4, "fast_fraction": 2} if "slowfast" in name else {"width_per_group": 8}
    module = build(name, num_classes=3, depths=(1, 2, 1, 1), **thin)
    slow = torch.randn(1, 3, 2, 24, 24)
    inputs = {"slow": slow, "fast": slow.repeat_interleave(4, dim=2)} if "slowfast" in name else {"video": slow}
    read = units(module, inputs)
    assert tuple(read) == module.layers
    blocks = {entry.split(".")[1] for entry in module.state_dict() if entry.startswith("s3.")}
    assert {block.removeprefix("pathway")[1:] for block in blocks} == {"_res0", "_res1"}
    if "slowfast" in name:
        assert read["fast.stage2"].shape == (1, 8)


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("i3d", {"depths": (1, 1, 1)}, r"four numbers of blocks, at least 1 each; got \(1, 1, 1\)"),
        ("slowfast_r50_4x16", {"depths": (1, 1, 0, 1)}, "four numbers of blocks"),
        ("slowfast_r50_16x8", {"width_per_group": 4}, "multiple of 8"),
        ("slowfast_r50_8x8", {"fast_fraction": 0}, "fast_fraction must be at least 1"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(name: str, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        build(name, **options)


def test_inputs_that_do_not_fit_are_refused() -> None:
    slow = torch.randn(1, 3, 2, 32, 32)
    with pytest.raises(InputError, match=r"fast must have shape \(1, 3, 8, 32, 32\)"):
        units(small_network("slowfast_r50_8x8"), {"slow": slow, "fast": slow})
    with pytest.raises(InputError, match=r"video must have shape \(B, 3, T, H, W\)"):
        units(small_network("c2d"), {"video": slow[0]})
    with pytest.raises(InputError, match="at least 16 x 16"):
        units(small_network("timesformer_8x32"), {"video": slow[..., :8]})
    with pytest.raises(InputError, match="multiple of 8"):
        build("slowfast_r50_8x8", width_per_group=12)
