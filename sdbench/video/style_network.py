"""The packaged style network as a module of torch, which paints on any device and several frames at once.

Its structure is that of Dumoulin et al., "A Learned Representation for Artistic Style" (ICLR 2017), in the size in
which it is packaged; its weights are read from the ONNX file, whose entries have the same names here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import cast

import onnx
import onnx.helper
import onnx.numpy_helper
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdbench.base.errors import AssetError

STYLE_COUNT = 26

_EPSILON = 1e-5
"""Added to the variances."""

_WIDTH, _BLOCKS = 32, 6


class StyleNetwork(nn.Module):
    """Paints frames, each in a style of its own. Frames of a batch know nothing of each other.

    Three convolutions bring a frame to a quarter of its height and width, six residual blocks follow, and three
    convolutions bring it back. All of them mirror the frame at its edge, and each is followed by a normalisation over
    the frame, whose scale and shift are the style.
    """

    def __init__(self) -> None:
        super().__init__()
        wide = _WIDTH
        self.contract = nn.ModuleList([_Layer(3, wide, 9), _Layer(wide, wide, 3, 2), _Layer(wide, wide, 3, 2)])
        self.res = nn.ModuleList(
            [nn.ModuleList([_Layer(wide, wide, 3), _Layer(wide, wide, 3)]) for _ in range(_BLOCKS)]
        )
        self.expand = nn.ModuleList([_Layer(wide, 8, 3, doubled=True), _Layer(8, 4, 3, doubled=True), _Layer(4, 3, 9)])

    def forward(self, frames: Tensor, styles: Tensor) -> Tensor:
        """Paint.

        Args:
            frames: (N, 3, H, W) in [0, 1]; H and W multiples of 4.
            styles: (N,) integers from 0 to 25.

        Returns:
            (N, 3, H, W) in [0, 1].
        """
        values = frames
        for layer in self.contract:
            values = F.relu(layer(values, styles))
        for block in self.res:
            first, second = cast(nn.ModuleList, block)
            values = values + second(F.relu(first(values, styles)), styles)
        *layers, last = self.expand
        for layer in layers:
            values = F.relu(layer(values, styles))
        return torch.sigmoid(last(values, styles))

    def steps(self) -> Iterator[str]:
        """What a frame goes through, in words; a file that holds another network is told by them."""
        for layer in self.contract:
            yield from (*cast(_Layer, layer).steps(), "Relu")
        for block in self.res:
            first, second = cast(nn.ModuleList, block)
            yield from (*cast(_Layer, first).steps(), "Relu", *cast(_Layer, second).steps(), "Add")
        *layers, last = self.expand
        for layer in layers:
            yield from (*cast(_Layer, layer).steps(), "Relu")
        yield from (*cast(_Layer, last).steps(), "Sigmoid")


class _Layer(nn.Module):
    """A convolution over the frame, mirrored at its edge, and a normalisation."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, doubled: bool = False) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(outputs, inputs, size, size), requires_grad=False)
        self.norm = _StyleNorm(outputs)
        self.stride, self.doubled = stride, doubled

    def forward(self, values: Tensor, styles: Tensor) -> Tensor:
        if self.doubled:
            values = F.interpolate(values, scale_factor=2, mode="nearest")
        values = F.pad(values, (self.w.shape[-1] // 2,) * 4, mode="reflect")
        # The flags of cuDNN hold for the whole process, and a network may be computing in tf32 meanwhile: here they are
        # arguments. Not benchmarked, deterministic, with cuDNN, without tf32.
        values = torch._convolution(
            *(values, self.w, None, [self.stride] * 2, [0, 0], [1, 1], False, [0, 0], 1),
            *(False, True, True, False),
        )
        return cast(Tensor, self.norm(values, styles))

    def steps(self) -> Iterator[str]:
        if self.doubled:
            yield "Resize nearest, asymmetric, floor, 2"
        yield "Pad reflect"
        yield f"Conv {self.stride} x {self.stride}"
        yield f"Add {_EPSILON:g}"
        yield "Add"


class _StyleNorm(nn.Module):
    """Brings each channel of each frame to mean 0 and variance 1, then to the shift and scale of the frame's style."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(STYLE_COUNT, channels), requires_grad=False)
        self.beta = nn.Parameter(torch.zeros(STYLE_COUNT, channels), requires_grad=False)

    def forward(self, values: Tensor, styles: Tensor) -> Tensor:
        variance, mean = torch.var_mean(values, (2, 3), correction=0, keepdim=True)
        scale = self.gamma[styles][:, :, None, None] * torch.rsqrt(variance + _EPSILON)
        return torch.addcmul(self.beta[styles][:, :, None, None], values - mean, scale)


def read_style_network(content: bytes, name: str) -> StyleNetwork:
    """The style network with the weights of an ONNX file.

    Args:
        content: of the file.
        name: how to call the file in an error.

    Raises:
        AssetError: the file cannot be read, or holds another network.
    """
    try:
        graph = onnx.load_model_from_string(content).graph
    except Exception as error:  # protobuf's own class, of a package that is not ours to name
        raise AssetError(f"{name} cannot be read as an ONNX network ({error}); delete it and retry") from None
    network = StyleNetwork()
    expected = network.state_dict()
    entries = {entry.name: entry for entry in graph.initializer}
    for key, values in expected.items():
        came = _shape_of(entries[key]) if key in entries else "none"
        if came != _as_words(values.shape):
            raise _another(name, f"an entry {key} of {_as_words(values.shape)}", came)
    if more := sorted(entries.keys() - expected.keys()):
        raise _another(name, f"{len(expected)} entries", f"{len(entries)}, among them {more[0]}")
    for position, (wanted, found) in enumerate(zip_longest(network.steps(), _steps_of(graph)), start=1):
        if wanted != found:
            raise _another(name, f"{wanted or 'nothing'} as step {position}", found or "nothing")
    network.load_state_dict({key: _tensor(entries[key]) for key in expected})
    return network.eval()


def _another(name: str, expected: str, came: str) -> AssetError:
    return AssetError(f"{name} holds another network than the packaged styles: expected {expected}, got {came}")


def _as_words(shape: torch.Size) -> str:
    return " x ".join(map(str, shape)) + " float32"


def _tensor(entry: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(onnx.numpy_helper.to_array(entry).copy())


def _shape_of(entry: onnx.TensorProto) -> str:
    if entry.data_location == onnx.TensorProto.EXTERNAL:
        return "values in another file"
    kind = "float32" if entry.data_type == onnx.TensorProto.FLOAT else f"type {entry.data_type}"
    return " x ".join(map(str, entry.dims)) + f" {kind}"


def _steps_of(graph: onnx.GraphProto) -> Iterator[str]:
    """What a frame goes through, as `StyleNetwork.steps` says it."""
    constants = {
        node.output[0]: onnx.numpy_helper.to_array(attribute.t).ravel()
        for node in graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value"
    }
    for node in graph.node:
        has = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        given = [f"{constants[value][-1]:g}" for value in node.input if value in constants]
        if node.op_type == "Pad":
            yield f"Pad {_word(has.get('mode'))}"
        elif node.op_type == "Conv":
            yield f"Conv {' x '.join(map(str, has.get('strides', ())))}"
        elif node.op_type == "Resize":
            kind = [_word(has.get(key)) for key in ("mode", "coordinate_transformation_mode", "nearest_mode")]
            yield ", ".join([f"Resize {kind[0]}", *kind[1:], *given])
        elif node.op_type in ("Add", "Relu", "Sigmoid"):
            yield " ".join([node.op_type, *given])


def _word(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
