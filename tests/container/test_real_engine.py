"""The benchmarks in a real container: the same numbers as outside, and none of the rights that it does not need."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from sdbench.assets import AssetStore
from sdbench.base.journal import JOURNAL, is_over, read_lines
from sdbench.container.engine import EngineError, check_gpu, connect, remove_orphans
from sdbench.container.image import BASE_LABEL, SOURCE_LABEL, Image, image_for
from sdbench.container.run import Job, run, settings
from sdbench.container.source import source_state
from tests.container import base as making

ROOT = Path(__file__).parents[2]
REQUIRED = "SDBENCH_REQUIRE_CONTAINER"

pytestmark = [
    pytest.mark.container,
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="containers of Linux are started from POSIX systems"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # docker's, where nobody answers
]


CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUa/5+7hk42odhe/joj3SBWziCqlkwCgYIKoZIzj0EAwIw
HzEdMBsGA1UEAwwUYSBwcm94eSBvZiB0aGUgdGVzdHMwIBcNMjYxMTIyMTcxNTAz
WhgPMjEyNjEwMjkxNzE1MDNaMB8xHTAbBgNVBAMMFGEgcHJveHkgb2YgdGhlIHRl
c3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjjkq2fXZN5E4ZTvTf8EuXQZr
TPGszHRNmKyAmd7IxvUnpdWEuOajlLXA1Vq7qIBQVpXu0wnBw2NKtvJpck4D86NT
MFEwHQYDVR0OBBYEFJua3Oe+l6YKxr5rmsoKh1FKIUvnMB8GA1UdIwQYMBaAFJua
3Oe+l6YKxr5rmsoKh1FKIUvnMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwID
RwAwRAIgEEd1GqUYLI5tQbxIA+q4kzCxPSaDd72mLzt7J3R6O5cCIE2wKidWVbv5
EuyUu9NPQDxohhmvYGl6AKk0Ria8mycr
-----END CERTIFICATE-----
"""
"""Signed by itself and of no use: its key was thrown away."""


SMALL = ("-k", "pipeline and x3d_xs and stage5 and shares and seed0")
"""A case that videos, cuts, styles and a network are needed for, in seven seconds."""


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    """An engine that answers; what tests leave in it is removed."""
    lacking = making.lacking()
    found = None
    try:
        found = connect()
    except EngineError as error:
        lacking = str(error)
    if lacking is not None or found is None:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, and {lacking}")
        pytest.skip(lacking or "no engine")
    before = {tag for image in found.images.list() for tag in image.tags}
    yield found
    for image in found.images.list():
        for tag in set(image.tags) - before:
            if tag.startswith("sdbench:"):
                found.images.remove(tag, force=True)
    found.close()


@dataclass(frozen=True)
class Place:
    """A copy of the checkout, and how to run its benchmarks in a container."""

    root: Path
    base: str

    def command(self, report: Path, *arguments: str) -> list[str]:
        own = ["--base", self.base, "--build-network", "none", "--report", str(report)]
        return [sys.executable, "-m", "sdbench.container", *own, *arguments]

    def run(self, report: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(report, *arguments),
            cwd=self.root,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
        )

    def environment(self, **changes: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root), **changes}

    def image(self, client: docker.DockerClient) -> Image:
        return image_for(client, source_state(self.root, {"BASE": self.base}), {}, "none")


def copy_of_the_source(target: Path, source: Path = ROOT) -> Path:
    for name in (*source_state(source, {}).files, ".dockerignore"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    return target


@pytest.fixture(scope="module")
def place(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(copy_of_the_source(tmp_path_factory.mktemp("checkout")), making.base_image(client))


@pytest.fixture(scope="module")
def image(client: docker.DockerClient, place: Place) -> Image:
    return place.image(client)


def measured(report: Path) -> dict[str, dict[str, float]]:
    cases = json.loads((report / "report.json").read_text())["cases"]
    return {case["id"]: case["measured"] for case in cases}


def containers_of_ours(client: docker.DockerClient) -> list[str]:
    names = [found.name or "" for found in client.containers.list(all=True)]
    return [name for name in names if re.fullmatch(r"sdbench-[0-9a-f]{12}", name)]


@pytest.mark.assets
def test_a_real_case_gives_the_numbers_of_this_machine(
    client: docker.DockerClient, place: Place, image: Image, store: AssetStore, tmp_path: Path
) -> None:
    """A network of the main job, on its own number of pairs; the second run with the same image."""
    store.fetch(store.manifest.group("packaged"))
    selected = SMALL
    here = [sys.executable, "-m", "pytest", "benchmarks", "-p", "no:cacheprovider", "--report", str(tmp_path / "here")]
    environment = place.environment(SDBENCH_CACHE=str(store.folder))
    outside = subprocess.run(
        [*here, *selected], cwd=place.root, env=environment, capture_output=True, text=True, check=False
    )
    assert outside.returncode == 0, outside.stdout
    images = len(client.images.list())
    done = place.run(tmp_path / "inside", *selected, SDBENCH_CACHE=str(store.folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"its image {image.name} was there" in done.stderr, "nothing is built a second time"
    assert len(client.images.list()) == images
    assert re.search(r"s in the container, -?[\d.]+ s around it", done.stderr)
    first, second = measured(tmp_path / "here"), measured(tmp_path / "inside")
    assert f"{len(first)} passed" in done.stdout, "what it says comes through"
    assert first
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert second[name] == pytest.approx(values, abs=0.01)
    environment = json.loads((tmp_path / "inside" / "report.json").read_text())["environment"]
    assert environment["container"]["image_digest"] == image.id
    assert environment["container"]["image"] == image.name
    assert environment["machine"] == json.loads((tmp_path / "here/report.json").read_text())["environment"]["machine"]
    assert set(environment["assets"]) >= {"transnetv2", "styles26"}
    assert containers_of_ours(client) == []


@pytest.mark.assets
def test_a_failing_case_ends_with_its_exit_status(
    place: Place, image: Image, store: AssetStore, tmp_path: Path
) -> None:
    store.fetch(store.manifest.group("packaged"))
    done = place.run(tmp_path, *SMALL, "--pairs", "4", "--strict", SDBENCH_CACHE=str(store.folder))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "not run: recorded" in done.stdout


def test_what_a_run_may_not_do(client: docker.DockerClient, image: Image, tmp_path: Path) -> None:
    job = job_in(tmp_path)
    code = """
import json, os, pathlib, shutil, socket
PLACES = "/tmp", "/cache", "/report", "/cache/assets", "/opt/sdbench", "/etc"
def can(write):
    try:
        pathlib.Path(write).write_text("x")
    except OSError:
        return False
    return True
def reaches():
    try:
        socket.create_connection(("198.51.100.1", 80), timeout=2)
    except OSError:
        return False
    return True
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines() if ":" in line)
print(json.dumps({
    "network": reaches(),
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "writes": [place for place in PLACES if can(place + "/x")],
    "rights": status["CapEff"].strip(),
    "new rights": status["NoNewPrivs"].strip(),
    "compilers": [name for name in ("cc", "gcc", "g++", "clang", "make") if shutil.which(name)],
}))
"""
    made = settings(client, image, job, ROOT)
    made.pop("command")
    seen = json.loads(client.containers.run(image.id, entrypoint=["python", "-c", code], remove=True, **made))
    assert seen == {
        "network": False,
        "interfaces": ["lo"],
        "writes": ["/tmp", "/cache", "/report"],
        "rights": "0" * 16,
        "new rights": "1",
        "compilers": [],
    }


def job_in(folder: Path, *arguments: str) -> Job:
    for name in ("cache/assets", "report"):
        (folder / name).mkdir(parents=True)
    passed = [*arguments, "--report", "/report"]
    return Job(passed, cache=folder / "cache", report=folder / "report", memory=4 * 2**30)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files to somebody else")
def test_the_report_belongs_to_who_asked_for_it(
    client: docker.DockerClient, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(tmp_path, "-k", "complexity and x3d_xs")
    for folder in (tmp_path / "cache", tmp_path / "cache" / "assets", tmp_path / "report"):
        os.chown(folder, 54321, 54322)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    monkeypatch.setattr(os, "getgid", lambda: 54322)
    assert run(client, image, job, ROOT).status == 0
    files = list(job.report.iterdir())
    assert {"report.json", "report.html", "junit.xml"} <= {file.name for file in files}
    assert {(file.stat().st_uid, file.stat().st_gid) for file in files} == {(54321, 54322)}


def running(client: docker.DockerClient, place: Place, folder: Path) -> subprocess.Popen[str]:
    """A run of cases that need minutes, as soon as they begin."""
    environment = place.environment(SDBENCH_CACHE=str(folder / "cache"))
    hearing = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); "
    hearing += "runpy.run_module('sdbench.container', run_name='__main__')"  # SIGINT may be ignored around the tests
    arguments = place.command(folder / "report", "-k", "speed or complexity", "--benchmark-warmup=on")[3:]
    process = subprocess.Popen(
        [sys.executable, "-c", hearing, *arguments],
        cwd=place.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("collected"):
            break
    assert len(containers_of_ours(client)) == 1, said
    return process


def test_ctrl_c_stops_and_removes_it(client: docker.DockerClient, place: Place, image: Image, tmp_path: Path) -> None:
    process = running(client, place, tmp_path)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 130, rest
    assert "the container is gone" in rest
    assert containers_of_ours(client) == []


def test_a_driver_that_is_killed_takes_its_container_with_it(
    client: docker.DockerClient, place: Place, image: Image, tmp_path: Path
) -> None:
    process = running(client, place, tmp_path)
    assert remove_orphans(client) == [], "its owner is alive"
    process.kill()
    process.communicate()
    (name,) = containers_of_ours(client)
    assert client.containers.get(name).wait(timeout=30)["StatusCode"] == pytest.ExitCode.INTERRUPTED
    assert is_over(read_lines(tmp_path / "report" / JOURNAL)), "it was told, and not killed"
    (said,) = remove_orphans(client)
    assert said.startswith(f"removed container {name} (exited (2)")
    assert containers_of_ours(client) == []


def test_a_change_of_the_source_makes_the_image_stale_and_keeps_what_was_installed(
    client: docker.DockerClient, place: Place, image: Image, tmp_path: Path
) -> None:
    again = Place(copy_of_the_source(tmp_path / "again", place.root), place.base)
    same = again.image(client)
    assert (same.id, same.built) == (image.id, False)
    with (again.root / "sdbench" / "__init__.py").open("a") as file:
        file.write("# another line\n")
    settings = again.root / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"N812"', '"N813"'))  # of the linter
    other = again.image(client)
    assert other.built
    assert other.name != image.name
    layers, others = (client.images.get(found.id).attrs["RootFS"]["Layers"] for found in (image, other))
    shared = next(number for number, (one, another) in enumerate(zip(layers, others, strict=True)) if one != another)
    sizes = [step["Size"] for step in reversed(client.images.get(other.id).history()) if step["Size"] > 0]
    assert sum(sizes[shared:]) < 20e6, "only the code's own layers are new; no package is installed again"
    labels = client.images.get(other.id).labels
    assert labels[SOURCE_LABEL].startswith(other.name.partition(":")[2])
    assert labels[BASE_LABEL] == client.images.get(place.base).id
    assert other.base_digest == f"none: the local image {labels[BASE_LABEL]}"
    assert labels["org.opencontainers.image.base.name"] == place.base
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["sdbench.torch"].startswith("2.")
    assert labels["org.opencontainers.image.revision"]
    assert client.images.get(other.id).attrs["Config"]["User"] == "10001:10001"
    for name in ("sdbench/__init__.py", "pyproject.toml"):
        shutil.copyfile(place.root / name, again.root / name)
    assert not again.image(client).built, "and back again"


def test_certificates_of_ones_own_are_trusted(
    client: docker.DockerClient, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the classic builder, which the other tests have no image of."""
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    behind = Place(copy_of_the_source(tmp_path / "behind", place.root), place.base)
    (behind.root / "docker" / "certificates" / "proxy.crt").write_text(CERTIFICATE)
    made = behind.image(client)
    trusted = client.containers.run(
        made.id, entrypoint=["cat", "/etc/ssl/certs/ca-certificates.crt"], remove=True, network_mode="none"
    )
    assert CERTIFICATE.strip() in trusted.decode()


def test_an_engine_without_a_gpu_runtime_says_so(client: docker.DockerClient, image: Image) -> None:
    if "nvidia" in client.info()["Runtimes"]:
        pytest.skip("this engine can give a GPU")
    with pytest.raises(EngineError, match="install the NVIDIA container toolkit"):
        check_gpu(client, image.id)


def test_a_base_that_nobody_has_is_named(place: Place, tmp_path: Path) -> None:
    nowhere = Place(place.root, "127.0.0.1:1/none:1")
    done = nowhere.run(tmp_path / "report", SDBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 1
    assert "the base image 127.0.0.1:1/none:1 is not here and cannot be pulled" in done.stderr
    assert "--where host" in done.stderr
