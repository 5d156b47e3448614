"""What stored networks answer when they are shown something altered."""

from __future__ import annotations

import numpy as np
import pytest

from sdbench.answers.otherwise import scores_when_shown, sided_with
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.calibration.altered import SCENE_WAYS, VIDEO_WAYS
from sdbench.calibration.trained import KINDS, load_trained


def means(name: str, task: str, count: int = 150) -> dict[str, float]:
    scores = scores_when_shown(KINDS[name], load_trained(name, task, 0), task, count, generator_for(0, "test"))
    assert {values.shape for values in scores.values()} == {(count,)}
    return {way: 100 * float(values.mean()) for way, values in scores.items()}


def test_a_network_of_motion_needs_the_frames_in_their_order() -> None:
    found = means("calibration_resnet3d", "motion")
    assert tuple(found) == VIDEO_WAYS
    assert found["filmed"] > 85
    assert found["noise"] > 85
    assert found["shuffled"] < 50
    assert found["frozen"] < 40


def test_a_network_of_textures_sees_nothing_in_noise() -> None:
    found = means("calibration_slowfast", "texture")
    assert found["filmed"] > 85
    assert found["shuffled"] > 75
    assert found["noise"] < 40


def test_masks_follow_the_flow_or_the_picture() -> None:
    moving, still = (means("calibration_fusionseg", task, 48) for task in ("camouflaged", "still"))
    assert tuple(moving) == SCENE_WAYS
    assert moving["filmed"] - moving["shuffled"] > 20
    assert moving["filmed"] - moving["elsewhere"] < 5
    assert still["filmed"] - still["elsewhere"] > 20
    assert still["filmed"] - still["shuffled"] < 5


def test_a_network_of_two_frames_has_one_score_a_scene() -> None:
    found = means("calibration_rtnet", "camouflaged", 10)
    assert found["filmed"] > 40
    assert found["frozen"] < found["filmed"]


def test_where_motion_and_texture_disagree_the_training_decides() -> None:
    for task, other in (("motion", "texture"), ("texture", "motion")):
        kind, module = KINDS["calibration_resnet3d"], load_trained("calibration_resnet3d", task, 0)
        sides = sided_with(kind, module, 100, generator_for(0, "test"))
        assert sides[task].mean() > 0.75
        assert sides[other].mean() < 0.25
        assert not (sides[task] * sides[other]).any()
        again = sided_with(kind, module, 100, generator_for(0, "test"))
        np.testing.assert_array_equal(sides[task], again[task])


def test_bad_input_is_named() -> None:
    kind, module = KINDS["calibration_fusionseg"], load_trained("calibration_fusionseg", "still", 0)
    with pytest.raises(InputError, match="at least 2 videos or scenes"):
        scores_when_shown(kind, module, "still", 1, generator_for(0, "test"))
    with pytest.raises(InputError, match="names no class"):
        sided_with(kind, module, 8, generator_for(0, "test"))
