"""The runner on Ray, on a real cluster of several nodes: the bits of one process, whatever is lost meanwhile."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdbench import Feed, InputError, Measurement, Network, studies
from sdbench.assets import AssetStore
from sdbench.base.kept import Arrays
from sdbench.engine import Study, measure, ray_cluster
from sdbench.engine.measuring import Prepared, prepare
from sdbench.engine.passes import SECONDS
from sdbench.engine.placing import Placement
from sdbench.engine.ray_worker import Workplace, known_here, refusal
from sdbench.engine.runners import OnRay
from sdbench.engine.running import OneProcess, Runner
from sdbench.video.feed import IMAGENET_MEAN, IMAGENET_STD
from tests.conftest import moving_squares, write_video
from tests.made.davis import make_davis, make_painted
from tests.made.slow import SlowStudy
from tests.made.studies import FEED, Counting, NoiseStudy
from tests.made.stylised import make as make_stylised
from tests.made.stylised import names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'sdbench[ray]'"
    ),
]

ROOT = Path(__file__).parents[2]
STORE_BYTES = 80 * 2**20
NODE: dict[str, Any] = {"object_store_memory": STORE_BYTES, "include_log_monitor": False}
HEAD: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False, "no_monitor": True}

EACH = 22
"""Samples of a part."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


_NODES: list[Any] = []
"""Held to the end. Ray itself holds its nodes for the interpreter's exit only; since Python 3.13 a forked process drops
what is held for that, and the last reference to a node takes its connections down with a segmentation fault."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes, each with room for one worker, whose workers find this folder's modules."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        patch.setenv("RAY_prestart_worker_first_driver", "0")  # a process for each core, whenever somebody connects
        started = Cluster(initialize_head=True, head_node_args={**NODE, **HEAD})
        try:
            started.add_node(**NODE, num_cpus=1)
            _NODES.extend(started.list_all_nodes())
            yield started
        finally:
            started.shutdown()


@pytest.fixture(scope="module")
def joined(cluster: Any) -> Iterator[Any]:
    """The same cluster with a connection that the tests share; those that begin one of their own come before."""
    import ray

    ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster
    ray.shutdown()


@pytest.fixture
def own_store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "cache", offline=True, quiet=True)


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    (tmp_path / "pids").mkdir()
    return tmp_path / "pids"


def network(module: torch.nn.Module | None = None) -> Network:
    return Network(module or Counting(), FEED, "counting")


def prepared(store: AssetStore, study: Study, module: torch.nn.Module | None = None) -> Prepared:
    return prepare(network(module), study, None, 0, 0.5, Placement(compiling="off"), store)


def each(runner: Runner, given: Prepared, then: Callable[[int], object] = lambda _number: None) -> list[Arrays]:
    """What came of each part; `then` is called behind each."""
    found: list[Arrays] = []
    with contextlib.closing(runner.sums(given.job, given.parts, given.kept, lambda _done: None)) as coming:
        for number, arrays in enumerate(coming):
            found.append({name: values.copy() for name, values in arrays.items() if name != SECONDS})
            then(number)
    return found


def alone(tmp_path: Path, samples: int, module: torch.nn.Module | None = None) -> list[Arrays]:
    """What one process makes of the same."""
    return each(OneProcess(0), prepared(AssetStore(tmp_path / "alone", quiet=True), NoiseStudy(samples), module))


def same(one: Sequence[Arrays], other: Sequence[Arrays]) -> bool:
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)
        for a, b in zip(one, other, strict=True)
    )


def bits(found: Measurement) -> list[bytes]:
    """Everything that was summed, to the bit."""
    return [
        getattr(sums, field.name).tobytes()
        for blocks in found.sums.values()
        for sums in blocks.values()
        for field in fields(sums)
        if field.name != "crossed"  # of rendered scenes only
    ]


def kept(store: AssetStore) -> list[Path]:
    return sorted(store.cache.parts.rglob("*.safetensors"))


def numbers(folder: Path) -> set[int]:
    return {int(path.name) for path in folder.iterdir()}


def of_mark(mark: str) -> list[int]:
    """The processes that inherited a mark."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if mark.encode() in (entry / "environ").read_bytes() and "zombie" not in (entry / "status").read_text():
                found.append(int(entry.name))
    return found


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it did not happen within {seconds} s"
        time.sleep(0.05)


def driver(address: str, folder: Path, samples: int, mark: str = "none") -> subprocess.Popen[bytes]:
    """A process that measures with one worker."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.made.slow", address, str(folder), str(samples)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SDBENCH_TEST_MARK": mark},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def test_two_nodes_give_the_bits_of_one_process_and_workers_that_wait_are_told_of(
    cluster: Any, own_store: AssetStore, pids: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray

    monkeypatch.setattr(ray_cluster, "_SAY_AFTER", 0)
    monkeypatch.setattr(ray_cluster, "_LOOK_EVERY", 0.2)
    done: list[int] = []
    given = prepared(own_store, SlowStudy(10 * EACH, pids, together_from=2))
    coming = OnRay(cluster.address, workers=5).sums(given.job, given.parts, given.kept, done.append)
    found = [{name: values for name, values in arrays.items() if name != SECONDS} for arrays in coming]
    assert same(found, alone(own_store.folder, 10 * EACH))
    assert len(numbers(pids)) == 2, "both nodes work, and nobody waits for the others"
    assert os.getpid() not in numbers(pids)
    assert sorted(done) == done
    assert done[-1] == 10 * EACH
    assert not ray.is_initialized()
    said = capsys.readouterr().err
    assert said.count("workers wait for a place on the Ray cluster, each for 1 CPU and 0 GPUs") == 1


def test_ctrl_c_leaves_no_process_and_all_finished_parts(tmp_path: Path) -> None:
    store, mark = AssetStore(tmp_path / "cache", offline=True, quiet=True), uuid.uuid4().hex
    with driver("local", tmp_path, 400 * EACH, mark) as process:
        until(lambda: len(kept(store)) >= 2)
        assert len(of_mark(mark)) > 3, "the cluster that it started is there"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, said = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert b"KeyboardInterrupt" in said
    until(lambda: not of_mark(mark), 20)
    assert kept(store)


def test_a_cluster_that_is_not_there_is_a_sentence(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_JOINING_SECONDS", 5.0)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        ports = (1, server.getsockname()[1])  # nobody answers, something else answers
        given = prepared(own_store, NoiseStudy(EACH))
        tried = [pool.submit(each, OnRay(f"127.0.0.1:{port}"), given) for port in ports]
        for port, one in zip(ports, tried, strict=True):
            expected = rf"the Ray cluster at 127.0.0.1:{port} cannot be joined .*expected host"
            with pytest.raises(InputError, match=expected):
                one.result()
    assert time.monotonic() - started < 15


def test_a_whole_run_starts_nothing(own_store: AssetStore) -> None:
    import ray

    whole = each(OneProcess(0), prepared(own_store, NoiseStudy(4 * EACH)))
    assert not ray.is_initialized()
    assert same(each(OnRay("127.0.0.1:1"), prepared(own_store, NoiseStudy(4 * EACH))), whole)


class Heavy(Counting):
    """A network that is larger than the object store of a node."""

    def __init__(self) -> None:
        super().__init__()
        self.ballast = torch.nn.Parameter(torch.arange(24 * 2**20, dtype=torch.float32))
        assert self.ballast.numel() * 4 > STORE_BYTES


def test_a_connection_of_the_users_own_and_a_network_larger_than_the_object_store(
    joined: Any, own_store: AssetStore
) -> None:
    """The measurement says how it was made, has the bits of one process, and leaves nothing but the connection."""
    import ray

    found = measure(network(Heavy()), NoiseStudy(70), store=own_store, runner=OnRay("127.0.0.1:1"))
    assert ray.is_initialized()
    until(lambda: ray.available_resources().get("CPU") == 2)
    whole = measure(network(Heavy()), NoiseStudy(70), store=own_store, workers=0)
    assert found.compiled.startswith("not compiled: 4 passes")
    assert found.resumed == 0
    assert bits(found) == bits(whole)
    assert found.layer("start").estimate.shares == whole.layer("start").estimate.shares
    assert not kept(own_store)
    assert list(own_store.cache.parts.iterdir()) == []


def test_a_node_that_disappears_is_done_without(
    joined: Any, own_store: AssetStore, pids: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    third = joined.add_node(num_cpus=1, **NODE)
    removed: list[int] = []

    def remove(number: int) -> None:
        if number == 1:
            removed.extend(numbers(pids))
            joined.remove_node(third, allow_graceful=False)

    study = SlowStudy(12 * EACH, pids, seconds=0.1, together_from=3)  # a worker outlives its node a little
    found = each(OnRay(joined.address, workers=3), prepared(own_store, study), remove)
    assert len(removed) == 3, "all three worked, in the middle"
    said = capfd.readouterr().err
    assert re.search(r"sdbench: a worker on the Ray cluster ended \(Actor\w+Error\); its parts are given again", said)
    assert same(found, alone(own_store.folder, 12 * EACH))


def test_a_killed_driver_is_resumed(joined: Any, tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "cache", offline=True, quiet=True)
    with driver(joined.address, tmp_path, 12 * EACH) as process:
        until(lambda: len(kept(store)) >= 3)
        process.kill()
    assert 3 <= len(kept(store)) < 12
    folder = tmp_path / "pids"
    folder.mkdir()
    runner = OnRay(joined.address, workers=1)
    resumed = measure(network(), SlowStudy(12 * EACH, folder, 0), store=store, runner=runner)
    assert resumed.resumed >= 3 * EACH
    assert bits(resumed) == bits(measure(network(), NoiseStudy(12 * EACH), store=store, workers=0))


def test_a_damaged_part_is_done_again(joined: Any, own_store: AssetStore, capsys: pytest.CaptureFixture[str]) -> None:
    whole = each(OneProcess(0), prepared(own_store, NoiseStudy(4 * EACH)))
    kept(own_store)[2].write_bytes(b"not what it was")
    assert same(each(OnRay(joined.address, workers=1), prepared(own_store, NoiseStudy(4 * EACH))), whole)
    assert "is damaged" in capsys.readouterr().err


def test_a_killed_worker_is_replaced(joined: Any, own_store: AssetStore, pids: Path) -> None:
    killed: list[int] = []

    def kill(number: int) -> None:
        if number == 1:
            killed.extend(numbers(pids))
            os.kill(killed[0], signal.SIGKILL)

    found = each(OnRay(joined.address, workers=1), prepared(own_store, SlowStudy(5 * EACH, pids)), kill)
    assert len(killed) == 1
    assert len(numbers(pids)) == 2, "the one that was killed, and the one in its place"
    assert same(found, alone(own_store.folder, 5 * EACH))


def test_no_node_is_left_for_a_worker(
    joined: Any, own_store: AssetStore, pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_LOOK_EVERY", 0.2)
    big = joined.add_node(num_cpus=4, **NODE)

    def remove(number: int) -> None:
        if number == 0:
            joined.remove_node(big, allow_graceful=False)

    runner = OnRay(joined.address, workers=1, cpus_per_worker=4)
    with pytest.raises(InputError, match=r"a worker needs 4 CPUs and 0 GPUs, and no node of the Ray cluster has that"):
        each(runner, prepared(own_store, SlowStudy(12 * EACH, pids)), remove)
    assert kept(own_store), "what was finished is kept"


def test_a_damaged_sample_is_named_and_the_rest_kept(joined: Any, own_store: AssetStore, pids: Path) -> None:
    study = SlowStudy(12 * EACH, pids, broken=(3 * EACH + 5, 5 * EACH))
    with pytest.raises(InputError) as caught:
        each(OnRay(joined.address), prepared(own_store, study))
    assert str(caught.value) == f"noise {3 * EACH + 5} is damaged; replace it"
    names = {path.name[:6] for path in kept(own_store)}
    assert {"000000", "000001", "000002"} <= names, "whatever was before it"
    assert "000003" not in names
    assert len(names) <= 6, "nothing was begun behind it but what was under way"


def test_an_error_of_another_kind_keeps_its_type(joined: Any, own_store: AssetStore, pids: Path) -> None:
    with pytest.raises(ZeroDivisionError, match="of noise 30"):
        each(OnRay(joined.address, workers=1), prepared(own_store, SlowStudy(4 * EACH, pids, 0, wrong=(30,))))


def test_a_part_that_ends_every_worker_ends_the_run(
    joined: Any, own_store: AssetStore, pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_TRIES", 2)
    with pytest.raises(InputError, match=r"the worker that did noise 0 to noise 21 ended 2 times"):
        each(OnRay(joined.address, workers=1), prepared(own_store, SlowStudy(EACH, pids, 0, deadly=(3,))))


def test_other_versions_are_refused(joined: Any, own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    here = known_here()
    monkeypatch.setattr(ray_cluster, "known_here", lambda: (*here[:1], ("torch", "1.0"), *here[2:]))
    with pytest.raises(InputError, match=r"torch is 1.0 for the driver and \S+ on host \S+: pip install 'torch==1.0'"):
        each(OnRay(joined.address, workers=2), prepared(own_store, NoiseStudy(4 * EACH)))
    assert kept(own_store) == [], "no part was done, nor given from one refusing worker to the other for ever"
    assert (refusal(here), here[0][0], here[-1][0]) == (None, "Python", "sdbench")
    assert re.search(r"start Ray there with 2.7", refusal((("Python", "2.7"),)) or "")
    assert re.search(r"install the same sdbench on every node", refusal((("sdbench", "0" * 64),)) or "")


def test_a_node_without_the_package_is_named(joined: Any, own_store: AssetStore, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['sdbench'] = None\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        node = joined.add_node(num_cpus=3, **NODE)
    try:
        with pytest.raises(InputError, match=r"sdbench cannot be imported on host \S+ \(.*\): install the driver's"):
            each(OnRay(joined.address, cpus_per_worker=3), prepared(own_store, NoiseStudy(EACH)))
    finally:
        joined.remove_node(node)


def test_more_than_any_node_has_is_a_sentence(joined: Any, own_store: AssetStore) -> None:
    with pytest.raises(InputError, match=r"a worker needs 1 CPU and 8 GPUs, and no node .* with 1 CPU and 0 GPUs"):
        each(OnRay(joined.address, gpus_per_worker=8), prepared(own_store, NoiseStudy(EACH)))


def test_without_ray_it_says_how_to_get_it(own_store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=re.escape("pip install 'sdbench[ray]'")):
        each(OnRay(), prepared(own_store, NoiseStudy(EACH)))


def test_what_cannot_be_asked_for_is_a_sentence(own_store: AssetStore) -> None:
    with pytest.raises(InputError, match="at least one worker with at least one core"):
        OnRay(workers=0)
    with pytest.raises(InputError, match="a part of one GPU or a whole number"):
        OnRay(gpus_per_worker=1.5)
    given = prepare(network(), NoiseStudy(EACH), None, 0, 0.5, Placement("cuda"), own_store)
    with pytest.raises(InputError, match="Ray shows no GPU to workers with gpus_per_worker=0"):
        each(OnRay(), given)


class Locked(NoiseStudy):
    """A study that holds something which cannot be sent."""

    def __init__(self, samples: int) -> None:
        super().__init__(samples)
        self.lock = threading.Lock()


def test_what_cannot_be_sent_is_a_sentence(joined: Any, own_store: AssetStore) -> None:
    with pytest.raises(InputError, match=r"must be picklable to be sent to workers; TypeError: .*lock"):
        each(OnRay(joined.address), prepared(own_store, Locked(EACH)))


def test_parts_that_come_at_once_are_done_one_after_the_other(own_store: AssetStore, pids: Path) -> None:
    given = prepared(own_store, SlowStudy(8 * EACH, pids, 0.001))
    workplace = Workplace(given.job, 2)
    with ThreadPoolExecutor(4) as pool:
        found = [outcome.arrays or {} for outcome in pool.map(lambda part: workplace.do(part, None), given.parts)]
    workplace.close()
    plain = [{name: np.asarray(values) for name, values in arrays.items() if name != SECONDS} for arrays in found]
    assert same(plain, alone(own_store.folder, 8 * EACH))
    assert not given.kept.folder.exists(), "a worker leaves nothing in a folder of its own"


@pytest.mark.parametrize("which", ["broken", "wrong"])
def test_an_error_in_a_worker_does_not_hold_up_the_next_part(own_store: AssetStore, pids: Path, which: str) -> None:
    at_fault: dict[str, Any] = {which: (EACH + 1,)}
    given = prepared(own_store, SlowStudy(3 * EACH, pids, 0, **at_fault))
    workplace = Workplace(given.job, 1)
    assert workplace.do(given.parts[0], None).arrays
    if which == "broken":
        assert isinstance(pickle.loads(pickle.dumps(workplace.do(given.parts[1], None))).error, InputError)
    else:
        with pytest.raises(ZeroDivisionError):
            workplace.do(given.parts[1], None)
    assert workplace.do(given.parts[2], None).arrays
    workplace.close()


SMALL = Feed(8, 32, 0.5, 0.5)


def rendered(_folder: Path, _store: AssetStore) -> tuple[Study, Feed]:
    return studies.rendered(4), SMALL


def stylised(folder: Path, store: AssetStore) -> tuple[Study, Feed]:
    make_stylised(folder / "ssv2", "ssv2", dict.fromkeys(names(12, "ssv2"), 40))
    return studies.stylised("ssv2", folder / "ssv2", protocol="corrected", store=store), Feed(4, 32, short_side=36)


def davis(folder: Path, store: AssetStore) -> tuple[Study, Feed]:
    pictures = make_davis(folder / "davis")
    painted = make_painted(folder / "painted", pictures)
    feed = Feed(1, (32, 48), IMAGENET_MEAN, IMAGENET_STD, fit="stretch", flow="forward")
    return studies.davis(pictures, painted, seeds=1, frames=3, store=store), feed


def arrays(_folder: Path, store: AssetStore) -> tuple[Study, Feed]:
    return studies.clips({f"clip{i}": moving_squares(8, 32, 32, seed=i) for i in range(4)}, store=store), SMALL


def videos(folder: Path, store: AssetStore) -> tuple[Study, Feed]:
    (folder / "videos").mkdir()
    for number in range(3):
        write_video(folder / "videos" / f"{number}.mp4", moving_squares(20, seed=number))
    return studies.clips(folder / "videos", store=store), SMALL


@pytest.mark.filterwarnings("ignore:.*the intervals will be wide")
@pytest.mark.parametrize(
    "made",
    [rendered, stylised, davis, *(pytest.param(made, marks=pytest.mark.assets) for made in (arrays, videos))],
)
def test_every_study_travels_with_what_it_has_opened(
    made: Callable[[Path, AssetStore], tuple[Study, Feed]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    own = AssetStore(tmp_path / "cache", quiet=True)
    if made in (arrays, videos):
        for name in ("styles26", "transnetv2"):
            own.add(name, request.getfixturevalue("store").path(name))
    study, feed = made(tmp_path, own)
    planned = study.plan(feed, 0).samples[:3]
    drawn = [study.draw(sample, feed) for sample in planned]
    import ray

    there, samples = ray.cloudpickle.loads(ray.cloudpickle.dumps((study, planned)))
    for views, sample in zip(drawn, samples, strict=True):
        again = there.draw(sample, feed)
        assert views.keys() == again.keys()
        assert all(torch.equal(values, again[name]) for name, values in views.items())
