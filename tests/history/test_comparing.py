"""A comparison goes red for the right reason, and only for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdbench.base.errors import InputError
from sdbench.cases.verdicts import Verdict
from sdbench.history.comparing import Comparison, Reference, compare, rank
from sdbench.history.record import Run, run_of_report
from sdbench.history.standing import standings
from sdbench.history.text import comparison_text, issue_text
from sdbench.history.thresholds import Threshold, Thresholds, read_thresholds
from tests.history.conftest import CLAIM, LOOP, RECORDED, UNPUBLISHED, VALUE, case

ROOT = Path(__file__).parents[2]
THRESHOLDS = Thresholds(times=(Threshold(loop="test_reading_all_layers[*]", ratio=1.5, because="measured so"),))


def reference_of(run: Run) -> Reference:
    reference = Reference()
    reference.take_values(run)
    reference.take_times(run)
    return reference


@pytest.fixture
def against(report: Callable) -> Callable[..., Comparison]:
    """Compare a changed night with a good one."""

    def make(change: Callable[[dict[str, Any]], object]) -> Comparison:
        good, new = run_of_report(report(1)), run_of_report(report(2, change))
        return compare(new, reference_of(good), THRESHOLDS)

    return make


def set_value(
    content: dict[str, Any], name: str, key: str, value: float | None, half_width: float | None = None
) -> None:
    case(content, name)["measured"][key] = value
    if half_width is not None:
        assert value is not None
        case(content, name)["interval"][key] = [value - half_width, value + half_width]


def set_verdict(content: dict[str, Any], name: str, verdict: str) -> None:
    case(content, name)["verdict"] = verdict


def slower(content: dict[str, Any], by: float, spread: float = 0.1) -> None:
    timing = content["timings"][LOOP]
    timing.update(median=by, q1=by - spread, q3=by + spread, min=by - spread, max=by + spread, mean=by)


def test_the_same_numbers_are_not_worse(against: Callable) -> None:
    found = against(lambda content: None)
    assert not found.is_regression
    assert found.changed == []
    assert "nothing else changed" in comparison_text(found)


def test_overlapping_intervals_are_not_worse(against: Callable) -> None:
    found = against(lambda content: set_value(content, VALUE, "dynamic", 21.9, 1.0))
    assert found.worse == []


def test_intervals_without_a_common_point_are_worse(against: Callable) -> None:
    found = against(lambda content: set_value(content, VALUE, "dynamic", 22.1, 1.0))
    (finding,) = found.worse
    assert finding.name == VALUE
    assert finding.said == "dynamic moved by +2.10: 20.00 in [19.00, 21.00] before, 22.10 in [21.10, 23.10] now"


@pytest.mark.parametrize(("value", "worse"), [(12.09, False), (12.11, True), (11.91, False), (11.89, True)])
def test_without_intervals_tolerances_decide(against: Callable, value: float, worse: bool) -> None:
    assert against(lambda content: set_value(content, RECORDED, "dynamic", value)).is_regression is worse


def test_a_number_that_is_none_any_more_is_worse(against: Callable) -> None:
    found = against(lambda content: set_value(content, RECORDED, "dynamic", None))
    assert "is not a number now" in found.worse[0].said


@pytest.mark.parametrize(
    ("name", "verdict", "worse"),
    [
        (VALUE, "inconclusive", True),
        (VALUE, "not run", True),
        (VALUE, "deviates", True),
        (RECORDED, "changed", True),
        (CLAIM, "fails", True),
        (CLAIM, "holds", False),
        (UNPUBLISHED, "not run", True),
        (VALUE, "error", True),
        (RECORDED, "error", True),
        (CLAIM, "error", True),
        (UNPUBLISHED, "error", True),
    ],
)
def test_a_worse_verdict_is_worse(against: Callable, name: str, verdict: str, worse: bool) -> None:
    found = against(lambda content: set_verdict(content, name, verdict))
    assert found.is_regression is worse
    if worse:
        assert f"now {verdict}" in found.worse[0].said


def test_a_crash_is_worse_than_a_bad_result_and_its_repair_is_better(report: Callable) -> None:
    def verdict(name: str) -> Callable[[dict[str, Any]], None]:
        return lambda content: set_verdict(content, VALUE, name)

    bad, broken = run_of_report(report(1, verdict("deviates"))), run_of_report(report(2, verdict("error")))
    (finding,) = compare(broken, reference_of(bad), THRESHOLDS).worse
    assert finding.said == "deviates before, now error"
    again = compare(bad, reference_of(broken), THRESHOLDS)
    assert (again.worse, [finding.name for finding in again.better]) == ([], [VALUE])


def test_a_new_case_that_crashes_is_worse_one_that_deviates_is_new(report: Callable) -> None:
    def without(content: dict[str, Any]) -> None:
        content["cases"].remove(case(content, VALUE))

    for verdict, worse in (("error", [VALUE]), ("deviates", [])):
        new = run_of_report(report(2, lambda content, v=verdict: set_verdict(content, VALUE, v)))
        found = compare(new, reference_of(run_of_report(report(1, without))), THRESHOLDS)
        assert [finding.name for finding in found.worse] == worse


@pytest.mark.parametrize(("value", "worse"), [(33.9, False), (34.1, True), (26.1, False), (25.9, True)])
@pytest.mark.parametrize("before", ["inconclusive", "measured"])
def test_a_measured_value_is_compared_with_what_was_inconclusive_before_there_was_measured(
    report: Callable, before: str, value: float, worse: bool
) -> None:
    old = run_of_report(report(1, lambda content: set_verdict(content, UNPUBLISHED, before)))
    new = run_of_report(report(2, lambda content: set_value(content, UNPUBLISHED, "dynamic", value, 2.0)))
    found = compare(new, reference_of(old), THRESHOLDS)
    assert [finding.name for finding in found.worse] == [UNPUBLISHED] * worse
    assert found.better == [], "measured is neither good nor bad"


def test_a_repaired_case_is_better_although_its_value_moved(report: Callable) -> None:
    def bad(content: dict[str, Any]) -> None:
        set_verdict(content, RECORDED, "changed")
        set_value(content, RECORDED, "dynamic", 15.0)

    found = compare(run_of_report(report(2)), reference_of(run_of_report(report(1, bad))), THRESHOLDS)
    assert found.worse == []
    assert found.better[0].name == RECORDED


def test_verdicts_are_ranked() -> None:
    assert [rank(verdict) for verdict in Verdict] == [0, 3, 1, 1, 0, 3, 0, 3, 2, 4]


def test_a_slower_loop_is_worse_by_its_threshold(against: Callable) -> None:
    assert not against(lambda content: slower(content, 1.45)).is_regression
    found = against(lambda content: slower(content, 1.6))
    assert found.worse[0].name == LOOP
    assert found.worse[0].said.startswith("1.60 times as long: median 1.6 s")


def test_a_slower_median_with_overlapping_quarters_is_chance(against: Callable) -> None:
    assert not against(lambda content: slower(content, 1.6, spread=0.7)).is_regression


def test_a_faster_loop_is_better(against: Callable) -> None:
    found = against(lambda content: slower(content, 0.5))
    assert found.worse == []
    assert found.better[0].name == LOOP


def test_a_loop_without_a_threshold_is_named_and_not_compared(report: Callable) -> None:
    good, new = run_of_report(report(1)), run_of_report(report(2, lambda content: slower(content, 9.0)))
    found = compare(new, reference_of(good), Thresholds())
    assert found.worse == []
    assert "has no threshold" in found.notes[0]


def test_what_else_changed_is_said(against: Callable) -> None:
    def change(content: dict[str, Any]) -> None:
        environment = content["environment"]
        environment["packages"].update(torch="2.13.0", new="1.0")
        environment["gpus"] = ["Big GPU, 590.2"]
        environment["assets"]["weights"] = "4" * 64
        environment["revision"] = "b" * 40 + "+changes"
        environment["container"] |= {"image_digest": "sha256:" + "2" * 64, "base_digest": "sha256:" + "2" * 64}
        environment["cuda"]["cudnn"] = "91100"
        environment["libc"] = "glibc 2.42"

    found = against(change)
    assert not found.is_regression, "a change beside the results is none of them"
    assert found.changed == [
        "new: none -> 1.0",
        "torch: 2.12.0 -> 2.13.0",
        "CUDA: cudnn: 91002 -> 91100",
        f"asset weights: {'3' * 12} -> {'4' * 12}",
        f"container base_digest: sha256:{'7' * 12} -> sha256:{'2' * 12}",
        "C library: glibc 2.41 -> glibc 2.42",
        "GPU and driver: Big GPU, 580.1 -> Big GPU, 590.2",
        f"revision: {'a' * 12} -> {'b' * 12}+changes",
    ]


FACTS = [
    *(("packages_sha256",), ("source",), ("python_build",), ("libc",), ("cuda",), ("variables",), ("instructions",)),
    *(("gpus",), ("revision",), ("weights",), ("shown",), ("precision",), ("compile",), ("container",)),
    *(("container", "base"), ("container", "base_digest")),
]
"""Each of these decides a number."""


@pytest.mark.parametrize("place", FACTS, ids=".".join)
@pytest.mark.parametrize("lacking", ["the earlier", "the later"])
def test_nothing_else_changed_is_not_said_where_something_was_not_recorded(
    report: Callable, place: tuple[str, ...], lacking: str
) -> None:
    def forget(content: dict[str, Any]) -> None:
        *groups, name = ("environment", *place)
        for group in groups:
            content = content[group]
        del content[name]

    changes = (forget, lambda _: None) if lacking == "the earlier" else (lambda _: None, forget)
    earlier, later = (run_of_report(report(day, change)) for day, change in enumerate(changes, 1))
    found = compare(later, reference_of(earlier), THRESHOLDS)
    of = (earlier if lacking == "the earlier" else later).id
    assert found.changed == []
    assert len(found.unrecorded) == 1
    assert f"(of run {of})" in found.unrecorded[0]
    for text in (comparison_text(found), issue_text(found)):
        assert "nothing else changed" not in text.lower()
        assert "othing that is recorded changed; what else may have changed is not known" in text


def test_a_run_of_before_packages_were_all_recorded_is_compared(report: Callable) -> None:
    """Its ten packages are held against those of today, and what it does not name is no change."""

    def old(content: dict[str, Any]) -> None:
        of_today = {"source", "python_build", "libc", "packages_sha256", "cuda", "instructions", "variables"}
        for name in of_today | {"weights", "shown", "taken from a cache"}:
            del content["environment"][name]
        content["environment"]["container"] = {"image": "sdbench:1", "image_digest": "sha256:1", "engine": "27"}

    def new(content: dict[str, Any]) -> None:
        content["environment"]["packages"] |= {"torch": "2.13.0", "opencv-python-headless": "5.0"}
        content["environment"]["container"]["engine"] = "28"

    earlier, later = run_of_report(report(1, old)), run_of_report(report(2, new))
    found = compare(later, reference_of(earlier), THRESHOLDS)
    assert found.changed == ["torch: 2.12.0 -> 2.13.0", "container engine: 27 -> 28"]
    assert any("packages" in what for what in found.unrecorded)
    assert "what else may have changed is not known" in comparison_text(found)


def test_what_a_run_took_from_a_cache_is_noted(against: Callable) -> None:
    taken = {"stylised clips": "24, made 2026-01-01T03:00:00 UTC by onnxruntime 1.32.0"}
    found = against(lambda content: content["environment"].update({"taken from a cache": taken}))
    assert found.notes == [f"run {found.run.id} took from a cache stylised clips: {taken['stylised clips']}"]


def lacking(name: str, command: str | None = None) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["cases"].remove(case(content, name))
        if command is not None:
            content["environment"]["command"] = command

    return change


def test_a_case_that_is_missing_is_worse(against: Callable) -> None:
    (finding,) = against(lacking(CLAIM)).worse
    assert finding.name == CLAIM
    assert finding.said == "holds before, missing now although the run chose no part of the suite"


@pytest.mark.parametrize(
    "arguments",
    [
        "benchmarks -k vos",
        "benchmarks -k 'vos and not action'",
        "benchmarks -kvos",
        "benchmarks -m published",
        "benchmarks -vx",
        "benchmarks --maxfail=1",
        "benchmarks --deselect 'benchmarks/test_vos.py::test_vos[a]'",
        "benchmarks --lf",
        "benchmarks/test_action.py",
        "'benchmarks/test_action.py::test_action[action/layerwise/net]'",
    ],
)
def test_a_case_is_not_missing_from_a_run_of_a_part(against: Callable, arguments: str) -> None:
    found = against(lacking(CLAIM, f"pytest {arguments} --device cuda"))
    assert found.worse == []
    assert f"1 cases of earlier runs were not selected this time, {CLAIM} among them" in found.notes


@pytest.mark.parametrize(
    "command",
    [
        "pytest benchmarks",
        "__main__.py benchmarks --seed 0 -p no:cacheprovider -rfE --strict",
        "pytest benchmarks --data it's",
        "",
    ],
)
def test_what_chooses_no_part_is_the_whole_suite(against: Callable, command: str) -> None:
    assert [finding.name for finding in against(lacking(CLAIM, command)).worse] == [CLAIM]


def test_a_case_is_not_missing_from_a_run_that_was_stopped(against: Callable) -> None:
    def stopped(content: dict[str, Any]) -> None:
        lacking(CLAIM)(content)
        content["environment"]["interrupted"] = True

    found = against(stopped)
    assert found.worse == []
    assert f"1 cases of earlier runs were not reached before the run was stopped, {CLAIM} among them" in found.notes


def test_a_case_that_is_missing_stays_missing_until_it_is_there_or_the_run_is_accepted(report: Callable) -> None:
    gone, part = lacking(CLAIM), lacking(CLAIM, "pytest benchmarks -k layerwise")
    runs = [run_of_report(report(day, change)) for day, change in enumerate((lambda _: None, gone, part, gone), 1)]
    assert in_turn(runs) == [True, False, True, False]
    assert in_turn(runs, {runs[1].id: "the claim was withdrawn"}) == [True, True, True, True]


def test_expectations_that_changed_are_noted(against: Callable) -> None:
    found = against(lambda content: case(content, VALUE)["expected"].update(dynamic=20.5))
    assert found.worse == []
    assert found.notes == [f"what is expected was changed for 1 cases, {VALUE} among them"]


def test_an_issue_says_what_why_and_what_to_do(against: Callable) -> None:
    def change(content: dict[str, Any]) -> None:
        set_verdict(content, VALUE, "deviates")
        content["environment"]["packages"]["torch"] = "2.13.0"

    found = against(change)
    text = issue_text(found)
    assert text.startswith("# Regression: run ")
    assert f"`{VALUE}`: reproduced before, now deviates" in text
    assert "- torch: 2.12.0 -> 2.13.0" in text
    assert f"sdbench history accept {found.run.id} --because REASON" in text


def in_turn(runs: list[Run], accepted: dict[str, str] | None = None) -> list[bool]:
    return [standing.is_good for standing in standings(runs, accepted or {}, THRESHOLDS)]


def test_what_stays_bad_stays_red_until_it_is_repaired_or_accepted(report: Callable) -> None:
    def bad(content: dict[str, Any]) -> None:
        set_verdict(content, VALUE, "deviates")

    runs = [run_of_report(report(day, bad if day in (2, 3) else lambda content: None)) for day in (1, 2, 3, 4)]
    assert in_turn(runs) == [True, False, False, True]
    assert in_turn(runs, {runs[1].id: "the paper's erratum"}) == [True, True, True, True]


def test_runs_that_were_asked_for_something_else_are_not_held_against_each_other(report: Callable) -> None:
    def other_seed(content: dict[str, Any]) -> None:
        content["environment"]["seed"] = 1
        set_verdict(content, RECORDED, "not run")

    runs = [run_of_report(report(1)), run_of_report(report(2, other_seed)), run_of_report(report(3))]
    found = list(standings(runs, {}, THRESHOLDS))
    assert [standing.is_good for standing in found] == [True, True, True]
    assert "no earlier run was asked for the same" in comparison_text(found[1].comparison)
    assert found[2].comparison.reference is runs[0]


def test_times_do_not_depend_on_the_seed(report: Callable) -> None:
    def other_seed_and_slow(content: dict[str, Any]) -> None:
        content["environment"]["seed"] = 1
        slower(content, 9.0)

    runs = [run_of_report(report(1)), run_of_report(report(2, other_seed_and_slow))]
    assert in_turn(runs) == [True, False]


def test_a_run_of_a_few_cases_hides_nothing(report: Callable) -> None:
    def few(content: dict[str, Any]) -> None:
        content["cases"] = [case(content, CLAIM)]
        content["timings"] = {}
        content["environment"]["command"] = "pytest benchmarks -m claim"

    def bad(content: dict[str, Any]) -> None:
        set_verdict(content, VALUE, "deviates")
        slower(content, 9.0)

    runs = [run_of_report(report(1)), run_of_report(report(2, few)), run_of_report(report(3, bad))]
    found = list(standings(runs, {}, THRESHOLDS))
    assert [standing.is_good for standing in found] == [True, True, False]
    assert found[2].comparison.reference is runs[1]
    assert {finding.name for finding in found[2].comparison.worse} == {VALUE, LOOP}
    for finding in found[2].comparison.worse:
        assert f"(held against run {runs[0].id}, the last good one that has it)" in finding.said


def test_times_of_another_machine_are_not_compared(report: Callable) -> None:
    def elsewhere(content: dict[str, Any]) -> None:
        content["environment"]["machine"] = "ba9876543210"
        slower(content, 9.0)

    runs = [run_of_report(report(1)), run_of_report(report(2, elsewhere)), run_of_report(report(3))]
    found = list(standings(runs, {}, THRESHOLDS))
    assert all(standing.is_good for standing in found)
    assert "no earlier run on this machine" in comparison_text(found[1].comparison)
    assert found[2].comparison.better == [], "and not with the slow one between"


def test_a_new_driver_is_the_same_machine_another_gpu_is_not(report: Callable) -> None:
    def gpu(name: str) -> Callable[[dict[str, Any]], None]:
        return lambda content: content["environment"].update(gpus=[name])

    first = run_of_report(report(1))
    assert run_of_report(report(2, gpu("Big GPU, 999.9"))).machine == first.machine
    assert run_of_report(report(3, gpu("Small GPU, 580.1"))).machine != first.machine


def test_an_interrupted_run_is_no_reference(report: Callable) -> None:
    def stopped(content: dict[str, Any]) -> None:
        content["environment"]["interrupted"] = True

    runs = [run_of_report(report(1, stopped)), run_of_report(report(2))]
    assert in_turn(runs) == [False, True]


def test_the_suites_thresholds_cover_its_timed_loops() -> None:
    thresholds = read_thresholds(ROOT / "benchmarks" / "thresholds.json")
    for loop in ("test_reading_all_layers[i3d_inception]", "test_estimator_streaming", "test_estimator_at_once"):
        assert thresholds.ratio(loop) is not None
    assert thresholds.ratio("test_packaged[x]") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"times": [{"loop": "x", "ratio": 0.9, "because": "no reason at all"}]}', "greater than 1"),
        ('{"times": [{"loop": "x", "ratio": 1.5}]}', "because"),
        ('{"time": []}', "time"),
    ],
)
def test_faulty_thresholds_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_thresholds(tmp_path / "t.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_thresholds(tmp_path / "nowhere.json")
