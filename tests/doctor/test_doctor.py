"""`sdbench doctor`: what it says of machines that are described to it, and of this one."""

from __future__ import annotations

import json
import threading
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sdbench.assets import AssetStore, packaged_manifest
from sdbench.base.errors import InputError
from sdbench.cases.records import read_all
from sdbench.cli import main
from sdbench.cli.doctor import lines
from sdbench.doctor import examine as examining
from sdbench.doctor.examine import Meanwhile, looked_at, works
from sdbench.doctor.finding import Finding
from sdbench.doctor.internet import PipFacts, answers, ask_all, internet_findings, pip_facts
from sdbench.doctor.machine import (
    disk_findings,
    engine_findings,
    memory_finding,
    processor_finding,
    shared_memory_finding,
    writing_finding,
)
from sdbench.doctor.published import asset_finding, data_findings, hours_finding
from sdbench.doctor.software import (
    TorchFacts,
    package_findings,
    python_finding,
    runs_on,
    software_findings,
    torch_findings,
    torchvision_finding,
)

ROOT = Path(__file__).parents[2]
Usage = namedtuple("Usage", "free")


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.state for finding in findings}


def cuda(**changed: object) -> TorchFacts:
    facts = {
        "version": "2.13.0",
        "cuda": "13.0",
        "cudnn": 91300,
        "available": True,
        "architectures": ("sm_80", "sm_90"),
        "devices": (("Some GPU", (9, 0)),),
        "seen": ("Some GPU, 580.65.06",),
    }
    return TorchFacts(**{**facts, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (cuda(), {"torch": "ok", "GPU 0": "ok", "cuda:0": "ok", "cuDNN": "ok"}),
        (cuda(seen=("Some GPU, 570.1",), available=False, devices=(), cudnn=None), {"torch": "ok", "GPU 0": "fails"}),
        (cuda(cuda="12.8", seen=("Some GPU, 570.1",)), {"torch": "ok", "GPU 0": "ok", "cuda:0": "ok", "cuDNN": "ok"}),
        (cuda(devices=(("Old GPU", (7, 0)),)), {"torch": "ok", "GPU 0": "ok", "cuda:0": "fails", "cuDNN": "ok"}),
        (cuda(cudnn=91002), {"torch": "ok", "GPU 0": "ok", "cuda:0": "ok", "cuDNN": "note"}),
        (cuda(available=False, devices=(), cudnn=None), {"torch": "ok", "GPU 0": "ok", "CUDA": "fails"}),
        (TorchFacts("2.13.0+cpu", seen=("Some GPU, 580.1",)), {"torch": "ok", "GPU 0": "note"}),
        (TorchFacts("2.13.0+cpu"), {"torch": "ok", "GPU": "note"}),
        (cuda(seen=(), available=False, devices=(), cudnn=None, smi_fails=True), {"torch": "ok", "GPU": "fails"}),
    ],
)
def test_torch_cuda_driver_and_gpu(facts: TorchFacts, expected: dict[str, str]) -> None:
    findings = torch_findings(facts)
    assert states(findings) == expected
    assert all(finding.cure for finding in findings if finding.state == "fails")
    assert not any(finding.needed for finding in findings), "the default run is on the processor"


def test_architectures() -> None:
    assert runs_on(("sm_80",), (8, 6))
    assert not runs_on(("sm_86",), (8, 0))
    assert not runs_on(("sm_80", "sm_90"), (10, 0))
    assert runs_on(("sm_80", "compute_90"), (10, 0))
    assert runs_on(("sm_90a",), (9, 0))
    assert runs_on(("sm_100", "sm_120"), (12, 0))
    assert not runs_on(("sm_90a",), (10, 3))


def test_python_and_packages() -> None:
    assert python_finding((3, 9)).stops
    assert python_finding((3, 10)).state == python_finding((3, 13)).state == "ok"
    assert python_finding((3, 14)).state == "note"
    versions = {"one": "1.5", "two": "3.0"}
    wanted = ["one>=1", "two<3", 'three; extra == "more"', 'one; extra == "some"', 'four; extra == "lint"']
    findings = package_findings(wanted, versions.get)
    assert states(findings) == {"packages": "fails", "extras": "ok", "other extras": "missing"}
    assert findings[0].stops
    assert "two 3.0 (<3 is required)" in findings[0].said
    assert "more (lacks three)" in findings[2].said


def test_torchvision() -> None:
    def breaks(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    assert torchvision_finding(None, "2.13.0") is None
    other = torchvision_finding(["numpy", "torch==2.14.1"], "2.13.0+cpu", lambda name: None)
    assert other is not None
    assert (other.state, other.said) == ("fails", "built for torch==2.14.1, and torch is 2.13.0+cpu")
    broken = torchvision_finding(["torch==2.13.0"], "2.13.0+cpu", breaks)
    assert broken is not None
    assert "nms does not exist" in broken.said
    good = torchvision_finding(["torch==2.13.0"], "2.13.0+cu130", lambda name: None)
    assert good is not None
    assert good.state == "ok"


def test_a_torch_that_does_not_import_is_a_finding(tmp_path: Path) -> None:
    def facts() -> TorchFacts:
        raise OSError("libcudart.so.13: cannot open shared object file")

    (found,) = [finding for finding in software_findings(tmp_path, facts) if finding.subject == "torch"]
    assert found.stops
    assert "libcudart" in found.said


def test_memory_shared_memory_disk_and_folders(tmp_path: Path) -> None:
    assert processor_finding(0.1).state == processor_finding().state == "ok"
    assert "load 9999" in processor_finding(9999).said
    assert memory_finding(8 << 30, 16.0).state == "ok"
    assert memory_finding(1 << 30, 16.0).state == "note"
    assert shared_memory_finding(usage=lambda place: Usage(64 << 20)).state == "note"
    assert shared_memory_finding(usage=lambda place: Usage(1 << 30)).state == "ok"
    assert shared_memory_finding(tmp_path / "none").state == "note"

    def disk(gib: float, has_packages: bool) -> list[str]:
        usage = lambda place: Usage(gib * 2**30)  # noqa: E731
        return [finding.state for finding in disk_findings(tmp_path, tmp_path / "cache", has_packages, usage)]

    assert disk(50, False) == ["ok", "ok"]
    assert disk(5, False) == ["note", "ok"]
    assert disk(2, False) == ["fails", "ok"]
    assert disk(2, True) == ["ok", "ok"]
    assert disk(0.5, True) == ["fails", "fails"]
    (tmp_path / "file").write_text("")
    assert writing_finding("report", tmp_path / "not" / "yet", "cure").state == "ok"
    assert not (tmp_path / "not").exists(), "nothing is made"
    assert writing_finding("report", tmp_path / "file" / "below", "cure").stops


def test_the_container_engine() -> None:
    def refuses() -> dict[str, object]:
        raise InputError("no container engine answers at the usual socket; start Docker")

    (found,) = engine_findings(has_gpu=True, information=refuses)
    assert (found.state, found.said, found.cure) == (
        "missing",
        "no container engine answers at the usual socket",
        "start Docker",
    )
    assert states(engine_findings(False, lambda: {"ServerVersion": "27"})) == {"container engine": "ok"}
    runtimes = {"ServerVersion": "27", "Runtimes": {"nvidia": {}}}
    assert states(engine_findings(True, lambda: runtimes))["NVIDIA container toolkit"] == "ok"


def test_pip_is_asked_for_its_index() -> None:
    said = {
        "config list": "global.proxy='http://proxy:1'\n:env:.cert='/a.pem'\n",
        "download --help": "-i, --index-url <url>  Base URL (default http://here.test/simple).",
    }
    assert pip_facts(lambda words: said[" ".join(words)]) == PipFacts(
        "http://here.test/simple", "http://proxy:1", "/a.pem"
    )
    said["config list"] = "global.index-url='http://mine.test/simple'\n"
    assert pip_facts(lambda words: said[" ".join(words)]) == PipFacts("http://mine.test/simple")
    said["config list"] = "install.no-index='true'\n"
    assert pip_facts(lambda words: said[" ".join(words)]) == PipFacts(None)
    assert pip_facts().index, "this machine's pip"


class Server(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response({"/down": 503, "/secret": 401}.get(self.path, 200))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_addresses_that_answer_and_such_that_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        here = f"http://127.0.0.1:{server.server_port}"
        assert answers(f"{here}/") is None
        assert answers(f"{here}/secret") is None
        assert answers(f"{here}/down") == "HTTP 503"
    finally:
        server.shutdown()
        server.server_close()
    assert answers(here) == "no connection"


def test_one_that_keeps_silent_is_not_waited_for() -> None:
    silent = threading.Event()
    try:
        found = ask_all(["fast", "slow"], lambda each: None if each == "fast" else str(silent.wait(30)), patience=0.3)
    finally:
        silent.set()
    assert found == {"fast": None, "slow": "no answer in time"}


def test_index_and_publishers() -> None:
    manifest = packaged_manifest()
    good = internet_findings(
        manifest, False, lambda: PipFacts("http://me:word@index.test/simple"), lambda each, pip: None
    )
    assert states(good) == {"package index": "ok", "publishers": "ok"}
    assert "word" not in good[0].said
    none = internet_findings(manifest, False, lambda: PipFacts("http://index.test"), lambda each, pip: "no connection")
    assert states(none) == {"package index": "fails", "publishers": "missing"}
    assert none[0].stops
    assert "-R" in none[0].cure
    offline = internet_findings(manifest, True, lambda: PipFacts(None), lambda each, pip: None)
    assert states(offline) == {"package index and publishers": "note"}
    folders = internet_findings(manifest, False, lambda: PipFacts(None), lambda each, pip: None)
    assert states(folders) == {"package index": "note", "publishers": "ok"}


def test_assets_and_data_sets(tmp_path: Path) -> None:
    assert asset_finding(AssetStore(tmp_path, offline=True, quiet=True)).stops
    assert asset_finding(AssetStore(tmp_path, offline=False, quiet=True)).state == "note"
    data = tmp_path / "data"
    (data / "moca").mkdir(parents=True)
    findings = data_findings(read_all(ROOT / "expected"), data, AssetStore(tmp_path, quiet=True))
    found = states(findings)
    assert found.pop("moca") == "ok"
    assert set(found.values()) == {"missing"}
    cures = {finding.subject: finding.cure for finding in findings}
    assert f"sdbench stylize VIDEOS {data}/stylized_ssv2 --layout ssv2" in cures["stylized_ssv2"]
    assert "sdbench fetch davis2016 stylized_davis" in cures["stylized_davis"]


def test_hours_are_those_of_the_other_machine_times_the_ratio_of_a_pass() -> None:
    def timed(network: str, device: str, clips: int) -> float:
        return {"x3d_xs": 0.085, "slow_r50_8x8": 0.128}[network]

    same, faster = hours_finding("cpu", ["moca"], timed).values, hours_finding("cuda", [], timed).values
    assert faster["hours"] == pytest.approx(same["hours"] / 10)
    assert 0 < same["hours_by_data_set"]["moca"] < same["hours"]


def test_what_breaks_is_a_finding() -> None:
    (found,) = looked_at("something", lambda: [Finding("a", "ok", str(1 / 0))])
    assert found.said == "could not be looked at: ZeroDivisionError: division by zero"


def test_what_waits_for_others_is_not_waited_for() -> None:
    going = threading.Event()
    slow = Meanwhile("engine", lambda: [Finding("engine", "ok", str(going.wait(30)))])
    try:
        (found,) = slow.findings(0.05)
        assert (found.subject, found.state) == ("engine", "note")
    finally:
        going.set()
    (found,) = slow.findings(30)
    assert found.state == "ok"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of this machine; no address is asked."""
    monkeypatch.setattr(examining, "internet_findings", lambda manifest, offline: [Finding("package index", "ok", "")])
    monkeypatch.setattr(examining, "engine_findings", lambda has_gpu: [])
    place = tmp_path / "doctor.json"
    status = main(["doctor", "--json", str(place), "--report", str(tmp_path / "report"), "--device", "cpu"])
    shown = capsys.readouterr().out
    values = json.loads(place.read_text())
    assert status == (0 if values["works"] else 1)
    (timed,) = values["findings"]["Time"]
    assert timed["values"]["seconds"] > 0
    assert "Software\n  ok      Python" in shown
    assert f"would {'' if values['works'] else 'not '}work here" in shown
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--json", "--report", str(tmp_path / "file" / "report"), "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    told = json.loads(said.out)
    assert told["works"] is False
    assert [f["subject"] for of in told["findings"].values() for f in of if f["needed"] and f["state"] == "fails"]


def test_lines_fit_and_the_cure_stands_below() -> None:
    found = {"Heading": [Finding("disk", "fails", "too little " * 12, "make room " * 12, needed=True)], "None": []}
    shown = lines(found, 80)
    assert all(len(line) <= 80 for line in shown)
    assert shown[0] == "Heading"
    assert any(line.strip().startswith("-> make room") for line in shown)
    assert shown[-1] == "The default run, nox -s reproduce, would not work here: see disk."
    assert not works(found)
    coloured = lines(found, 80, coloured=True)
    assert coloured[1] == shown[1].replace("FAILS", "\x1b[1;31mFAILS\x1b[0m")
    assert coloured[2:] == shown[2:]
