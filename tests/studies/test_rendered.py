"""Rendered scenes as a data set, for every kind of network of the suite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.data.segmentation import SegmentationDataset
from sdbench.measure_rendered import (
    as_frame_pairs,
    as_image_and_flow,
    as_slow_and_fast,
    as_video,
    measure_rendered,
)
from sdbench.networks.reading import VideoNetwork
from sdbench.studies.rendered import STYLES, RenderedSequences, RenderedVideos


def videos(scenes: int = 10, seed: int = 0, **options) -> RenderedVideos:
    given = {"size": (24, 32), "frames": 4, "textures": ("noise", "checks"), **options}
    return RenderedVideos(scenes, np.random.default_rng(seed), **given)


def draw(flow: np.ndarray) -> np.ndarray:
    return np.clip(128 + 20 * np.concatenate([flow, flow[..., :1]], axis=-1), 0, 255).astype(np.uint8)


class Means(VideoNetwork):
    """Answers the mean colour of each of its inputs."""

    layers = ("means",)

    def trace(self, **inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
        self.shapes = {name: tuple(value.shape) for name, value in inputs.items()}
        yield "means", torch.cat([value.flatten(2).mean(dim=2) for value in inputs.values()], dim=1)


@pytest.fixture
def store(tmp_path) -> AssetStore:
    return AssetStore(tmp_path, quiet=True)


def test_scenes_are_the_same_whenever_they_are_asked_for() -> None:
    a, b, other = videos(), videos(), videos(seed=1)
    assert a.identity == b.identity != other.identity
    np.testing.assert_array_equal(b.clip(b.scene(7), 1, 1).frames, a.clip(a.scene(7), 1, 1).frames)
    assert (a.clip(a.scene(7)).frames != other.clip(other.scene(7)).frames).any()


def test_the_four_clips_of_a_scene_are_crossed() -> None:
    data = videos(motions=("sprite",))
    scene = data.scene(0)
    clips = {(a, m): data.clip(scene, a, m) for a in (0, 1) for m in (0, 1)}
    for motion in (0, 1):
        np.testing.assert_array_equal(clips[0, motion].masks, clips[1, motion].masks)
        np.testing.assert_array_equal(clips[0, motion].flow(1), clips[1, motion].flow(1))
    for appearance in (0, 1):
        np.testing.assert_array_equal(clips[appearance, 0].frames[0], clips[appearance, 1].frames[0])
    assert (clips[0, 0].flow(1) != clips[0, 1].flow(1)).any()


@pytest.mark.parametrize(
    ("prepare", "shapes"),
    [
        (as_video(), {"video": (9, 3, 4, 24, 32)}),
        (as_slow_and_fast(2), {"slow": (9, 3, 2, 24, 32), "fast": (9, 3, 4, 24, 32)}),
        (as_image_and_flow(draw), {"image": (9, 3, 24, 32), "flow": (9, 3, 24, 32)}),
    ],
)
def test_every_kind_of_network_is_fed(prepare, shapes, store) -> None:
    network = Means()
    found = measure_rendered(network, videos(12), prepare, store=store)
    assert {name: shape[1:] for name, shape in network.shapes.items()} == {n: s[1:] for n, s in shapes.items()}
    assert found.resampling_units == 12
    assert len(found.sums["means"]) == 12
    rows = 3 if "image" in shapes else 1
    assert found.layer("means").estimate.pairs == {"dynamic": 12 * rows, "static": 12 * rows}
    assert found.layer("means").intervals is not None
    assert found.layer("means").estimate.unit_scores["static"][0] > 0.9  # mean colour is appearance


def test_an_interrupted_measurement_goes_on(store) -> None:
    class Interrupted(Means):
        left = 2

        def trace(self, **inputs: Tensor) -> Iterator[tuple[str, Tensor]]:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield from super().trace(**inputs)

    network = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        measure_rendered(network, videos(), as_video(), store=store)
    network.left = 100
    found = measure_rendered(network, videos(), as_video(), store=store)
    assert found.resumed > 0
    whole = measure_rendered(Interrupted(), videos(2), as_video(), store=store, name="two")
    assert whole.resumed == 0
    network.left = 100
    again = measure_rendered(network, videos(), as_video(), store=store)
    assert again.layer("means").estimate.shares == found.layer("means").estimate.shares


def test_as_a_data_set_of_segmented_videos() -> None:
    data = videos(3, motions=("sprite", "dots"))
    found: SegmentationDataset = RenderedSequences(data, draw)
    assert [len(sequence.frames) for sequence in found.sequences] == [4, 4, 4]
    sequence = found.sequences[1]
    clip = data.clip(data.scene(1))
    np.testing.assert_array_equal(found.image(sequence, 2), clip.frames[2])
    np.testing.assert_array_equal(found.image(sequence, 2, STYLES[1]), data.clip(data.scene(1), 1).frames[2])
    np.testing.assert_array_equal(found.flow(sequence, 2), draw(clip.flow(2)))
    np.testing.assert_array_equal(found.flow(sequence, 2, backward=True), draw(clip.flow(2, 1)))
    np.testing.assert_array_equal(found.mask(sequence, 2), clip.masks[2])
    with pytest.raises(InputError, match="unknown style 'appearance7'"):
        found.image(sequence, 0, "appearance7")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scenes": 0}, "at least 1 scene"),
        ({"size": (8, 32)}, "8 x 32 pixels"),
        ({"frames": 1}, "1 frames"),
        ({"textures": ()}, "at least one texture is needed"),
        ({"textures": ("noise", "wood")}, "unknown texture 'wood'"),
        ({"motions": ("spin",)}, "unknown motion 'spin'"),
    ],
)
def test_bad_input_is_named(options, said: str) -> None:
    with pytest.raises(InputError, match=said):
        videos(**options)


def test_too_few_scenes_and_frames_that_do_not_divide_are_named(store) -> None:
    with pytest.raises(InputError, match="at least 2 scenes"):
        measure_rendered(Means(), videos(1), as_video(), store=store)
    with pytest.raises(InputError, match="clips of 4 frames; got 3"):
        measure_rendered(Means(), videos(3, frames=3), as_frame_pairs(draw), store=store)
    with pytest.raises(InputError, match="a multiple of 3 frames; got 4"):
        measure_rendered(Means(), videos(3), as_slow_and_fast(3), store=store)


def test_pairs_of_frames_have_flow_both_ways() -> None:
    data = videos(1, frames=5)
    clip = data.clip(data.scene(0))
    inputs = as_frame_pairs(draw, (0, 0, 0), (1 / 255,) * 3)(clip)
    assert {name: tuple(value.shape) for name, value in inputs.items()} == {
        "image": (2, 2, 3, 24, 32),
        "flow": (2, 2, 6, 24, 32),
    }
    as_picture = inputs["flow"][0, 1].permute(1, 2, 0).round().numpy()
    np.testing.assert_array_equal(as_picture[..., :3], draw(clip.flow(2)))
    np.testing.assert_array_equal(as_picture[..., 3:], draw(clip.flow(2, 1)))
    np.testing.assert_array_equal(inputs["image"][1, 0].permute(1, 2, 0).round().numpy(), clip.frames[2])
