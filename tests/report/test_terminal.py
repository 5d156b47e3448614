"""What a terminal shows: one screen of a run, and bars; of any width, whatever the names are."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from sdbench.assets import AssetStore
from sdbench.cases.records import Claim, Record, asked, read_all
from sdbench.cases.verdicts import Case, Verdict, not_run
from sdbench.cli import main
from sdbench.report.table import Totals
from sdbench.report.terminal import SCREEN, bar_lines, suite_lines
from sdbench.suite import Here, group_of, why_not
from tests.report.pages import HOSTILE

ROOT = Path(__file__).parents[2]
RECORDS = read_all(ROOT / "expected")
TOTALS = Totals(44, 7)
MODEL = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 8, 3, stride=2, padding=1), nn.ReLU())
"""
FED = ("--scenes", "4", "--workers", "0", "--layers", "0", "--frames", "4", "--size", "32")


def told(record: Record) -> tuple[str, list[str]]:
    return group_of(record), list(dict.fromkeys(each.network for each in asked(record)))


ABOUT = {record.id: told(record) for record in RECORDS}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """All cases of the suite as on a bare machine: what lacks data is not run, all else is fine."""
    here = Here(AssetStore(tmp_path_factory.mktemp("store") / "none", offline=True, quiet=True))
    found = []
    for record in RECORDS:
        reason = why_not(record, here)
        kind = f"{record.kind} {'claim' if isinstance(record, Claim) else 'value'}"
        good = Verdict.HOLDS if isinstance(record, Claim) else Verdict.UNCHANGED
        done = Case(record.id, kind, good, {"a": 1.0}, {"a": 1.0}, {"a": 0.1}, None, "fine")
        found.append(not_run(record, reason) if reason else done)
    return found


def test_the_whole_suite_fits_one_screen(cases: list[Case]) -> None:
    lines = suite_lines(cases, ABOUT, TOTALS, 100)
    assert len(cases) > 350
    assert len(lines) + 2 <= SCREEN, "with the title above and the folder of the report below"
    assert all(cell_len(line) <= 100 for line in lines)
    (row,) = [line for line in lines if " i3d_inception " in line]
    of_row = sum(about == ("packaged", ["i3d_inception"]) for about in ABOUT.values())
    assert row.split()[:3] == ["packaged", "i3d_inception", f"{of_row}:"]
    counted = [int(found[1]) for line in lines if (found := re.match(r"  .* (\d+): \d", line))]
    assert sum(counted) == len(cases)
    assert any("not run: data set stylized_ssv2 is not here" in line for line in lines)
    assert any(line.strip().startswith("sdbench fetch slow_r50_8x8_ssv2") for line in lines)
    assert any(line.startswith("    data: stylised Something-Something V2 validation videos; ") for line in lines), (
        "what no command fetches is said too"
    )


def test_what_is_wrong_or_undecided_is_told_in_full_and_marked(cases: list[Case]) -> None:
    long = "moved by " + "much " * 60
    wrong = [
        replace(case, verdict=verdict, reason=reason)
        for case, verdict, reason in (
            (cases[0], Verdict.CHANGED, long),
            (cases[1], Verdict.INCONCLUSIVE, "too few pairs"),
            (cases[2], Verdict.ERROR, "ZeroDivisionError: division by zero"),
        )
    ]
    lines = suite_lines([*wrong, *cases[3:]], ABOUT, TOTALS, 80)
    said = [line for line in lines if line.startswith(("changed: ", "inconclusive: ", "error: "))]
    assert said == [
        f"error: {cases[2].id}: ZeroDivisionError: division by zero",
        f"changed: {cases[0].id}: {long}",
        f"inconclusive: {cases[1].id}: too few pairs",
    ]
    marked = [line for line in lines if line.startswith("! ")]
    assert len(marked) == len({ABOUT[case.id][1][0] for case in wrong})
    assert "1 error, 1 changed, 1 inconclusive" in " ".join(marked)
    assert not [line for line in suite_lines(cases, ABOUT, TOTALS, 80) if line.startswith("!")]


def test_two_hundred_networks_and_thirty_causes_still_fit(cases: list[Case]) -> None:
    good = next(case for case in cases if case.verdict is Verdict.UNCHANGED)
    many = [replace(good, id=f"a/{number}") for number in range(400)]
    many[7] = replace(many[7], verdict=Verdict.DEVIATES, reason="too high")
    many += [
        replace(good, id=f"idle/{n}", verdict=Verdict.NOT_RUN, measured=None, reason=f"lacks {n}") for n in range(30)
    ]
    about = {case.id: ("group", [f"network{number % 200}"]) for number, case in enumerate(many)}
    lines = suite_lines(many, about, TOTALS, 100)
    assert len(lines) + 2 <= SCREEN
    assert any(line.startswith("! group") and "network7 " in line for line in lines)
    assert any(line.startswith("  others") and " more " in line for line in lines)
    assert any(line == "24 not run for 24 more causes" for line in lines)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_narrow_terminals_and_hostile_names(width: int, cases: list[Case]) -> None:
    names = (*HOSTILE, "\x1b[2J\x1b]0;taken\x07", "two\nlines\r", "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 40)
    good = next(case for case in cases if case.verdict is Verdict.UNCHANGED)
    many = [replace(good, id=name) for name in names]
    many += [replace(good, id=f"idle{name}", verdict=Verdict.NOT_RUN, reason=f"lacks {name}") for name in names]
    lines = suite_lines(many, {case.id: (case.id, [case.id]) for case in many}, TOTALS, width)
    assert all(line.isprintable() for line in lines)
    counts = [line for line in lines if line not in suite_lines([], {}, TOTALS, width)]
    assert all(cell_len(line) <= width for line in counts if not line.endswith(("measured.", "not run.")))
    bars = bar_lines({name: {"static": 40.0, "dynamic": 20.0} for name in names}, width, "utf-8")
    assert all(line.isprintable() and cell_len(line) <= max(width, 32) for line in bars)


def test_bars_are_a_hundred_percent_long_in_any_encoding() -> None:
    shares = {
        "early": {"static": 75.0, "dynamic": 25.0},
        "late": {"static": 0.0, "dynamic": 50.0},
        "dead": {"static": float("nan"), "dynamic": float("nan")},
    }
    assert bar_lines(shares, 47, "utf-8") == [
        "early  " + "█" * 30 + "▒" * 10,
        "late   " + "▒" * 20 + "·" * 20,
        "dead   ?",
        "       █ static  ▒ dynamic  · residual",
    ]
    assert bar_lines(shares, 47, "ascii")[1::2] == [
        "late   " + "=" * 20 + "." * 20,
        "       # static  = dynamic  . residual",
    ]
    assert max(map(cell_len, bar_lines(shares, 400, None))) <= 67


def test_measure_prints_its_bars_and_its_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    assert main(["measure", "my_model.py:build", *FED, "--json", "found.json"]) == 0
    printed = capsys.readouterr().out
    shares = json.loads(Path("found.json").read_text())["layers"]["0"]["shares"]
    (bar,) = [line for line in printed.splitlines() if line.startswith("0  █")]
    assert abs(bar.count("█") / (len(bar) - 3) - shares["static"] / 100) < 0.02
    assert f"At its last layer (0) my_model.py:build holds {shares['static']:.0f} % static" in printed
    assert "units %" in printed, "a file or a pipe has no width"


@pytest.mark.slow
def test_on_a_narrow_terminal_the_table_is_not_wider(tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text(MODEL)
    master, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "SDBENCH_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sdbench", "measure", "my_model.py:build", *FED]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdout=terminal, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(terminal)
    printed = os.read(master, 1 << 16).decode()
    os.close(master)
    assert done.returncode == 0, done.stderr
    table = printed.partition("Of the variance")[0].splitlines()
    assert any("█" in line for line in table)
    assert max(map(cell_len, table)) <= 60
    assert "units %" not in printed
