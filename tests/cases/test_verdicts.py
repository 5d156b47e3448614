"""Verdicts at and around every edge."""

from __future__ import annotations

import pytest

from sdbench.base.errors import InputError
from sdbench.cases.records import Claim, Comparison, ExpectedValue, Quantity, Source, Unpublished
from sdbench.cases.verdicts import (
    PAIRS,
    Compared,
    Evidence,
    Verdict,
    enough_to_decide,
    failed,
    judge_claim,
    judge_value,
    measured_only,
    not_run,
)
from sdbench.statistics import Interval
from sdbench.statistics.quantities import Reading

PRINTED = Source(reading="printed", where="Table 1")
RECORDED = Source(
    reading="recorded", where="here", date="2026-01-01", command="sdbench record", commit="abc", machine="a computer"
)


def expected(source: Source = PRINTED, **values: float) -> ExpectedValue:
    values = values or {"dynamic": 20.0, "static": 40.0}
    return ExpectedValue(
        id="toy/value",
        task="action recognition",
        quantity="shares",
        network="net",
        trained_on="data",
        dataset="clips",
        values=values,
        source=source,
        uncertainty=0.5,
        tolerance=dict.fromkeys(values, 1.5),
        tolerance_reason="two points in all, for the test",
    )


def reading(dynamic: tuple[float, float], static: tuple[float, float] = (39.5, 40.5)) -> Reading:
    intervals = {"dynamic": Interval(*dynamic), "static": Interval(*static)}
    values = {name: (i.low + i.high) / 2 for name, i in intervals.items()}
    return Reading(values, intervals, dict.fromkeys(intervals, Interval(0.0, 90.0)))


@pytest.mark.parametrize(
    ("dynamic", "verdict"),
    [
        ((19.0, 21.0), Verdict.REPRODUCED),
        ((18.0, 22.0), Verdict.REPRODUCED),
        ((17.9, 21.0), Verdict.INCONCLUSIVE),
        ((21.0, 22.1), Verdict.INCONCLUSIVE),
        ((10.0, 30.0), Verdict.INCONCLUSIVE),
        ((22.1, 23.0), Verdict.DEVIATES),
        ((15.0, 17.9), Verdict.DEVIATES),
    ],
)
def test_a_published_value_is_reproduced_only_by_an_interval_inside_the_band(dynamic, verdict: Verdict) -> None:
    case = judge_value(expected(), reading(dynamic), Evidence(100))
    assert case.verdict is verdict
    assert case.tolerance == {"dynamic": 2.0, "static": 2.0}, "the uncertainty of reading is part of the band"
    assert case.interval is not None
    assert case.interval["dynamic"] == dynamic
    assert case.generalisation == {"dynamic": (0.0, 90.0), "static": (0.0, 90.0)}, "reported, and decides nothing"


def test_one_name_that_deviates_outweighs_the_others() -> None:
    case = judge_value(expected(), reading((17.0, 21.0), (50.0, 51.0)), Evidence(100))
    assert case.verdict is Verdict.DEVIATES
    assert "static" in case.reason


def test_without_an_interval_nothing_is_decided() -> None:
    case = judge_value(expected(), Reading({"dynamic": 20.0, "static": 40.0}, None), Evidence(100))
    assert case.verdict is Verdict.INCONCLUSIVE
    assert "without an interval" in case.reason


def test_an_open_case_says_how_many_pairs_would_decide() -> None:
    # half-width 2, distance to the nearer edge 1: four times as many pairs
    assert enough_to_decide(21.0, Interval(19.0, 23.0), 20.0, 2.0, count=100) == 400
    assert enough_to_decide(22.0, Interval(20.0, 24.0), 20.0, 2.0, count=100) is None
    case = judge_value(expected(), reading((19.0, 23.0)), Evidence(100))
    assert "about 400 pairs of each factor, from as many more videos, would decide" in case.reason
    assert (
        "about 400 trainings would decide"
        in judge_value(expected(), reading((19.0, 23.0)), Evidence(100, "trainings")).reason
    )
    assert "on the edge" in judge_value(expected(), reading((20.0, 24.0)), Evidence(100)).reason


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (Evidence(4, "seeds"), "about 16 seeds would decide"),
        (
            Evidence(88, PAIRS, most=88, beyond="take several seeds"),
            "no more than 88 pairs of each factor; take several",
        ),
        (Evidence(88, "videos", most=400), "about 352 videos would decide"),
        (Evidence(88, "videos", beyond="leave out --pairs"), "about 352 videos would decide; leave out --pairs"),
    ],
)
def test_no_more_videos_are_asked_for_than_the_data_set_has(evidence: Evidence, said: str) -> None:
    assert said in judge_value(expected(), reading((19.0, 23.0)), evidence).reason


def test_a_deterministic_value_is_held_directly_against_the_band() -> None:
    """The same weights on the same videos: however few these are, points decide; an edge counts as inside."""
    for dynamic, verdict in ((20.0, Verdict.REPRODUCED), (22.0, Verdict.REPRODUCED), (22.001, Verdict.DEVIATES)):
        case = judge_value(expected(), reading((dynamic, dynamic), (40.0, 40.0)), Evidence(88, "videos"))
        assert case.verdict is verdict


def test_a_withdrawn_value_is_measured_and_shown_but_not_judged() -> None:
    why = "two published numbers contradict each other"
    value = ExpectedValue.model_validate(expected().model_dump() | {"withdrawn": {"dynamic": why}})
    case = judge_value(value, reading((60.0, 61.0)), Evidence(100))
    assert case.verdict is Verdict.REPRODUCED
    assert case.reason.endswith(f"withdrawn and not judged: dynamic: {why}")
    assert case.measured is not None
    assert case.measured["dynamic"] == 60.5
    assert case.expected["dynamic"] == 20.0
    recorded = ExpectedValue.model_validate(expected(RECORDED).model_dump() | {"withdrawn": {"dynamic": why}})
    assert judge_value(recorded, reading((60.0, 61.0)), Evidence(100)).verdict is Verdict.UNCHANGED


@pytest.mark.parametrize("names", [("dynamic", "static"), ("joint",)])
def test_not_all_values_can_be_withdrawn_and_none_that_is_not_there(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="withdrawn must name some of dynamic, static"):
        ExpectedValue.model_validate(expected().model_dump() | {"withdrawn": dict.fromkeys(names, "because " * 4)})


@pytest.mark.parametrize(("dynamic", "verdict"), [(21.9, Verdict.UNCHANGED), (22.1, Verdict.CHANGED)])
def test_a_recorded_value_changes_beyond_its_band(dynamic: float, verdict: Verdict) -> None:
    case = judge_value(expected(RECORDED), Reading({"dynamic": dynamic, "static": 40.0}, None), Evidence(9))
    assert case.verdict is verdict
    assert f"{dynamic - 20:+.2f}" in case.reason


def test_a_recorded_class_of_units_may_move_by_one_unit_and_by_no_more() -> None:
    for units in (24, 48, 96, 184, 480, 1024):
        tolerance = {"static": round(100 / units, 3)}
        for before in range(units - 1):
            value = expected(RECORDED, static=round(100 * before / units, 3))
            value = value.model_copy(update={"tolerance": tolerance, "uncertainty": 0.0})
            for moved, verdict in ((1, Verdict.UNCHANGED), (2, Verdict.CHANGED)):
                now = Reading({"static": 100 * (before + moved) / units}, None)
                assert judge_value(value, now, Evidence(9)).verdict is verdict


def test_a_measurement_that_lacks_a_name_or_is_nan_is_refused() -> None:
    for values in ({"dynamic": 20.0}, {"dynamic": 20.0, "static": float("nan")}):
        with pytest.raises(InputError, match="toy/value expects static"):
            judge_value(expected(), Reading(values, None), Evidence(9))


def claim(count: int = 1, published: bool = True) -> Claim:
    one = Quantity(network="net", trained_on="data", dataset="clips", layer="a", name="shares.static")
    return Claim(
        id="toy/claim",
        task="action recognition",
        statement="more static than dynamic",
        source="in words",
        published=published,
        comparisons=(Comparison(greater=one, lesser=one),) * count,
    )


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize(
    ("margin", "verdict"),
    [
        ((0.5, 1.5), Verdict.HOLDS),
        ((-1.5, -0.5), Verdict.FAILS),
        ((-5.0, 5.0), Verdict.INCONCLUSIVE),
        ((0.0, 1.0), Verdict.INCONCLUSIVE),
        ((-1.0, 0.0), Verdict.INCONCLUSIVE),
        ((0.0, 0.0), Verdict.INCONCLUSIVE),
    ],
)
def test_a_claim_is_judged_by_the_interval_of_its_margin(margin, verdict: Verdict, published: bool) -> None:
    """The points, a hair above or below each other, decide nothing."""
    for greater, lesser in ((30.001, 30.0), (30.0, 30.001)):
        case = judge_claim(claim(published=published), [Compared("a > b", greater, lesser, Interval(*margin))])
        assert case.verdict is verdict
        assert case.interval == {"a > b": margin}
        assert case.measured == {"a > b": greater - lesser}


def test_a_claim_of_several_inequalities() -> None:
    good, bad = Compared("a > b", 3.0, 2.0, Interval(0.5, 1.5)), Compared("c > d", 2.0, 3.0, Interval(-1.5, -0.5))
    open_ = Compared("e > f", 2.5, 2.0, Interval(-0.5, 1.5))
    assert judge_claim(claim(2), [good, good]).verdict is Verdict.HOLDS
    undecided = judge_claim(claim(2), [good, open_])
    assert undecided.verdict is Verdict.INCONCLUSIVE
    assert undecided.reason == "e > f: the margin +0.5 [-0.5, +1.5] does not lie above 0"
    broken = judge_claim(claim(3), [good, open_, bad])
    assert broken.verdict is Verdict.FAILS
    assert broken.reason == "c > d: the margin -1.0 [-1.5, -0.5] lies below 0"
    with pytest.raises(InputError, match="makes 2 comparisons; 1 were measured"):
        judge_claim(claim(2), [good])


def test_without_an_interval_a_published_claim_stays_open_and_a_recorded_one_is_held_by_its_points() -> None:
    good, equal = Compared("a > b", 3.0, 2.0), Compared("c > d", 2.0, 2.0)
    case = judge_claim(claim(), [good])
    assert case.verdict is Verdict.INCONCLUSIVE
    assert "+1.0 has no interval" in case.reason
    own = judge_claim(claim(published=False), [good])
    assert own.verdict is Verdict.HOLDS
    assert "points were compared" in own.reason
    broken = judge_claim(claim(2, published=False), [good, equal])
    assert broken.verdict is Verdict.FAILS
    assert "c > d: 2.0 is not above 2.0" in broken.reason


def test_a_claim_for_each_training_holds_where_each_margin_lies_above_0() -> None:
    apart, open_ = Compared("first", 3.0, 2.0, Interval(0.2, 1.8)), Compared("second", 3.0, 2.5, Interval(-0.1, 1.1))
    assert judge_claim(claim(), [apart, apart]).verdict is Verdict.HOLDS
    undecided = judge_claim(claim(), [apart, open_])
    assert undecided.verdict is Verdict.INCONCLUSIVE
    assert undecided.reason == "second: the margin +0.5 [-0.1, +1.1] does not lie above 0"


def unpublished() -> Unpublished:
    return Unpublished(
        id="toy/unpublished",
        task="action recognition",
        quantity="shares",
        network="net",
        trained_on="data",
        dataset="clips",
        note="a figure without numbers",
    )


def test_a_result_without_a_published_value_is_measured() -> None:
    case = measured_only(unpublished(), reading((19.0, 21.0)))
    assert case.verdict is Verdict.MEASURED
    assert case.measured == {"dynamic": 20.0, "static": 40.0}
    assert case.interval == {"dynamic": (19.0, 21.0), "static": (39.5, 40.5)}
    assert case.generalisation == {"dynamic": (0.0, 90.0), "static": (0.0, 90.0)}
    assert case.expected == {}
    assert case.reason.endswith("; a figure without numbers")


@pytest.mark.parametrize(("outcome", "verdict"), [(not_run, Verdict.NOT_RUN), (failed, Verdict.ERROR)])
def test_what_was_not_measured_says_what_was_expected_and_why(outcome, verdict: Verdict) -> None:
    found = {record.id: outcome(record, "the weights") for record in (expected(), unpublished(), claim())}
    for case in found.values():
        assert case.verdict is verdict
        assert case.reason == "the weights"
        assert case.measured is None
        assert case.interval is None
    assert found["toy/value"].expected == {"dynamic": 20.0, "static": 40.0}
    assert found["toy/value"].tolerance == {"dynamic": 2.0, "static": 2.0}
    assert found["toy/unpublished"].expected == {}
    assert found["toy/claim"].expected == {"claim": "more static than dynamic"}
    assert [case.kind for case in found.values()] == ["published value", "unpublished value", "published claim"]


def test_which_verdicts_end_a_run_with_an_error() -> None:
    bad = {Verdict.DEVIATES, Verdict.FAILS, Verdict.CHANGED, Verdict.ERROR}
    assert {verdict for verdict in Verdict if verdict.is_bad} == bad
    assert {verdict for verdict in Verdict if verdict.is_open} == {Verdict.INCONCLUSIVE, Verdict.NOT_RUN}
