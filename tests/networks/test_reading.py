"""Reading units: by name, in one pass, of any network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from sdbench import Feed, Layer, Network, build, units
from sdbench.base.errors import InputError
from sdbench.networks import VideoNetwork, network_names
from sdbench.networks.layer_summary import settled
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
    """A module whose one layer answers what it is told to: a value, or what a function makes of the video."""

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
        return self.answer(video) if callable(self.answer) else self.answer


def read(answer: object, layer: str | Layer = "layer", feed: Feed | None = None, rows: int = 2) -> Tensor:
    size = 8 if feed is None else feed.height_and_width[0]
    shape = (rows, 3, 8, size, size) if feed is None or feed.order == "BCTHW" else (rows, 3, size, size)
    video = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return units(Answering(answer), {"video": video}, [layer], feed=feed)["layer"]


def test_the_axes_of_a_layer_can_be_told() -> None:
    swin = torch.rand(2, 8, 7, 7, 12)
    torch.testing.assert_close(read(swin, Layer("layer", axes="BTHWC")), swin.mean(dim=(1, 2, 3)))
    by_channel = torch.rand(2, 5, 9)
    torch.testing.assert_close(read(by_channel, Layer("layer", axes="BCN")), by_channel.mean(dim=2))
    with pytest.raises(
        InputError, match=r"layer 'layer': an activation of shape \(2, 5, 9\) does not have the axes BTHWC"
    ):
        read(by_channel, Layer("layer", axes="BTHWC"))
    with pytest.raises(InputError, match=r"layer 'layer' answers \(2, 5, 9\) to 2 clips: read as NBC it has 5"):
        read(by_channel, Layer("layer", axes="NBC"))


@pytest.mark.parametrize(
    ("axes", "shape", "mean"),
    [
        ("TBC", (7, 2, 5), lambda x: x.mean(0)),
        ("CB", (5, 2), lambda x: x.T),
        ("CNNB", (5, 3, 4, 2), lambda x: x.mean((1, 2)).T),
        ("(BT)CHW", (6, 5, 4, 4), lambda x: x.reshape(2, 3, 5, 16).mean((1, 3))),
        ("(TB)CHW", (6, 5, 4, 4), lambda x: x.reshape(3, 2, 5, 16).mean((0, 3))),
        ("N(BHW)C", (7, 24, 5), lambda x: x.reshape(7, 2, 12, 5).mean((0, 2))),
    ],
)
def test_axes_are_told_in_any_order(axes: str, shape: tuple[int, ...], mean: Callable[[Tensor], Tensor]) -> None:
    answer = torch.rand(shape)
    torch.testing.assert_close(read(answer, Layer("layer", axes=axes)), mean(answer))


def test_frames_of_a_frame_wise_network_are_put_back_into_their_clips() -> None:
    feed = Feed(8, 4, order="(BT)CHW")
    by_frame = torch.rand(16, 5, 3, 3)
    expected = by_frame.reshape(2, 8, 5, 9).mean(dim=(1, 3))
    torch.testing.assert_close(read(by_frame, Layer("layer", axes="(BT)CHW"), feed, rows=16), expected)
    seen = read(lambda frames: frames, feed=feed, rows=16)
    assert seen.shape == (2, 3)
    torch.testing.assert_close(read(lambda frames: frames.flatten(2).transpose(1, 2), feed=feed, rows=16), seen)

    def regrouped(frames: Tensor) -> Tensor:
        return frames.unflatten(0, (-1, 8)).transpose(1, 2)

    one_row_a_clip = read(regrouped, Layer("layer", axes="BCTHW"), feed, rows=16)
    torch.testing.assert_close(one_row_a_clip, seen)
    with pytest.raises(InputError, match="other numbers of frames are not taken or say nothing"):
        read(regrouped, feed=feed, rows=16)
    with pytest.raises(InputError, match="15 rows are not a multiple of the 8 frames"):
        read(torch.rand(15, 5), Layer("layer", axes="(BT)C"), feed, rows=15)
    with pytest.raises(InputError, match="length of 15 is not a multiple of 2 clips"):
        read(torch.rand(15, 5), Layer("layer", axes="(BT)C"), feed, rows=16)


def test_a_part_of_an_answer_can_be_read() -> None:
    feed = Feed(8, 8)

    def tokens(video: Tensor) -> Tensor:
        return video.flatten(2).transpose(1, 2)

    expected = read(tokens, feed=feed)
    assert expected.shape == (2, 3)
    for answer, item in (
        (lambda video: (tokens(video), None), 0),
        (lambda video: {"states": [1], "hidden": tokens(video)}, "hidden"),
    ):
        torch.testing.assert_close(read(answer, Layer("layer", item=item), feed), expected)
    with pytest.raises(InputError, match=r"answers tuple of 2, not a tensor: .* sdbench.Layer\('layer', item=0\)"):
        read((expected, None))
    with pytest.raises(InputError, match=r"answers tuple of 1, which has no item 3"):
        read((expected,), Layer("layer", item=3))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda video: video > 0, "answers bool numbers"),
        (lambda video: video.argmax(1), "answers int64 numbers"),
        (lambda video: video.mean(), "answers one number, whatever the number of clips"),
        (lambda video: video[:, :, :, :0], "no numbers at all"),
        (lambda video: video.mean((1, 2, 3, 4)), "no axis is left for the channels"),
        (lambda video: torch.nested.nested_tensor(list(video)), "answers a nested tensor"),
        (lambda _video: None, "answers NoneType, not a tensor"),
        (lambda _video: torch.rand(1, 8, 5), "no axis moves with the number of clips"),
        (lambda video: video.flatten(1) @ video.flatten(1).T, "axes 0 and 1 move with the number of clips"),
        (lambda video: torch.cat([video.mean((2, 3, 4)), torch.rand(1, 3)]), "has not as many rows for each"),
        (lambda video: video.mean((2, 3, 4)).flip(0), "which are of which clip is not seen in their order"),
        (lambda video: video.permute(2, 0, 3, 1, 4).flatten(0, 2), "which are of which clip is not seen"),
        (lambda video: video.mean((1, 3, 4)), r"axis 1 with that of frames; .*: --axes layer=BC; in Python"),
        (lambda video: video.mean(2).unflatten(1, (3, 1)).expand(-1, -1, 5, -1, -1), r"--axes layer=BCTHW or"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(answer: object, reason: str) -> None:
    with pytest.raises(InputError, match=rf"layer 'layer' .*{reason}"):
        read(answer, feed=Feed(8, 8))


def test_axes_that_were_told_are_held_against_what_was_seen() -> None:
    def measured(axes: str) -> str:
        module = nn.Sequential(nn.Conv3d(3, 4, 1), _Answer(lambda x: x.permute(2, 0, 3, 4, 1).flatten(0, 1)))
        _, seen, _ = settled(Network(module, Feed(2, 8), layers=[Layer("1", axes=axes)]))
        return str(seen[0].axes)

    assert measured("(TB)HWC") == "(TB)HWC"
    with pytest.raises(InputError, match=r"the 2 rows of each stand apart, as in \(TB\); got axes \(BT\)HWC"):
        measured("(BT)HWC")
    with pytest.raises(InputError, match=r"with 2 rows for each, of which axes BTHC say nothing"):
        measured("BTHC")
    with pytest.raises(InputError, match=r"axis 0 moves with the number of clips, and axes CBTH put them on axis 1"):
        measured("CBTH")


class _Repeating(nn.Module):
    """Runs one convolution for each frame, or for each clip, and one activation everywhere."""

    def __init__(self, over: str) -> None:
        super().__init__()
        self.over, self.conv, self.wide, self.act = over, nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1), nn.ReLU()

    def forward(self, video: Tensor) -> Tensor:
        parts = video.unbind(2) if self.over == "frames" else [clip.transpose(0, 1) for clip in video]
        return torch.stack([self.act(self.wide(self.act(self.conv(part)))) for part in parts])


def test_of_a_module_that_runs_several_times_the_mean_or_the_chosen_run_is_read() -> None:
    feed, module = Feed(3, 4), _Repeating("frames")
    video = torch.rand(2, 3, 3, 4, 4)
    each = torch.stack([module.conv(frame).mean((2, 3)) for frame in video.unbind(2)])
    assert module.training
    for layer, expected in (
        (Layer("conv"), each.mean(0)),
        (Layer("conv", run=0), each[0]),
        (Layer("conv", run=-1), each[2]),
    ):
        torch.testing.assert_close(units(module, {"video": video}, [layer], feed=feed)["conv"], expected)
    with pytest.raises(InputError, match=r"runs 6 times in a pass, and answers .*say which run"):
        units(module, {"video": video}, ["act"], feed=feed)
    assert units(module, {"video": video}, [Layer("act", run=1)], feed=feed)["act"].shape == (2, 6)
    with pytest.raises(InputError, match="has no run 3: it runs 3 times"):
        units(module, {"video": video}, [Layer("conv", run=3)], feed=feed)
    with pytest.raises(InputError, match="which of its runs are of which clip is not known"):
        units(_Repeating("clips"), {"video": video}, ["conv"], feed=feed)


class _Alone(nn.Module):
    """Takes one clip at a time, whatever the reason."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.stem, self.lone, self.place = error, nn.Conv3d(3, 4, 1), nn.Identity(), nn.Linear(4, 5)

    def forward(self, video: Tensor) -> Tensor:
        if len(video) > 1:
            raise self.error
        answer: Tensor = self.place(self.lone(self.stem(video)[0]).flatten(1).T)
        return answer


@pytest.mark.parametrize("error", [ValueError("one clip, please"), torch.OutOfMemoryError("CUDA out of memory.")])
def test_of_a_network_that_takes_one_clip_at_a_time_all_rows_are_of_it(error: Exception) -> None:
    def seen(*layers: str | Layer) -> dict[str, str | None]:
        network, found, alone = settled(Network(_Alone(error), Feed(2, 8), layers=layers))
        assert alone
        assert [of.reads for of in found] == list(network.read)
        return {of.layer: of.axes for of in found}

    assert seen("stem", "place", Layer("lone", axes="C(BT)HW")) == {
        "stem": "BCTHW",
        "place": "(BN)C",
        "lone": "C(BT)HW",
    }
    with pytest.raises(InputError, match=r"layer 'lone' answers \(4, 2, 8, 8\) to one clip, .* none of its axes"):
        seen("lone")
    module = _Alone(error)
    video = torch.rand(1, 3, 2, 8, 8)
    read = units(module, {"video": video}, ["place"], feed=Feed(2, 8))["place"]
    torch.testing.assert_close(read, module(video).mean(0, keepdim=True))


@pytest.mark.parametrize(
    "axes", ["CTHW", "BTHW", "BCC", "BCXY", "(BT)", "", "BTTC", "(BC)T", "(TBH)C", "(BT)(HW)C", "bc"]
)
def test_axes_that_make_no_sense_are_refused(axes: str) -> None:
    with pytest.raises(InputError, match="must name each axis once"):
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
    assert read["conv"].shape == (2, 5)
    with pytest.raises(InputError, match="does not take what it is fed"):  # of no argument's name: it is the first
        units(_Keyed(), {"video": torch.zeros(2, 4, 3, 8, 8)}, ["conv"])


@pytest.mark.parametrize("layer", ["conv", Layer("conv", axes="(BT)CHW")])
def test_rows_of_frames_are_put_back_into_their_clips(layer: str | Layer) -> None:
    inputs, module = {"pixels": torch.randn(2, 4, 3, 8, 8)}, _Keyed()
    read = units(module, inputs, [layer], feed=Feed(4, 8, order="BTCHW", argument="pixels"))["conv"]
    torch.testing.assert_close(read, module.conv(inputs["pixels"].flatten(0, 1)).mean((2, 3)).reshape(2, 4, 5).mean(1))


def test_what_is_read_shares_no_memory_with_what_goes_on() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8 * 8, 5), nn.ReLU(inplace=True))
    video = torch.randn(4, 3, 8, 8, 8)
    read = units(module, {"video": video}, ["1"])["1"]
    torch.testing.assert_close(read, module[:2](video))
