"""Clips that are arrays."""

from __future__ import annotations

import numpy as np
import pytest

from sdbench.base.errors import InputError
from sdbench.data import ArrayDataset, Dataset
from tests.conftest import moving_squares


def test_arrays_are_clips() -> None:
    found: Dataset = ArrayDataset("toy", {"a": moving_squares(16), "b": moving_squares(16, seed=1).astype(np.float32)})
    assert [clip.video for clip in found.clips] == ["a", "b"]
    np.testing.assert_array_equal(found.read(found.clips[1]), moving_squares(16, seed=1))
    np.testing.assert_array_equal(found.read(found.clips[0]), moving_squares(16))


def test_the_digest_follows_the_frames() -> None:
    frames = moving_squares(16)
    changed = frames.copy()
    changed[3, 2, 1, 0] ^= 1
    given = {"a": frames, "b": changed, "c": frames.astype(np.float32), "d": frames.reshape(16, 64, 48, 3)}
    found = ArrayDataset("toy", given)
    assert found.digest_of("a") == found.digest_of("c")
    assert len({found.digest_of(name) for name in "abd"}) == 3


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (moving_squares(16)[..., 0], "has shape"),
        (np.zeros((16, 32, 32, 3), np.uint8), "clip 'a' carries no information"),
        (moving_squares(16).astype(np.float32) * 2, "expected 0 to 255"),
        (np.where(moving_squares(16) == 0, np.nan, 1.0), "clip 'a' has a value that is NaN"),
    ],
)
def test_arrays_that_are_no_clips_are_named(frames: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ArrayDataset("toy", {"a": frames})
