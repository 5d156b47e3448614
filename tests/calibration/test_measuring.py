"""What the small networks are measured on, and what the method says of stored ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdbench.assets import AssetStore
from sdbench.base.errors import InputError
from sdbench.calibration.measuring import SceneStudy, measure_trained
from sdbench.calibration.tasks import feed_of
from sdbench.calibration.trained import KINDS, SEEDS
from sdbench.engine import Finished
from sdbench.video.feed import Feed

VIDEOS, SCENES = "calibration_slowfast", "calibration_fusionseg"


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path, offline=True, quiet=True)


def test_a_study_of_blocks_gives_two_pairs_of_each_factor_a_block() -> None:
    kind = KINDS[VIDEOS]
    plan = SceneStudy(kind, 20).plan(feed_of(kind), 3)
    assert (plan.about.unit, plan.about.units, plan.about.clips) == ("block", 20, 80)
    assert [sample.block for sample in plan.samples] == [str(number) for number in range(20)]
    factors = [factor for *_, factor in plan.samples[0].pairs]
    assert factors.count(0) == factors.count(1) == 2


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("calibration_resnet3d", {"video": (4, 3, 8, 24, 24)}),
        (VIDEOS, {"slow": (4, 3, 2, 24, 24), "fast": (4, 3, 8, 24, 24)}),
        (SCENES, {"image": (4, 3, 48, 48), "flow": (4, 3, 48, 48)}),
        ("calibration_rtnet", {"image": (4, 2, 3, 48, 48), "flow": (4, 2, 6, 48, 48)}),
    ],
)
def test_every_kind_of_network_is_fed(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    kind = KINDS[name]
    study, feed = SceneStudy(kind, 2), feed_of(kind)
    drawn = study.draw(study.plan(feed, 0).samples[1], feed)
    assert {of: tuple(values.shape) for of, values in drawn.items()} == shapes
    assert drawn.keys() == feed.inputs.keys()


def test_pairs_share_one_factor_exactly() -> None:
    study, feed = SceneStudy(KINDS[VIDEOS], 2), feed_of(KINDS[VIDEOS])
    planned = study.plan(feed, 0).samples[0]
    first_frames = study.draw(planned, feed)["fast"][:, :, 0]
    study, feed = SceneStudy(KINDS[SCENES], 2), feed_of(KINDS[SCENES])
    scenes = study.draw(study.plan(feed, 0).samples[0], feed)
    for one, other, factor in planned.pairs:
        looks_alike = factor == 1
        assert torch.equal(first_frames[one], first_frames[other]) == looks_alike
        assert torch.equal(scenes["image"][one], scenes["image"][other]) == looks_alike
        assert torch.equal(scenes["flow"][one], scenes["flow"][other]) != looks_alike


def test_a_block_is_the_same_whenever_it_is_drawn() -> None:
    kind = KINDS[VIDEOS]
    feed = feed_of(kind)
    in_order, alone = SceneStudy(kind, 40), SceneStudy(kind, 40)
    samples = in_order.plan(feed, 0).samples
    drawn = [in_order.draw(sample, feed)["fast"] for sample in samples]
    for number in (39, 0, 17):
        assert torch.equal(alone.draw(samples[number], feed)["fast"], drawn[number])
    assert len({values.numpy().tobytes() for values in drawn}) == 40
    other = alone.plan(feed, 1).samples[0]
    assert not torch.equal(alone.draw(other, feed)["fast"], drawn[0])


def test_blocks_of_a_study_of_another_size_are_not_taken_for_these() -> None:
    """How many blocks are drawn together decides what they show, so that a finished part must not fit another study."""
    kind = KINDS[VIDEOS]
    more, fewer = (SceneStudy(kind, blocks).plan(feed_of(kind), 0).samples for blocks in (20, 18))
    assert more[:16] == fewer[:16]
    assert more[17] != fewer[17]


def test_measuring_says_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="measured on the data set rendered_vos; got rendered"):
        measure_trained("calibration_rtnet", "still", "rendered")
    with pytest.raises(InputError, match="at least 3 pairs of each factor"):
        measure_trained("calibration_rtnet", "still", "rendered_vos", pairs=2)
    with pytest.raises(InputError, match="small network 'calibration_rnet'"):
        measure_trained("calibration_rnet", "still", "rendered_vos")
    with pytest.raises(InputError, match="task of calibration_rtnet 'stil'; did you mean still"):
        measure_trained("calibration_rtnet", "stil", "rendered_vos")
    with pytest.raises(InputError, match=r"are fed Feed\(frames=8, size=24"):
        SceneStudy(KINDS[VIDEOS], 2).plan(Feed(8, 32), 0)


def test_all_layers_but_the_answer_and_dead_ends_are_read(store: AssetStore) -> None:
    found = measure_trained("calibration_matnet", "still", "rendered_vos", pairs=4, store=store)
    module = KINDS["calibration_matnet"].build()
    assert found.layers == tuple(name for name in module.layers[:-1] if name not in module.dead_ends)
    assert (found.network, found.dataset, found.protocol) == ("calibration_matnet", "rendered_vos", "crossed")
    assert (found.clips, found.samples, found.pairs, found.passes) == (8, 2, 4, 8 * SEEDS)


def test_what_is_finished_is_not_measured_again(store: AssetStore) -> None:
    def measured(seed: int = 0) -> tuple[int, dict[str, float]]:
        found = measure_trained(SCENES, "still", "rendered_vos", pairs=16, seed=seed, store=store, finished=finished)
        return found.resumed, found.layer("fusion.layer5").estimate.shares

    finished = Finished()
    first = measured()
    assert first[0] == 0
    assert measured() == (8 * SEEDS, first[1])
    finished.discard()
    assert measured() == first
    resumed, other = measured(seed=1)
    assert resumed == 0
    assert other != first[1]


def test_the_method_says_what_a_stored_network_was_trained_for(store: AssetStore) -> None:
    found = {
        task: measure_trained("calibration_resnet3d", task, "rendered", pairs=40, store=store)
        for task in ("motion", "texture")
    }
    for number in range(SEEDS):
        shares = {task: measured.run("stage5", number).estimate.shares for task, measured in found.items()}
        assert shares["motion"]["dynamic"] > shares["texture"]["dynamic"]
        assert shares["texture"]["static"] > shares["motion"]["static"]
    layer = found["motion"].layer("stage5")
    assert len(layer.runs) == SEEDS
    assert len(layer.estimate.unit_labels) == SEEDS * 128
    means = layer.read("shares")
    assert means.values["dynamic"] == pytest.approx(sum(run.shares["dynamic"] for run in layer.runs) / SEEDS)
    assert means.generalisation is not None
    assert means.generalisation["dynamic"].low < means.values["dynamic"] < means.generalisation["dynamic"].high
    assert not list((store.folder / "parts").iterdir()), "what is over leaves nothing behind"
