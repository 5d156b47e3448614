"""The measurement: what it costs, that it can be interrupted, and that it says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sdbench.measure
import sdbench.passes
import torch
from sdbench.measure import measure
from sdbench.zoo.preparation import Preparation
from torch import Tensor

from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.data import ArrayDataset
from sdbench.networks import VideoNetwork
from sdbench.statistics import estimate
from tests.conftest import moving_squares

pytestmark = pytest.mark.assets
SMALL = Preparation(frames=8, short_side=32, size=(32, 32), fit="crop", layout="signed")


class Counting(VideoNetwork):
    """Colour means, which frames in any order give alike, and mean changes from frame to frame; counts its passes."""

    layers = ("colour", "change")

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        self.seen += len(video)
        yield "colour", video
        yield "change", (video[:, :, 1:] - video[:, :, :-1]).abs()


def toy_clips(count: int) -> ArrayDataset:
    return ArrayDataset("toy", {f"clip{i:02d}": moving_squares(8, 32, 32, seed=i) for i in range(count)})


@pytest.fixture
def own_store(store: AssetStore, tmp_path: Path) -> AssetStore:
    """A store of its own, so that nothing is painted beforehand, with the style network brought in."""
    fresh = AssetStore(tmp_path / "cache", quiet=True)
    fresh.add("styles26", store.path("styles26"))
    return fresh


def shares(found: sdbench.measure.Measurement) -> np.ndarray:
    return np.array([list(found.layer(layer).estimate.shares.values()) for layer in found.layers])


def test_a_clip_with_one_pair_of_each_factor_costs_three_passes(own_store: AssetStore) -> None:
    network = Counting()
    found = measure(network, toy_clips(9), preparation=SMALL, store=own_store)
    assert network.seen == found.passes == 3 * 9
    assert (found.clips, found.samples, found.pairs) == (9, 9, 9)
    assert found.frames_painted == 2 * 9 * 8, "each clip in two styles"
    assert (found.resampling_unit, found.resampling_units) == ("video", 9)
    colour, _change = shares(found)
    assert colour[1] > colour[0], "the colours of a clip stay when its frames are shuffled"


def test_streaming_agrees_with_all_units_at_once(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[np.ndarray, ...]] = []
    original = sdbench.passes.moments
    monkeypatch.setattr(sdbench.passes, "moments", lambda *given: kept.append(given) or original(*given))
    found = measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store, layers=["colour"])
    at_once = estimate(*(np.concatenate(column) for column in zip(*kept, strict=True)))
    assert found.layer("colour").estimate.shares == pytest.approx(at_once.shares, rel=1e-10)


def test_same_seed_same_numbers_and_another_seed_others(own_store: AssetStore) -> None:
    first, again, other = (
        shares(measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store, seed=seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_the_second_run_paints_nothing(own_store: AssetStore) -> None:
    measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store)
    assert measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store).frames_painted == 0


def test_an_interrupted_measurement_goes_on_where_it_stopped(own_store: AssetStore, monkeypatch) -> None:
    whole = measure(Counting(), toy_clips(12), preparation=SMALL, store=own_store)
    original, passes = sdbench.passes.units, []

    def interrupted(*given: object) -> dict[str, Tensor]:
        if len(passes) == 3:
            raise KeyboardInterrupt
        passes.append(1)
        return original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(sdbench.passes, "units", interrupted)
        with pytest.raises(KeyboardInterrupt):
            measure(Counting(), toy_clips(12), preparation=SMALL, store=own_store)
    (kept,) = (own_store.folder / "unfinished").iterdir()
    network = Counting()
    resumed = measure(network, toy_clips(12), preparation=SMALL, store=own_store)
    assert resumed.resumed == 6
    assert network.seen == 3 * 6
    np.testing.assert_array_equal(shares(resumed), shares(whole))
    assert not kept.exists(), "a finished measurement leaves nothing to go on with"
    assert measure(Counting(), toy_clips(12), preparation=SMALL, store=own_store).resumed == 0


def test_a_half_written_state_is_not_used(own_store: AssetStore, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sdbench.passes.Unfinished, "discard", lambda self: self.save())
        measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store)
    (kept,) = (own_store.folder / "unfinished").iterdir()
    kept.write_bytes(kept.read_bytes()[:-10])
    found = measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store)
    assert found.resumed == 0


def test_another_seed_or_other_weights_do_not_resume(own_store: AssetStore, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sdbench.passes.Unfinished, "discard", lambda self: self.save())
        measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store)
    assert measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store, seed=1).resumed == 0


def test_memory_of_the_sums_does_not_grow_with_clips_of_a_video(own_store: AssetStore) -> None:
    """Sums are kept for each resampling block, not for each clip."""
    sizes = []
    for pairs in (9, 36):
        found = measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store, pairs=pairs)
        sizes.append({layer: len(parts) for layer, parts in found.sums.items()})
        assert found.pairs == pairs
    assert sizes[0] == sizes[1] == {"colour": 9, "change": 9}


def test_few_videos_give_no_interval_and_say_so(own_store: AssetStore) -> None:
    found = measure(Counting(), toy_clips(5), preparation=SMALL, store=own_store)
    assert found.layer("colour").intervals is None
    assert found.resampling == "no intervals: 5 videos, at least 8 needed"
    enough = measure(Counting(), toy_clips(8), preparation=SMALL, store=own_store)
    assert enough.layer("colour").intervals is not None
    assert enough.resampling == "95 % intervals by resampling 8 videos"


class Answering(Counting):
    """Answers the same for everything, or what is no number."""

    def __init__(self, answer: float) -> None:
        super().__init__()
        self.answer = answer

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "colour", torch.full((len(video), 4), self.answer)
        yield "change", video


def test_an_answer_that_is_no_number_names_layer_and_clip(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="layer colour answers NaN or infinity for clip00, frames 0 to 7"):
        measure(Answering(float("nan")), toy_clips(9), preparation=SMALL, store=own_store)


def test_a_layer_that_never_changes_is_named(own_store: AssetStore) -> None:
    found = measure(Answering(1.0), toy_clips(9), preparation=SMALL, store=own_store)
    with pytest.raises(InputError, match="layer colour of Answering: none of the 4 units changes"):
        found.layer("colour")
    assert found.layer("change").estimate.shares


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pairs": 1}, "at least 2 pairs of each factor are needed"),
        ({"styles": ["style5"]}, "needs two styles"),
        ({"styles": ["style5", "styl10"]}, "unknown style 'styl10'; did you mean style10"),
        ({"layers": ["colours"]}, "unknown layer 'colours'; did you mean colour"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"preparation": None}, "say with preparation="),
    ],
)
def test_options_that_make_no_sense_are_named(own_store: AssetStore, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        measure(Counting(), toy_clips(9), **{"preparation": SMALL, "store": own_store, **options})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_gpu_is_said(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="no CUDA device here"):
        measure(Counting(), toy_clips(9), preparation=SMALL, store=own_store, device="cuda")


def test_a_network_of_the_zoo_is_measured_by_name_with_any_number_of_threads(store: AssetStore) -> None:
    clips = ArrayDataset("toy", {f"clip{i}": moving_squares(16, 112, 112, seed=i) for i in range(3)})
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(shares(measure("i3d_inception", clips, store=store)))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(found[0], found[1], atol=0.01)
