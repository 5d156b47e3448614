from pathlib import Path

import numpy as np
import pytest

from sdbench import InputError
from sdbench.zoo.vos_preparation import VosPreparation, vos_preparation_for

CONFORMANCE = Path(__file__).parents[1] / "conformance"


@pytest.mark.parametrize("kind", ["image", "flow"])
def test_a_frame_is_fed_as_published(kind):
    with np.load(CONFORMANCE / "preprocessing_cases.npz") as arrays:
        prepared = VosPreparation((96, 171))(arrays[f"frame.{kind}"])
        np.testing.assert_allclose(prepared.numpy(), arrays[f"frame.{kind}.out"], atol=1e-5)


def test_a_mask_is_resized_by_nearest_neighbour():
    mask = np.zeros((120, 214), dtype=bool)
    mask[30:90, 50:150] = True
    resized = VosPreparation((60, 107)).mask(mask)
    assert resized.dtype == np.bool_
    assert resized.shape == (60, 107)
    assert resized[15:45, 25:75].all()
    assert resized.sum() == 30 * 50


def test_rtnet_takes_two_frames_and_the_others_one():
    assert vos_preparation_for("rtnet").paired
    assert vos_preparation_for("rtnet34").paired
    assert not vos_preparation_for("fusionseg").paired
    assert vos_preparation_for("matnet").size == (480, 854)


def test_another_network_is_refused():
    with pytest.raises(InputError, match="i3d is no network of video object segmentation; known: rtnet"):
        vos_preparation_for("i3d")
