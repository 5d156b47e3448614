"""Files that commands write: before anything is printed, into what is there, and never over what is read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks import simulate_verdicts
from sdbench.base.outputs import writing
from sdbench.cli import main
from tests.conftest import COMMAND

NET = """
import sdbench, torch
from torch import nn

def net():
    torch.manual_seed(0)
    return sdbench.Network(nn.Sequential(nn.Conv3d(3, 8, 3, 2)), sdbench.Feed(frames=4, size=16), layers=["0"])
"""
MEASURE = ("measure", "net.py:net", "--scenes", "8", "--workers", "0", "--compile", "off")
linux = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs devices of Linux")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))


def numbers(path: Path) -> Any:
    return json.loads(path.read_text())["layers"]


def parts() -> list[Path]:
    return list(Path("cache", "parts").rglob("*.safetensors"))


@linux
@pytest.mark.parametrize(
    ("error", "status"), [(BrokenPipeError(32, "Broken pipe"), 0), (OSError(28, "No space left on device"), 1)]
)
def test_what_cannot_be_printed_is_written(
    error: OSError, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert main([*MEASURE, "--json", "whole.json"]) == 0
    broken = io.StringIO()
    monkeypatch.setattr(broken, "write", lambda text: (_ for _ in ()).throw(error))
    capsys.readouterr()
    with contextlib.redirect_stdout(broken):
        assert main([*MEASURE, "--json", "cut.json", "--picture", "cut.svg", "--html", "cut.html"]) == status
    assert numbers(Path("cut.json")) == numbers(Path("whole.json"))
    assert Path("cut.svg").is_file()
    assert Path("cut.html").is_file()
    said = capsys.readouterr().err
    assert said == "" if status == 0 else "files that were named are written" in said


def test_what_was_not_printed_and_not_written_can_be_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = io.StringIO()
    monkeypatch.setattr(broken, "write", lambda text: (_ for _ in ()).throw(BrokenPipeError(32, "Broken pipe")))
    with contextlib.redirect_stdout(broken):
        assert main(MEASURE) == 0
    assert parts(), "all parts are still there"
    assert main([*MEASURE, "--json", "a.json"]) == 0
    assert json.loads(Path("a.json").read_text())["measurement"]["resumed"] == 8
    assert not parts()


def test_letters_that_the_standard_output_lacks_are_replaced() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(out):
        assert main([*MEASURE, "--json", "a.json"]) == 0
    assert "?" in out.buffer.getvalue().decode("ascii")


@linux
@pytest.mark.parametrize(
    "closed", [">&-", "2>&-", ">/dev/full", "2>/dev/full", ">&- 2>&-", "| head -1", "2>&1 | head -1"]
)
def test_a_standard_stream_that_is_closed_or_full_costs_nothing(closed: str, tmp_path: Path) -> None:
    """The words of a process, seen from outside: what is imported is as little as a command can do with."""
    script = (
        "import sys, pathlib; from sdbench.base.streams import lasting_streams\n"
        "with lasting_streams():\n"
        "    file = open('there', 'w')\n"
        "    for n in range(3000): print('a line of some words'); print('a line', file=sys.stderr)\n"
        "    file.write('all of it')\n"
    )
    (tmp_path / "run.py").write_text(script)
    command = f'"{sys.executable}" run.py {closed} | cat >printed'
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert (tmp_path / "there").read_text() == "all of it"


def test_another_name_of_a_file_is_still_its_name() -> None:
    Path("one.json").write_text("old")
    Path("other.json").hardlink_to("one.json")
    with writing(Path("one.json")) as place:
        place.write_text("new")
    assert Path("other.json").read_text() == "new"


def test_a_script_writes_to_the_standard_output_too(
    capsysbinary: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate_verdicts", "--json", "-", "--only", "none"])
    monkeypatch.setattr(simulate_verdicts, "table", lambda _found: "a table")
    monkeypatch.setattr(simulate_verdicts, "any_deviates", lambda _found: 0.0)
    simulate_verdicts.main()
    captured = capsysbinary.readouterr()
    assert json.loads(captured.out) == []
    assert b"a table" in captured.err


def test_minus_is_the_standard_output_and_nothing_else_is_there(capsysbinary: pytest.CaptureFixture) -> None:
    assert main([*MEASURE, "--json", "-", "--html", "page.html"]) == 0
    captured = capsysbinary.readouterr()
    assert json.loads(captured.out)["layers"]
    assert b"variance %" in captured.err
    assert not Path("-").exists()
    assert main([*MEASURE, "--picture", "-"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"\x89PNG")
    assert main([*MEASURE, "--json", "./-"]) == 0
    assert numbers(Path("-").absolute())


@linux
def test_links_pipes_and_permissions_stay_what_they_are(capsys: pytest.CaptureFixture) -> None:
    Path("target.json").write_text("old")
    Path("target.json").chmod(0o640)
    Path("link.json").symlink_to("target.json")
    Path("new.json").symlink_to("not-yet.json")
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()), daemon=True)
    reader.start()
    for name in ("link.json", "new.json", "pipe"):
        assert main([*MEASURE, "--json", name]) == 0
    reader.join(20)
    assert Path("link.json").is_symlink()
    assert Path("new.json").is_symlink()
    assert Path("pipe").is_fifo()
    assert numbers(Path("target.json")) == numbers(Path("not-yet.json")) == json.loads(read[0])["layers"]
    assert Path("target.json").stat().st_mode & 0o777 == 0o640
    capsys.readouterr()
    assert main([*MEASURE, "--json", "/dev/full"]) == 1
    assert Path("/dev/full").is_char_device(), "a device of this machine is damaged"
    assert "/dev/full cannot be written (No space left on device)" in capsys.readouterr().err
    assert parts(), "the work is not lost"
    assert main([*MEASURE, "--json", "/dev/null", "--html", "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("name", "begins"), [("a.svg", b"<?xml"), ("a.PDF", b"%PDF"), ("a.png", b"\x89PNG"), ("a", b"\x89PNG")]
)
def test_a_picture_is_what_its_name_says(name: str, begins: bytes) -> None:
    assert main([*MEASURE, "--picture", name]) == 0
    assert Path(name).read_bytes().startswith(begins)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--picture", "a.xyz"), "one that ends in .png or .svg or .pdf"),
        (("--picture", "a.jpg"), "one that ends in .png or .svg or .pdf"),
        (("--json", "a.html"), "one that ends in .json"),
        (("--json", "a.csv"), "one that ends in .json"),
        (("--html", "a.json"), "one that ends in .html"),
        (("--json", "a", "--picture", "a"), "--picture and --json name one file"),
        (("--json", "-", "--html", "-"), "--html and --json name one file"),
        (("--json", "a", "--html", "there/../a"), "name one file"),
        (("--json", "there/"), "is a folder"),
        (("--json", "a\0b"), "no file can be called"),
        (("--layers", ""), "expected names"),
        (("--layers", ",,"), "expected names"),
        (("--frames", "9" * 20), "at most 18 digits"),
        (("--size", "9" * 20), "expected pixels"),
        (("--scenes", "9" * 20), "at most 18 digits"),
    ],
)
def test_a_wrong_file_or_number_is_a_wrong_command_line(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture
) -> None:
    Path("there").mkdir()
    with pytest.raises(SystemExit) as ended:
        main([*MEASURE, *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--json", "net.py/x.json"), "cannot be written (Not a directory)"),
        (("--json", "/proc/x.json"), "cannot be written"),
        (("--json", "n" * 256), "cannot be written (File name too long)"),
        (("--json", f"new/{'n' * 256}"), "cannot be written (File name too long)"),
        (("--json", "net.py"), "net.py is read by this command"),
        (("--feed", "feed.json", "--json", "feed.json"), "feed.json is read by this command"),
        (("--scenes", "9" * 18), "GB of memory"),
        (("--frames", "99999999", "--size", "100000"), "GB of memory"),
        (("--slice", "1/99999999"), "most of 99999999 slices would do nothing"),
        (("--workers", "5000"), "workers must be a whole number from 0 to 1024"),
        (("--skip-unusable",), "--skip-unusable goes with a folder"),
        (("--window", "9"), "--window goes with a folder"),
        (("--device", "meta"), "nothing can be computed on a device meta"),
        (("--device", "mps"), "nothing can be computed on a device mps"),
        (("--device", "cpu:x"), "unknown device"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object, **__: object) -> None:
        raise AssertionError("nothing is measured")

    monkeypatch.setattr("sdbench.engine.measuring.OneProcess.sums", measured)
    Path("feed.json").write_text("{}")
    assert main([*MEASURE, *words]) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir() if path.name != "cache") == ["feed.json", "net.py"]


def test_a_name_as_long_as_can_be_is_a_name() -> None:
    assert main([*MEASURE, "--json", "n" * 255]) == 0
    assert numbers(Path("n" * 255))


def test_inputs_of_a_comparison_are_not_written_over(capsys: pytest.CaptureFixture) -> None:
    assert main([*MEASURE, "--json", "one.json"]) == 0
    before = Path("one.json").read_bytes()
    for words in (("one.json", "one.json"), ("one.json:0", "one.json:0")):
        assert main(["compare", *words, "--json", "one.json"]) == 1
        assert "one.json is read by this command" in capsys.readouterr().err
    assert Path("one.json").read_bytes() == before
    assert main(["compare", "one.json", "one.json", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_nested_json_is_a_sentence(capsys: pytest.CaptureFixture) -> None:
    Path("deep.json").write_text("[" * 100_000)
    assert main(["compare", "deep.json", "deep.json"]) == 1
    assert "deep.json is no JSON that can be read" in capsys.readouterr().err


def test_a_file_that_is_gone_while_it_is_measured_keeps_the_work(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sdbench.base.outputs.write_text", full)
        assert main([*MEASURE, "--json", "a.json"]) == 1
    assert "a.json cannot be written (No space left on device)" in capsys.readouterr().err
    assert main([*MEASURE, "--json", "a.json"]) == 0
    assert json.loads(Path("a.json").read_text())["measurement"]["resumed"] == 8


@pytest.mark.slow
@linux
def test_the_standard_output_by_another_name_is_written_behind_what_is_there() -> None:
    """In a process of its own: what is written into is a descriptor."""
    command = shlex.join([*COMMAND, *MEASURE, "--json", "/dev/stdout"])
    subprocess.run(["bash", "-c", f"echo before >out; {command} >>out; echo after >>out"], check=True)
    before, *between, after = Path("out").read_text().splitlines()
    assert (before, after) == ("before", "after")
    assert main([*MEASURE, "--json", "a.json"]) == 0
    assert json.loads("\n".join(between))["layers"] == numbers(Path("a.json"))
