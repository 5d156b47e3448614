"""What the published cases cost on paper: known counts, and the page that shows them. Nothing is timed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import published_cost, published_seconds
from benchmarks.published_passes import (
    SIZES,
    Counted,
    can_run,
    counted,
    flow_pictures,
    kept_bytes,
    painted_frames,
    painting_gmacs,
    passes_a_frame,
    planned_sequences,
    planned_videos,
    state_bytes,
    weights,
    work,
)
from benchmarks.published_seconds import pass_name, passes_of, recorded
from sdbench import units
from sdbench.assets import AssetStore
from sdbench.cases.records import Asked, Unpublished
from sdbench.engine.parts import cut
from sdbench.engine.study import Planned
from sdbench.engine.sums import Sums, add, to_arrays
from sdbench.statistics import moments
from sdbench.zoo import feed_of, model
from sdbench.zoo.complexity import complexity_of

pytestmark = pytest.mark.slow  # the work of all published networks is counted

PAGE = Path(__file__).parents[1] / "docs" / "published.md"


@pytest.fixture(scope="module")
def cases() -> list[Counted]:
    return counted()


def of(cases: list[Counted], network: str, dataset: str) -> Counted:
    (found,) = [each for each in cases if (each.asked.network, each.asked.dataset) == (network, dataset)]
    return found


def test_the_page_holds_what_the_script_prints(cases: list[Counted]) -> None:
    printed = published_cost.page(cases, weights(cases), recorded())
    text = PAGE.read_text(encoding="utf-8")
    held = text.partition("<!-- what benchmarks.published_cost prints -->\n")[2].partition("<!-- end")[0]
    lines, expected = ([line.rstrip() for line in part.splitlines() if line.strip()] for part in (held, printed))
    assert lines == expected, "put what python -m benchmarks.published_cost prints into docs/published.md"


def test_every_published_value_is_counted_once_for_what_it_is_measured_on(cases: list[Counted]) -> None:
    runs = can_run()
    assert sum(runs["published values"]) == sum(each.values for each in cases) == 40
    assert sum(each.values for each in cases if each.never) == runs["published values"][1] == 20
    assert sum(runs["published claims"]) == 7
    assert sum(runs["results without a published number"]) == 130
    assert {each.asked.network for each in cases if each.never and each.asked.dataset == "stylized_diving48"} == {
        "slow_r50_8x8",
        "fast_r50_8x8",
    }


def test_passes_of_a_whole_protocol(cases: list[Counted]) -> None:
    assert of(cases, "i3d", "stylized_activitynet").passes == 2 * 2 * 3002, "two seeds"
    assert of(cases, "slow_r50_8x8", "stylized_diving48").passes == 2 * 2 * 1970
    assert of(cases, "slow_r50_8x8", "diving48_validation").passes == (1 + 4) * 1970, "four orders of so few videos"
    assert of(cases, "slow_r50_8x8", "ssv2_validation").passes == 2 * SIZES["ssv2_validation"].videos
    assert of(cases, "rtnet", "moca").passes == 4803
    assert of(cases, "matnet_gated", "moca").passes == 2 * 4803, "one condition for both thresholds, mirrored"
    assert of(cases, "matnet", "moca").passes == (1 + 4 * 3) * 4803, "whole, and four layers without three kinds"


def test_a_random_order_that_is_the_filmed_one_is_passed_once() -> None:
    samples = list(planned_videos("stylized_ssv2", feed_of("x3d_xs"), videos=400))
    again = [sample for sample in samples if sample.views == 1]
    assert len(samples) == 2 * 400
    assert {sample.seed for sample in samples} == {0, 1}
    assert 1 <= len(again) <= 40, "4 frames have 24 orders, of about 400 static pairs"
    assert all(sample.pairs == ((0, 0, 1),) for sample in again), "only static pairs"


def test_passes_of_sequences_grow_with_their_rows() -> None:
    once, twice = (
        sum(sample.inputs for sample in planned_sequences(feed_of("fusionseg"), lengths))
        for lengths in ({"one": 3, "two": 6}, {"one": 5, "two": 11})
    )
    assert twice == 2 * once, "draws do not depend on lengths, and the last frame gives no row"
    assert 4 * 5 * (2 + 5) < once <= 4 * 5 * 2 * (2 + 5), "views that pairs share are passed once"


def test_two_frames_at_once_leave_out_the_first_and_the_last() -> None:
    samples = list(planned_sequences(feed_of("rtnet"), {"one": 13, "two": 13}))
    assert {sample.rows for sample in samples} == {5, 1}, "11 rows in batches of five"
    assert all(sample.together for sample in samples)


def test_conditions_are_asked_for_once() -> None:
    def case(quantity: str, layer: str | None = None, **options: float | bool) -> Unpublished:
        return Unpublished(
            id="a",
            task="video object segmentation",
            quantity=quantity,
            network="n",
            trained_on="t",
            dataset="moca",
            layer=layer,
            options=dict(options),
        )

    whole = case("moca", threshold=0.2, flip=False)
    assert passes_a_frame([whole, case("moca", threshold=0.1, flip=False)]) == 1
    assert passes_a_frame([whole, case("moca", threshold=0.2, flip=True)]) == 3
    half = {"percent": 50, "threshold": 0.2}
    assert passes_a_frame([whole, case("ablation", "a", **half), case("ablation", "b", **half)]) == 7


def test_kept_bytes_are_those_of_the_arrays() -> None:
    samples = [
        Planned(name=str(number), block=str(number // 3), views=2, pairs=((0, 1, number % 2),)) for number in range(70)
    ]
    draws = torch.Generator().manual_seed(0)
    expected = 0
    for part in cut(samples):
        sums: Sums = {}
        for sample in part.samples:
            for layer, count in (("a", 3), ("b", 5)):
                values = torch.randn(2, 1, count, generator=draws).numpy()
                add(sums, layer, (sample.seed, sample.block), moments(values[0], values[1], [sample.pairs[0][2]]))
        expected += sum(array.nbytes for name, array in to_arrays(sums).items() if name != "blocks")
    assert kept_bytes(samples, {"a": 3, "b": 5}) == expected > 0


def test_work_is_that_of_the_zoo() -> None:
    gmacs, layers = work(Asked("x3d_xs", "kinetics400", "any"), feed_of("x3d_xs"))
    assert gmacs == pytest.approx(complexity_of("x3d_xs", {"frames": 4, "side": 182}).gflops)
    module = model("x3d_xs").build()
    read = units(module, {"video": torch.zeros(1, 3, 4, 182, 182)})
    assert layers == {name: values.shape[1] for name, values in read.items()}
    gmacs, _ = work(Asked("fusionseg", "davis", "any"), feed_of("fusionseg"))
    assert gmacs == pytest.approx(complexity_of("fusionseg", {"height": 480, "width": 854, "batch": 1}).gflops)


def test_bytes_of_weights(cases: list[Counted]) -> None:
    state = model("x3d_xs").build().state_dict()
    assert state_bytes("x3d_xs", "kinetics400") == sum(entry.nbytes for entry in state.values())
    files = {file.asset: file for file in weights(cases)}
    three = 3 * state_bytes("fusionseg", "davis")
    others = state_bytes("matnet", "davis+youtube-vos") + state_bytes("rtnet", "davis+duts")
    assert files["vos_checkpoints"].bytes == three + others
    assert files["mvit_b_16x4_kinetics400"].how == "browser"
    assert files["fast_r50_8x8_ssv2"].how == "never published"


def test_pictures() -> None:
    assert painted_frames("stylized_davis") == 4 * 1376
    assert flow_pictures() == 2 * (1376 - 20)
    assert painted_frames("stylized_ssv2") == 4 * 3002 * SIZES["stylized_ssv2"].frames
    assert painting_gmacs(64, 64) == pytest.approx(painting_gmacs(32, 32) * 4)


def test_hours(cases: list[Counted]) -> None:
    assert published_cost.gpu_hours(3600, 67e12 * 0.3 / 2e9, "float32") == pytest.approx(1)
    assert published_cost.gpu_hours(1000, 5, "bfloat16") == pytest.approx(
        published_cost.gpu_hours(1000, 5, "float32") * 67 / 989
    )
    each = replace(of(cases, "i3d", "stylized_activitynet"), passes=7200)
    seconds = {"pass": {"i3d units": 2.0}, "draw": {"i3d": 0.5}}
    assert published_cost.core_hours(each, seconds) == pytest.approx(4)
    assert published_cost.drawing_hours(each, seconds) == pytest.approx(1)
    assert published_cost.drawing_hours(of(cases, "rtnet", "moca"), seconds) is None


def test_what_is_recorded_is_what_the_page_needs(cases: list[Counted]) -> None:
    possible = [each for each in cases if not each.never]
    assert recorded()["pass"].keys() == {pass_name(each) for each in possible}
    assert recorded()["passes"] == passes_of(possible), "python -m benchmarks.published_cost --measure writes them"
    assert recorded()["draw"].keys() == {each.asked.network for each in possible if each.what == "units"}


@pytest.mark.assets
def test_measuring_and_the_file(
    cases: list[Counted],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    store: AssetStore,
) -> None:
    """With one network, in place of all; the seconds are real, and only looked at for being there."""
    monkeypatch.setenv("SDBENCH_CACHE", str(store.folder))
    small = [of(cases, "x3d_xs", "stylized_activitynet")]
    monkeypatch.setattr(published_cost, "counted", lambda: small)
    for module in (published_cost, published_seconds):
        monkeypatch.setattr(module, "RECORDED", tmp_path / "seconds.json")
    monkeypatch.setattr(sys, "argv", ["published_cost", "--measure", "--json", str(tmp_path / "cost.json")])
    threads = torch.get_num_threads()
    try:
        with pytest.warns(match="4 videos"):
            published_cost.main()
    finally:
        torch.set_num_threads(threads)
    told = capsys.readouterr()
    assert "| stylized_activitynet | x3d_xs, kinetics400 | 2 (0) | 11,898 |" in told.out
    assert "x3d_xs units: " in told.err
    kept = json.loads((tmp_path / "seconds.json").read_text())
    assert kept["pass"]["x3d_xs units"] > 0
    assert kept["draw"]["x3d_xs"] > 0
    assert 10_000 < kept["painted_bytes"] < 200_000
    values = json.loads((tmp_path / "cost.json").read_text())
    assert values["measurements"][0]["passes"] == 11898
    assert values["measurements"][0]["gpu_hours"]["float32"] > 0
