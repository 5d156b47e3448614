"""Where the objects of a data set are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdbench.base.errors import InputError
from sdbench.cli import main
from sdbench.data import centre_bias, davis
from tests.made.davis import make_davis, save


def masks(data: Path, *drawn: np.ndarray) -> None:
    for place, mask in zip(sorted((data / "Annotations/480p/bear").iterdir()), drawn, strict=True):
        save(place, mask)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three masks of 24 x 40: the left half, the upper left quarter, and nothing."""
    folder = make_davis(tmp_path / "DAVIS", sequences=("bear",), frames=3, flow=False)
    left, quarter = np.zeros((2, 24, 40), np.uint8)
    left[:, :20] = quarter[:12, :20] = 255
    masks(folder, left, quarter, np.zeros((24, 40), np.uint8))
    return folder


def test_the_mean_of_the_masks_and_its_centre(data: Path) -> None:
    found = centre_bias(davis(data, flow=False))
    assert (found.sequences, found.masks, found.empty) == (1, 3, 1)
    assert found.mean.shape == (480, 854)
    np.testing.assert_allclose(found.mean[:240, :427], 2 / 3)
    np.testing.assert_allclose(found.mean[240:, :427], 1 / 3)
    assert not found.mean[:, 427:].any()
    assert found.fraction == pytest.approx(0.25)
    # 3 parts of the weight: 2 in the upper half, 1 in the lower.
    assert found.centre == pytest.approx((2 / 3 * 0.25 + 1 / 3 * 0.75, 0.25))
    small = centre_bias(davis(data, flow=False), (24, 40))
    assert small.fraction == pytest.approx(found.fraction, rel=1e-12)


def test_masks_without_an_object_have_no_centre(data: Path) -> None:
    masks(data, *np.zeros((3, 24, 40), np.uint8))
    with pytest.raises(InputError, match="none of the 3 masks of davis shows an object"):
        centre_bias(davis(data, flow=False))


def test_the_command_prints_the_numbers_and_draws_the_mean(data: Path, tmp_path: Path, capsys) -> None:
    picture, numbers = tmp_path / "mean.png", tmp_path / "mean.json"
    assert main(["centre-bias", str(data), "--picture", str(picture), "--json", str(numbers)]) == 0
    assert capsys.readouterr().out == (
        "davis: 3 masks of 1 sequences (1 of them empty); the object covers 25.0% of a frame on average; its centre of "
        "mass lies at 41.7% of the height from the top and 25.0% of the width from the left\n"
    )
    assert json.loads(numbers.read_text())["mean_object_fraction"] == pytest.approx(0.25, rel=1e-12)
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width > 600
    assert main(["centre-bias", str(tmp_path / "nowhere")]) == 1
    assert "no folder at" in capsys.readouterr().err
