"""A measurement warns where one video carries more than a quarter of a layer's variance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from sdbench import Feed, Measurement, Network, measure
from sdbench.assets import AssetStore
from sdbench.base.warned import SdbenchWarning
from sdbench.engine.study import About, Plan, Planned
from sdbench.engine.written import content_of
from sdbench.networks import VideoNetwork
from sdbench.report.markdown import measurement_sentence

SMALL = Feed(2, 8, 0.5, 0.5)


class Values(VideoNetwork):
    """What is shown, and the same where the lively are held back."""

    layers = ("all", "held back")

    def trace(self, video: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "all", video
        yield "held back", video.clamp(-0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class _Video(Planned):
    scale: float


class Noise:
    """Videos of noise, each as lively as it is told: two pairs of either factor a video."""

    def __init__(self, scales: Sequence[float], units: int | None = None) -> None:
        self.scales, self.units = scales, units

    def plan(self, feed: Feed, seed: int) -> Plan[_Video]:
        pairs = ((0, 1, 0), (0, 2, 1), (3, 4, 0), (3, 5, 1))
        videos = [
            _Video(name=f"video {i}", block=str(i), views=6, pairs=pairs, scale=s) for i, s in enumerate(self.scales)
        ]
        about = About(
            dataset="noise", protocol="own", unit="video", units=self.units or len(videos), clips=2 * len(videos)
        )
        return Plan(about, tuple(videos))

    def draw(self, planned: _Video, feed: Feed) -> Mapping[str, Tensor]:
        generator = torch.Generator().manual_seed(int(planned.block))
        means = torch.randn((6, 3, 1, 1, 1), generator=generator)
        return {"video": planned.scale * means.expand(6, 3, 2, 8, 8)}


def measured(scales: Sequence[float], store: AssetStore, units: int | None = None) -> Measurement:
    return measure(Network(Values(), SMALL, "values"), Noise(scales, units), store=store, workers=0)


def test_even_videos_are_not_warned_of(store: AssetStore) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SdbenchWarning)
        found = measured([1.0] * 12, store)
        few = measured([1.0] * 5 + [20.0], store)
    assert found.unevenness == few.unevenness == "", "where there is no interval there is none to warn of"
    assert not [note for note in (*found.notes, *few.notes) if "variance" in note]
    assert 1 / 12 < found.layer("all").largest_part < 0.25
    assert few.layer("all").largest_part > 0.9
    assert few.layer("all").intervals is None


def test_one_that_carries_more_than_a_quarter_is_warned_of_in_report_and_json(store: AssetStore) -> None:
    said = r"^one video carries more than a quarter of the variance in 1 of 2 layers \(most in all, \d\d %\): their int"
    with pytest.warns(SdbenchWarning, match=said):
        found = measured([1.0] * 11 + [5.0], store)
    note = found.notes[-1]
    assert note == found.unevenness
    assert note in measurement_sentence(found.as_record())
    content = content_of(found)
    assert note in content["measurement"]["notes"]
    parts = {name: layer["largest_part"] for name, layer in content["layers"].items()}
    assert parts["all"] == pytest.approx(100 * found.layer("all").largest_part, abs=0.01)
    assert f"{parts['all']:.0f} %" in note
    assert parts["all"] > 25 > parts["held back"] > 100 / 12
    np.testing.assert_allclose(found.layer("all").largest_part, 25 / 36, atol=0.15)


def test_a_block_of_several_videos_is_called_a_block(store: AssetStore) -> None:
    with pytest.warns(SdbenchWarning, match="^one resampled block carries more"):
        measured([1.0] * 11 + [5.0], store, units=500)
