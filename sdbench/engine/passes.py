"""Samples go through a network in batches, every layer is read in the same pass, and only sums are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sdbench.base.errors import InputError
from sdbench.base.kept import Arrays
from sdbench.engine.loader import Drawn
from sdbench.engine.placing import on_device
from sdbench.engine.sums import Sums, add, to_arrays
from sdbench.networks.network import Network
from sdbench.networks.reading import units
from sdbench.statistics import moments

_NUMBERS = 2**23
"""Numbers in the inputs of a batch: more make no machine faster, and need more memory."""

_MOST_INPUTS = 64


class UnitSums:
    """The sums of one part: `sdbench.engine.parts.Work`.

    Args:
        network: its module is on `device` and in eval mode.
        device: where it runs.
        seconds: "drawing" and "network" grow by the time that these take.
    """

    def __init__(self, network: Network, device: torch.device, seconds: dict[str, float]) -> None:
        self.network, self.device, self.seconds = network, device, seconds
        self._sums: Sums = {}
        self._waiting: list[Drawn] = []

    def see(self, sample: Drawn) -> None:
        """Take the next sample; batches end where enough have come.

        Raises:
            InputError: a layer answers NaN or infinity, or the network does not take what it is fed.
        """
        self.seconds["drawing"] += sample.seconds
        self._waiting.append(sample)
        if sum(other.planned.inputs for other in self._waiting) >= _batch_of(sample):
            self._pass()

    def finish(self) -> Arrays:
        """The sums of all samples."""
        if self._waiting:
            self._pass()
        return to_arrays(self._sums)

    def _pass(self) -> None:
        started = time.perf_counter()
        read = self._read()
        total = sum(sample.planned.inputs for sample in self._waiting)
        offset = 0
        for sample in self._waiting:
            planned = sample.planned
            first, second, factor = (np.array(column) for column in zip(*planned.pairs, strict=True))
            for layer, answers in read.items():
                each = len(answers) // total  # a network may answer more than one row an input
                values = answers[offset * each : (offset + planned.inputs) * each]
                if not np.isfinite(values).all():
                    raise InputError(
                        f"layer {layer} answers NaN or infinity for {planned.name}; "
                        "check the network's weights and how its input is normalised"
                    )
                by_view = values.reshape(planned.views, -1, values.shape[1])
                one, other = (by_view[chosen].reshape(-1, values.shape[1]) for chosen in (first, second))
                part = moments(one, other, factor.repeat(by_view.shape[1]))
                add(self._sums, layer, (planned.seed, planned.block), part)
            offset += planned.inputs
        self._waiting = []
        self.seconds["network"] += time.perf_counter() - started

    def _read(self) -> dict[str, npt.NDArray[Any]]:
        """Layer -> (inputs of all waiting samples, units)."""
        found = [self._units(batch) for batch in _batches(self._waiting)]
        return {layer: np.concatenate([batch[layer] for batch in found]) for layer in found[0]}

    def _units(self, parts: Mapping[str, Sequence[Tensor]]) -> dict[str, npt.NDArray[Any]]:
        module = self.network.module
        batch = {name: on_device(torch.cat(list(tensors)), module, self.device) for name, tensors in parts.items()}
        read = units(module, batch, self.network.read, feed=self.network.feed)
        return {layer: values.cpu().numpy() for layer, values in read.items()}


def _batch_of(sample: Drawn) -> int:
    """How many inputs a batch of such samples has."""
    numbers = sum(int(values.numel()) for values in sample.value.values()) / sample.planned.inputs
    return max(1, min(_MOST_INPUTS, int(_NUMBERS / numbers)))


def _batches(samples: Sequence[Drawn]) -> Iterator[dict[str, list[Tensor]]]:
    """The inputs of samples by batch: all in one, or each view in its own."""
    if not any(sample.planned.together for sample in samples):
        yield {name: [sample.value[name] for sample in samples] for name in samples[0].value}
        return
    for sample in samples:
        views = {name: torch.chunk(values, sample.planned.views) for name, values in sample.value.items()}
        for number in range(sample.planned.views):
            yield {name: [parts[number]] for name, parts in views.items()}
