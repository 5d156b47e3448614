"""A module on its device, in the precision that was asked for, and back as it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sdbench.base.checks import text
from sdbench.base.errors import InputError, unknown_name
from sdbench.base.memory import kept_memory
from sdbench.networks.module_state import ModuleState
from sdbench.networks.user_errors import users_code

PRECISIONS = ("float32", "bfloat16", "tf32")
"""What a network computes in. float32 is the reference; bfloat16 is torch's autocast; tf32 is a mode of CUDA."""

COMPILING = ("auto", "on", "off")
"""When passes are compiled: where that saves time, always, never."""

WRONG_CUDNN = range(90800, 91100)
"""Versions of cuDNN whose bfloat16 Conv3d is known to be wrong or slow: issue 163539 of pytorch."""


@dataclass(frozen=True)
class Placement:
    """Where and how a network runs: what may move its numbers, beside its weights.

    Attributes:
        device: "cpu", "cuda" or any other device of torch.
        precision: one of `PRECISIONS`.
        compiling: one of `COMPILING`.

    Raises:
        InputError: a word is unknown, or the device has no such precision.
    """

    device: str = "cpu"
    precision: str = "float32"
    compiling: str = "auto"

    def __post_init__(self) -> None:
        text("device", self.device, ("cpu", "cuda"))
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", str(self.precision), PRECISIONS)
        if self.compiling not in COMPILING:
            raise unknown_name("way of compiling", str(self.compiling), COMPILING)
        if self.precision == "tf32" and not self.device.startswith("cuda"):
            raise InputError(f"tf32 is a mode of CUDA devices; {self.device} has none: use float32 or bfloat16")

    def warning(self, module: nn.Module) -> str | None:
        """What is known to be wrong with this precision here, in a sentence; None where nothing is.

        Raises:
            InputError: what is wrong would end the process.
        """
        if self.precision == "bfloat16" and self.device.startswith("cpu"):
            for name, part in module.named_modules():
                if isinstance(part, nn.Conv3d) and _leaps(part):
                    raise InputError(
                        f"{name} is a convolution with a stride ({part.stride[0]}) longer than its kernel "
                        f"({part.kernel_size[0]}), in which torch's bfloat16 has damaged memory on a CPU: use "
                        "--precision float32, or --device cuda"
                    )
        version = torch.backends.cudnn.version() if self.device.startswith("cuda") else None  # type: ignore[no-untyped-call]
        convolves = any(isinstance(part, nn.Conv3d) for part in module.modules())
        if self.precision == "bfloat16" and convolves and version in WRONG_CUDNN:
            return (
                f"cuDNN {version} is known to compute bfloat16 convolutions over time wrongly or slowly (issue 163539 "
                "of pytorch): use --precision float32, or a torch with another cuDNN"
            )
        return None


def _leaps(part: nn.Conv3d) -> bool:
    """Whether a convolution over time passes over some of the frames.

    On an Intel Xeon with AMX, torch 2.13 wrote beyond its memory in one of 128 to 256 channels, kernel 5 and stride 8,
    and in none of the shorter strides that were tried.
    """
    return 1 < part.kernel_size[0] < part.stride[0]


def device_named(name: str | torch.device) -> torch.device:
    """The device of this name.

    Raises:
        InputError: torch knows none, it is not there, or it computes nothing.
    """
    if not isinstance(name, torch.device):
        text("device", name, ("cpu", "cuda"))
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError):
        raise unknown_name("device", str(name), ("cpu", "cuda", "mps")) from None
    if device.type == "cpu":
        return device
    if device.type == "meta":
        raise InputError("nothing can be computed on a device meta, which has no memory; use --device cpu")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("there is no CUDA device here (torch.cuda.is_available() is false); use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"there is no {device} here: CUDA devices are counted to cuda:{torch.cuda.device_count() - 1}")
    if device.type != "cuda":
        try:
            torch.ones(1, device=device).add(1).cpu()
        except Exception as error:  # whatever the library of a device raises where there is none
            said = " ".join(str(error).split())[:120]
            raise InputError(f"nothing can be computed on a device {device} here ({said}); use --device cpu") from None
    return device


@contextlib.contextmanager
def placed(module: nn.Module, device: torch.device, tf32: bool = False) -> Iterator[nn.Module]:
    """The module on a device, in eval mode, without gradients, convolutions with their channels innermost.

    Afterwards it is as it was given: device, memory layout, the values of its buffers, its hooks and the training mode
    of each of its parts. Meanwhile float32 is full float32, or tf32 where that is asked for, and convolutions are
    deterministic, whatever the defaults are.
    """
    given = ModuleState(module)
    parameters = [(parameter, parameter.data) for parameter in module.parameters()]
    usual = torch.get_float32_matmul_precision()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_float32_matmul_precision, usual)
        stack.callback(_give_back, given, parameters)
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        with users_code(f"{type(module).__name__} cannot be placed on the device {device}"):
            module.to(device)
            set_to_eval(module)
        for kind, axes, layout in ((nn.Conv3d, 5, torch.channels_last_3d), (nn.Conv2d, 4, torch.channels_last)):
            if any(isinstance(part, kind) for part in module.modules()):
                _lay_out(module, axes, layout)
        for part in module.modules():
            if isinstance(part, nn.DataParallel):  # on several GPUs each would see a piece of the batch
                stack.callback(setattr, part, "device_ids", part.device_ids)
                part.device_ids = []
        stack.enter_context(torch.no_grad())
        stack.enter_context(kept_memory() if device.type == "cpu" else contextlib.nullcontext())
        stack.enter_context(
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32)
        )
        yield module


def _give_back(given: ModuleState, parameters: Sequence[tuple[nn.Parameter, Tensor]]) -> None:
    for parameter, value in parameters:
        parameter.data = value
    given.put_back(by_value=True)


def set_to_eval(module: nn.Module) -> None:
    """Set a module to eval mode; one that was exported has none, and computes as it was exported."""
    with contextlib.suppress(NotImplementedError):
        module.eval()


def _lay_out(module: nn.Module, axes: int, layout: torch.memory_format) -> None:
    """Lay out the parameters of a module that have so many axes; `Module.to` fails where others have one more or less.

    Those that are sharded over processes stay as they are: their wrappers count on the memory that they gave them.
    """
    if any("FSDP" in kind.__name__ for part in module.modules() for kind in type(part).__mro__):
        return
    for parameter in module.parameters():
        if parameter.ndim == axes:
            parameter.data = parameter.data.to(memory_format=layout)


def on_device(values: Tensor, module: nn.Module, device: torch.device) -> Tensor:
    """A batch where the module is, of its type, and laid out as its convolutions are."""
    batch = values.to(device, non_blocking=True)
    if batch.is_floating_point():
        batch = batch.to(precision_of(module))
        if batch.ndim == 5 and batch.shape[1] == 3:
            return batch.contiguous(memory_format=torch.channels_last_3d)
        if batch.ndim == 4 and batch.shape[1] == 3:
            return batch.contiguous(memory_format=torch.channels_last)
    return batch


def precision_of(module: nn.Module) -> torch.dtype:
    """The type of a module's parameters, which its inputs must have too; float32 where it has none."""
    return next((value.dtype for value in module.parameters() if value.is_floating_point()), torch.float32)
