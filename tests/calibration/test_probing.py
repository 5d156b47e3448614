"""Linear probes: right on what is linear, at chance on noise, and what they read from stored networks."""

from __future__ import annotations

import numpy as np
import pytest

from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.calibration.probing import draw_labelled, fit_probe, halves, probed_right
from sdbench.calibration.tasks import unseen_textures
from sdbench.calibration.trained import KINDS, load_trained

CLASSES = 4


def labelled(generator: np.random.Generator, count: int, units: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors whose first four units say the class, the further `apart` the better; the others are noise."""
    labels = generator.integers(0, CLASSES, count)
    values = generator.standard_normal((count, units))
    values[:, :CLASSES] += apart * np.eye(CLASSES)[labels]
    return values, labels


def test_a_probe_reads_what_is_there() -> None:
    generator = generator_for(0, "probe")
    probe = fit_probe(*labelled(generator, 400, 20, 8.0), CLASSES)
    values, labels = labelled(generator, 400, 20, 8.0)
    assert (probe.answer(values) == labels).mean() > 0.99
    assert (probe.answer(0.01 * values - 5) == labels).mean() < 0.6, "it is of the units as they were fitted"
    scaled = fit_probe(1e4 * values + 7, labels, CLASSES)
    assert (scaled.answer(1e4 * values + 7) == labels).mean() > 0.99


def test_a_probe_is_at_chance_on_noise() -> None:
    generator = generator_for(1, "probe")
    probe = fit_probe(*labelled(generator, 300, 250, 0.0), CLASSES)
    values, labels = labelled(generator, 2000, 250, 0.0)
    assert (probe.answer(values) == labels).mean() == pytest.approx(0.25, abs=0.04)


def test_more_units_than_vectors_are_held_back() -> None:
    generator = generator_for(2, "probe")
    probe = fit_probe(*labelled(generator, 120, 200, 4.0), CLASSES)
    values, labels = labelled(generator, 1000, 200, 4.0)
    assert (probe.answer(values) == labels).mean() > 0.7


def test_a_unit_that_never_changes_says_nothing() -> None:
    generator = generator_for(3, "probe")
    values, labels = labelled(generator, 200, 6, 8.0)
    with_dead = np.column_stack([values, np.full(200, 3.0)])
    one, other = fit_probe(values, labels, CLASSES), fit_probe(with_dead, labels, CLASSES)
    np.testing.assert_allclose(other.weights[:-1], one.weights, atol=1e-12)
    assert not other.weights[-1].any()


def test_halves_have_no_texture_in_common_and_all_kinds() -> None:
    pool = unseen_textures()
    first, second = halves(pool)
    assert len(first.kinds) + len(second.kinds) == len(pool.kinds)
    np.testing.assert_array_equal(first.kinds, second.kinds)
    assert not {picture.tobytes() for picture in first.pictures} & {picture.tobytes() for picture in second.pictures}
    kind = KINDS["calibration_resnet3d"]
    _, labels = draw_labelled(kind, second, 400, generator_for(0, "labels"))
    counts = np.histogram2d(labels["motion"], labels["appearance"], bins=4)[0]
    assert counts.min() > 8, "independent, and of all classes"


def test_stored_networks_tell_what_they_were_trained_on() -> None:
    name = "calibration_resnet3d"
    kind = KINDS[name]
    found = {
        task: probed_right(kind, load_trained(name, task, 0), ["stage5"], 256, 128, generator_for(0, "probes"))[
            "stage5"
        ]
        for task in ("motion", "texture")
    }
    assert found["motion"]["motion"].mean() > 0.85
    assert found["texture"]["appearance"].mean() > 0.8
    assert found["texture"]["motion"].mean() < 0.45


def test_a_network_that_answers_two_frames_is_probed_on_both() -> None:
    name = "calibration_rtnet"
    module = load_trained(name, "camouflaged", 0)
    right = probed_right(KINDS[name], module, ["fusion.layer2"], 40, 24, generator_for(0, "probes"))
    assert {factor: values.shape for factor, values in right["fusion.layer2"].items()} == {
        "motion": (24,),
        "appearance": (24,),
    }
    assert set(np.unique(np.concatenate(list(right["fusion.layer2"].values())))) <= {0.0, 0.5, 1.0}


@pytest.mark.parametrize(
    ("values", "labels", "said"),
    [
        (np.zeros((4, 2)), [0, 1, 2], r"got \(4, 2\) and \(3,\)"),
        (np.zeros((2, 2)), [0, 1], "N at least 3"),
        (np.full((4, 2), np.nan), [0, 1, 2, 3], "NaN or infinite"),
        (np.zeros((4, 2)), [0, 1, 2, 4], "labels must be 0 to 3; got 0 to 4"),
    ],
)
def test_bad_input_is_named(values: np.ndarray, labels: list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_probe(values, labels, CLASSES)
