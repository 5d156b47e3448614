"""The file of runs: two writers, a crash, damage."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sdbench.base.errors import InputError
from sdbench.history.file import HistoryFile
from sdbench.history.record import Acceptance, Run, now, run_of_report


def runs(report: Callable[..., Path], count: int) -> list[Run]:
    return [run_of_report(report(day)) for day in range(1, count + 1)]


def test_what_is_added_is_read_in_its_order(tmp_path: Path, report: Callable) -> None:
    history = HistoryFile(tmp_path / "deep" / "history.jsonl")
    assert history.read().runs == []
    added = runs(report, 3)
    assert all(history.add(run) for run in added)
    history.accept(Acceptance(run=added[1].id, because="new weights", added=now()))
    content = history.read()
    assert content.runs == added
    assert content.accepted == {added[1].id: "new weights"}
    assert content.damaged == []
    assert content.run(added[2].id[:6]) == added[2]
    with pytest.raises(InputError, match="no run begins with 'xyz'; the latest: "):
        content.run("xyz")
    with pytest.raises(InputError, match="several runs begin with ''"):
        content.run("")


def test_one_report_is_kept_once(tmp_path: Path, report: Callable) -> None:
    history = HistoryFile(tmp_path / "history.jsonl")
    assert history.add(run_of_report(report(1)))
    assert not history.add(run_of_report(report(1)))
    assert len(history.read().runs) == 1


def _add_many(path: Path, records: list[Run]) -> None:
    for record in records:
        HistoryFile(path).add(record)


@pytest.mark.slow
def test_writers_at_the_same_time_lose_nothing(tmp_path: Path, report: Callable) -> None:
    records = runs(report, 24)
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_add_many, args=(tmp_path / "history.jsonl", records[part::3] + records[:4]))
        for part in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    content = HistoryFile(tmp_path / "history.jsonl").read()
    assert content.damaged == []
    assert sorted(run.id for run in content.runs) == sorted(run.id for run in records)


def test_what_a_crash_left_is_kept_named_and_skipped(tmp_path: Path, report: Callable) -> None:
    path = tmp_path / "history.jsonl"
    history = HistoryFile(path)
    first, second = runs(report, 2)
    history.add(first)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    content = history.read()
    assert content.runs == [first]
    assert "line 2 of" in content.damaged[0]
    assert "it has no end" in content.damaged[0]
    history.add(second)
    content = history.read()
    assert content.runs == [first, second], "the next line does not grow together with the unfinished one"
    assert len(content.damaged) == 1
    assert path.read_bytes().startswith(whole + whole[: len(whole) // 2] + b"\n"), "nothing is thrown away"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda line: line.replace("20.0", "21.0", 1), "its hash does not fit"),
        (lambda line: "not json", "Expecting value"),
        (lambda line: '{"schema": 2, "sha256": ""}', "schema"),
        (lambda line: '{"schema": 1, "sha256": ""}', "its hash does not fit"),
        (lambda line: "[]", "valid dictionary"),
        (lambda line: line.replace('"reproduced"', '"wonderful"', 1), "verdict"),
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_read(
    tmp_path: Path, report: Callable, damage: Callable, said: str
) -> None:
    path = tmp_path / "history.jsonl"
    history = HistoryFile(path)
    first, second, third = runs(report, 3)
    for run in (first, second, third):
        history.add(run)
    lines = path.read_text().splitlines()
    lines[1] = damage(lines[1])
    path.write_text("\n".join(lines) + "\n")
    content = history.read()
    assert content.runs == [first, third]
    assert len(content.damaged) == 1
    assert f"line 2 of {path} is damaged and was skipped" in content.damaged[0]
    assert said in content.damaged[0]
    assert json.loads(path.read_text().splitlines()[0]), "the file is as it was"


def test_bytes_that_are_no_text_are_damage_too(tmp_path: Path, report: Callable) -> None:
    path = tmp_path / "history.jsonl"
    HistoryFile(path).add(run_of_report(report(1)))
    path.write_bytes(b"\xff\xfe\n" + path.read_bytes())
    content = HistoryFile(path).read()
    assert len(content.runs) == 1
    assert "line 1 of" in content.damaged[0]


def test_what_cannot_be_written_is_said(tmp_path: Path, report: Callable) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        HistoryFile(tmp_path / "file" / "history.jsonl").add(run_of_report(report(1)))
    with pytest.raises(InputError, match="cannot be read"):
        HistoryFile(tmp_path).read()


def test_a_full_disk_loses_nothing(tmp_path: Path, report: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    history = HistoryFile(tmp_path / "history.jsonl")
    first, second, third = runs(report, 3)
    history.add(first)
    real = os.write

    def write_little(handle: int, content: memoryview) -> int:
        if len(content) < 1000:
            raise OSError(28, "No space left on device")
        return real(handle, content[:700])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_little)
        with pytest.raises(InputError, match=r"No space left on device.*see that the disk is not full"):
            history.add(second)
    history.add(third)
    content = history.read()
    assert content.runs == [first, third]
    assert len(content.damaged) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "the file: Invalid JSON"),
        ('{"cases": []}', "environment: Field required"),
        ('{"cases": [{}], "environment": {}}', "cases.0.verdict: Field required"),
        ('{"cases": [], "environment": {}, "timings": {"loop": {}}}', "timings.loop.min: Field required"),
        ("[]", "the file: Input should be an object"),
    ],
)
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=f"is not a report of this suite \\({said}"):
        run_of_report(tmp_path)
    with pytest.raises(InputError, match="no report at"):
        run_of_report(tmp_path / "nowhere.json")
