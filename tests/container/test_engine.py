"""What goes wrong with an engine is said in one sentence that helps; no engine is needed to test it."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests

from sdbench.assets import AssetStore
from sdbench.base.errors import AssetError
from sdbench.base.journal import JOURNAL, append_line
from sdbench.cases.records import read_all
from sdbench.container import base, command, image
from sdbench.container import engine as engines
from sdbench.container.assets import bring_assets
from sdbench.container.base import default_base
from sdbench.container.command import main
from sdbench.container.engine import OWNER_LABEL, EngineError, check_gpu, connect, owner_label, remove_orphans, user_of
from sdbench.container.image import BASE_DIGEST_LABEL, BASE_LABEL, SOURCE_LABEL, Image, image_for
from sdbench.container.pruning import prune_images
from sdbench.container.run import GIB, Job, Stopped, run, settings
from sdbench.container.source import DOCKERFILE, Source, source_state
from sdbench.report.from_lines import record_fields
from tests.container.fake import FakeEngine

ROOT = Path(__file__).parents[2]
IMAGE = Image("sdbench:x", "sha256:1", built=False, base="base:1", base_digest="sha256:b")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    for name in ("cache/assets", "report"):
        (tmp_path / name).mkdir(parents=True)
    return Job(["-k", "x"], cache=tmp_path / "cache", report=tmp_path / "report")


@pytest.fixture
def source() -> Source:
    return source_state(ROOT, {"BASE": "base:1"})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine with the base image, which the command finds."""
    found = FakeEngine(**{"base:1": "sha256:base"})
    monkeypatch.setattr(command, "connect", lambda: found)
    return found


def assert_one_sentence(capsys: pytest.CaptureFixture, said: str) -> None:
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("sdbench: ")
    assert said in complaint


# No engine, and one that this user may not use.


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    yield
    gc.collect()  # the SDK does not close the socket that found nobody


LEAVES_A_SOCKET = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@LEAVES_A_SOCKET
@pytest.mark.usefixtures("no_engine")
def test_without_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(EngineError, match=r"none.sock \(No such file or directory\); start Docker .*--where host"):
        connect()
    assert main(["--report", str(tmp_path / "report")]) == 1
    assert_one_sentence(capsys, "no container engine answers")


@LEAVES_A_SOCKET
@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_another_place_will_do(tmp_path: Path) -> None:
    arguments = ["--base", "b", "--fallback", str(tmp_path / "f.json"), "--report", str(tmp_path / "r"), "-k", "vos"]
    assert main([*arguments, "--memory", "1g", "--strict"]) == 0
    told = json.loads((tmp_path / "f.json").read_text())
    assert "no container engine answers" in told["why"]
    assert told["arguments"] == ["-k", "vos", "--strict", "--report", str(tmp_path / "r"), "--device", "cpu"]


def test_the_workers_of_a_cluster_are_outside_of_a_container(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--report", str(tmp_path / "r"), "--ray", "auto", "--workers", "3"]
    assert main(arguments) == 1
    assert_one_sentence(capsys, "--ray does not go with --where container: a container has no network")
    assert main([*arguments, "--fallback", str(tmp_path / "f.json")]) == 0
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["why"].startswith("a container has no network")
    assert told["arguments"][:2] == ["--workers", "3"]
    assert told["arguments"][-2:] == ["--ray", "auto"]


def test_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def ping(self) -> None:
            raise requests.ConnectionError("('Connection aborted.', PermissionError(13, 'Permission denied'))")

    monkeypatch.setattr(docker, "DockerClient", lambda **_: Refusing())
    with pytest.raises(EngineError, match=r"this user may not use it; join its group .*--where host"):
        connect()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ssh://me@there", "DOCKER_HOST=ssh://me@there is an engine on another machine, which cannot mount"),
        ("foo://there", r"DOCKER_HOST=foo://there is no address of a container engine; expected unix:///PATH or tcp:"),
        ("/var/run/docker.sock", "is no address of a container engine"),
    ],
)
def test_addresses_of_no_use_say_why(address: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(EngineError, match=rf"{said}.*--where host"):
        connect()


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Docker's configuration with two contexts, and no other word about an engine."""
    for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name, host in {"colima": f"unix://{tmp_path}/colima.sock", "far": "ssh://far"}.items():
        folder = tmp_path / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
        (folder / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "colima"}))
    return tmp_path


@LEAVES_A_SOCKET
def test_the_context_of_docker_is_used(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match=r"answers at unix://\S+/colima.sock \(Docker's context 'colima'\)"):
        connect()
    for name, said in (("far", "an engine on another machine"), ("gone", "context 'gone' is not known here")):
        monkeypatch.setenv("DOCKER_CONTEXT", name)
        with pytest.raises(EngineError, match=said):
            connect()
    monkeypatch.delenv("DOCKER_CONTEXT")
    for file in configured.rglob("meta.json"):
        file.write_text("{")
    with pytest.raises(EngineError, match="context 'colima' cannot be read"):
        connect()
    gc.collect()


def test_the_first_usual_place_that_answers_is_used(
    configured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Docker stopped and Podman running."""
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    stale, alive = tmp_path / "docker.sock", tmp_path / "podman.sock"
    monkeypatch.setattr(engines, "usual_sockets", lambda: [stale, alive])
    tried = []

    class Answering:
        def __init__(self, base_url: str, timeout: int) -> None:
            tried.append(base_url)

        def ping(self) -> None:
            if tried[-1].endswith("docker.sock"):
                raise requests.ConnectionError("refused")

    monkeypatch.setattr(docker, "DockerClient", Answering)
    for path in (stale, alive):
        path.touch()
    assert isinstance(connect(), Answering)
    assert tried == [f"unix://{stale}", f"unix://{alive}"]


def test_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Windows")
    with pytest.raises(EngineError, match=r"from Linux or macOS only; .*--where host"):
        connect()


# The image: found, built, and what keeps it from being built.


def test_an_image_is_built_once_for_a_state(engine: FakeEngine, source: Source) -> None:
    first = image_for(engine.client, source, {"HTTP_PROXY": "p"}, "host")
    again = image_for(engine.client, source, {}, None)
    assert (first.built, again.built) == (True, False)
    assert first.name == again.name == source.tag
    assert engine.calls.count("build") == 1
    assert engine.build_arguments["network_mode"] == "host"
    arguments = engine.build_arguments["buildargs"]
    assert arguments["HTTP_PROXY"] == "p"
    assert arguments["BASE"] == "base:1"
    assert arguments["TORCH"].startswith("2.")
    assert len(arguments["REVISION"]) >= 40


def test_an_image_whose_base_was_replaced_is_built_again(engine: FakeEngine, source: Source) -> None:
    image_for(engine.client, source, {}, None)
    assert engine.labels[source.tag][BASE_LABEL] == "sha256:base"
    engine.present["base:1"] = "sha256:another"
    assert image_for(engine.client, source, {}, None).built
    del engine.present["base:1"]
    assert not image_for(engine.client, source, {}, None).built, "a base that is gone does not matter"


def test_a_base_that_is_not_there_is_pulled(source: Source, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(base, "_SECONDS", 0.0)
    engine.pull_steps = [
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 5_000_000, "total": 20_000_000}},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 1_000_000, "total": 10_000_000}},
        {"status": "Download complete", "id": "a"},
    ]
    assert image_for(engine.client, source, {}, None).built
    assert engine.calls == ["pull base:1", "build"]
    said = capsys.readouterr().err
    assert "pulled 6 of 30 MB" in said
    assert "pulled 21 of 30 MB" in said


def test_a_base_is_pulled_by_its_digest(engine: FakeEngine) -> None:
    digest = f"sha256:{'a' * 64}"
    image_for(engine.client, source_state(ROOT, {"BASE": f"python:3.11-slim@{digest}"}), {}, None)
    assert engine.calls == [f"pull python:{digest}", "build"]


def test_an_image_knows_its_base(engine: FakeEngine, source: Source) -> None:
    image_for(engine.client, source, {}, None)
    assert engine.labels[source.tag][BASE_DIGEST_LABEL] == "none: the local image sha256:base"
    engine.present["base:1"] = "sha256:pulled"
    engine.digests["base:1"] = ["other@sha256:no", "localhost/base@sha256:no", "base@sha256:published"]
    assert image_for(engine.client, source, {}, None).base_digest == "sha256:published"


def test_the_digest_of_a_base_is_written_where_its_name_is(engine: FakeEngine, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "docker").mkdir()
    text = (ROOT / DOCKERFILE).read_text()
    (tmp_path / DOCKERFILE).write_text(text)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert main(["--pin-base"]) == 0
    assert engine.calls == [f"ask registry {default_base(text).partition('@')[0]}"]
    assert main(["--pin-base", "--base", "host:5/python:3.12.1"]) == 0
    changed = (tmp_path / DOCKERFILE).read_text()
    assert default_base(changed) == f"host:5/python:3.12.1@sha256:{'d' * 64}"
    assert changed.replace(default_base(changed), default_base(text)) == text
    assert main(["--pin-base", "--base", "host:5/python"]) == 1


def test_images_of_older_states_go(engine: FakeEngine, capsys: pytest.CaptureFixture) -> None:
    names = [f"sdbench:{number:016x}" for number in range(7)]
    for number, name in enumerate([*names, "mine:1", "sdbench:my-own"]):
        engine.present[name] = f"sha256:{number}"
        engine.labels[name] = {SOURCE_LABEL: "x"}
        engine.created_at[name] = f"2026-01-0{number + 1}T00:00:00.0Z" if name in names else "2025"
    engine.labels["another:1"] = {}
    engine.present["another:1"] = "sha256:another"
    engine.used = [engine.present[names[1]]]
    prune_images(engine.client, Image(names[0], engine.present[names[0]], built=True), keep=3)
    assert engine.calls == [f"remove image {name}" for name in (names[3], names[2])]
    assert (
        "sdbench:0000000000000003 of an older state: the newest 3 are kept (--keep-images)" in capsys.readouterr().err
    )


@pytest.mark.usefixtures("store")
def test_a_build_makes_room_and_may_be_all_that_is_done(engine: FakeEngine, capsys: pytest.CaptureFixture) -> None:
    old = "sdbench:0123456789abcdef"
    engine.present[old], engine.labels[old], engine.created_at[old] = "sha256:old", {SOURCE_LABEL: "x"}, "2025"
    arguments = ["--base", "base:1", "--build-only", "--keep-images"]
    assert main([*arguments, "1"]) == 0
    assert engine.calls == ["build", f"remove image {old}"]
    assert capsys.readouterr().out.startswith("sdbench:")
    with pytest.raises(SystemExit):
        main([*arguments, "0"])


@pytest.mark.parametrize(
    "said", ["manifest for base:1 not found", "dial tcp: lookup registry: no such host", "x509: bad"]
)
def test_a_base_that_cannot_be_pulled_is_named(said: str, source: Source) -> None:
    engine = FakeEngine()
    engine.pull_steps = [{"status": "Pulling"}, {"error": said}]
    with pytest.raises(
        EngineError, match=r"the base image base:1 is not here and cannot be pulled .*--where host"
    ) as info:
        image_for(engine.client, source, {}, None)
    assert said in str(info.value)
    assert "build" not in engine.calls


def test_a_full_disk_while_pulling(source: Source) -> None:
    engine = FakeEngine()
    engine.pull_steps = [{"error": "failed to register layer: write /x: no space left on device"}]
    with pytest.raises(EngineError, match="the engine's disk is full"):
        image_for(engine.client, source, {}, None)


@pytest.mark.parametrize(
    "steps",
    [
        [{"stream": "Step 1/2 : RUN pip"}, {"error": "write /opt/x: no space left on device"}],
        [
            {"stream": "ERROR: Could not install packages: [Errno 28] No space left on device\n"},
            {"error": "The command '/bin/sh -c pip install' returned a non-zero code: 1"},
        ],
        [docker.errors.APIError("500 Server Error", explanation="mkdir /var/lib/x: no space left on device")],
    ],
)
def test_a_full_disk_while_building(steps: list[Any], engine: FakeEngine, source: Source) -> None:
    engine.steps = steps
    with pytest.raises(EngineError, match=r"the engine's disk is full: .*docker system prune.*--where host"):
        image_for(engine.client, source, {}, None)


def test_a_build_that_fails_shows_what_was_said(
    engine: FakeEngine, source: Source, capsys: pytest.CaptureFixture
) -> None:
    engine.steps = [{"stream": "ERROR: no matching distribution found\n"}, {"error": "pip returned a non-zero code: 1"}]
    with pytest.raises(EngineError, match=r"building the image failed: pip returned .*--where host"):
        image_for(engine.client, source, {}, None)
    assert "no matching distribution" in capsys.readouterr().err


def test_a_build_shows_how_far_it_is(engine: FakeEngine, source: Source, monkeypatch, capsys) -> None:
    monkeypatch.setattr(image, "_SECONDS", 0.0)
    said = (
        "Step 1/2 : RUN pip\n---> Running\nCollecting torch==2\n  Downloading torch.whl (9 MB)\nProgress 0 of 9000000\n"
    )
    engine.steps = [{"stream": said[:30]}, {"stream": said[30:] + "Progress 4500000 of 9000000\nRequirement"}]
    image_for(engine.client, source, {}, None)
    shown = capsys.readouterr().err.replace("sdbench: ", "").splitlines()[1:]
    progress = ["    0 of 9 MB", "    4 of 9 MB"]
    assert shown == ["Step 1/2 : RUN pip", "  Collecting torch==2", "  Downloading torch.whl (9 MB)", *progress]


def test_a_build_that_is_interrupted_says_what_is_left(engine: FakeEngine, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    engine.steps = [KeyboardInterrupt()]
    assert main(["--base", "base:1", "--report", str(tmp_path / "r")]) == 130
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "sdbench: the build is stopped; the steps that were done are found again",
        "sdbench: interrupted",
    ]


def test_what_keeps_the_image_from_being_had_leads_to_another_place(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    engine.pull_steps = [{"error": "no such host"}]
    arguments = ["--base", "other:2", "--report", str(tmp_path / "r")]
    assert main(arguments) == 1
    assert main([*arguments, "--fallback", str(tmp_path / "f.json")]) == 0
    assert "other:2 is not here and cannot be pulled" in json.loads((tmp_path / "f.json").read_text())["why"]


# GPUs.


def test_a_gpu_that_the_engine_cannot_give(engine: FakeEngine, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))

    engine.start_error = docker.errors.APIError(
        "500", explanation='could not select device driver "" with capabilities: [[gpu]]'
    )
    with pytest.raises(EngineError, match=r"cannot give a GPU .*install the NVIDIA container toolkit"):
        check_gpu(engine.client, "image")
    assert engine.created["device_requests"][0]["Capabilities"] == [["gpu"]]
    assert engine.created["entrypoint"] == ["python", "-m", "sdbench.base.gpu_check"]
    assert engine.calls == ["create", "start", "remove"], "a container that did not start is removed too"
    assert main(["--base", "base:1", "--device", "cuda", "--report", str(tmp_path / "r")]) == 1
    assert_one_sentence(capsys, "leave out --device cuda")


def test_a_gpu_that_torch_cannot_use(engine: FakeEngine) -> None:
    engine.status, engine.said = 1, b"a warning\nthe driver is 470.1; torch needs 580\n"
    with pytest.raises(
        EngineError, match=r"torch in the image cannot use the GPU: the driver is 470.1; .*--where host"
    ):
        check_gpu(engine.client, "image")
    engine.status = 0
    check_gpu(engine.client, "image")


def test_gpus_are_asked_for_with_cuda_and_only_then(job: Job) -> None:
    assert settings(FakeEngine().client, IMAGE, job, ROOT)["device_requests"] == []
    for device in ("cuda", "cuda:1"):
        on_gpu = Job(job.arguments, job.cache, job.report, device=device)
        (asked,) = settings(FakeEngine().client, IMAGE, on_gpu, ROOT)["device_requests"]
        assert asked["Count"] == -1


# The container: what it may do.


def test_a_container_may_write_the_cache_and_the_report_and_nothing_else(job: Job, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "lock.json").touch()
    whole = Job(job.arguments, job.cache, job.report, tmp_path / "data", tmp_path / "mine", tmp_path / "lock.json")
    made = settings(FakeEngine().client, IMAGE, whole, ROOT)
    assert made["network_mode"] == "none"
    assert made["read_only"] is True
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges"]
    assert made["mem_limit"] == made["memswap_limit"] == 9 * GIB
    assert made["shm_size"] == GIB
    assert made["user"] == f"{os.getuid()}:{os.getgid()}"
    assert {mount["Target"]: mount["ReadOnly"] for mount in made["mounts"]} == {
        "/cache": False,
        "/cache/assets": True,
        "/report": False,
        "/data": True,
        "/expected": True,
        "/lock.json": True,
    }
    environment = made["environment"]
    assert environment["SDBENCH_OFFLINE"] == "1"
    about = json.loads(environment["SDBENCH_CONTAINER"])
    assert [about[key] for key in ("image_digest", "base", "base_digest")] == ["sha256:1", "base:1", "sha256:b"]
    assert len(environment["SDBENCH_REVISION"]) >= 40
    assert environment["SDBENCH_LOCK"] == "/lock.json"


def test_engines_that_see_users_or_labels_differently(job: Job) -> None:
    assert user_of({"SecurityOptions": ["name=rootless"]}, 1000, 1000) == "0:0"
    assert user_of({"SecurityOptions": ["name=seccomp"]}, 1000, 100) == "1000:100"
    assert user_of({"SecurityOptions": None}, 1, 2) == "1:2"
    engine = FakeEngine()
    engine.security = ["name=selinux"]
    made = settings(engine.client, IMAGE, job, ROOT)
    assert "label=disable" in made["security_opt"]
    assert made["userns_mode"] is None
    engine.security = ["name=userns"]
    assert settings(engine.client, IMAGE, job, ROOT)["userns_mode"] == "host"


@pytest.mark.parametrize("status", [0, 1, 5])
def test_output_and_exit_status_are_passed_on(status: int, job: Job, capsys: pytest.CaptureFixture) -> None:
    engine = FakeEngine()
    engine.status = status
    outcome = run(engine.client, IMAGE, job, ROOT)
    assert outcome.status == status
    assert outcome.seconds == pytest.approx(1.623456789)
    assert capsys.readouterr() == ("café\n", "complaint\n")
    assert engine.calls == ["create", "start", "remove"]
    assert engine.created["command"] == ["-k", "x"]


def test_a_container_that_cannot_start_is_removed(job: Job) -> None:
    engine = FakeEngine()
    engine.start_error = docker.errors.APIError("500", explanation="exec format error")
    with pytest.raises(EngineError, match="running the container failed: exec format error"):
        run(engine.client, IMAGE, job, ROOT)
    assert engine.calls[-1] == "remove"


def test_a_run_that_was_killed_for_its_memory_is_explained(job: Job) -> None:
    engine = FakeEngine()
    engine.status, engine.out_of_memory = 137, True
    with pytest.raises(EngineError, match=r"killed at its limit of 9.0 GiB of memory; give it more with --memory"):
        run(engine.client, IMAGE, job, ROOT)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stopped), (signal.SIGHUP, Stopped)],
)
def test_a_signal_stops_and_removes_the_container(
    number: signal.Signals, raised: type[BaseException], job: Job, capsys: pytest.CaptureFixture
) -> None:
    engine = FakeEngine()
    engine.endless = True
    before = signal.getsignal(number)

    def send() -> None:
        engine.started.wait(30)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(raised):
        run(engine.client, IMAGE, job, ROOT)
    sender.join()
    assert engine.calls == ["create", "start", "kill SIGINT", "remove"]
    said = capsys.readouterr()
    assert "report written" in said.out, "what it says at its end is still passed on"
    assert said.err.endswith("sdbench: the container is gone\n")
    assert signal.getsignal(number) is before


def test_the_command_ends_as_the_signal_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for raised, status in ((KeyboardInterrupt(), 130), (Stopped(15), 143)):

        def stop(_arguments: list[str], error: BaseException = raised) -> int:
            raise error

        monkeypatch.setattr(command, "_run", stop)
        assert main([]) == status
        said = capsys.readouterr().err
        assert "container" not in said, "there was none"
        assert said == f"sdbench: {'interrupted' if status == 130 else 'told to end by signal 15 (SIGTERM)'}\n"


# What becomes of a run whose engine, container or driver ends.


def test_a_container_has_an_owner_an_init_and_a_lifeline(job: Job) -> None:
    engine = FakeEngine()
    run(engine.client, IMAGE, job, ROOT)
    assert engine.created["init"] is True
    assert engine.created["stdin_open"] is True
    assert engine.created["environment"]["SDBENCH_LIFELINE"] == "0"
    assert json.loads(engine.created["labels"][OWNER_LABEL])["process"] == os.getpid()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux when a process started")
def test_containers_of_dead_owners_are_removed_and_no_others() -> None:
    engine = FakeEngine()
    own = json.loads(owner_label()[OWNER_LABEL])
    owners = {
        "mine": own,
        "dead": {**own, "start": "1"},
        "ended": {**own, "process": 2**22 + 1},
        "elsewhere": {**own, "host": "another", "start": "1"},
    }
    for name, owner in owners.items():
        state = "exited" if name == "ended" else "running"
        labels = {OWNER_LABEL: json.dumps(owner)}
        engine.left_over.append({"Id": name, "Names": [f"/{name}"], "State": state, "Status": "Up", "Labels": labels})
    engine.left_over.append({"Id": "x", "Names": [], "State": "running", "Labels": {OWNER_LABEL: "no JSON"}})
    said = remove_orphans(engine.client)
    assert [sentence.split()[2] for sentence in said] == ["dead", "ended"]
    assert engine.calls == ["stop dead 10", "remove", "remove"]


def began(case: str) -> Any:
    """A container in which a case begins."""
    record = next(record for record in read_all(ROOT / "expected") if record.id == case)

    def write(options: dict[str, Any]) -> None:
        (report,) = [mount["Source"] for mount in options["mounts"] if mount["Target"] == "/report"]
        path = Path(report) / JOURNAL
        append_line(path, {"run": {}, "totals": {"values": 1, "claims": 1}})
        append_line(path, {"begins": f"test[{case}]", "record": record_fields(record)})

    return write


@pytest.fixture
def ready(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Arguments of a run that needs no assets; an old report lies in its folder."""
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(AssetStore, "is_present", lambda self, name: True)
    monkeypatch.setattr("sdbench.container.run.STOPS_WITHIN", 0.3)
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "report.json").write_text("old")
    return ["--base", "base:1", "--report", str(tmp_path / "r")]


@pytest.mark.parametrize(
    ("gone", "status", "said", "ended"),
    [
        (True, 1, "the container engine stopped in the middle of the run; start it", "the container engine stopped"),
        (False, 137, "exit status 137: its container was ended by signal 9 (SIGKILL)", "its container was ended by"),
    ],
)
def test_what_ends_the_container_costs_the_case_that_ran(
    gone: bool, status: int, said: str, ended: str, engine: FakeEngine, ready: list[str], capsys, tmp_path: Path
) -> None:
    engine.gone, engine.status = gone, 137
    engine.on_start = began("action/complexity/x3d_xs")
    assert main(ready) == status
    assert said in capsys.readouterr().err
    (case,) = json.loads((tmp_path / "r" / "report.json").read_text())["cases"]
    assert case["verdict"] == "error"
    assert case["reason"].startswith(ended)
    assert (tmp_path / "r" / "previous" / "report.json").read_text() == "old"


def test_a_report_that_does_not_exist_is_not_named(
    engine: FakeEngine, ready: list[str], capsys: pytest.CaptureFixture
) -> None:
    engine.status = 5
    assert main(ready) == 5
    lines = capsys.readouterr().err.splitlines()
    assert "exit status 5: its container had no case to run: none is selected" in lines[-2]
    assert lines[-1].endswith("no report: no case has ended")


@pytest.mark.parametrize("option", ["--memory", "--shared-memory"])
def test_more_memory_than_there_is_is_refused(
    option: str, engine: FakeEngine, ready: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert main([*ready, option, "99999t"]) == 1
    assert_one_sentence(capsys, "GiB is more than the engine has, 10.0 GiB")
    assert "create" not in engine.calls


# Assets: before the network is taken away.


def test_assets_that_are_there_need_no_look(job: Job, store: AssetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(AssetStore, "is_present", lambda self, name: True)
    bring_assets(engine.client, IMAGE, job, store, ROOT)
    assert engine.calls == []


def selects(*names: str) -> Any:
    """A container that is asked which assets the selected cases need."""

    def answer(options: dict[str, Any]) -> None:
        if "--collect-only" not in options["command"]:
            return
        assert {"--collect-only", "-k", "x"} <= set(options["command"])
        assert options["network_mode"] == "none"
        (plan,) = [mount["Source"] for mount in options["mounts"] if mount["Target"] == "/plan"]
        (Path(plan) / "assets.json").write_text(json.dumps(names))

    return answer


def test_missing_assets_without_a_network_are_refused_before_the_start(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    engine.on_start = selects("transnetv2", "clip_bikes")
    assert main(["--base", "base:1", "--report", str(tmp_path / "r"), "-k", "x"]) == 1
    assert_one_sentence(capsys, "offline, and not in")
    assert engine.calls == ["build", "create", "start", "remove"], "pytest was asked, the run not started"


def test_assets_that_no_selected_case_needs_may_be_missing(job: Job, tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.on_start = selects()
    bring_assets(engine.client, IMAGE, job, AssetStore(tmp_path / "empty", offline=True, quiet=True), ROOT)
    assert engine.calls == ["create", "start", "remove"]


def test_missing_assets_are_fetched_and_what_cannot_be_is_said(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    engine = FakeEngine()
    engine.on_start = selects("transnetv2", "clip_bikes")
    fetched = []

    def fetch(self: AssetStore, names: list[str]) -> None:
        fetched.append(names)
        if names == ["clip_bikes"]:
            raise AssetError("the package index could not be reached")

    monkeypatch.setattr(AssetStore, "fetch", fetch)
    bring_assets(engine.client, IMAGE, job, AssetStore(tmp_path / "empty", offline=False, quiet=True), ROOT)
    assert fetched == [["transnetv2"], ["clip_bikes"]]
    assert "could not be reached" in capsys.readouterr().err


def test_a_selection_that_pytest_refuses_is_left_to_the_run(job: Job, tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.status = 4
    bring_assets(engine.client, IMAGE, job, AssetStore(tmp_path / "empty", offline=True, quiet=True), ROOT)


# Arguments.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere"], "no folder at"),
        (["--expected", "nowhere"], "no folder at"),
        (["--junitxml", "/elsewhere.xml"], "only the report's folder can be written"),
        (["--benchmark-json=/elsewhere.json"], "only the report's folder can be written"),
        (["--junitxml"], "--junitxml takes a file"),
        (["--build-arg", "X"], "--build-arg takes NAME=VALUE; got 'X'"),
        (["--lock", "nowhere.lock"], "no file of hashes at nowhere.lock"),
    ],
)
def test_arguments_that_cannot_work(
    arguments: list[str], said: str, engine: FakeEngine, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    assert main(["--report", str(tmp_path / "r"), *arguments]) == 1
    assert_one_sentence(capsys, said)
    assert engine.calls == []


def test_paths_become_those_inside(engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(AssetStore, "is_present", lambda self, name: True)
    engine.on_start = selects()
    for folder in ("data", "mine"):
        (tmp_path / folder).mkdir()
    own = ["--data", str(tmp_path / "data"), "--expected", str(tmp_path / "mine")]
    arguments = ["--base", "base:1", "--report", str(tmp_path / "r"), *own, "-k", "x"]
    assert main([*arguments, f"--junitxml={tmp_path}/r/deep/j.xml", "--memory", "2.5g", "--seed", "1"]) == 0
    inside = ["-k", "x", "--junitxml=/report/deep/j.xml", "--seed", "1", "--report", "/report"]
    assert engine.created["command"] == [*inside, "--device", "cpu", "--data", "/data", "--expected", "/expected"]
    assert engine.created["mem_limit"] == int(2.5 * GIB)
    assert (tmp_path / "r").is_dir()
    with pytest.raises(SystemExit):
        main(["--memory", "much"])
