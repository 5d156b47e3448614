"""What is measured with stand-ins says so wherever it is shown, and is kept nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import sdbench
from benchmarks.rehearsal.judging import unmarked
from sdbench.assets import AssetStore
from sdbench.assets.manifest import Url
from sdbench.base.errors import InputError
from sdbench.base.rehearsal import MARK, SENTENCE, is_rehearsal, mark_rehearsal
from sdbench.cli import main
from sdbench.history.record import run_of_report
from sdbench.report import measurements_page, write_report
from sdbench.suite.recording import ToRecord, record_values
from sdbench.zoo import network_named
from tests.history.conftest import REPORT
from tests.made.small_zoo import make_small, narrow
from tests.report import pages


def test_a_folder_says_of_itself_what_it_is(tmp_path: Path) -> None:
    mark_rehearsal(tmp_path / "cache")
    assert is_rehearsal(None, tmp_path / "cache")
    assert not is_rehearsal(None, tmp_path)
    assert SENTENCE in (tmp_path / "cache" / MARK).read_text()


def test_every_form_of_a_report_is_marked(tmp_path: Path) -> None:
    plain = pages.full()
    write_report(plain, tmp_path / "plain")
    write_report(replace(plain, environment={**plain.environment, "rehearsal": True}), tmp_path / "marked")
    for name in ("plain", "marked"):
        rehearsal = name == "marked"
        (tmp_path / name / "junit.xml").write_text(f'<property name="rehearsal" value="{rehearsal}"/>')
    assert unmarked(tmp_path / "marked") == []
    assert unmarked(tmp_path / "plain") == ["report.json", "report.md", "report.html", "junit.xml"]
    page = (tmp_path / "marked" / "report.html").read_text()
    assert f"<title>{MARK} sdbench report</title>" in page
    assert SENTENCE in page
    assert (tmp_path / "marked" / "report.md").read_text().startswith(f"# {MARK} sdbench report\n\n**{SENTENCE}")


def test_no_history_keeps_it(tmp_path: Path, capsys) -> None:
    content = {**REPORT, "environment": {**REPORT["environment"], "rehearsal": True}}
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"of a {MARK}"):
        run_of_report(tmp_path)
    assert main(["history", "add", str(tmp_path), "--history", str(tmp_path / "history.jsonl")]) == 1
    assert "no history keeps it" in capsys.readouterr().err
    assert not (tmp_path / "history.jsonl").exists()
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    assert run_of_report(tmp_path).cases


def test_no_expected_value_is_recorded_of_it(tmp_path: Path, monkeypatch) -> None:
    mark_rehearsal(tmp_path / "cache")
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=f"that of a {MARK}: its stand-ins are no source"):
        record_values(ToRecord("x3d_xs", "rendered-2", 3), tmp_path / "values.json", Path(__file__).parents[1])
    assert not (tmp_path / "values.json").exists()


@pytest.mark.slow
def test_measured_with_its_weights_a_page_says_so(tmp_path: Path, monkeypatch) -> None:
    make_small(monkeypatch.setattr)
    module = narrow(sdbench.zoo.model("x3d_m")).build()
    torch.save({"model_state": module.state_dict()}, tmp_path / "x3d.pyth")
    store = AssetStore(tmp_path / "cache", quiet=True)
    store.add("x3d_m_kinetics400", tmp_path / "x3d.pyth")
    assert network_named("x3d_m", store=store).notes == ()
    mark_rehearsal(store.folder)
    network = network_named("x3d_m", store=store)
    assert network.notes == (SENTENCE,)
    found = sdbench.measure(network, sdbench.studies.rendered(9), workers=0)
    assert SENTENCE in json.dumps(found.as_record())
    measurements_page([found], tmp_path / "page.html")
    assert f'<p class="rehearsal">{SENTENCE}.</p>' in (tmp_path / "page.html").read_text()


def _source(url: str | None = "https://host.example/a/b.bin?dl=1") -> Url:
    return Url(kind="url", url=url, how="direct" if url else "never published")


@pytest.fixture
def mirror(monkeypatch) -> Callable[[str], None]:
    return lambda address: monkeypatch.setenv("SDBENCH_MIRROR", address)


def test_a_mirror_has_hosts_as_folders(mirror: Callable[[str], None]) -> None:
    assert _source().address == "https://host.example/a/b.bin?dl=1"
    for address in ("http://127.0.0.1:8000/files", "http://127.0.0.1:8000/files/"):
        mirror(address)
        assert _source().address == "http://127.0.0.1:8000/files/host.example/a/b.bin?dl=1"
        assert _source(None).address is None


def test_a_mirror_is_on_the_web(mirror: Callable[[str], None]) -> None:
    mirror("/srv/mirror")
    with pytest.raises(InputError, match="SDBENCH_MIRROR is '/srv/mirror'; expected the address of a mirror"):
        _ = _source().address
