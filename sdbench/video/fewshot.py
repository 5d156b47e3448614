"""The painter of the paper: a network that was trained on a few painted patches, one model a style.

Texler et al., "Interactive Video Stylization Using Few-Shot Patch-Based Training" (SIGGRAPH 2020). All painted data of
the published study were made with four of its models. Its weights are published as the pickle of a whole module; that
is read by `sdbench.video.saved_module`, which runs nothing of it.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sdbench.base.errors import AssetError, InputError, some, unknown_name
from sdbench.base.files import is_web_page
from sdbench.video.frames import Frames
from sdbench.video.saved_module import read_saved_module

_BLOCKS = 7
_LEAK = 0.2
_MULTIPLE = 4


class PatchNetwork(nn.Module):
    """Paints frames in the one style that its weights were trained on.

    Three convolutions bring a frame to a quarter of its height and width, seven residual blocks follow, and two
    enlargements bring it back, each beside what the way down held at that size. Its entries are the published ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = _contracting(3, 32, 7)
        self.conv1 = _contracting(32, 64, 3, 2)
        self.conv2 = _contracting(64, 128, 3, 2)
        self.resnets = nn.ModuleList([_residual(128) for _ in range(_BLOCKS)])
        self.upconv2 = _enlarging(128 + 128, 128)
        self.upconv1 = _enlarging(128 + 64, 128)
        self.conv_11 = nn.Sequential(_Convolution(128 + 32 + 3, 64, 7), nn.ReLU())
        self.conv_11_a = nn.Sequential(
            _Convolution(64, 64, 3), nn.ReLU(), nn.BatchNorm2d(64), _Convolution(64, 64, 3), nn.ReLU()
        )
        self.conv_12 = nn.Sequential(_Convolution(64, 3, 1), nn.Tanh())

    def forward(self, frames: Tensor) -> Tensor:
        """Paint.

        Args:
            frames: (N, 3, H, W) in [-1, 1]; H and W multiples of 4.

        Returns:
            (N, 3, H, W) in [-1, 1].
        """
        whole = self.conv0(frames)
        half = self.conv1(whole)
        quarter = self.conv2(half)
        values = quarter
        for block in self.resnets:
            values = values + block(values)
        values = self.upconv2(torch.cat([values, quarter], dim=1))
        values = self.upconv1(torch.cat([values, half], dim=1))
        values = self.conv_11(torch.cat([values, whole, frames], dim=1))
        return cast(Tensor, self.conv_12(self.conv_11_a(values)))


class _Convolution(nn.Conv2d):
    """A convolution with zeros around the frame, whatever the flags of cuDNN are.

    They hold for the whole process, and a network may be computing in tf32 meanwhile: here they are arguments. Not
    benchmarked, deterministic, with cuDNN, without tf32.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, size, stride, padding=size // 2, bias=bias)

    def forward(self, values: Tensor) -> Tensor:
        where = (list(self.stride), [side // 2 for side in self.kernel_size], [1, 1], False, [0, 0], 1)
        return torch._convolution(values, self.weight, self.bias, *where, False, True, True, False)


class _Double(nn.Module):
    """Every pixel four times."""

    def forward(self, values: Tensor) -> Tensor:
        return F.interpolate(values, scale_factor=2, mode="nearest")


def _contracting(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=_Convolution(inputs, outputs, size, stride),
            normalization=nn.BatchNorm2d(outputs),
            nonlinearity=nn.LeakyReLU(_LEAK),
        )
    )


def _residual(width: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            nonlinearity_0=nn.ReLU(),
            conv_0=_Convolution(width, width, 3),
            normalization=nn.BatchNorm2d(width),
            nonlinearity_1=nn.ReLU(),
            conv_1=_Convolution(width, width, 3),
        )
    )


def _enlarging(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_Double(), _Convolution(inputs, outputs, 3, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class FewShotPainter:
    """Paints frames with one model a style. Threads may share one.

    On the CPU a frame is painted by one thread, so that a picture does not depend on how many there are.

    Args:
        models: name of each style -> the file of its weights: a module that torch saved whole, a state dict of torch,
            or safetensors.
        device: "cpu", or a device of torch that is there: see `sdbench.engine.placing.device_named`.

    Raises:
        AssetError: a file is not there, damaged, or holds something else.
    """

    def __init__(self, models: Mapping[str, Path], device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._networks = {style: read_patch_network(path).to(self._device) for style, path in models.items()}
        self._painting = threading.Lock()

    def paint_frame(self, frame: Frames, styles: Sequence[str], what: str = "the frame") -> Iterator[Frames]:
        """Paint one frame (H, W, 3) uint8 in some styles.

        Yields:
            (H, W, 3) uint8, in the order of the styles; each is painted when its turn comes.

        Raises:
            InputError: a style is unknown, or the size does not fit.
        """
        for style in styles:
            if style not in self._networks:
                raise unknown_name("style", style, self._networks)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InputError(f"{what} must be uint8 (H, W, 3) to be painted; got {frame.dtype} {frame.shape}")
        if any(side % _MULTIPLE or not side for side in frame.shape[:2]):
            raise InputError(
                f"{what} has {frame.shape[1]} x {frame.shape[0]} pixels; the few-shot network needs multiples of 4"
            )
        for style in styles:
            yield self._painted(frame, style)

    @torch.no_grad()
    def _painted(self, frame: Frames, style: str) -> Frames:
        with self._painting, _one_thread(self._device):  # threads would each need the memory of a frame
            image = torch.tensor(frame).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1
            painted: Frames = pictures(self._networks[style](image))[0]
            return painted


def pictures(painted: Tensor) -> Frames:
    """What the network answers, (N, 3, H, W), as pictures (N, H, W, 3) uint8: cut to whole numbers, not rounded."""
    values = ((painted.clamp(-1, 1) + 1) * 127.5).to(torch.uint8)
    return cast(Frames, values.permute(0, 2, 3, 1).contiguous().cpu().numpy())


@contextlib.contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    if device.type != "cpu":
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def read_patch_network(path: Path) -> PatchNetwork:
    """The network with the weights of a file: see `FewShotPainter`.

    Raises:
        AssetError: the file is not there, damaged, or holds something else.
    """
    state = _read(path)
    with torch.device("meta"):  # nothing is drawn that is replaced at once
        network = PatchNetwork()
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    faults = [f"it lacks {name}" for name in expected if name not in state]
    faults += [f"it holds {name} beyond them" for name in state if name not in expected]
    for name, shape in expected.items():
        if name in state and tuple(state[name].shape) != shape:
            faults.append(f"its {name} has shape {tuple(state[name].shape)}, expected {shape}")
        elif name in state and not state[name].isfinite().all():
            faults.append(f"its {name} holds values that are no numbers")
    if faults:
        raise AssetError(
            f"{path} is no model of the few-shot network in its published size: {some(faults, 3)}; get the file from "
            "its publisher"
        )
    kinds = {name: value.dtype for name, value in network.state_dict().items()}
    network.load_state_dict({name: value.to(kinds[name]) for name, value in state.items()}, assign=True)
    return network.requires_grad_(False).eval()


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise AssetError(f"no file at {path}; expected a model of the few-shot network, such as model_00020.pth")
    if is_web_page(path):
        raise AssetError(f"{path} is a web page, not a model; open it in a browser to see what it says")
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:9] != b"{":
        return read_saved_module(path)
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise AssetError(f"{path} cannot be read as safetensors ({error}); delete it and fetch it again") from None
