"""Reports: complete, valid, and readable."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image, ImageColor

from sdbench.base.environment import git_revision, source_digest
from sdbench.base.machine import available_cores
from sdbench.cases.verdicts import Case, Verdict
from sdbench.report import Report, Totals, case_table, describe_environment, summary_lines, write_report
from sdbench.report.pictures import COLOURS
from sdbench.report.table import reasons
from tests.report import pages

VALUE = Case(
    id="action/layerwise/net/data/stage5",
    kind="published value",
    verdict=Verdict.DEVIATES,
    measured={"dynamic": 20.04, "static": 40.06},
    expected={"dynamic": 25.0, "static": 40.0},
    tolerance={"dynamic": 2.05, "static": 2.05},
    interval={"dynamic": (19.0, 21.0), "static": (39.0, 41.0)},
    reason="outside the band: dynamic <20.0>",
    seconds=12.34,
)
IDLE = Case(
    id="vos/unitwise/net/data/fusion5",
    kind="published value",
    verdict=Verdict.NOT_RUN,
    measured=None,
    expected={"dynamic": 1.0},
    tolerance={"dynamic": 5.0},
    interval=None,
    reason="weights are not part of this version",
)
CLAIM = Case(
    id="claim/toy",
    kind="claim",
    verdict=Verdict.HOLDS,
    measured={"a > b": 3.0, "c > d": 1.0},
    expected={"a > b": "> 0", "c > d": "> 0"},
    tolerance=None,
    interval=None,
    reason="narrowest: c > d by 1.0 points",
)
ERROR = Case(
    id="vos/layerwise/net/data/fusion5",
    kind="published value",
    verdict=Verdict.ERROR,
    measured=None,
    expected={"dynamic": 1.0},
    tolerance={"dynamic": 5.0},
    interval=None,
    reason="weights do not fit: 3 entries are missing",
)
UNDECIDED = replace(VALUE, id="action/layerwise/net/data/stage4", verdict=Verdict.INCONCLUSIVE, reason="too few videos")
MEASURED = replace(
    VALUE,
    id="action/layerwise/net/data/stage3",
    kind="unpublished value",
    verdict=Verdict.MEASURED,
    expected={},
    tolerance=None,
    reason="no value was published",
)
CASES = [IDLE, MEASURED, CLAIM, UNDECIDED, VALUE, ERROR]
LAYERS = {
    "net on clips": {
        name: {
            "shares": {"dynamic": 20.0, "static": 40.0, "residual": 40.0},
            "units": {"dynamic": 0.0, "static": 80.0, "joint": 10.0, "residual": 10.0, "dead": 0.0},
        }
        for name in ("first", "second")
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    report = Report({"seed": 0, "packages": {"torch": "2"}, "gpus": []}, CASES, Totals(40, 7), [], LAYERS)
    write_report(report, tmp_path / "latest")
    return tmp_path / "latest"


def test_json_has_the_fixed_fields(folder: Path) -> None:
    content = json.loads((folder / "report.json").read_text())
    assert content["environment"]["seed"] == 0
    for case in content["cases"]:
        assert {"id", "verdict", "measured", "expected", "tolerance", "interval", "reason", "seconds"} <= case.keys()
    verdicts = [case["verdict"] for case in content["cases"]]
    assert verdicts == ["not run", "measured", "holds", "inconclusive", "deviates", "error"]
    assert content["cases"][4]["interval"]["dynamic"] == [19.0, 21.0]
    for position in (0, 5):
        assert content["cases"][position]["measured"] is None
    assert content["cases"][5]["reason"] == ERROR.reason


def test_what_json_says_besides_is_what_the_records_say(tmp_path: Path) -> None:
    report = pages.full()
    write_report(report, tmp_path)
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["trained_on"]["net (filled) on packaged"] == "filled"
    assert content["intervals"]["two (clips) on packaged"]["fast.stage1"]["shares"]["static"] == [18.0, 23.0]
    about = {case["id"]: case["about"] for case in content["cases"]}
    value = about["packaged/net/second/shares"]
    assert value["asked"] == [{"network": "net", "trained_on": "clips", "dataset": "packaged"}]
    assert value["source"]["where"] == "where packaged/net/second/shares was printed"
    assert about["claim/net/static"]["statement"] == "The statement of claim/net/static"


def test_markdown_and_html_tell_the_same(folder: Path) -> None:
    markdown, html = ((folder / name).read_text() for name in ("report.md", "report.html"))
    for text in (markdown, html.replace("<wbr>", "")):
        assert "2 of 40 published results and 0 of 7 published claims were measured." in text
        for case in CASES:
            assert case.id in text
            assert case.verdict.value in text
        wrong, _, rest = text.partition("## Outcomes" if text is markdown else "<h2>What the layers hold</h2>")
        assert rest
        assert ERROR.reason in wrong.partition("What went wrong")[2]
    outcomes, measured = markdown.split("Outcomes")[1].split("Measured, where no value was published")
    assert outcomes.index(ERROR.id) < outcomes.index(VALUE.id) < outcomes.index(UNDECIDED.id)
    assert MEASURED.id not in outcomes
    assert MEASURED.id in measured.split("Not run")[0]
    assert "dynamic &lt;20.0&gt;" in html, "what comes from outside is escaped"
    assert "layers-net-on-clips.png" in markdown


def test_the_picture_shows_what_the_layers_encode(folder: Path) -> None:
    with Image.open(folder / "layers-net-on-clips.png") as picture:
        drawn = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    for name in ("dynamic", "static", "joint", "residual"):
        assert ImageColor.getrgb(COLOURS[name]) in drawn, f"{name} is not drawn"


def test_a_second_report_replaces_the_first(folder: Path) -> None:
    write_report(Report({}, [CLAIM], Totals(40, 7)), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "report.md"]
    assert len(json.loads((folder / "report.json").read_text())["cases"]) == 1


def test_the_table_shows_values_intervals_and_gaps() -> None:
    table = case_table(CASES)
    assert "D 20.0 S 40.1" in table
    assert "D [19.0, 21.0] S [39.0, 41.0]" in table
    assert "±2.05" in table
    assert "margin +1.0" in table
    for verdict in ("not run", "error"):
        (unmeasured,) = [line for line in table.splitlines() if verdict in line]
        assert " - " in unmeasured
    starts = [table.index(case.id) for case in (ERROR, VALUE, UNDECIDED, CLAIM, MEASURED, IDLE)]
    assert starts == sorted(starts), "what went wrong comes first, what was not run last"


def test_the_summary_counts_all_that_was_published() -> None:
    first, second = summary_lines(CASES, Totals(40, 7))
    assert first == "2 of 40 published results and 0 of 7 published claims were measured."
    assert second == "6 cases: 1 deviates, 1 inconclusive, 1 measured, 1 holds, 1 not run, 1 error."
    assert reasons(CASES, [Verdict.NOT_RUN]) == [(IDLE.reason, [IDLE.id])]


def test_the_environment_names_what_a_number_depends_on(tmp_path: Path) -> None:
    found = describe_environment(tmp_path, [sys.argv[0], "benchmarks", "-k", "a b", "--data", "it's here"])
    assert found["revision"] == "not a git checkout"
    name, *arguments = shlex.split(found["command"])
    assert name == Path(sys.argv[0]).name, "without the folder that it lies in"
    assert arguments == ["benchmarks", "-k", "a b", "--data", "it's here"]
    assert found["packages"]["torch"] == version("torch")
    assert len(found["packages"]) > 50
    assert found["cuda"].keys() == {"runtime", "cudnn", "nccl"}
    assert found["cores"] == available_cores()


def test_a_file_that_git_does_not_know_is_a_change_where_it_goes_into_an_image(tmp_path: Path) -> None:
    def state() -> tuple[str, str]:
        source_digest.cache_clear()
        return git_revision(tmp_path), source_digest(tmp_path)

    (tmp_path / "sdbench").mkdir()
    for name, content in (("sdbench/a.py", ""), (".dockerignore", "*\n!sdbench\n"), (".gitignore", "*.log\n")):
        (tmp_path / name).write_text(content)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    clean, source = state()
    assert len(clean) == 40
    for name in ("notes.txt", "sdbench/a.log"):
        (tmp_path / name).touch()
    assert state() == (clean, source)
    (tmp_path / "sdbench" / "untracked.py").touch()
    revision, changed = state()
    assert revision == f"{clean}+changes"
    assert changed != source


def test_reports_statistics_and_verdicts_need_no_torch() -> None:
    rooms = "sdbench, sdbench.report, sdbench.cases.verdicts, sdbench.cases.records"
    code = f"import sys, {rooms}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
