"""What a checkpoint is fed is what its file of preprocessing says, to the number."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdbench import AssetError, Feed, InputError
from sdbench.zoo.adapters.hidden_states import FAMILIES
from sdbench.zoo.adapters.hugging_face_feed import feed_of
from sdbench.zoo.asked import Asked

CONFIGS = {
    "clip": SimpleNamespace(image_size=224, patch_size=16),
    "dinov2": SimpleNamespace(image_size=518, patch_size=14),
    "dinov3_vit": SimpleNamespace(image_size=224, patch_size=16),
    "siglip": SimpleNamespace(image_size=224, patch_size=16),
    "timesformer": SimpleNamespace(image_size=224, patch_size=16, num_frames=8),
    "videomae": SimpleNamespace(image_size=224, patch_size=16, num_frames=16, tubelet_size=2),
    "videoprism": SimpleNamespace(image_size=288, num_frames=16, tubelet_size=[1, 18, 18]),
    "vivit": SimpleNamespace(image_size=224, num_frames=32, tubelet_size=[2, 16, 16]),
    "vjepa2": SimpleNamespace(crop_size=256, patch_size=16, frames_per_clip=64, tubelet_size=2),
    "xclip": SimpleNamespace(image_size=224, patch_size=32, num_frames=8),
}

COLOURS = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
FILE = {
    **COLOURS,
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}


def fed(
    folder: Path, file: dict[str, Any], kind: str = "videomae", name: str = "preprocessor_config.json", **asked: Any
) -> Feed:
    (folder / name).write_text(json.dumps(file))
    return feed_of(folder, FAMILIES[kind], CONFIGS[kind], Asked(feed=asked))


def shown(feed: Feed, pixels: np.ndarray) -> np.ndarray:
    """The colours (3, H, W) of the first frame that the network sees."""
    (clips,) = feed(np.stack([pixels] * feed.frames)).values()
    return clips[0, 0].numpy()


@pytest.mark.parametrize(
    ("kind", "file", "expected"),
    [
        (
            "videomae",
            FILE,
            {"frames": 16, "size": 224, "short_side": 224, "fit": "crop", "resample": "area"}
            | {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "argument": "pixel_values"},
        ),
        (
            "vjepa2",
            {**FILE, "size": {"shortest_edge": 292}, "crop_size": {"height": 256, "width": 256}},
            {"frames": 64, "size": 256, "short_side": 292, "argument": "pixel_values_videos"},
        ),
        (
            "vjepa2",
            {**FILE, "size": {"shortest_edge": 292}, "crop_size": 256},
            {"frames": 64, "size": 256, "short_side": 292},
        ),
        (
            "videoprism",
            {"do_normalize": False, "do_resize": True, "resample": 3, "size": {"height": 288, "width": 288}},
            {"size": 288, "short_side": None, "fit": "stretch", "resample": "bicubic", "mean": (0.0,) * 3}
            | {"std": (1.0,) * 3, "frames": 16},
        ),
        (
            "siglip",
            {"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
            | {"size": {"height": 224, "width": 224}},
            {"frames": 8, "size": 224, "fit": "stretch", "short_side": None, "resample": "bicubic"},
        ),
        ("xclip", {**FILE, "size": 224, "crop_size": 224}, {"frames": 8, "size": 224, "short_side": 224}),
        (
            "dinov2",
            {**FILE, "size": {"shortest_edge": 256}, "resample": 3},
            {"frames": 8, "size": 224, "short_side": 256, "fit": "crop", "resample": "bicubic"},
        ),
        (
            "dinov3_vit",
            {**FILE, "do_center_crop": None, "crop_size": None, "size": {"height": 224, "width": 224}},
            {"frames": 8, "size": 224, "fit": "stretch"},
        ),
        (
            "clip",
            {**COLOURS, "crop_size": 224, "do_center_crop": True, "do_resize": True, "resample": 3, "size": 224},
            {"size": 224, "short_side": 224, "fit": "crop", "mean": (0.485, 0.456, 0.406)},
        ),
        ("clip", {**COLOURS, "do_resize": True, "resample": 3, "size": 224}, {"size": 224, "fit": "stretch"}),
        ("timesformer", {**FILE, "image_mean": 0.45, "image_std": 0.225}, {"mean": (0.45,) * 3, "std": (0.225,) * 3}),
    ],
)
def test_a_file_is_read_to_the_number(
    kind: str, file: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    feed = fed(tmp_path, file, kind)
    assert feed.order == "BTCHW"
    assert {name: getattr(feed, name) for name in expected} == expected


PIXELS = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("kind", "file", "colours"),
    [
        ("videomae", FILE, lambda x: (x / 255 - COLOURS["image_mean"]) / COLOURS["image_std"]),
        ("videomae", {**FILE, "do_normalize": False}, lambda x: x / 255),
        ("videomae", {**FILE, "do_rescale": False}, lambda x: (x - COLOURS["image_mean"]) / COLOURS["image_std"]),
        ("videomae", {**FILE, "do_rescale": False, "do_normalize": False}, lambda x: x),
        ("videomae", {**FILE, "rescale_factor": 0.01, "do_normalize": False}, lambda x: x * 0.01),
        (
            "vivit",
            {**FILE, "offset": True, "rescale_factor": 0.00784313725490196, "do_normalize": False},
            lambda x: x / 127.5 - 1,
        ),
        ("vivit", {**FILE, "rescale_factor": 1 / 127.5, "do_normalize": False}, lambda x: x / 127.5 - 1),
        (
            "vivit",
            {**FILE, "offset": True, "rescale_factor": 1 / 127.5, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            lambda x: (x / 127.5 - 1 - 0.5) / 0.5,
        ),
        (
            "vivit",
            {**FILE, "offset": False, "rescale_factor": 1 / 255},
            lambda x: (x / 255 - COLOURS["image_mean"]) / COLOURS["image_std"],
        ),
    ],
)
def test_bytes_become_what_the_file_says(kind: str, file: dict[str, Any], colours: Any, tmp_path: Path) -> None:
    feed = fed(tmp_path, {**file, "size": {"shortest_edge": 224}}, kind)
    expected = np.asarray(colours(PIXELS.astype(np.float64))).transpose(2, 0, 1)
    np.testing.assert_allclose(shown(feed, PIXELS), expected, atol=2e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize(("number", "how"), [(2, Image.Resampling.BILINEAR), (3, Image.Resampling.BICUBIC)])
def test_frames_are_resized_and_cropped_as_pillow_does(number: int, how: Image.Resampling, tmp_path: Path) -> None:
    wide = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    file = {**FILE, "resample": number, "size": {"shortest_edge": 240}, "do_normalize": False}
    resized = np.asarray(Image.fromarray(wide).resize((320, 240), how))
    expected = resized[8 : 8 + 224, 48 : 48 + 224].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(shown(fed(tmp_path, file), wide), expected, atol=1e-6)
    squeezed = {**file, "size": {"height": 224, "width": 224}, "do_center_crop": False}
    expected = np.asarray(Image.fromarray(wide).resize((224, 224), how)).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(shown(fed(tmp_path, squeezed), wide), expected, atol=1e-6)


def test_the_file_of_videos_goes_before_that_of_images(tmp_path: Path) -> None:
    nested = {"image_processor": {**FILE, "resample": 3}, "processor_class": "CLIPProcessor"}
    assert fed(tmp_path, nested, name="processor_config.json").resample == "bicubic"
    fed(tmp_path, FILE)
    assert feed_of(tmp_path, FAMILIES["videomae"], CONFIGS["videomae"], Asked()).resample == "area"
    video = {**FILE, "resample": 3}
    assert fed(tmp_path, video, name="video_preprocessor_config.json").resample == "bicubic"


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in FILE.items() if name not in names}


@pytest.mark.parametrize(
    ("kind", "file", "sentence", "given"),
    [
        ("videomae", without("resample"), "has no resample.*give --resample", {"resample": "area"}),
        ("videomae", {**FILE, "resample": 1}, "has resample 1; known are 2", {"resample": "bicubic"}),
        ("videomae", without("image_mean"), "has no image_mean.*give --mean", {"mean": 0.5}),
        ("videomae", without("image_std"), "has no image_std.*give --std", {"std": 0.5}),
        ("videomae", {**FILE, "image_std": [1, 2]}, "has no image_std of one number or three", {"std": 0.5}),
        (
            "videomae",
            without("image_mean", "image_std", "do_normalize"),
            "neither do_normalize nor image_mean and image_std",
            {"mean": 0.5, "std": 0.5},
        ),
        ("videomae", without("size"), r"says no size that is known here \(got None\); give --size", {"size": 224}),
        ("videomae", {**FILE, "size": {"max_pixels": 9}}, "says no size that is known here", {"size": 224}),
        ("videomae", without("crop_size"), "crops the middle, but has no crop_size; give --size", {"size": 224}),
        ("videomae", {**FILE, "do_center_crop": False}, "keeps the shape of frames", {"size": 224}),
        ("videomae", {**FILE, "crop_pct": 0.875}, "has a crop_pct, by which", {"size": 224}),
        ("videomae", {**FILE, "do_resize": False}, "does not resize frames", {"size": 224}),
        ("videomae", {**FILE, "size": {"shortest_edge": 200}}, "pads with black", {"size": 224}),
        ("videomae", {**FILE, "size": {"height": 256, "width": 256}}, "squeezes frames to", {"size": 224}),
        ("vivit", without("rescale_factor"), "no rescale_factor, which decides", {"mean": 0.5, "std": 0.5}),
        ("vivit", FILE, "no offset, which decides", {"mean": 0.5, "std": 0.5}),
    ],
)
def test_what_decides_a_number_and_is_missing_is_asked_for(
    kind: str, file: dict[str, Any], sentence: str, given: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        fed(tmp_path, file, kind)
    feed = fed(tmp_path, file, kind, **given)
    assert {name: getattr(feed, name) for name in given} == given


def test_a_step_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a step of preprocessing that is not known here, do_flip_channel_order"):
        fed(tmp_path, {**FILE, "do_flip_channel_order": True})
    assert fed(tmp_path, {**FILE, "do_flip_channel_order": False, "do_convert_rgb": True}).size == 224


def test_without_a_file_all_of_it_is_asked_for(tmp_path: Path) -> None:
    family, config = FAMILIES["videomae"], CONFIGS["videomae"]
    with pytest.raises(InputError, match=r"the checkpoint has no video_preprocessor_config.json, .*give --size"):
        feed_of(tmp_path, family, config, Asked())
    with pytest.raises(InputError, match="give --std"):
        feed_of(tmp_path, family, config, Asked(feed={"size": 224, "mean": 0.5, "resample": "area"}))
    given = {"size": 224, "mean": 0.5, "std": 0.5, "resample": "area"}
    assert feed_of(tmp_path, family, config, Asked(feed=given)) == Feed(
        frames=16, size=224, mean=0.5, std=0.5, order="BTCHW", argument="pixel_values"
    )


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(AssetError, match=r"preprocessor_config\.json is no JSON"):
        feed_of(tmp_path, FAMILIES["videomae"], CONFIGS["videomae"], Asked())


def test_the_shorter_side_goes_along_with_the_size(tmp_path: Path) -> None:
    file = {**FILE, "size": {"shortest_edge": 256}}
    assert fed(tmp_path, file, "dinov2").short_side == 256
    larger = fed(tmp_path, file, "dinov2", size=448)
    assert (larger.size, larger.short_side) == (448, 512)
    assert fed(tmp_path, file, "dinov2", size=448, short_side=480).short_side == 480
    assert fed(tmp_path, file, "dinov2", size=[224, 448]).height_and_width == (224, 448)


@pytest.mark.parametrize("name", ["order", "argument", "alpha", "flow"])
def test_what_the_family_tells_is_not_asked_for(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{name} says nothing of a checkpoint"):
        fed(tmp_path, FILE, **{name: "BCTHW"})


def test_what_does_not_fit_the_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="positions for 16 frames; got 8"):
        fed(tmp_path, FILE, frames=8)
    with pytest.raises(InputError, match="unknown field of a feed"):
        fed(tmp_path, FILE, framse=8)
    smaller = {**FILE, "size": {"shortest_edge": 128}, "crop_size": {"height": 112, "width": 112}}
    with pytest.raises(InputError, match="positions for 224 x 224 pixels; got 112 x 112: feed it --size 224x224"):
        fed(tmp_path, smaller)
    assert fed(tmp_path, smaller, size=224).short_side == 256
