"""A module on its device, and back as it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError, unknown_name


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
def placed(module: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """The module on a device, in eval mode, without gradients, convolutions with their channels innermost.

    Afterwards it is as it was given: device, memory layout and the training mode of each of its parts. Meanwhile
    float32 is full float32 and convolutions are deterministic, whatever the defaults are.
    """
    training = {part: part.training for part in module.modules()}
    parameters = [(parameter, parameter.data) for parameter in module.parameters()]
    buffers = [(part, name, value) for part in module.modules() for name, value in part.named_buffers(recurse=False)]
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        module.to(device).eval()
        for kind, layout in ((nn.Conv3d, torch.channels_last_3d), (nn.Conv2d, torch.channels_last)):
            if any(isinstance(part, kind) for part in module.modules()):
                module.to(memory_format=layout)  # type: ignore[call-overload]
        with (
            torch.no_grad(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield module
    finally:
        torch.set_float32_matmul_precision(precision)
        for parameter, value in parameters:
            parameter.data = value
        for part, name, value in buffers:
            part._buffers[name] = value
        for part, mode in training.items():
            part.training = mode


def on_device(values: Tensor, module: nn.Module, device: torch.device) -> Tensor:
    """A batch where the module is, of its type, and laid out as its convolutions are."""
    batch = values.to(device)
    if batch.is_floating_point():
        batch = batch.to(_precision_of(module))
        if batch.ndim == 5 and batch.shape[1] == 3:
            return batch.contiguous(memory_format=torch.channels_last_3d)
        if batch.ndim == 4 and batch.shape[1] == 3:
            return batch.contiguous(memory_format=torch.channels_last)
    return batch


def _precision_of(module: nn.Module) -> torch.dtype:
    """The type of a module's parameters, which its inputs must have too; float32 where it has none."""
    return next((value.dtype for value in module.parameters() if value.is_floating_point()), torch.float32)
