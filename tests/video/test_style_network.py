"""The style network as a module of torch: the pictures of onnxruntime, and no other network's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from sdbench.assets import AssetStore
from sdbench.base.errors import AssetError
from sdbench.data.videos import PACKAGED
from sdbench.video.decode import decode_frames
from sdbench.video.frames import resize_frame
from sdbench.video.paint import FrameByFrame, InBatches
from sdbench.video.style_network import STYLE_COUNT, StyleNetwork, read_style_network
from tests.conftest import moving_squares

pytestmark = pytest.mark.assets
SIZES = ((8, 12), (40, 32), (36, 64), (96, 72))


@pytest.fixture(scope="module")
def content(store: AssetStore) -> bytes:
    return store.path("styles26").read_bytes()


@pytest.fixture(scope="module")
def network(content: bytes) -> StyleNetwork:
    return read_style_network(content, "the file")


@pytest.fixture(scope="module")
def filmed(store: AssetStore) -> list[np.ndarray]:
    return [next(islice(decode_frames(store.path(asset)), 20, None)) for asset in PACKAGED.values()]


def shown(filmed: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Real frames, blocks, noise, steps from dark to light, and noise that is hardly there."""
    generator = np.random.default_rng(height)
    noise = generator.integers(0, 256, (height, width, 3))
    down, right = np.mgrid[:height, :width]
    steps = np.stack([right * 255 // width, down * 255 // height, (right + down) % 256], axis=-1)
    faint = 16 + generator.integers(0, 2, (height, width, 3))
    blocks = moving_squares(1, 120, 160)[0][:height, :width]
    real = [resize_frame(frame, (height, width)) for frame in filmed]
    return np.stack([*real, blocks, noise, steps, faint]).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_style_is_painted_as_onnxruntime_does(
    content: bytes, filmed: list[np.ndarray], height: int, width: int
) -> None:
    frames = shown(filmed, height, width)
    one, many = FrameByFrame(content, "the file", 2), InBatches(content, "the file", "cpu")
    for style in range(STYLE_COUNT):
        expected, found = (np.stack(list(brush.paint(frames, [style] * len(frames)))) for brush in (one, many))
        assert found.dtype == np.uint8
        difference = np.abs(expected.astype(int) - found)
        assert difference.max() <= 1, f"style {style}"
        assert difference.mean() < 0.1, "rounding, and seldom"


def test_a_frame_is_painted_alike_in_any_company(content: bytes, network: StyleNetwork, monkeypatch) -> None:
    frames = torch.rand(5, 3, 32, 24, generator=torch.Generator().manual_seed(0))
    styles = torch.tensor([3, 25, 3, 0, 11])
    together = network(frames, styles)
    for number in range(5):
        alone = network(frames[number : number + 1], styles[number : number + 1])
        torch.testing.assert_close(together[number], alone[0], rtol=0, atol=1e-4)
    brush, clip = InBatches(content, "the file", "cpu"), moving_squares(7, 32, 24)
    whole = np.stack(list(brush.paint(clip, [5] * 7)))
    monkeypatch.setattr("sdbench.video.paint.MOST_PIXELS", 3 * 32 * 24)
    sizes: list[int] = []

    def counted(images: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return network(images, styles)

    monkeypatch.setattr(brush, "_network", counted)
    parts = np.stack(list(brush.paint(clip, [5] * 7)))
    assert sizes == [3, 3, 1]
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_a_frame_of_one_colour_is_painted_as_in_double_precision(content: bytes, network: StyleNetwork) -> None:
    """Its variance is 0 but for rounding, which onnxruntime divides by the square root of 1e-5, layer after layer."""
    exact = read_style_network(content, "the file").double()
    for value in (0, 127, 255):
        frame = torch.full((1, 3, 96, 128), value / 255, dtype=torch.float64)
        for style in torch.tensor([[0], [5], [19]]):
            assert (exact(frame, style) - network(frame.float(), style)).abs().max() < 1 / 255


def test_the_flags_of_cudnn_are_left_alone(network: StyleNetwork) -> None:
    """They are of the whole process, in which another network computes meanwhile."""
    before = torch.backends.cudnn.flags
    with before(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        network(torch.rand(1, 3, 16, 16), torch.tensor([0]))
        cudnn = torch.backends.cudnn
        assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (True, False, True)


def node(model: onnx.ModelProto, kind: str, number: int = 0) -> onnx.NodeProto:
    return [node for node in model.graph.node if node.op_type == kind][number]


def without_an_entry(model: onnx.ModelProto) -> None:
    del model.graph.initializer[5]


def with_fewer_styles(model: onnx.ModelProto) -> None:
    entry = next(e for e in model.graph.initializer if e.name == "res.0.0.norm.beta")
    entry.CopyFrom(onnx.numpy_helper.from_array(np.zeros((25, 32), np.float32), entry.name))


def in_half_precision(model: onnx.ModelProto) -> None:
    entry = model.graph.initializer[0]
    entry.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(entry).astype(np.float16), entry.name))


def with_another_entry(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "res.6.0.w"))


def elsewhere(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def with_plain_edges(model: onnx.ModelProto) -> None:
    node(model, "Pad").attribute[0].s = b"constant"


def with_another_stride(model: onnx.ModelProto) -> None:
    strides = next(a for a in node(model, "Conv", 3).attribute if a.name == "strides")
    strides.ints[:] = [2, 2]


def with_another_epsilon(model: onnx.ModelProto) -> None:
    constants = [n for n in model.graph.node if n.op_type == "Constant"]
    for constant in constants:
        values = onnx.numpy_helper.to_array(constant.attribute[0].t)
        if values.dtype == np.float32 and values.size == 1 and 0 < values.item() < 1e-4:
            constant.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(np.float32(1e-3)))


def interpolating(model: onnx.ModelProto) -> None:
    mode = next(a for a in node(model, "Resize").attribute if a.name == "mode")
    mode.s = b"linear"


def without_an_end(model: onnx.ModelProto) -> None:
    model.graph.node.remove(node(model, "Sigmoid"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_an_entry, r"expected an entry contract\.1\.norm\.beta of 26 x 32 float32, got none"),
        (with_fewer_styles, r"expected an entry res\.0\.0\.norm\.beta of 26 x 32 float32, got 25 x 32 float32"),
        (in_half_precision, r"expected an entry contract\.0\.w of 32 x 3 x 9 x 9 float32, got 32 x 3 x 9 x 9 type 10"),
        (with_another_entry, r"expected 54 entries, got 55, among them res\.6\.0\.w"),
        (elsewhere, "got values in another file"),
        (with_plain_edges, "expected Pad reflect as step 1, got Pad constant"),
        (with_another_stride, "expected Conv 1 x 1 as step 17, got Conv 2 x 2"),
        (with_another_epsilon, r"expected Add 1e-05 as step 3, got Add 0\.001"),
        (interpolating, "expected Resize nearest, asymmetric, floor, 2 as step 76, got Resize linear, asymmetric"),
        (without_an_end, "expected Sigmoid as step 92, got nothing"),
    ],
)
def test_another_network_is_refused(content: bytes, change: Callable[[onnx.ModelProto], None], said: str) -> None:
    model = onnx.load_model_from_string(content)
    change(model)
    with pytest.raises(AssetError, match=f"the file holds another network than the packaged styles: .*{said}"):
        read_style_network(model.SerializeToString(), "the file")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="x cannot be read as an ONNX network"):
        InBatches(b"no network", "x", "cpu")
