"""Clips that are painted on the device of the network: by threads, with one painter, and the same numbers."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sdbench import Feed, InputError, Measurement, Network, measure, studies
from sdbench.assets import AssetStore
from sdbench.data import ArrayDataset
from sdbench.data.clip import Dataset
from sdbench.data.shots import ShotFinder
from sdbench.engine.study import DrawsOnDevice
from sdbench.networks import VideoNetwork
from sdbench.studies import ClipStudy
from sdbench.video.paint import DEFAULT_STYLES, InBatches, Painter
from tests.conftest import moving_squares

pytestmark = pytest.mark.assets

ELSEWHERE = "cpu:0"
"""Torch calls the CPU so too. This package calls it only "cpu", so that it is another device, on every machine."""

FEED = Feed(8, 32, 0.5, 0.5)


class Means(VideoNetwork):
    """Colours, and what changes from frame to frame."""

    layers = ("colour", "change")

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "colour", video
        yield "change", (video[:, :, 1:] - video[:, :, :-1]).abs()


@pytest.fixture
def own_store(store: AssetStore, tmp_path: Path) -> AssetStore:
    """A store of its own, so that nothing is painted beforehand, with the networks brought in."""
    fresh = AssetStore(tmp_path / "cache", quiet=True)
    for name in ("styles26", "transnetv2"):
        fresh.add(name, store.path(name))
    return fresh


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The device of every painter that is made."""
    devices: list[str] = []
    original = Painter.__init__

    def counted(self: Painter, model: Path, cache: Path | None = None, device: str = "cpu") -> None:
        devices.append(device)
        original(self, model, cache, device=device)

    monkeypatch.setattr(Painter, "__init__", counted)
    return devices


def measured(study: ClipStudy, store: AssetStore, device: str, workers: int) -> Measurement:
    return measure(Network(Means(), FEED, "means"), study, store=store, device=device, workers=workers)


def numbers(found: Measurement) -> np.ndarray:
    return np.array([list(found.layer(layer).estimate.shares.values()) for layer in found.layers])


@pytest.mark.slow
def test_threads_draw_what_one_draws_and_the_shots_are_found_once(
    own_store: AssetStore,
    video_file: Callable[..., Path],
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(4):
        folder = video_file(f"video{number}.mp4", frames=40, seed=number).parent
    scanned: list[Path] = []
    original = ShotFinder.scan

    def scan(self: ShotFinder, source: Path, content: str, short_side: int, square: bool) -> object:
        scanned.append(source)
        return original(self, source, content, short_side, square)

    monkeypatch.setattr(ShotFinder, "scan", scan)
    study = studies.clips(folder, store=own_store)
    by_threads = measured(study, own_store, ELSEWHERE, 3)
    assert made == [ELSEWHERE], "one painter, whichever thread asked first"
    assert len(scanned) == 4
    painted = list((own_store.folder / "painted").glob("*.safetensors"))
    assert len(painted) == 2 * 20, "each clip in two styles"
    by_one = measured(study, own_store, ELSEWHERE, 0)
    np.testing.assert_array_equal(numbers(by_threads), numbers(by_one))
    assert len(scanned) == 4, "the study knows its shots, wherever it paints"
    here = measured(study, own_store, "cpu", 0)
    assert len(list((own_store.folder / "painted").glob("*.safetensors"))) == 2 * len(painted)
    np.testing.assert_allclose(numbers(here), numbers(by_threads), atol=0.05)


def test_it_paints_where_it_is_told_to(own_store: AssetStore) -> None:
    study = studies.clips({"a": moving_squares(8, 32, 32), "b": moving_squares(8, 32, 32, seed=1)}, store=own_store)
    assert isinstance(study, DrawsOnDevice)
    there = study.on(ELSEWHERE)
    planned = there.plan(FEED, 0).samples
    assert planned == study.plan(FEED, 0).samples
    assert isinstance(there._painter()._brush, InBatches)
    for sample in planned:
        one, other = study.draw(sample, FEED)["video"], there.draw(sample, FEED)["video"]
        assert (one - other).abs().max() <= 1.01 / 255 / 0.5
    assert not isinstance(study._painter()._brush, InBatches)


def test_a_device_that_is_not_there_is_said_when_a_clip_is_drawn(own_store: AssetStore, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    clips = {f"clip{number}": moving_squares(8, 32, 32, seed=number) for number in range(2)}
    study = studies.clips(clips, store=own_store).on("cuda")
    planned = study.plan(FEED, 0).samples[0]
    with pytest.raises(InputError, match="there is no CUDA device here"):
        study.draw(planned, FEED)


def two_clips(_length: int, _side: int) -> Dataset:
    return ArrayDataset("two", {f"clip{number}": moving_squares(8, 32, 32, seed=number) for number in range(2)})


def test_a_study_travels_without_its_painter_and_paints_again(own_store: AssetStore) -> None:
    study = ClipStudy(two_clips, own_store, DEFAULT_STYLES).on(ELSEWHERE)
    planned = study.plan(FEED, 0).samples[0]
    drawn = study.draw(planned, FEED)["video"]
    arrived: ClipStudy = pickle.loads(pickle.dumps(study))
    assert arrived.device == ELSEWHERE
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(lambda _: arrived.draw(planned, FEED)["video"], range(4)))
    assert all(torch.equal(drawn, other) for other in again)
