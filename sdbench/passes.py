"""The loop at the heart of every measurement: samples go through the network in batches and become sums."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError, unknown_name
from sdbench.networks.reading import VideoNetwork, units
from sdbench.statistics.sums import moments
from sdbench.unfinished import Unfinished
from sdbench.zoo import model


@dataclass(frozen=True)
class Sample:
    """The distinct views of one clip or video, ready for the network, and the pairs that they form.

    Attributes:
        name: how to call it in an error.
        block: the resampling block that its sums belong to.
        inputs: name of each of the network's inputs -> (V * T, ...) tensor, view by view.
        pairs: (first view, second view, factor) by position and `sdbench.statistics.FACTORS`.
        together: number T of inputs that a view consists of and that go through the network in a batch of their own,
            for a network in which they meet; each of them gives a pair. By default a view is one input and shares its
            batch with others.
    """

    name: str
    block: str
    inputs: Mapping[str, Tensor]
    pairs: Sequence[tuple[int, int, int]]
    together: int | None = None

    @property
    def rows(self) -> int:
        """Number of inputs, V * T."""
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class Passes:
    """Takes samples through a network and adds what its layers answer to the sums.

    Attributes:
        module: the network, on `device` and in eval mode.
        device: where it runs.
        layers: the layers that are read.
        unfinished: the sums, which an interrupted run leaves on disk.
        seconds: "network" grows by the time that passes and sums take.
        batch: samples are gathered until they have so many inputs.
        channels_last: whether inputs are laid out with their channels innermost.
    """

    module: nn.Module
    device: torch.device
    layers: tuple[str, ...]
    unfinished: Unfinished
    seconds: dict[str, float]
    batch: int
    channels_last: bool

    def through(self, samples: Iterable[Sample], advance: Callable[[int], None]) -> None:
        """Go through all samples; the sums are kept on disk when something goes wrong, and not after all went well.

        Args:
            samples: those that are not done yet.
            advance: called with the number of samples that are done.

        Raises:
            InputError: a layer answers NaN or infinity.
        """
        try:
            waiting: list[Sample] = []
            for sample in samples:
                waiting.append(sample)
                if sum(other.rows for other in waiting) >= self.batch:
                    advance(self._pass(waiting))
                    waiting = []
            if waiting:
                advance(self._pass(waiting))
        except BaseException:
            self.unfinished.save()
            raise
        self.unfinished.discard()

    def _pass(self, waiting: Sequence[Sample]) -> int:
        started = time.perf_counter()
        parts = [self._read(batch) for batch in _batches(waiting)]
        read = {layer: np.concatenate([part[layer] for part in parts]) for layer in self.layers}
        total, offset = sum(sample.rows for sample in waiting), 0
        for sample in waiting:
            views = sample.rows // (sample.together or 1)
            first, second, factor = (np.array(column) for column in zip(*sample.pairs, strict=True))
            for layer in self.layers:
                answered = len(read[layer]) // total  # a network may answer more than one row an input
                values = read[layer][offset * answered : (offset + sample.rows) * answered]
                if not np.isfinite(values).all():
                    raise InputError(
                        f"layer {layer} answers NaN or infinity for {sample.name}; "
                        "check the network's weights and how its input is normalised"
                    )
                by_view = values.reshape(views, -1, values.shape[1])
                one, other = (by_view[chosen].reshape(-1, values.shape[1]) for chosen in (first, second))
                self.unfinished.add(layer, sample.block, moments(one, other, factor.repeat(by_view.shape[1])))
            offset += sample.rows
        self.seconds["network"] += time.perf_counter() - started
        return self.unfinished.advance(len(waiting))

    def _read(self, parts: Mapping[str, Sequence[Tensor]]) -> dict[str, npt.NDArray[Any]]:
        batch = {name: self._batched(tensors) for name, tensors in parts.items()}
        return {layer: values.cpu().numpy() for layer, values in units(self.module, batch, self.layers).items()}

    def _batched(self, parts: Sequence[Tensor]) -> Tensor:
        batch = torch.cat(list(parts)).to(self.device)
        if batch.is_floating_point():
            batch = batch.to(precision_of(self.module))
        if self.channels_last and batch.is_floating_point() and batch.ndim == 5:
            return batch.contiguous(memory_format=torch.channels_last_3d)
        return batch


def _batches(samples: Sequence[Sample]) -> Iterator[dict[str, list[Tensor]]]:
    """The inputs of samples by batch: all in one, or each view in its own."""
    if all(sample.together is None for sample in samples):
        yield {name: [sample.inputs[name] for sample in samples] for name in samples[0].inputs}
        return
    for sample in samples:
        views = {name: torch.split(tensor, sample.together or 1) for name, tensor in sample.inputs.items()}
        for i in range(len(next(iter(views.values())))):
            yield {name: [parts[i]] for name, parts in views.items()}


def precision_of(module: nn.Module) -> torch.dtype:
    """The type of a module's parameters, which its inputs must have too; float32 where it has none."""
    return next((value.dtype for value in module.parameters() if value.is_floating_point()), torch.float32)


def check_layers(network: str, layers: Sequence[str] | None) -> None:
    """Raise InputError if the network of the zoo has no such layers, without fetching its weights."""
    layer_names(model(network).build(), layers)


def layer_names(module: nn.Module, layers: Sequence[str] | None) -> tuple[str, ...]:
    """The layers to read of a module, in its order: all of a network of the suite where `layers` is None.

    Raises:
        InputError: a layer is unknown, or a module of another kind was given none.
    """
    if isinstance(module, VideoNetwork):
        for layer in layers or ():
            if layer not in module.layers:
                raise unknown_name("layer", layer, module.layers)
        return tuple(name for name in module.layers if layers is None or name in layers)
    if not layers:
        raise InputError(f"{type(module).__name__} does not list its layers: say with layers= which submodules to read")
    return tuple(layers)


def device_named(name: str) -> torch.device:
    """The device of this name.

    Raises:
        InputError: torch knows none, or it is not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise unknown_name("device", name, ("cpu", "cuda", "mps")) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device here (torch.cuda.is_available() is false); use --device cpu")
    return device


@contextlib.contextmanager
def one_right_answer() -> Iterator[None]:
    """Full float32 and deterministic convolutions on CUDA, whatever the defaults are."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over the names and bytes of a module's parameters and buffers."""
    digest = hashlib.sha256(type(module).__qualname__.encode())
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
