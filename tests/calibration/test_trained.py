"""Training the small networks, and keeping them."""

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

from sdbench.base.draws import generator_for
from sdbench.base.errors import AssetError, InputError
from sdbench.calibration import training
from sdbench.calibration.tasks import draw_batch, feed_of, unseen_textures
from sdbench.calibration.trained import (
    FOLDER,
    KINDS,
    SEEDS,
    Training,
    alive,
    listed,
    load_trained,
    rounded,
    save_trained,
)
from sdbench.calibration.training import keep, kept, shortfall, train
from sdbench.networks import Network

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
    return train("calibration_resnet3d", "motion", 0, steps=2)


def test_a_training_follows_from_its_seed(short: Training) -> None:
    again = train("calibration_resnet3d", "motion", 0, steps=2)
    other = train("calibration_resnet3d", "motion", 1, steps=2)
    assert all(torch.equal(value, again.state[name]) for name, value in short.state.items())
    assert again.about["score"] == short.about["score"]
    assert not all(torch.equal(value, other.state[name]) for name, value in short.state.items())


def test_training_leaves_torchs_own_draws_and_threads_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    torch.set_num_threads(2)
    train("calibration_resnet3d", "texture", 0, steps=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == 2


def test_what_is_kept_is_found_again_and_nothing_else(short: Training, tmp_path: Path) -> None:
    job = (short.network, short.task, short.seed)
    assert kept(job, tmp_path, 2) is None
    keep(short, tmp_path)
    found = kept(job, tmp_path, 2)
    assert found is not None
    assert found.about == short.about
    assert all(torch.equal(value, found.state[name]) for name, value in short.state.items())
    assert kept(job, tmp_path, 3) is None, "of another length"
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    assert kept(job, tmp_path, 2) is None, "cut off"


def test_rounding_is_what_a_file_holds(short: Training, tmp_path: Path) -> None:
    trainings = {
        ("motion", seed): replace(short, seed=seed, state={name: value + seed for name, value in short.state.items()})
        for seed in range(2)
    }
    save_trained(tmp_path / "calibration_resnet3d.safetensors", trainings)
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


@pytest.mark.slow
def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """All is finished but one training: it is trained in a process of its own, and nothing else is."""
    name = "calibration_resnet3d"
    done = train(name, "motion", 0, steps=1)
    done = replace(done, about={**done.about, "score": 99.99, "steps": KINDS[name].steps})
    *others, left = training.jobs((name,))
    for _, task, seed in others:
        keep(replace(done, task=task, seed=seed), tmp_path / "parts")
    folders = ["--parts", str(tmp_path / "parts"), "--output", str(tmp_path / "out")]
    assert training.main(["--only", name, "--processes", "1", *folders]) == 0
    scores = {(name, about["task"], about["seed"]): about["score"] for about in listed(name, tmp_path / "out")}
    assert scores.pop(left) < 99.99
    assert scores == dict.fromkeys(others, 99.99)


def test_bad_arguments_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert training.main(["--only", "calibration_resnet"]) == 1
    assert "did you mean calibration_resnet3d" in capsys.readouterr().err
    assert training.main(["--processes", "0"]) == 1
    assert "at least 1; got 0" in capsys.readouterr().err


@pytest.mark.slow
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
    # Other machines may round a sum otherwise and find an answer or two wrong that were right.
    assert training.score(kind, module, one["task"]) == pytest.approx(one["score"], abs=0.5)


def test_what_is_loaded_follows_from_the_file() -> None:
    """The entries that are not stored do not come out of a generator."""
    kind = KINDS["calibration_fusionseg"]
    weights = [
        Network(load_trained("calibration_fusionseg", "still", seed), feed_of(kind)).weights for seed in (0, 0, 1)
    ]
    assert weights[0] == weights[1] != weights[2]


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
