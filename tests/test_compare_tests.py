"""The comparison of tests of motion: how orderings are counted, and what the command keeps and writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import compare_tests
from benchmarks.ordered_tests import EVERY, TESTS, WITHIN, Job, jobs, panels, rows, tables
from benchmarks.ordering import Scored, agreement, ordering
from benchmarks.paired_tests import difference, right_at_chosen
from benchmarks.usual_tests import (
    ANSWER,
    CONFLICT,
    LAYERED,
    NOISE_SHARE,
    OF_ANSWERS,
    UNTRAINED,
    Found,
    Sizes,
    layers_named,
    tell,
)
from sdbench.base.draws import generator_for
from sdbench.base.errors import InputError
from sdbench.calibration.trained import KINDS, SEEDS

NAME = "calibration_resnet3d"
FEW = Sizes(shown=24, fitted=48, tested=24, noises=12, blocks=10)


def scored(*values: float, half: float = 0.1) -> list[Scored]:
    return [Scored(value, value - half, value + half) for value in values]


def test_an_ordering_by_hand() -> None:
    found = ordering([(scored(3, 2, 1), scored(0, 2))], generator_for(0, "test"))
    assert found.pairs == 6
    assert found.right == pytest.approx(100 * 4.5 / 6)  # 3 and 2 and 1 over 0, 3 over 2; 2 and 2 are a tie
    assert found.told == pytest.approx(100 * 4 / 6)
    assert found.mistaken == pytest.approx(100 * 1 / 6)
    assert found.interval.low < found.right < found.interval.high


def test_a_layer_is_chosen_on_other_trainings_than_those_it_scores() -> None:
    """Each layer orders one training wrong that the other orders right: chosen on all, the first would score 80."""
    by_layer = np.ones((2, 5, 5))
    by_layer[0, 0], by_layer[1, 1] = 0, 0
    chosen = right_at_chosen(by_layer)
    assert (chosen[0] == 0).all(), "without it the first layer is the best"
    assert (chosen[1] == 0).all(), "without it the second one is"
    assert (chosen[2:] == 1).all()


def test_two_tests_are_given_the_same_trainings() -> None:
    right = np.triu(np.ones((5, 5)))
    apart, limits = difference([right], [right], generator_for(0, "test"))
    assert (apart, limits.low, limits.high) == (0, 0, 0)
    apart, limits = difference([np.ones((5, 5))], [right], generator_for(0, "test"))
    assert apart == pytest.approx(40)
    assert 0 <= limits.low < apart < limits.high


def test_intervals_that_touch_tell_nothing() -> None:
    found = ordering([(scored(3, 4, half=5), scored(0, 1, half=5))], generator_for(0, "test"))
    assert (found.right, found.told, found.mistaken) == (100, 0, 0)
    assert (found.interval.low, found.interval.high) == (100, 100)


def test_equal_numbers_are_at_chance_and_turned_sides_are_turned() -> None:
    same = ordering([(scored(1, 1, 1), scored(1, 1))], generator_for(0, "test"))
    assert (same.right, same.interval.low, same.interval.high) == (50, 50, 50)
    more, less = scored(1, 4, 2, 8), scored(3, 0, 5)
    one, other = (ordering([sides], generator_for(0, "test")) for sides in ((more, less), (less, more)))
    assert one.right + other.right == pytest.approx(100)
    assert (one.told, one.mistaken) == pytest.approx((other.mistaken, other.told))


def test_noise_covers_chance() -> None:
    generator = generator_for(0, "noise")
    covers = 0
    for _ in range(40):
        sides = [scored(*generator.standard_normal(5).tolist()) for _ in range(2)]
        found = ordering([(sides[0], sides[1])], generator, replicates=300)
        covers += found.interval.low <= 50 <= found.interval.high
    assert covers >= 30


def test_pairings_count_alike_whatever_their_size() -> None:
    found = ordering([(scored(1), scored(0)), (scored(0, 0, 0), scored(1, 1, 1))], generator_for(0, "test"))
    assert found.right == 50
    assert found.pairs == 10


def test_agreement_counts_pairs_that_the_other_number_tells_apart() -> None:
    truth = scored(0, 1, 1.05, 3)  # 1 and 1.05 are not apart
    tests = scored(0, 2, 9, 1)
    found = agreement([list(zip(tests, truth, strict=True))], generator_for(0, "test"))
    assert found.pairs == 5
    assert found.right == pytest.approx(100 * 3 / 5)  # 1, 1.05 and 3 over 0; 3 is taken for less than both others
    assert found.told == pytest.approx(60)
    assert found.mistaken == pytest.approx(40)
    assert found.interval.low <= found.right <= found.interval.high


@pytest.mark.parametrize(
    ("pairings", "said"),
    [([], "empty one"), ([([], scored(1))], "empty one"), ([(scored(float("nan")), scored(1))], "NaN or infinite")],
)
def test_what_cannot_be_ordered_is_named(pairings, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ordering(pairings, generator_for(0, "test"))
    with pytest.raises(InputError, match="told apart"):
        agreement([list(zip(scored(1, 2), scored(1, 1), strict=True))], generator_for(0, "test"))


def test_all_tests_of_a_network() -> None:
    found = tell(NAME, "texture", 0, 0, FEW)
    assert set(found) == {*OF_ANSWERS, CONFLICT, *LAYERED}
    layers = layers_named(NAME)
    assert layers[-1] == "stage5"
    for test, by_layer in found.items():
        assert tuple(by_layer) == (layers if test in LAYERED else (ANSWER,))
        assert all(each.low <= each.high for each in by_layer.values())
    filmed = found["as filmed: right"][ANSWER].value
    assert found["shuffled: part lost"][ANSWER].value == pytest.approx(
        100 * found["shuffled: points lost"][ANSWER].value / filmed
    )
    assert found[CONFLICT][ANSWER].value < 0
    assert found["shares: dynamic less static"]["stage5"].high < 0
    assert found["probe: motion less appearance"]["stage5"].value < 0
    assert tell(NAME, "texture", 0, 0, FEW) == found


def test_what_an_untrained_network_answers_is_not_asked() -> None:
    found = tell(NAME, UNTRAINED, 0, 0, FEW)
    assert set(found) == set(LAYERED)
    assert found["shares: dynamic"] != tell(NAME, UNTRAINED, 1, 0, FEW)["shares: dynamic"]
    with pytest.raises(InputError, match="task of calibration_resnet3d"):
        tell(NAME, "still", 0, 0, FEW)
    with pytest.raises(InputError, match="at least 8"):
        tell(NAME, "texture", 0, 0, Sizes(shown=4, fitted=16, tested=8, noises=8, blocks=8))


def made_up(names: tuple[str, ...]) -> dict[Job, Found]:
    """Networks of which every test says what their training forces, but for shares, which it turns round."""
    strength = {"motion": 3.0, "both": 2.0, "texture": 1.0, "camouflaged": 3.0, "still": 1.0, UNTRAINED: 0.0}
    found: dict[Job, Found] = {}
    for name, task, number in jobs(names):
        kind = KINDS[name]
        of: Found = {}
        for test in TESTS[kind.segments]:
            if task == UNTRAINED and test not in LAYERED:
                continue
            (value,) = scored((-1 if test.startswith("shares") else 1) * strength[task] + 0.15 * number, half=0.01)
            of[test] = dict.fromkeys(layers_named(name) if test in LAYERED else [ANSWER], value)
        found[name, task, number] = of
    return found


def test_rows_say_which_tests_order_right() -> None:
    found = made_up((NAME, "calibration_fusionseg"))
    every = list(rows(found, 0, replicates=50))
    for row in every:
        assert len(row.kinds) == 1
        if row.pair == WITHIN:
            assert row.found.right == 100, "made up: both rise with the number of the training"
        else:
            assert row.found.right == (0 if row.test.startswith("shares") else 100)
    controls = {row.test for row in every if row.pair[1] == UNTRAINED}
    assert controls == set(LAYERED), "no answer is asked of what is untrained"
    text = re.sub(" +", " ", tables(found, every))
    assert "| shares: dynamic | 0 | 0 | 0 | 0 | 100 (at least 16) |" in text
    assert "calibration_fusionseg, camouflaged over still, by layer" in text
    assert "| probe: motion less appearance | 5 of 5 | stage1 | 100" in text
    assert "| units: dynamic | 0 | 5 of 5 | 5 of 5 | 5 of 5 | 4 of 5 |" in text
    mean = next(row for row in every if row.layers == (EVERY,) and row.test == "units: dynamic")
    assert (mean.found.right, mean.found.told) == (100, 100)


def test_the_picture_puts_all_networks_together() -> None:
    found = made_up((NAME, "calibration_slowfast"))
    for job, of in found.items():
        if job[:2] == ("calibration_slowfast", "motion"):
            of["units: dynamic"] = dict.fromkeys(of["units: dynamic"], Scored(-9, -9, -9))
    ((title, tests, compared),) = panels(list(rows(found, 0, replicates=50)))
    assert (title, tests) == ("action networks", TESTS[False])
    words, orderings = compared[0]
    assert words == "motion over texture"
    assert {test: orderings[test].right for test in ("probe: motion", "units: dynamic")} == {
        "probe: motion": 100,
        "units: dynamic": 50,
    }


def test_what_is_known_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made_up((NAME,))[NAME, "motion", 0]
    monkeypatch.setattr(compare_tests, "tell", lambda *_: found)
    job = (NAME, "motion", 0)
    assert compare_tests.told(job, 0, tmp_path) == found
    monkeypatch.setattr(compare_tests, "tell", lambda *_: pytest.fail("done again"))
    assert compare_tests.told(job, 0, tmp_path) == found
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.motion.0.json"]


def test_the_command_writes_numbers_tables_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (NAME, "calibration_matnet")
    monkeypatch.setattr(compare_tests, "all_told", lambda *_: made_up(names))
    assert compare_tests.main(["--out", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "tests.json").read_text())
    assert len(content["networks"]) == SEEDS * (4 + 3)
    assert np.isfinite([of for one in content["networks"] for by in one["tests"].values() for of in by.values()]).all()
    assert {row["test"] for row in content["orderings"]} >= {NOISE_SHARE, CONFLICT}
    assert (tmp_path / "tests.md").read_text() == capsys.readouterr().out.removesuffix("\n")
    with Image.open(tmp_path / "test_of_tests.png") as drawn:
        assert drawn.width > 900
    assert compare_tests.main(["--processes", "0"]) == 1
    assert compare_tests.main(["--only", "resnet"]) == 1
    assert "small network 'resnet'" in capsys.readouterr().err
