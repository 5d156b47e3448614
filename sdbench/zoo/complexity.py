"""How large a network is and how much it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


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

    Args:
        module: the network, in eval mode.
        inputs: its inputs by name, with a batch of one.
    """
    parameters = sum(parameter.numel() for parameter in module.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(**inputs)
    return Complexity(parameters / 1e6, counter.get_total_flops() / 2e9)
