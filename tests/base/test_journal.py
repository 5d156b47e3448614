"""Lines of a run: whole ones are read whatever ended the writer, and no old report is taken for a new one."""

from __future__ import annotations

from pathlib import Path

from sdbench.base.journal import JOURNAL, append_line, is_over, open_items, read_lines, set_aside, short_name


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / JOURNAL
    append_line(path, {"begins": "a"})
    with path.open("ab") as file:
        file.write(b'{"ends": "a", "sa')
    assert read_lines(path) == [{"begins": "a"}]
    append_line(path, {"ends": "b"})
    assert read_lines(path) == [{"begins": "a"}, {"ends": "b"}]
    assert read_lines(tmp_path / "none") == []


def test_what_began_and_did_not_end() -> None:
    lines = [{"begins": "a"}, {"ends": "a"}, {"begins": "b"}, {"begins": "c"}, {"crashed": "b"}]
    assert open_items(lines) == ["c"]
    assert not is_over(lines)
    assert is_over([*lines, {"over": 1}])
    assert short_name("benchmarks/test_vos.py::test_vos[vos/a[b]]") == "vos/a[b]"


def test_an_old_report_is_moved_aside(tmp_path: Path) -> None:
    assert set_aside(tmp_path / "none") is None
    assert set_aside(tmp_path) is None
    for round_number in ("first", "second"):
        for name in ("report.json", f"layers-{round_number}.png", "mine.txt"):
            (tmp_path / name).write_text(round_number)
        assert set_aside(tmp_path) == tmp_path / "previous"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "previous"]
    kept = {path.name: path.read_text() for path in (tmp_path / "previous").iterdir()}
    assert kept == {"report.json": "second", "layers-second.png": "second"}
