"""Size and work against counts by hand."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from sdbench.base.errors import InputError
from sdbench.networks import build
from sdbench.zoo.complexity import complexity, complexity_of
from tests.networks.test_vos_networks import CONFORMANCE

SIZE = {"height": 240, "width": 427, "batch": 2}


@pytest.mark.parametrize(
    ("network", "case"), [("fusionseg", "fusionseg"), ("matnet", "matnet_gated"), ("rtnet", "rtnet"), ("rtnet34",) * 2]
)
@pytest.mark.slow
def test_parameters_are_those_of_the_published_networks(network: str, case: str) -> None:
    published = json.loads((CONFORMANCE / f"{case}.json").read_text(encoding="utf-8"))["parameters"]
    counted = complexity_of(network, SIZE)
    assert counted.parameters_m == published / 1e6
    half = complexity_of(network, {**SIZE, "batch": 1})
    assert counted.gflops == pytest.approx(2 * half.gflops), "the work is that of the batch"


@pytest.mark.parametrize("network", ["fusionseg", "matnet", "rtnet34"])
def test_every_convolution_is_counted_as_by_hand(network: str) -> None:
    """Outputs x inputs of a group x kernel for each position, over all calls of a convolution, and linear layers."""
    with torch.device("meta"):  # shapes are all that counts
        module = build(network, width=16)
    counted: dict[str, int] = {}

    def by_hand(name: str):
        def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if isinstance(layer, nn.Conv2d):
                batch, channels, height, width = output.shape
                each = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels // layer.groups
                work = batch * channels * height * width * each
            else:
                assert isinstance(layer, nn.Linear)
                work = output.numel() * layer.in_features
            counted[name] = counted.get(name, 0) + work

        return count

    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(by_hand(name))
    frames = {"rtnet34": (2,)}.get(network, ())
    inputs = {
        "image": torch.zeros(2, *frames, 3, 32, 48, device="meta"),
        "flow": torch.zeros(2, *frames, 6 if frames else 3, 32, 48, device="meta"),
    }
    answer = complexity(module, inputs)
    first = {"fusionseg": "backbone.app_stream.conv1", "matnet": "encoder.conv1_1", "rtnet34": "spatial_net.inconv.0"}
    pictures = 4 if frames else 2
    assert counted[first[network]] == pictures * 16 * (16 * 24) * (7 * 7 * 3), "half the resolution, 16 channels"
    products = {"fusionseg": 0, "matnet": matnet_products(), "rtnet34": rtnet34_products()}[network]
    assert round(answer.gflops * 1e9) == sum(counted.values()) + products


def test_counting_without_computing_counts_the_same() -> None:
    inputs = {name: torch.zeros(1, 3, 32, 48) for name in ("image", "flow")}
    counted = complexity(build("fusionseg", width=4), inputs)
    with torch.device("meta"):
        assert complexity(build("fusionseg", width=4), {name: x.to("meta") for name, x in inputs.items()}) == counted


def matnet_products() -> int:
    """Five rounds of an affinity of all pairs of positions and of one gathering by it, after stages 3 to 5."""
    total = 0
    for channels, positions in ((128, 4 * 6), (256, 2 * 3), (512, 1 * 2)):
        affinity = positions * positions * (channels // 16)
        gathered = positions * positions * channels
        total += 2 * 5 * (affinity + gathered)  # of a batch of 2
    return total


def rtnet34_products() -> int:
    """Twelve attentions a stage and sample: within each frame's stream, between frames, between streams both ways."""
    total = 0
    for channels, asking in ((16, 4 * 6), (32, 4 * 6), (64, 2 * 3), (128, 1 * 2)):
        # A score of each pair of positions over all heads, and the values weighed by it.
        attention = 2 * asking * asking * channels
        between_frames, between_streams, within = 2 * 2, 2 * 2, 2 * 2
        total += 2 * (between_frames + between_streams + within) * attention
    return total


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        ("fusionseg", {"frames": 4}, "as frames and side, or as height, width and batch; got frames"),
        ("fusionseg", {}, "got nothing"),
        ("fusionseg", {**SIZE, "batch": 0}, "positive whole numbers; got 0"),
        ("fusionseg", {**SIZE, "batch": "two"}, "positive whole numbers; got 'two'"),
        ("x3d_xs", SIZE, "x3d_xs takes videos: give the size of its input as frames and side"),
        ("fusionsegg", SIZE, "did you mean fusionseg"),
    ],
)
def test_what_is_wrong_with_a_size_is_said(network: str, options: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        complexity_of(network, options)
