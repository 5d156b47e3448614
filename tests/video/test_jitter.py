import json
from pathlib import Path

import numpy as np
import pytest

from sdbench.video.jitter import Jitter, draw_jitters

CONFORMANCE = Path(__file__).parents[1] / "conformance"
CASES = json.loads((CONFORMANCE / "preprocessing_cases.json").read_text())


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("jitter.")])
def test_every_pixel_is_the_published_one(case):
    about = CASES[case]
    jitter = Jitter(about["hue_shift"], about["saturation_factor"], about["order"] == "hue first")
    with np.load(CONFORMANCE / "preprocessing_cases.npz") as arrays:
        moved = jitter(arrays["frame.flow"])
        assert np.abs(moved.astype(int) - arrays[case]).max() <= 1


def test_draws_lie_in_the_published_ranges_and_follow_the_seed():
    drawn = [jitter for seed in range(400) for jitter in draw_jitters(2, np.random.default_rng(seed))]
    assert all(-0.5 <= jitter.hue <= 0.5 and 0 <= jitter.saturation <= 2 for jitter in drawn)
    assert min(jitter.hue for jitter in drawn) < -0.4
    assert max(jitter.hue for jitter in drawn) > 0.4
    assert min(jitter.saturation for jitter in drawn) < 0.1
    assert max(jitter.saturation for jitter in drawn) > 1.9
    assert 0.4 < np.mean([jitter.hue_first for jitter in drawn]) < 0.6
    assert draw_jitters(2, np.random.default_rng(3)) == draw_jitters(2, np.random.default_rng(3))


def test_two_pictures_of_a_frame_are_moved_independently():
    first, second = draw_jitters(2, np.random.default_rng(0))
    assert first.hue != second.hue
    assert first.saturation != second.saturation
