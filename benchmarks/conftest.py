"""Options of the benchmark run, the fixture that runs a case, and the report at the end."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdbench.assets import AssetStore, cache_folder
from sdbench.base.cache_log import CacheLog, cache_log
from sdbench.base.checks import whole
from sdbench.base.errors import SdbenchError
from sdbench.base.files import check_place, write_text
from sdbench.base.kept import empty_cache
from sdbench.base.outputs import refused
from sdbench.base.rehearsal import SENTENCE, is_rehearsal
from sdbench.cases.records import Asked, Claim, ExpectedValue, Record, Unpublished, asked, read_all
from sdbench.cases.verdicts import Case, Verdict
from sdbench.engine.placing import COMPILING, PRECISIONS, device_named
from sdbench.report import Report, Since, case_table, describe_environment, summary_lines, write_report
from sdbench.report.causes import causes
from sdbench.report.table import LEGEND, Totals, in_order, reasons
from sdbench.report.terminal import suite_lines
from sdbench.studies.stylised_study import ACTION_PROTOCOLS
from sdbench.suite import Here, Suite, assets_of, group_of, layer_limits, layer_values
from sdbench.suite.here import runner_for
from sdbench.suite.showing import shown_by
from sdbench.suite.since import since_last

ROOT = Path(__file__).parents[1]
HISTORY, THRESHOLDS = ROOT / "reports" / "history.jsonl", ROOT / "benchmarks" / "thresholds.json"

_WIDTH = 120
"""Of a line where no terminal is."""

_RECORDS = pytest.StashKey[list[Record]]()
_GROUPS = pytest.StashKey[frozenset[str]]()
_OWN = pytest.StashKey[frozenset[str]]()
"""The ids of what --expected adds."""

_SUITE = pytest.StashKey[Suite]()
_LOG = pytest.StashKey[CacheLog]()
_CASES = pytest.StashKey[list[Case]]()
_TIMINGS = pytest.StashKey[dict[str, dict[str, float]]]()

_STATISTICS = ("min", "max", "mean", "stddev", "median", "q1", "q3", "rounds", "iterations")
"""What of pytest-benchmark's statistics goes into a report, in seconds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sdbench")
    group.addoption("--seed", type=int, default=0, help="seed of every random draw (default: 0)")
    group.addoption("--pairs", type=int, default=None, help="pairs of each factor (default: one of each a clip)")
    group.addoption("--device", default="cpu", help="where networks run: cpu, cuda, ... (default: cpu)")
    group.addoption(
        "--protocol",
        choices=ACTION_PROTOCOLS,
        default="published",
        help="of action recognition: as published, or with its quirks corrected (default: published)",
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
        "--precision", choices=PRECISIONS, default="float32", help="what networks compute in (default: float32)"
    )
    group.addoption(
        "--compile", choices=COMPILING, default="auto", help="compile passes: where it saves time, always, never"
    )
    group.addoption(
        "--ray", metavar="ADDRESS", help="measure on the workers of a Ray cluster; auto joins or starts one"
    )
    group.addoption("--gpus-per-worker", type=float, help="of the cluster (default: 1 with --device cuda, else 0)")
    group.addoption(
        "--fresh",
        action="store_true",
        help="compute everything anew: of the cache, take what was fetched and nothing that was computed",
    )
    group.addoption("--report", type=Path, default=ROOT / "reports" / "latest", help="folder of the report")
    group.addoption(
        "--list-assets",
        type=Path,
        default=None,
        help="with --collect-only: write the names of the assets that the selected cases need to this file",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_CASES] = []
    config.stash[_TIMINGS] = {}
    packaged, own = ROOT / "expected", config.getoption("--expected")
    cleanup = contextlib.ExitStack()
    config.add_cleanup(cleanup.close)
    config.stash[_LOG] = cleanup.enter_context(cache_log())
    try:
        config.stash[_RECORDS] = records = read_all(packaged, own) if own else read_all(packaged)
        known = {record.id for record in read_all(packaged)}
        config.stash[_GROUPS] = frozenset(map(group_of, records))
        config.stash[_OWN] = frozenset(record.id for record in records if record.id not in known)
        fresh = config.getoption("--fresh") and not config.option.collectonly
        here = Here(
            AssetStore(cache=cleanup.enter_context(empty_cache(cache_folder())) if fresh else None),
            data=config.getoption("--data"),
            seed=whole("--seed", config.getoption("--seed")),
            pairs=None if config.getoption("--pairs") is None else whole("--pairs", config.getoption("--pairs"), 1),
            device=config.getoption("--device"),
            protocol=config.getoption("--protocol"),
            workers=config.getoption("--workers"),
            precision=config.getoption("--precision"),
            compiling=config.getoption("--compile"),
            runner=runner_for(*map(config.getoption, ("--ray", "--workers", "--gpus-per-worker", "--device"))),
        )
        if here.runner is None:  # the workers of a cluster have devices of their own
            device_named(here.device)
        config.stash[_SUITE] = Suite(here)
        if not config.option.collectonly:
            with refused(config.getoption("--report")):
                check_place(config.getoption("--report") / "report.json")
    except SdbenchError as error:
        raise pytest.UsageError(str(error)) from None
    if config.option.verbose <= 0:  # the summary says both in few lines
        config.option.reportchars = config.option.reportchars.replace("a", "fExX").replace("s", "")
        config.option.benchmark_quiet = True
    if config.option.xmlpath is None and not config.option.collectonly:
        config.option.xmlpath = str(config.getoption("--report") / "junit.xml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each case with its task and kind, so that -m selects what -k can."""
    for item in items:
        record = getattr(item, "callspec", None) and item.callspec.params.get("record")  # type: ignore[attr-defined]
        if isinstance(record, (ExpectedValue, Unpublished, Claim)):
            item.add_marker(record.kind)
            item.add_marker("claim" if isinstance(record, Claim) else "value")
            if record.id in item.config.stash[_OWN]:
                item.add_marker("own")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the names of the assets that the selected cases need, where they are asked for."""
    target = session.config.getoption("--list-assets")
    if target is not None:
        callspecs = [getattr(item, "callspec", None) for item in session.items]
        records = [spec.params["record"] for spec in callspecs if spec is not None and "record" in spec.params]
        write_text(target, json.dumps(assets_of(records, session.config.stash[_SUITE].here)) + "\n")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the module of what files of one's own say how to open, where there are none."""
    return True if collection_path.name == "test_own.py" and "own" not in config.stash[_GROUPS] else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each module the records that its `SELECT` chooses."""
    if "record" in metafunc.fixturenames:
        select: Callable[[Any], bool] = metafunc.module.SELECT
        records = [record for record in metafunc.config.stash[_RECORDS] if select(record)]
        metafunc.parametrize("record", records, ids=[record.id for record in records])


@pytest.fixture(scope="session")
def suite(pytestconfig: pytest.Config) -> Suite:
    return pytestconfig.stash[_SUITE]


@pytest.fixture(scope="session", autouse=True)
def _environment_in_junit(record_testsuite_property: Callable[[str, object], None], suite: Suite) -> None:
    rehearsal = {"rehearsal": is_rehearsal(suite.here.store.folder, suite.here.data)}
    for name, value in {**describe_environment(ROOT, sys.argv), **rehearsal}.items():
        record_testsuite_property(name, str(value))


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Keep the statistics of a timed loop: what the history compares. Cases have a verdict instead."""
    benchmark = getattr(item, "funcargs", {}).get("benchmark")
    if benchmark is not None and benchmark.stats is not None:
        found = benchmark.stats.as_dict(include_data=False)["stats"]
        item.config.stash[_TIMINGS][item.name] = {name: float(found[name]) for name in _STATISTICS}


@pytest.fixture
def settle(
    request: pytest.FixtureRequest,
    suite: Suite,
    record_property: Callable[[str, object], None],
) -> Callable[[Record], None]:
    """Run a case and make its verdict the outcome of the test.

    A case runs once. The measurement behind it is made before the clock starts, since cases share it; what is timed is
    the statistics.
    """
    strict = bool(request.config.getini("strict"))
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def run(record: Record) -> None:
        with capture.global_and_fixture_disabled():  # what long work says of itself is to be seen while it lasts
            found = suite.measure(record)
        if isinstance(found, Case):
            case = found
        else:
            benchmark = request.getfixturevalue("benchmark")
            case = benchmark.pedantic(found, rounds=1)
            benchmark.extra_info.update(
                verdict=case.verdict.value,
                measured=case.measured,
                expected=case.expected,
                interval=case.interval,
                measurement_seconds=case.seconds,
            )
        request.config.stash[_CASES].append(case)
        record_property("verdict", case.verdict.value)
        record_property("measured", str(case.measured))
        if case.verdict.is_bad or (strict and case.verdict.is_open):
            pytest.fail(f"{case.verdict.value}: {case.reason}", pytrace=False)
        if case.verdict is Verdict.NOT_RUN:
            pytest.skip(f"not run: {case.reason}")

    return run


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """One screen: what is wrong in full, all else counted; with -v every case."""
    cases = config.stash[_CASES]
    if not cases:
        return
    terminalreporter.section("sdbench")
    here = config.stash[_SUITE].here
    if is_rehearsal(here.store.folder, here.data):
        terminalreporter.write_line(f"{SENTENCE}.", bold=True)
    if config.option.verbose > 0:
        _every_case(terminalreporter.write_line, cases, config)
    else:
        about = {record.id: _about(record) for record in config.stash[_RECORDS]}
        for line in suite_lines(cases, about, _totals(config), shutil.get_terminal_size((_WIDTH, 0)).columns):
            terminalreporter.write_line(line)
    terminalreporter.write_line(f"report: {config.getoption('--report')}")


def _about(record: Record) -> tuple[str, list[str]]:
    """The group of a record, and the networks that it is about."""
    return group_of(record), list(dict.fromkeys(each.network for each in asked(record)))


def _every_case(write: Callable[..., None], cases: Sequence[Case], config: pytest.Config) -> None:
    write(case_table(cases))
    write("")
    write(LEGEND + ". Cases of one network share one measurement: seconds are its own.")
    for reason, ids in reasons(in_order(cases), [v for v in Verdict if v.is_bad or v is Verdict.INCONCLUSIVE]):
        write(f"- {', '.join(ids)}: {reason}")
    for cause in causes(cases):
        write(f"- not run: {', '.join(case.id for case in cause.cases)}: {cause.says}")
        for told in (*cause.commands, *cause.sentences):
            write(f"  {told}")
    for wanted, measurement in config.stash[_SUITE].measurements.items():
        write(f"{_title(wanted)}: {measurement.resampling}.")
    write("")
    for line in summary_lines(cases, _totals(config)):
        write(line, bold=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    cases = config.stash.get(_CASES, [])
    if not cases:
        return
    suite = config.stash[_SUITE]
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    environment = {
        **describe_environment(ROOT, sys.argv),
        "interrupted": interrupted,
        "rehearsal": is_rehearsal(suite.here.store.folder, suite.here.data),
        "seed": suite.here.seed,
        "pairs": suite.here.pairs if suite.here.pairs is not None else "one of each factor a sample",
        "device": suite.here.device,
        "precision": suite.here.precision,
        "compile": suite.here.compiling,
        "measured by": "the workers of a Ray cluster" if suite.here.runner is not None else "this process",
        "protocol": suite.here.protocol,
        "strict": bool(config.getini("strict")),
        "assets": {name: digest for m in suite.measurements.values() for name, digest in m.assets.items()},
        "weights": {_title(wanted): found.weights for wanted, found in suite.measurements.items()},
        "shown": {_title(wanted): found.study for wanted, found in suite.measurements.items()},
        "taken from a cache": config.stash[_LOG].taken() or "nothing",
    }
    report = Report(
        environment=environment,
        cases=cases,
        totals=_totals(config),
        measurements=[measurement.as_record() for measurement in suite.measurements.values()],
        layers={_title(wanted): layer_values(found) for wanted, found in suite.measurements.items()},
        timings=config.stash[_TIMINGS],
        intervals={_title(wanted): layer_limits(found) for wanted, found in suite.measurements.items()},
        trained_on={_title(wanted): wanted.trained_on for wanted in suite.measurements},
        records={record.id: record for record in config.stash[_RECORDS]},
        shown=() if interrupted else shown_by(suite),
    )
    write_report(replace(report, since=_since(report)), config.getoption("--report"))
    if not interrupted:
        suite.over()


def _since(report: Report) -> Since | None:
    """What changed since the last run; a history that cannot be read is no reason to write no report."""
    try:
        return since_last(report, HISTORY, THRESHOLDS)
    except SdbenchError as error:
        return Since(f"nothing was compared: {error}")


def _totals(config: pytest.Config) -> Totals:
    records = config.stash[_RECORDS]
    return Totals(
        values=sum(isinstance(record, ExpectedValue) and record.is_published for record in records),
        claims=sum(isinstance(record, Claim) and record.published for record in records),
    )


def _title(wanted: Asked) -> str:
    return f"{wanted.network} ({wanted.trained_on}) on {wanted.dataset}"
