"""Public reports of layers that were read wrongly: which axis is what, which run, and what was changed meanwhile.

Each is told in our own words; the network of each is the smallest that shows it, held against one that cannot be read
wrongly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sdbench import Feed, InputError, Layer, Measurement, Network, units
from sdbench.assets import AssetStore
from sdbench.engine import measure
from sdbench.engine.written import content_of
from sdbench.report.markdown import measurement_sentence
from tests.made.studies import NoiseStudy

FEED = Feed(4, 8, mean=0.5, std=0.5)
BY_FRAME = Feed(4, 8, mean=0.5, std=0.5, order="(BT)CHW")


class FramesOfNoise(NoiseStudy):
    """The same noise for a network that sees frame by frame."""

    def draw(self, planned: object, feed: Feed) -> dict[str, Tensor]:
        (video,) = super().draw(planned, feed).values()  # type: ignore[arg-type]
        return {"video": video.transpose(1, 2).flatten(0, 1)}


def measured(module: nn.Module, layer: str | Layer, folder: Path, feed: Feed = FEED) -> Measurement:
    store = AssetStore(folder / "cache", offline=True, quiet=True)
    study = NoiseStudy(12) if feed.order == "BCTHW" else FramesOfNoise(12)
    return measure(Network(module, feed, layers=[layer]), study, store=store, workers=0, compiling="off")


def shares(found: Measurement) -> dict[str, float]:
    (layer,) = found.layers
    return dict(found.layer(layer).estimate.shares)


def seeded(module: type[nn.Module], *args: object) -> nn.Module:
    torch.manual_seed(0)
    return module(*args)


class _Head(nn.Module):
    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.stem, self.fc, self.act = nn.Conv3d(3, 12, 2), nn.Linear(12, 12), nn.ReLU(inplace=inplace)

    def forward(self, video: Tensor) -> Tensor:
        answer: Tensor = self.act(self.fc(self.stem(video).mean((2, 3, 4))))
        return answer


@pytest.mark.parametrize("report", ["meta-pytorch/captum #156", "ViCCo-Group/thingsvision #44"])
def test_an_activation_is_read_before_the_next_module_overwrites_it(report: str, tmp_path: Path) -> None:
    """What a hook keeps is the tensor itself: behind a flat layer, a ReLU in place turns it into its own answer."""
    in_place, apart = (measured(seeded(_Head, how), "fc", tmp_path) for how in (True, False))
    assert shares(in_place) == shares(apart), report


class _Tokens(nn.Module):
    def __init__(self, kind: str, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.stem = nn.Conv3d(3, 12, (1, 4, 4), stride=(1, 4, 4))
        kinds = {
            "encoder": lambda: nn.TransformerEncoderLayer(12, 2, 16, batch_first=batch_first),
            "lstm": lambda: nn.LSTM(12, 10, bidirectional=True, batch_first=batch_first),
            "gru": lambda: nn.GRU(12, 10, batch_first=batch_first),
            "attention": lambda: nn.MultiheadAttention(12, 2, batch_first=batch_first),
        }
        self.block = kinds[kind]()

    def forward(self, video: Tensor) -> Tensor:
        tokens = self.stem(video).flatten(2).permute((0, 2, 1) if self.batch_first else (2, 0, 1))
        answer = (
            self.block(tokens, tokens, tokens) if isinstance(self.block, nn.MultiheadAttention) else self.block(tokens)
        )
        return answer[0] if isinstance(answer, tuple) else answer


@pytest.mark.parametrize("kind", ["encoder", "lstm", "gru", "attention"])
def test_tokens_or_time_may_come_before_the_batch(kind: str, tmp_path: Path) -> None:
    """ViCCo-Group/thingsvision #185: activations (tokens, batch, channels) were taken for (batch, tokens, channels)."""
    first, right = (measured(seeded(_Tokens, kind, how), "block", tmp_path) for how in (False, True))
    assert shares(first) == pytest.approx(shares(right), abs=1e-3)
    assert (first.reading["block"]["axes"], right.reading["block"]["axes"]) == ("NBC", "BNC")
    assert "block read as NB[C]" in measurement_sentence(first.as_record()), "on the terminal and on the page"
    assert content_of(first)["measurement"]["reading"]["block"]["axes"] == "NBC"


class _PerFrame(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 4, stride=4)

    def forward(self, video: Tensor) -> Tensor:
        return torch.stack([self.stem(frame) for frame in video.unbind(2)], 2).mean((2, 3, 4))


@pytest.mark.parametrize(
    "report", ["frgfm/torch-scan #24", "meta-pytorch/captum #794", "ultralytics/ultralytics #15757"]
)
def test_a_module_that_is_called_for_each_frame_is_read_at_all_of_them(report: str, tmp_path: Path) -> None:
    """A hook sees each call, and what is kept is the last one's answer: the last frame's, in place of the clip's."""
    found = measured(seeded(_PerFrame), "stem", tmp_path)
    whole = nn.Sequential(seeded(_PerFrame), nn.Identity())
    right = measured(whole, Layer("1", axes="BC"), tmp_path)
    assert shares(found) == pytest.approx(shares(right), abs=1e-3), report
    assert "stem runs 4 times in a forward pass, of which the mean over all its runs is read" in found.notes
    assert found.reading["stem"] == {"axes": "BCHW", "units": 12, "runs": 4, "run": None, "item": None}
    last = measured(seeded(_PerFrame), Layer("stem", run=-1), tmp_path)
    assert shares(last) != pytest.approx(shares(right), abs=0.5)
    assert "stem runs 4 times in a forward pass, of which run 3, counted from 0, is read" in last.notes


class _ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 12, 4, stride=4), nn.LayerNorm(12)

    def forward(self, frames: Tensor) -> Tensor:
        answer: Tensor = self.norm(self.stem(frames).permute(0, 2, 3, 1))
        return answer


@pytest.mark.parametrize(
    "report", ["huggingface/pytorch-image-models #1438", "qubvel-org/segmentation_models.pytorch #1004"]
)
def test_channels_may_come_last_in_an_image_network(report: str, tmp_path: Path) -> None:
    """Stages of Swin and ConvNeXt answer (B, H, W, C), of which axis 1 was taken for the channels: rows of pixels."""
    found = measured(seeded(_ChannelsLast), "norm", tmp_path, BY_FRAME)
    right = measured(seeded(_ChannelsLast), Layer("norm", axes="(BT)HWC"), tmp_path, BY_FRAME)
    assert shares(found) == shares(right), report
    assert len(found.layer("norm").estimate.unit_labels) == 12


class _Divided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.time = nn.Conv3d(3, 12, (1, 4, 4), stride=(1, 4, 4)), nn.Linear(12, 12)
        self.whole = nn.Identity()

    def forward(self, video: Tensor) -> Tensor:
        x = self.stem(video)
        rows = self.time(x.permute(0, 3, 4, 2, 1).flatten(0, 2))
        answer: Tensor = self.whole(rows.reshape(len(x), -1, 12))
        return answer


@pytest.mark.parametrize("report", ["open-mmlab/mmaction2 #38", "facebookresearch/TimeSformer #74"])
def test_rows_that_are_places_are_put_back_into_their_clips(report: str, tmp_path: Path) -> None:
    """Divided attention folds places into the batch: each place was taken for a clip, and paired with another's."""
    found = measured(seeded(_Divided), "time", tmp_path)
    right = measured(seeded(_Divided), Layer("whole", axes="BNC"), tmp_path)
    assert shares(found) == pytest.approx(shares(right), abs=1e-3), report
    assert found.reading["time"]["axes"] == "(BN)TC"
    video = torch.rand(3, 3, 4, 8, 8)
    module = seeded(_Divided)
    torch.testing.assert_close(units(module, {"video": video}, ["time"])["time"], module(video).mean(1))


@pytest.mark.parametrize("layer", ["block.layers.0.self_attn", "block.layers.0.linear1", "block.layers.0"])
def test_layers_of_a_fast_path_are_read(layer: str, tmp_path: Path) -> None:
    """pytorch/pytorch #128413, #132700: in eval mode an encoder of torch runs without its parts, and no hook ran."""

    class Encoder(_Tokens):
        def __init__(self, heads: int) -> None:
            super().__init__("encoder", batch_first=True)
            torch.manual_seed(0)
            of = nn.TransformerEncoderLayer(12, heads, 16, batch_first=True, norm_first=False)
            self.block = nn.TransformerEncoder(of, 1, enable_nested_tensor=False)

    fast = measured(seeded(Encoder, 2), layer, tmp_path)
    slow: Any = seeded(Encoder, 2)
    slow.block.layers[0].activation_relu_or_gelu = 0  # so that the path is not taken
    assert shares(fast) == pytest.approx(shares(measured(slow, layer, tmp_path)), abs=1e-3)


def test_weights_of_attention_have_no_channels(tmp_path: Path) -> None:
    """KamitaniLab/bdpy #76, nmhkahn/torchsummaryX #10: what attention answers second was taken for units."""

    class Weighing(_Tokens):
        def __init__(self) -> None:
            super().__init__("attention", batch_first=True)

    with pytest.raises(InputError, match=r"which axis counts channels is not known\. Say .* --axes block=BCN or"):
        measured(seeded(Weighing), Layer("block", item=1), tmp_path)
    said = measured(seeded(Weighing), Layer("block", item=1, axes="BCN"), tmp_path)
    assert said.reading["block"]["units"] == 16
