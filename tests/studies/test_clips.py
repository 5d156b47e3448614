"""Clips of a user's own: what measuring them costs, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import sdbench
from sdbench import Feed, InputError, Measurement, Network, measure, studies
from sdbench.assets import AssetStore
from sdbench.networks import VideoNetwork
from sdbench.studies import ClipStudy
from tests.conftest import moving_squares

pytestmark = pytest.mark.assets
SMALL = Feed(8, 32, 0.5, 0.5)


class Counting(VideoNetwork):
    """Colour means, which frames in any order give alike, and mean changes from frame to frame; counts its inputs."""

    layers = ("colour", "change")

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.seen, self.stop_after = 0, stop_after

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        if self.stop_after is not None and self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(video)
        yield "colour", video
        yield "change", (video[:, :, 1:] - video[:, :, :-1]).abs()


@pytest.fixture
def own_store(store: AssetStore, tmp_path: Path) -> AssetStore:
    """A store of its own, so that nothing is painted beforehand, with the networks brought in."""
    fresh = AssetStore(tmp_path / "cache", quiet=True)
    for name in ("styles26", "transnetv2"):
        fresh.add(name, store.path(name))
    return fresh


def toy(store: AssetStore, count: int, **options: Any) -> ClipStudy:
    videos = {f"clip{i:02d}": moving_squares(8, 32, 32, seed=i) for i in range(count)}
    return studies.clips(videos, store=store, **options)


def shown(module: VideoNetwork | None = None) -> Network:
    return Network(module or Counting(), SMALL, "counting")


def shares(found: Measurement) -> np.ndarray:
    return np.array([list(found.layer(layer).estimate.shares.values()) for layer in found.layers])


def painted(store: AssetStore) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (store.folder / "painted").rglob("*.safetensors")}


def test_a_clip_with_one_pair_of_each_factor_costs_three_passes_and_is_painted_twice(own_store: AssetStore) -> None:
    network = Counting()
    found = measure(shown(network), toy(own_store, 9), store=own_store)
    assert network.seen == found.passes == 3 * 9
    assert (found.clips, found.samples, found.pairs) == (9, 9, 9)
    assert (found.resampling_unit, found.resampling_units) == ("video", 9)
    colour, _change = shares(found)
    assert colour[1] > colour[0], "the colours of a clip stay when its frames are shuffled"
    kept = painted(own_store)
    assert len(kept) == 2 * 9, "each clip in two styles"
    again = measure(shown(), toy(own_store, 9), store=own_store)
    assert painted(own_store) == kept, "the second run paints nothing"
    np.testing.assert_array_equal(shares(again), shares(found))


def test_another_seed_draws_otherwise_and_workers_do_not_matter(own_store: AssetStore) -> None:
    first = shares(measure(shown(), toy(own_store, 30), store=own_store, workers=0))
    np.testing.assert_array_equal(first, shares(measure(shown(), toy(own_store, 30), store=own_store, workers=2)))
    other = shares(measure(shown(), toy(own_store, 30), store=own_store, seed=1))
    assert np.abs(first - other).max() > 0.01


def test_memory_of_the_sums_does_not_grow_with_clips_of_a_video(own_store: AssetStore) -> None:
    """Sums are kept for each resampling block, not for each clip."""
    sizes = []
    for pairs in (9, 36):
        found = measure(shown(), toy(own_store, 9, pairs=pairs), store=own_store)
        sizes.append({layer: len(parts) for layer, parts in found.sums.items()})
        assert found.pairs == pairs
    assert sizes[0] == sizes[1] == {"colour": 9, "change": 9}


def test_few_videos_give_no_interval_and_say_so(own_store: AssetStore) -> None:
    found = measure(shown(), toy(own_store, 5), store=own_store)
    assert found.layer("colour").intervals is None
    assert found.resampling == "no intervals: 5 videos, at least 8 needed"
    enough = measure(shown(), toy(own_store, 8), store=own_store)
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
        measure(shown(Answering(float("nan"))), toy(own_store, 9), store=own_store)


def test_a_layer_that_never_changes_is_named(own_store: AssetStore) -> None:
    found = measure(shown(Answering(1.0)), toy(own_store, 9), store=own_store)
    with pytest.raises(InputError, match="layer colour of counting: none of the 4 units changes"):
        found.layer("colour")
    assert found.layer("change").estimate.shares


def test_options_that_make_no_sense_are_named(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="at least 2 pairs of each factor are needed"):
        measure(shown(), toy(own_store, 9, pairs=1), store=own_store)
    with pytest.raises(InputError, match="unknown style 'styl10'; did you mean style10"):
        toy(own_store, 9, styles=["style5", "styl10"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_missing_gpu_is_said(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="no CUDA device here"):
        measure(shown(), toy(own_store, 9), store=own_store, device="cuda")


@pytest.mark.slow
def test_a_network_of_the_zoo_is_measured_by_name_with_any_number_of_threads(store: AssetStore) -> None:
    clips = studies.clips({f"clip{i}": moving_squares(16, 112, 112, seed=i) for i in range(3)}, store=store)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(shares(measure("i3d_inception", clips, store=store)))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(found[0], found[1], atol=0.01)


@pytest.mark.slow
def test_a_folder_of_videos_is_measured_and_a_replaced_video_is_not_mixed_with_the_old(
    own_store: AssetStore, video_file: Callable[..., Path]
) -> None:
    """Two parts: the video that is replaced lies in the first, and the second is the same."""
    for i in range(6):
        path = video_file(f"video{i}.mp4", frames=40, seed=i)
    options: dict[str, Any] = {"store": own_store, "workers": 0}
    clips = studies.clips(path.parent, store=own_store)
    whole = measure(shown(), clips, **options)
    assert (whole.clips, whole.resampling_unit) == (30, "video")
    with pytest.raises(KeyboardInterrupt):
        measure(shown(Counting(stop_after=66)), studies.clips(path.parent, store=own_store), **options)
    assert measure(shown(Counting()), studies.clips(path.parent, store=own_store), **options).resumed == 22
    with pytest.raises(KeyboardInterrupt):
        measure(shown(Counting(stop_after=66)), studies.clips(path.parent, store=own_store), **options)
    video_file("video0.mp4", frames=40, seed=77)
    changed = measure(shown(), studies.clips(path.parent, store=own_store), **options)
    assert changed.resumed == 0
    assert np.abs(shares(changed) - shares(whole)).max() > 1e-6


def test_sdbench_measure_takes_a_folder(
    own_store: AssetStore, video_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(own_store.folder))
    folder = video_file("one.mp4", frames=40).parent
    found = sdbench.measure(shown(), str(folder))
    assert (found.dataset, found.clips, found.protocol) == ("videos", 5, "balanced")
