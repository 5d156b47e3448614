"""Options of the benchmark run, and the process that watches over it; the rest is in `sdbench.suite.pytest_cases`.

Nothing here imports torch: what runs the cases is a process of its own, which the one that was started goes on behind
where a crash ends it.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from sdbench.base.errors import SdbenchError
from sdbench.base.journal import JOURNAL, set_aside
from sdbench.base.supervisor import supervise, supervision

ROOT = Path(__file__).parents[1]

RESTARTS = 10
"""Each costs the start of a process, and one case: a machine that crashes more often has another fault."""

_RUN_NO_CASE = ("collectonly", "help", "version", "markers", "showfixtures", "show_fixtures_per_test", "cacheshow")
_BY_HAND = ("setuponly", "setupplan", "usepdb", "trace")
"""Options with which there is nothing to watch over, or somebody who looks at the process itself."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sdbench")
    group.addoption("--seed", type=int, default=0, help="seed of every random draw (default: 0)")
    group.addoption("--pairs", type=int, default=None, help="pairs of each factor (default: one of each a clip)")
    group.addoption("--device", default="cpu", help="where networks run: cpu, cuda, ... (default: cpu)")
    group.addoption(
        "--protocol",
        default="published",
        help="of action recognition: published, or corrected, without its quirks (default: published)",
    )
    group.addoption(
        "--data",
        type=Path,
        default=os.environ.get("SDBENCH_DATA"),
        help="folder of your own data sets: stylized_activitynet, stylized_ssv2, ... (default: SDBENCH_DATA)",
    )
    group.addoption(
        "--expected",
        type=Path,
        default=os.environ.get("SDBENCH_EXPECTED"),
        help="folder of expected values of your own, which are run beside the packaged ones; -m own runs nothing else "
        "(default: SDBENCH_EXPECTED)",
    )
    group.addoption("--workers", type=int, default=None, help="processes that draw ahead; of a cluster, workers")
    group.addoption(
        "--precision", default="float32", help="what networks compute in: float32, bfloat16, ... (default: float32)"
    )
    group.addoption(
        "--compile", default="auto", help="compile passes: auto, where it saves time; on, always; off, never"
    )
    group.addoption(
        "--ray", metavar="ADDRESS", help="measure on the workers of a Ray cluster; auto joins or starts one"
    )
    group.addoption("--gpus-per-worker", type=float, help="of the cluster (default: 1 with --device cuda, else 0)")
    group.addoption("--report", type=Path, default=ROOT / "reports" / "latest", help="folder of the report")
    group.addoption(
        "--restarts",
        type=int,
        default=RESTARTS,
        help="how often the run goes on, in a fresh process, behind a case that crashed (default: %(default)s)",
    )
    group.addoption(
        "--list-assets",
        type=Path,
        default=None,
        help="with --collect-only: write the names of the assets that the selected cases need to this file",
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the cases in a process of its own, and in fresh ones behind each that crashes."""
    if supervision() is not None or hasattr(config, "workerinput") or config.invocation_params.plugins:
        return None
    if any(getattr(config.option, name, False) for name in (*_RUN_NO_CASE, *_BY_HAND)):
        return None
    folder = config.getoption("--report").absolute()
    if config.getoption("--restarts") < 0:
        raise pytest.UsageError(f"--restarts takes a whole number; got {config.getoption('--restarts')}")
    set_old_report_aside(folder)
    if (capture := config.pluginmanager.getplugin("capturemanager")) is not None:
        capture.suspend(in_=True)  # the standard input may be the lifeline
    command = [sys.executable, "-m", "pytest", *map(str, config.invocation_params.args)]
    return supervise(command, folder / JOURNAL, config.getoption("--restarts"), lambda why: rescue(folder, why))


def rescue(folder: Path, why: str) -> None:
    """Write the report of what a run has finished, whose process could not."""
    try:
        found = importlib.import_module("sdbench.report.from_lines").rescue(folder, why)
    except (SdbenchError, OSError) as error:
        print(f"sdbench: no report could be written ({error}); {folder / JOURNAL} holds what was finished")
        return
    if found:
        print(f"report of {found} cases: {folder}")


def set_old_report_aside(folder: Path) -> None:
    """See that no report of another run lies where this one's will."""
    try:
        before = set_aside(folder)
    except OSError as error:
        raise pytest.UsageError(f"the old report in {folder} cannot be moved aside ({error.strerror})") from None
    if before is not None and not (before / "report.json").exists():
        rescue(before, "")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    told = supervision()
    runs = not any(getattr(config.option, name, False) for name in _RUN_NO_CASE) and not hasattr(config, "workerinput")
    if runs and (told is None or told.attempt is None):
        set_old_report_aside(config.getoption("--report"))
    config.pluginmanager.register(importlib.import_module("sdbench.suite.pytest_cases"), "sdbench")
