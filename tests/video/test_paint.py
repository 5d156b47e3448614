"""Painting with the packaged styles."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sdbench.assets import AssetStore
from sdbench.base.errors import AssetError, InputError
from sdbench.video import paint
from sdbench.video.paint import DEFAULT_STYLES, STYLES, Painter, check_styles
from tests.conftest import moving_squares

CLIP = moving_squares(4, 32, 40)

ELSEWHERE = "cpu:0"
"""Torch calls the CPU so too. This package calls it only "cpu", so that it is another device, on every machine."""


def test_styles_are_checked_by_name() -> None:
    assert check_styles(DEFAULT_STYLES) == DEFAULT_STYLES
    with pytest.raises(InputError, match="unknown style 'stile5'; did you mean style5"):
        check_styles(["stile5", "style1"])
    with pytest.raises(InputError, match="each style may be named once"):
        check_styles(["style5", "style5"])
    with pytest.raises(InputError, match="needs two styles; got 1"):
        check_styles(["style5"])


def test_painted_values_are_rounded_to_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def __init__(self, *_given: object, **_options: object) -> None: ...

        def run(self, _names: object, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            assert np.flatnonzero(given["style_weights"]).tolist() == [3]
            return [given["image"] + np.float32(0.6 / 255)]

    monkeypatch.setattr("onnxruntime.InferenceSession", Session)
    frames = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    frames[..., 1], frames[..., 2] = 100, 255
    (painted,) = paint.FrameByFrame(b"", "none", threads=1).paint(frames, [3])
    np.testing.assert_array_equal(painted[0, 0], [1, 101, 255])


def test_a_damaged_style_network_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(AssetError, match="cannot be read as an ONNX network"):
        Painter(tmp_path / "x.onnx")


@pytest.mark.assets
class TestPainter:
    @pytest.fixture
    def model(self, store: AssetStore) -> Path:
        return store.path("styles26")

    def test_every_style_paints_another_picture_of_the_same_scene(self, model: Path) -> None:
        painter = Painter(model)
        painted = [painter.paint(CLIP, style) for style in DEFAULT_STYLES]
        for picture in painted:
            assert picture.shape == CLIP.shape
            assert picture.dtype == np.uint8
            assert 40 < picture.mean() < 230, "fed with 0..1 the network answers neither black nor white"
        assert all(np.abs(painted[0].astype(int) - other).mean() > 10 for other in painted[1:])

    def test_the_number_of_threads_does_not_matter(self, model: Path) -> None:
        one, two = (Painter(model, threads=threads).paint(CLIP, "style5") for threads in (1, 2))
        np.testing.assert_array_equal(one, two)

    def test_what_was_painted_is_kept_by_content(self, model: Path, tmp_path: Path) -> None:
        first = Painter(model, tmp_path)
        painted = first.paint(CLIP, "style5")
        assert first.painted == len(CLIP)
        second = Painter(model, tmp_path)
        np.testing.assert_array_equal(second.paint(CLIP, "style5"), painted)
        assert second.painted == 0
        second.paint(CLIP[::-1], "style5")
        second.paint(CLIP, "style10")
        assert second.painted == 2 * len(CLIP), "other frames or another style are painted"

    @pytest.mark.parametrize("keep", [0, 60, 1000])
    def test_a_half_written_clip_is_painted_again(self, model: Path, tmp_path: Path, keep: int) -> None:
        painted = Painter(model, tmp_path).paint(CLIP, "style5")
        (kept,) = tmp_path.rglob("*.safetensors")
        kept.write_bytes(kept.read_bytes()[:keep])
        again = Painter(model, tmp_path)
        np.testing.assert_array_equal(again.paint(CLIP, "style5"), painted)
        assert again.painted == len(CLIP)

    def test_a_failed_painting_is_refused_by_name(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        painter = Painter(model)
        monkeypatch.setattr(painter._brush, "paint", lambda frames, styles: np.zeros_like(frames))
        with pytest.raises(InputError, match=r"clip 7, painted in style5, carries no information"):
            painter.paint(CLIP, "style5", "clip 7")

    def test_clips_that_were_kept_before_are_still_found(self, model: Path, tmp_path: Path) -> None:
        Painter(model, tmp_path).paint(CLIP, "style5")
        (kept,) = tmp_path.rglob("*.safetensors")
        network, clip = (hashlib.sha256(content).hexdigest() for content in (model.read_bytes(), CLIP.tobytes()))
        decisive = ("painted", network, "style5", CLIP.shape, clip)
        assert kept.stem == hashlib.sha256(repr(decisive).encode()).hexdigest()

    def test_another_device_paints_the_same_within_a_grey_level_and_keeps_it_apart(
        self, model: Path, tmp_path: Path
    ) -> None:
        there = Painter(model, tmp_path, device=ELSEWHERE)
        painted = there.paint(CLIP, "style5")
        here = Painter(model, tmp_path)
        assert np.abs(here.paint(CLIP, "style5").astype(int) - painted).max() <= 1
        assert (here.painted, there.painted) == (len(CLIP), len(CLIP))
        assert len(list(tmp_path.rglob("*.safetensors"))) == 2
        again = Painter(model, tmp_path, device=ELSEWHERE)
        np.testing.assert_array_equal(again.paint(CLIP, "style5"), painted)
        assert again.painted == 0

    @pytest.mark.parametrize("device", ["cpu", ELSEWHERE])
    def test_threads_share_a_painter(self, model: Path, device: str) -> None:
        painter = Painter(model, device=device)
        clips = [moving_squares(3, 32, 40, seed=seed) for seed in range(8)]
        expected = [painter.paint(clip, "style5") for clip in clips]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda clip: painter.paint(clip, "style5"), clips))
        np.testing.assert_array_equal(found, expected)
        assert painter.painted == 2 * 3 * 8

    @pytest.mark.parametrize("device", ["cpu", ELSEWHERE])
    def test_a_frame_is_painted_in_several_styles(self, model: Path, device: str) -> None:
        painter = Painter(model, device=device)
        painted = list(painter.paint_frame(CLIP[0], DEFAULT_STYLES))
        assert painter.painted == len(painted) == 4
        for picture, style in zip(painted, DEFAULT_STYLES, strict=True):
            assert np.abs(picture.astype(int) - painter.paint(CLIP, style)[0]).max() <= 1
        with pytest.raises(InputError, match="unknown style 'style26'"):
            list(painter.paint_frame(CLIP[0], ["style5", "style26"]))

    def test_sizes_and_types_that_do_not_fit_are_named(self, model: Path) -> None:
        painter = Painter(model)
        with pytest.raises(InputError, match="needs multiples of 4"):
            painter.paint(moving_squares(2, 30, 40), "style5")
        with pytest.raises(InputError, match="has 8 x 4 pixels; the style network needs multiples of 4, from 8 on"):
            painter.paint(CLIP[:, :4, :8], "style5")
        with pytest.raises(InputError, match="must be uint8 frames"):
            painter.paint(CLIP.astype(np.float32), "style5")
        with pytest.raises(InputError, match="unknown style"):
            painter.paint(CLIP, "style26")


def test_there_are_26_styles() -> None:
    assert len(STYLES) == 26
