"""Reading units: by name, in one pass, of any network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from sdbench import Feed, Layer, build, units
from sdbench.base.errors import InputError
from sdbench.networks import VideoNetwork, network_names
from sdbench.networks.reading import average_to_units


class Staged(VideoNetwork):
    """Two layers; counts how often each of them runs."""

    layers = ("first", "second")

    def __init__(self) -> None:
        super().__init__()
        self.ran = {"first": 0, "second": 0}

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        self.ran["first"] += 1
        yield "first", video * 2
        self.ran["second"] += 1
        yield "second", video.flatten(2).mean(2)


VIDEO = torch.arange(2 * 3 * 4 * 5 * 5, dtype=torch.float32).reshape(2, 3, 4, 5, 5)


def test_all_layers_cost_one_pass() -> None:
    module = Staged()
    read = units(module, {"video": VIDEO})
    assert list(read) == ["first", "second"]
    assert module.ran == {"first": 1, "second": 1}
    torch.testing.assert_close(read["first"], 2 * VIDEO.mean(dim=(2, 3, 4)))
    torch.testing.assert_close(module(VIDEO), read["second"])


def test_the_pass_ends_with_the_last_layer_asked_for() -> None:
    module = Staged()
    assert list(units(module, {"video": VIDEO}, ["first"])) == ["first"]
    assert module.ran == {"first": 1, "second": 0}
    assert units(module, {"video": VIDEO}, []) == {}


def test_a_module_of_the_users_own_is_read_by_submodule() -> None:
    module = nn.Sequential(nn.Conv3d(3, 6, 1), nn.ReLU(), nn.Conv3d(6, 2, 1))
    read = units(module, {"video": VIDEO}, ["0", "2"])
    assert {name: tuple(value.shape) for name, value in read.items()} == {"0": (2, 6), "2": (2, 2)}
    assert not module[0]._forward_hooks


def test_tokens_are_averaged_over_tokens() -> None:
    tokens = torch.rand(2, 7, 5)
    torch.testing.assert_close(average_to_units(tokens), tokens.mean(1))
    assert average_to_units(torch.ones(2, 3, 4, 4, dtype=torch.float16)).dtype == torch.float32
    with pytest.raises(InputError, match="got \\(3,\\)"):
        average_to_units(torch.zeros(3))


def test_unknown_layers_are_named_with_their_neighbours() -> None:
    with pytest.raises(InputError, match="unknown layer 'fist'; did you mean first"):
        units(Staged(), {"video": VIDEO}, ["fist"])
    with pytest.raises(InputError, match="unknown layer '9'"):
        units(nn.Sequential(nn.ReLU()), {"video": VIDEO}, ["9"])
    with pytest.raises(InputError, match="say which layers"):
        units(nn.Sequential(nn.ReLU()), {"video": VIDEO})


def test_a_submodule_that_does_not_run_is_named() -> None:
    module = nn.Sequential(nn.ReLU())
    module[0].idle = nn.ReLU()
    with pytest.raises(InputError, match=r"'0.idle' exists but did not run"):
        units(module, {"video": VIDEO}, ["0.idle"])


@pytest.mark.parametrize("name", network_names())
def test_every_network_has_layers_with_names_of_their_own(name: str) -> None:
    with torch.device("meta"):
        module = build(name)
    assert len(set(module.layers)) == len(module.layers)
    assert not module.training


def test_unknown_networks_and_options_are_named() -> None:
    with pytest.raises(InputError, match="unknown network 'i3d_incepton'; did you mean i3d_inception"):
        build("i3d_incepton")
    with pytest.raises(InputError, match="network i3d_inception has no options"):
        build("i3d_inception", width=3)


def test_the_classifier_has_the_size_asked_for() -> None:
    module = build("i3d_inception", num_classes=7)
    assert module(torch.zeros(1, 3, 4, 32, 48)).shape == (1, 7)


class Answering(nn.Module):
    """A module whose one layer answers whatever it is told to."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.layer = _Answer(answer)

    def forward(self, video: Tensor) -> Tensor:
        self.layer(video)
        return video


class _Answer(nn.Module):
    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, video: Tensor) -> object:
        return self.answer


def read(answer: object, layer: str | Layer = "layer", feed: Feed | None = None, rows: int = 2) -> Tensor:
    return units(Answering(answer), {"video": torch.zeros(rows, 3, 8, 4, 4)}, [layer], feed=feed)["layer"]


def test_the_axes_of_a_layer_can_be_told() -> None:
    swin = torch.rand(2, 8, 7, 7, 12)
    torch.testing.assert_close(read(swin, Layer("layer", axes="BTHWC")), swin.mean(dim=(1, 2, 3)))
    by_channel = torch.rand(2, 5, 9)
    torch.testing.assert_close(read(by_channel, Layer("layer", axes="BCN")), by_channel.mean(dim=2))
    with pytest.raises(
        InputError, match=r"layer 'layer': an activation of shape \(2, 5, 9\) does not have the axes BTHWC"
    ):
        read(by_channel, Layer("layer", axes="BTHWC"))


def test_frames_of_a_frame_wise_network_are_put_back_into_their_clips() -> None:
    feed = Feed(8, 4, order="(BT)CHW")
    by_frame = torch.rand(16, 5, 3, 3)
    expected = by_frame.reshape(2, 8, 5, 9).mean(dim=(1, 3))
    torch.testing.assert_close(read(by_frame, feed=feed, rows=16), expected)
    torch.testing.assert_close(read(by_frame, Layer("layer", axes="(BT)CHW"), feed, rows=16), expected)
    tokens = torch.rand(16, 6, 5)
    torch.testing.assert_close(read(tokens, feed=feed, rows=16), tokens.reshape(2, 8, 6, 5).mean(dim=(1, 2)))
    regrouped = torch.rand(2, 40, 5)
    torch.testing.assert_close(read(regrouped, feed=feed, rows=16), regrouped.mean(dim=1), msg="one row a clip")
    with pytest.raises(InputError, match="15 rows are not a multiple of"):
        read(torch.rand(15, 5), Layer("layer", axes="(BT)C"), feed, rows=16)


def test_a_part_of_an_answer_can_be_read() -> None:
    hidden = torch.rand(2, 6, 5)
    for answer, item in (((hidden, None), 0), ({"states": [1], "hidden": hidden}, "hidden")):
        torch.testing.assert_close(read(answer, Layer("layer", item=item)), hidden.mean(dim=1))
    with pytest.raises(InputError, match=r"answers tuple of 2, not a tensor: .* sdbench.Layer\('layer', item=0\)"):
        read((hidden, None))
    with pytest.raises(InputError, match=r"answers tuple of 1, which has no item 3"):
        read((hidden,), Layer("layer", item=3))


@pytest.mark.parametrize("shape", [(2, 8, 7, 7, 96), (2, 4, 7, 7, 96), (2, 8, 4, 7, 5)])
def test_frames_are_not_counted_as_channels(shape: tuple[int, ...]) -> None:
    feed = Feed(8, 4)
    with pytest.raises(InputError, match=r"axis 1 may count frames or channels.*axes=\"BTHWC\"\), or axes=\"BCTHW\""):
        read(torch.rand(shape), feed=feed)
    assert read(torch.rand(shape), Layer("layer", axes="BTHWC"), feed).shape == (2, shape[4])
    assert read(torch.rand(shape), Layer("layer", axes="BCTHW"), feed).shape == (2, shape[1])


@pytest.mark.parametrize("shape", [(2, 8, 8, 7, 7), (2, 24, 8, 7, 7), (2, 96, 4, 7, 7)])
def test_channels_are_read_where_they_plainly_are(shape: tuple[int, ...]) -> None:
    assert read(torch.rand(shape), feed=Feed(8, 4)).shape == (2, shape[1])


@pytest.mark.parametrize("axes", ["CTHW", "BTHW", "BCC", "BCXY", "(BT)", ""])
def test_axes_that_make_no_sense_are_refused(axes: str) -> None:
    with pytest.raises(InputError, match="must begin with B or"):
        Layer("layer", axes=axes)


class _Keyed(torch.nn.Module):
    """Takes its video behind another argument, and walks through its frames one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 5, 1)

    def forward(self, tokens: torch.Tensor | None = None, pixels: torch.Tensor | None = None) -> torch.Tensor:
        assert tokens is None
        assert pixels is not None
        return self.conv(pixels.flatten(0, 1))


def test_one_input_goes_to_the_argument_of_its_name() -> None:
    read = units(_Keyed(), {"pixels": torch.zeros(2, 4, 3, 8, 8)}, ["conv"])
    assert read["conv"].shape == (8, 5)
    with pytest.raises(AssertionError):  # of no argument's name: it is the first
        units(_Keyed(), {"video": torch.zeros(2, 4, 3, 8, 8)}, ["conv"])


def test_a_row_for_each_frame_must_be_said() -> None:
    feed = Feed(4, 8, order="BTCHW", argument="pixels")
    inputs = {"pixels": torch.randn(2, 4, 3, 8, 8)}
    with pytest.raises(InputError, match=r"layer 'conv' answers 8 rows to 2 clips of 4 frames: .*\(BT\)CHW"):
        units(_Keyed(), inputs, ["conv"], feed=feed)
    module = _Keyed()
    read = units(module, inputs, [Layer("conv", axes="(BT)CHW")], feed=feed)["conv"]
    torch.testing.assert_close(read, module.conv(inputs["pixels"].flatten(0, 1)).mean((2, 3)).reshape(2, 4, 5).mean(1))
