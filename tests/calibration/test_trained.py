"""Training the small networks, keeping them, and what the method says of a stored one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdbench.answers.zeroing import lost_without
from sdbench.assets import AssetStore
from sdbench.base.draws import generator_for
from sdbench.base.errors import AssetError, InputError
from sdbench.calibration import training
from sdbench.calibration.measuring import measure_trained
from sdbench.calibration.tasks import draw_batch, unseen_textures
from sdbench.calibration.trained import (
    FOLDER,
    KINDS,
    SEEDS,
    Training,
    alive,
    listed,
    load_trained,
    rounded,
    store,
)
from sdbench.calibration.training import finished, keep, shortfall, train
from sdbench.cases.records import Claim, Comparison, Quantity
from sdbench.cases.verdicts import Verdict
from sdbench.passes import weights_digest
from sdbench.suite.running import Suite

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def short() -> Training:
    """Two steps of a training."""
    torch.set_num_threads(1)
    return train("calibration_resnet3d", "motion", 0, steps=2)


def test_a_training_follows_from_its_seed(short: Training) -> None:
    again = train("calibration_resnet3d", "motion", 0, steps=2)
    other = train("calibration_resnet3d", "motion", 1, steps=2)
    assert all(torch.equal(value, again.state[name]) for name, value in short.state.items())
    assert again.about["score"] == short.about["score"]
    assert not all(torch.equal(value, other.state[name]) for name, value in short.state.items())


def test_training_leaves_torchs_own_draws_and_threads_alone(short: Training) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train("calibration_resnet3d", "texture", 0, steps=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == 1


def test_what_is_kept_is_found_again_and_nothing_else(short: Training, tmp_path: Path) -> None:
    job = (short.network, short.task, short.seed)
    assert finished(job, tmp_path, 2) is None
    keep(short, tmp_path)
    found = finished(job, tmp_path, 2)
    assert found is not None
    assert found.about == short.about
    assert all(torch.equal(value, found.state[name]) for name, value in short.state.items())
    assert finished(job, tmp_path, 3) is None, "of another length"
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert finished(job, tmp_path, 2) is None, "cut off"


def test_rounding_is_what_a_file_holds(short: Training, tmp_path: Path) -> None:
    trainings = {
        ("motion", seed): replace(short, seed=seed, state={name: value + seed for name, value in short.state.items()})
        for seed in range(2)
    }
    store(tmp_path / "calibration_resnet3d.safetensors", trainings)
    for seed in range(2):
        loaded = load_trained("calibration_resnet3d", "motion", seed, tmp_path).state_dict()
        for name, value in rounded(trainings["motion", seed].state).items():
            assert torch.equal(loaded[name], value), name
    assert [about["seed"] for about in listed("calibration_resnet3d", tmp_path)] == [0, 1]
    with pytest.raises(InputError, match="no training of calibration_resnet3d on motion with seed 4"):
        load_trained("calibration_resnet3d", "motion", 4, tmp_path)
    with pytest.raises(InputError, match="task of calibration_resnet3d 'moton'; did you mean motion"):
        load_trained("calibration_resnet3d", "moton", 0, tmp_path)


def test_rounding_twice_changes_nothing(short: Training) -> None:
    assert all(torch.equal(value, short.state[name]) for name, value in rounded(short.state).items())


def test_weights_that_are_not_there_or_damaged_are_named(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="train-calibration"):
        load_trained("calibration_resnet3d", "motion", 0, tmp_path)
    (tmp_path / "calibration_slowfast.safetensors").write_bytes(b"nothing")
    with pytest.raises(AssetError, match="damaged"):
        load_trained("calibration_slowfast", "motion", 0, tmp_path)


def test_a_training_that_learned_nothing_fails_loudly(short: Training) -> None:
    said = shortfall(replace(short, about={**short.about, "score": 25.0}))
    assert said is not None
    assert "motion with seed 0 reaches 25.0 % (right answers, percent); at least 50 are expected" in said
    assert shortfall(replace(short, about={**short.about, "score": 90.0})) is None


def test_training_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All is finished but one network, which is trained in a process of its own and does not learn in one step."""
    kind = replace(KINDS["calibration_resnet3d"], steps=1)
    monkeypatch.setitem(KINDS, "calibration_resnet3d", kind)
    done = train("calibration_resnet3d", "motion", 0, steps=1)
    done = replace(done, about={**done.about, "score": 99.0})
    for name, task, seed in training.jobs(("calibration_resnet3d",)):
        keep(replace(done, network=name, task=task, seed=seed), tmp_path / "parts")
    called = []
    monkeypatch.setattr(training, "train", lambda *job: called.append(job))
    arguments = [
        "--only",
        "calibration_resnet3d",
        "--parts",
        str(tmp_path / "parts"),
        "--output",
        str(tmp_path / "out"),
    ]
    assert training.main(arguments) == 0
    assert not called
    assert len(listed("calibration_resnet3d", tmp_path / "out")) == 3 * SEEDS


def test_bad_arguments_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main(["--only", "calibration_resnet"]) == 1
    assert "did you mean calibration_resnet3d" in capsys.readouterr().err
    assert training.main(["--processes", "0"]) == 1
    assert "at least 1; got 0" in capsys.readouterr().err


def test_ctrl_c_ends_training_and_leaves_no_process(tmp_path: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from sdbench.calibration.training import main; "
        f"sys.exit(main(['--processes', '1', '--parts', {str(tmp_path)!r}, '--output', {str(tmp_path)!r}]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            process.kill()
            pytest.skip("needs /proc to see child processes")
        deadline = time.monotonic() + 120
        while not children.read_text().split() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1)
        started = [Path("/proc") / child for child in children.read_text().split()]
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.strip() == "interrupted; run again to go on"
    # Python's own tracker of shared memory ends on its own, a moment after the process that it served.
    deadline = time.monotonic() + 30
    while any(child.exists() for child in started) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(child.exists() for child in started)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", KINDS)
def test_stored_networks_do_what_their_file_says(name: str) -> None:
    kind = KINDS[name]
    about = listed(name)
    assert {(one["task"], one["seed"]) for one in about} == {
        (task, seed) for task in kind.tasks for seed in range(SEEDS)
    }
    for one in about:
        assert one["score"] >= kind.enough
        assert one["steps"] == kind.steps
        assert one["revision"]
        assert one["data"] == training.data_of(kind)
        assert one["torch"]
    one = about[-1]
    module = load_trained(name, one["task"], one["seed"])
    inputs, answer = draw_batch(kind, one["task"], unseen_textures(), 32, generator_for(0, "test"))
    with torch.no_grad():
        reached = 100 * float(training.score_of(kind, module(**inputs), answer).mean())
    assert reached == pytest.approx(one["score"], abs=20)


def test_all_weights_together_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) < 4_000_000


def test_entries_that_no_answer_depends_on_are_left_out() -> None:
    kind = KINDS["calibration_matnet"]
    module = kind.build().train()
    inputs, _ = draw_batch(kind, "still", unseen_textures(), 2, generator_for(0, "test"))
    module(**inputs).sum().backward()
    kept = alive(module)
    assert "decoder.pred2.weight" in kept
    assert "encoder.bn1_1.running_var" in kept
    assert not any("pred5" in name or "bottolneck" in name or name.endswith("num_batches_tracked") for name in kept)


def test_the_method_says_what_a_stored_network_was_trained_for(tmp_path: Path) -> None:
    folder = AssetStore(tmp_path, offline=True, quiet=True)
    found = {
        task: measure_trained("calibration_resnet3d", task, "rendered", pairs=40, store=folder)
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
    assert means.intervals is not None
    assert means.intervals["dynamic"].low < means.values["dynamic"] < means.intervals["dynamic"].high
    assert not list((tmp_path / "unfinished").glob("*"))
    for task, factor, other in (("motion", "dynamic", "static"), ("texture", "static", "dynamic")):
        without = lost_without(found[task], task)
        assert sum(one.lost[factor] for one in without) > sum(one.lost[other] for one in without)
    with pytest.raises(InputError, match="stage 'stage9'"):
        lost_without(found["motion"], "motion", "stage9")


def test_measuring_says_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="measured on the data set rendered_vos; got rendered"):
        measure_trained("calibration_rtnet", "still", "rendered")
    with pytest.raises(InputError, match="at least 3 pairs"):
        measure_trained("calibration_rtnet", "still", "rendered_vos", pairs=2)
    with pytest.raises(InputError, match="small network 'calibration_rnet'"):
        measure_trained("calibration_rnet", "still", "rendered_vos")


def test_measuring_again_gives_the_same(tmp_path: Path) -> None:
    one, other = (
        measure_trained(
            "calibration_fusionseg", "still", "rendered_vos", pairs=16, store=AssetStore(tmp_path / str(i), quiet=True)
        )
        for i in range(2)
    )
    assert one.weights == other.weights
    assert one.layer("fusion.layer5").estimate.shares == other.layer("fusion.layer5").estimate.shares
    assert weights_digest(load_trained("calibration_fusionseg", "still", 0)) == weights_digest(
        load_trained("calibration_fusionseg", "still", 0)
    )


def test_a_claim_is_judged_for_each_training(tmp_path: Path) -> None:
    def at(task: str) -> Quantity:
        return Quantity(
            network="calibration_resnet3d", trained_on=task, dataset="rendered", layer="stage5", name="shares.dynamic"
        )

    suite = Suite(AssetStore(tmp_path, offline=True, quiet=True), pairs=40)
    claim = Claim(
        id="toy/claim",
        task="action recognition",
        statement="training decides",
        source="made up",
        published=False,
        comparisons=(Comparison(greater=at("motion"), lesser=at("texture")),),
        each_seed=True,
    )
    case = suite.run(claim)
    assert case.verdict is Verdict.HOLDS
    assert case.measured is not None
    assert len(case.measured) == SEEDS
    turned = claim.model_copy(update={"comparisons": (Comparison(greater=at("texture"), lesser=at("motion")),)})
    assert suite.run(turned).verdict is Verdict.FAILS
    assert len(suite.measurements) == 2
