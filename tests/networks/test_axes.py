"""Networks with every order of axes and folds: what is read of them is the truth, or it is asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sdbench import Feed, InputError, units


class Arranged(nn.Module):
    """A convolution whose answer a last layer answers again, its axes in another order and some of them in one.

    Args:
        channels: how many.
        kept: the letters of the axes that are left, in their order; over the others the mean is taken.
        folded: how many axes behind that of the clips are put into one with it; of those before it where negative.
        named: whether the last layer is a normalisation that names its channels, which must then come last.
        fixed: frames and pixels of a clip, where no others are taken.
    """

    def __init__(self, channels: int, kept: str, folded: int, named: bool, fixed: tuple[int, int] | None) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, channels, (1, 4, 4), stride=(1, 4, 4))
        self.kept, self.folded, self.fixed = kept, folded, fixed
        self.last = nn.LayerNorm(channels, elementwise_affine=False) if named else nn.Identity()

    def arranged(self, video: Tensor) -> Tensor:
        x = self.stem(video)
        lost = [axis for axis, letter in enumerate("BCTHW") if letter not in self.kept]
        x = x.mean(lost) if lost else x
        left = [letter for letter in "BCTHW" if letter in self.kept]
        x = x.permute([left.index(letter) for letter in self.kept])
        place = self.kept.index("B")
        first, last = sorted((place, place + self.folded))
        return x.flatten(first, last)

    def forward(self, video: Tensor) -> Tensor:
        if self.fixed is not None and (video.shape[2], video.shape[3]) != self.fixed:
            raise ValueError("positions were learnt for another shape")
        answer: Tensor = self.last(self.arranged(video))
        return answer

    def truth(self, video: Tensor) -> Tensor:
        """Unit values: means over all but clips and channels."""
        x = self.stem(video)
        if isinstance(self.last, nn.LayerNorm):
            # Each place is normalised before the mean over all that are left.
            lost = [axis for axis, letter in enumerate("BCTHW") if letter not in self.kept]
            x = self.last((x.mean(lost, keepdim=True) if lost else x).movedim(1, -1)).movedim(-1, 1)
        return x.mean((2, 3, 4))


@st.composite
def arrangements(draw: st.DrawFn) -> tuple[Arranged, Feed]:
    others = draw(st.lists(st.sampled_from("THW"), unique=True))
    named = draw(st.booleans())
    mixed = draw(st.permutations([*others, "B"] if named else [*others, "B", "C"]))
    kept = "".join([*mixed, "C"] if named else mixed)
    place, channels = kept.index("B"), kept.index("C")
    before, behind = (channels + 1 if channels < place else 0), (channels if channels > place else len(kept))
    folded = draw(st.integers(before, behind - 1)) - place
    frames, side = draw(st.sampled_from([2, 3, 4])), draw(st.sampled_from([8, 12, 16]))
    fixed = (frames, side) if draw(st.booleans()) else None
    # A normalisation of two channels answers 1 and -1, whatever it is given.
    module = Arranged(draw(st.sampled_from([3, 4, 6] if named else [2, 3, 4, 6])), kept, folded, named, fixed)
    return module, Feed(frames, side, mean=0.5, std=0.5)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(arrangements())
def test_of_every_order_of_axes_the_truth_is_read_or_asked_for(arranged: tuple[Arranged, Feed]) -> None:
    module, feed = arranged
    torch.manual_seed(0)
    video = torch.rand(5, 3, feed.frames, *feed.height_and_width)
    try:
        read = units(module, {"video": video}, ["last"], feed=feed)["last"]
    except InputError as error:
        assert module.fixed is not None, "other clips show which axes move"
        assert isinstance(module.last, nn.Identity), "channels that are named are known"
        assert "--axes last=" in str(error)  # noqa: PT017 - an error is one of two right ends
    else:
        torch.testing.assert_close(read, module.truth(video), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", ["BTC", "TBC", "BHWC", "HWBC"])
def test_a_wrong_reading_would_be_seen(kept: str) -> None:
    """What the property holds is no matter of course: other axes give other numbers."""
    module, video = Arranged(4, kept, 0, False, None), torch.rand(4, 3, 4, 16, 16)
    wrong = module.arranged(video).flatten(2).mean(2)
    assert wrong.shape != module.truth(video).shape or not torch.allclose(wrong, module.truth(video), atol=1e-3)
