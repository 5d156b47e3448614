"""How large a network is and how much it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sdbench.base.errors import InputError
from sdbench.networks.registry import build
from sdbench.zoo.feeds import feed_of


@dataclass(frozen=True)
class Complexity:
    """Size and work of a network.

    Attributes:
        parameters_m: learned parameters in millions; buffers do not count.
        gflops: 10**9 multiply-adds of one forward pass, as papers on video networks count them: a multiplication and
            the addition that follows are one.
    """

    parameters_m: float
    gflops: float


def complexity(module: nn.Module, inputs: Mapping[str, Tensor]) -> Complexity:
    """Count parameters, and the multiply-adds of matrix products and convolutions by torch's own flop counter.

    What is not counted: norms, activations, pooling, resizing and sums.

    Args:
        module: the network, in eval mode; it may be on the device "meta", where nothing is computed.
        inputs: its inputs by name; the work is that of the whole batch.
    """
    parameters = sum(parameter.numel() for parameter in module.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(**inputs)
    return Complexity(parameters / 1e6, counter.get_total_flops() / 2e9)


def complexity_of(network: str, options: Mapping[str, int | float | bool | str]) -> Complexity:
    """Size and work of the network that `build(network)` makes, without weights or memory for them.

    Args:
        network: its name.
        options: the size of the input: `frames` and `side` of one square clip, or, of a network of video object
            segmentation, `height`, `width` and `batch` of its images and flow pictures (of RTNet, of pairs of them).

    Raises:
        InputError: the network is unknown, or the options are neither.
    """
    with torch.device("meta"):
        inputs = _inputs(network, {name: _whole(size) for name, size in options.items()})
        return complexity(skip_norms(build(network)), inputs)


def skip_norms(module: nn.Module) -> nn.Module:
    """Make batch norms hand on what they get: they are not counted, and on "meta" torch takes longest over them."""
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.forward = _unchanged  # type: ignore[method-assign]
    return module


def _unchanged(input: Tensor) -> Tensor:
    return input


def _whole(size: int | float | bool | str) -> int:
    if not isinstance(size, int) or size < 1:
        raise InputError(f"the size of an input is given in positive whole numbers; got {size!r}")
    return size


def _inputs(network: str, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    if sizes.keys() == {"frames", "side"}:
        return {"video": torch.zeros(1, 3, sizes["frames"], sizes["side"], sizes["side"])}
    if sizes.keys() != {"height", "width", "batch"}:
        raise InputError(
            f"the size of {network}'s input must be given as frames and side, or as height, width and batch; "
            f"got {', '.join(sizes) or 'nothing'}"
        )
    flow = feed_of(network).flow
    if flow is None:
        raise InputError(f"{network} takes videos: give the size of its input as frames and side")
    size = (sizes["height"], sizes["width"])
    if flow == "both":  # two frames a sample, each with forward and backward flow
        return {"image": torch.zeros(sizes["batch"], 2, 3, *size), "flow": torch.zeros(sizes["batch"], 2, 6, *size)}
    return {name: torch.zeros(sizes["batch"], 3, *size) for name in ("image", "flow")}
