"""Frame choice and transform against the numbers of the published code."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.networks.registry import network_names
from sdbench.video.transform import evenly_spaced, resized, transform, window
from sdbench.zoo.action_preparation import ActionPreparation, preparation_for
from tests.conftest import CONFORMANCE, moving_squares

CASES = json.loads((CONFORMANCE / "preprocessing_cases.json").read_text())
NETWORKS = {
    "clip.c2d": ("c2d", "video"),
    "clip.x3d_s": ("x3d_s", "video"),
    "clip.mvit": ("mvit_b_16x4", "video"),
    "clip.timesformer": ("timesformer_8x32", "video"),
    "clip.slowfast": ("slowfast_r50_8x8", "slow"),
    "clip.slowfast.fast": ("slowfast_r50_8x8", "fast"),
}


def test_every_case_of_a_clip_is_held() -> None:
    assert {name for name in CASES if name.startswith("clip.")} == set(NETWORKS)


@pytest.mark.parametrize("case", NETWORKS)
def test_the_transform_agrees_with_the_published_code(case: str) -> None:
    with np.load(CONFORMANCE / "preprocessing_cases.npz") as arrays:
        frames = arrays["clip.input"].transpose(1, 2, 3, 0)
        index, expected = arrays[f"{case}.index"], arrays[f"{case}.value"]
    network, name = NETWORKS[case]
    preparation = preparation_for(network)
    chosen = evenly_spaced(preparation.inputs[name], len(frames))
    if preparation.window == len(frames):
        assert chosen == preparation.choose()[name]
    answer = preparation(frames[list(chosen)]).numpy()
    assert list(answer.shape) == CASES[case]["shape"]
    np.testing.assert_allclose(answer[tuple(index)], expected, atol=1e-5, rtol=0)
    assert answer.mean(dtype=np.float64) == pytest.approx(CASES[case]["mean"], abs=1e-5)
    assert answer.std(dtype=np.float64) == pytest.approx(CASES[case]["std"], abs=1e-5)


def test_frames_are_evenly_spaced_and_cut_down() -> None:
    assert evenly_spaced(8, 64) == (0, 9, 18, 27, 36, 45, 54, 63)
    assert evenly_spaced(4, 48) == (0, 15, 31, 47)
    assert evenly_spaced(1, 64) == (0,)
    with pytest.raises(InputError, match="got 4 of 0"):
        evenly_spaced(4, 0)


def test_a_window_repeats_what_is_left_of_the_video() -> None:
    assert window(3, 4, 20) == (3, 4, 5, 6)
    assert window(17, 7, 20) == (17, 18, 19, 17, 18, 19, 17)
    with pytest.raises(InputError, match="cannot start at frame 20 of a video of 20"):
        window(20, 4, 20)


def test_the_longer_side_is_cut_down() -> None:
    assert resized(90, 120, 256) == (256, 341)
    assert resized(120, 90, 256) == (341, 256)
    assert resized(64, 64, 182) == (182, 182)


def test_frames_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="expected uint8 frames"):
        transform(moving_squares(2).astype(np.float32), 32, 32)
    with pytest.raises(InputError, match="cannot give crops of 40"):
        transform(moving_squares(2), 32, 40)


def test_windows_and_inputs_of_the_networks() -> None:
    windows = {
        name: preparation_for(name).window
        for name in network_names()
        if name not in ("i3d_inception", "transnetv2", "fusionseg", "matnet", "rtnet", "rtnet34")
    }
    special = {"x3d_xs": 48, "x3d_s": 78, "x3d_m": 80, "x3d_l": 80, "timesformer_8x32": 256, "timesformer_16x8": 128}
    assert windows == {name: special.get(name, 64) for name in windows}
    assert preparation_for("slowfast_r50_4x16").inputs == {"slow": 4, "fast": 32}
    assert preparation_for("slowfast_r50_16x8").inputs == {"slow": 16, "fast": 64}
    with pytest.raises(InputError, match=r"unknown action network of the paper 'x3d_xl'; did you mean x3d_l"):
        preparation_for("x3d_xl")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((8, 8, 64, 200, 256), "does not fit"), ((0, 8, 64, 256, 256), "positive"), ((30, 2, 64, 8, 8, 4), "alpha 4")],
)
def test_preparations_that_make_no_sense_are_refused(numbers: tuple[int, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ActionPreparation(*numbers)
