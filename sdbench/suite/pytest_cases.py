"""The plugin of pytest that runs the cases: a record is a test, its outcome a line as it ends, all lines a report."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sdbench.assets import AssetStore, cache_folder
from sdbench.base.cache_log import CacheLog, cache_log
from sdbench.base.checks import whole
from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.files import check_place, write_text
from sdbench.base.journal import JOURNAL, append_line, short_name
from sdbench.base.kept import empty_cache
from sdbench.base.outputs import refused
from sdbench.base.rehearsal import SENTENCE, is_rehearsal
from sdbench.base.supervisor import Supervision, end_as_ctrl_c_does, supervision
from sdbench.cases.records import Asked, Claim, ExpectedValue, Record, Unpublished, asked, read_all
from sdbench.cases.verdicts import Case, Verdict, failed, not_run
from sdbench.engine import Measurement
from sdbench.engine.placing import device_named
from sdbench.report import Report, Since, Totals, case_table, describe_environment, summary_lines, write_report
from sdbench.report.causes import causes
from sdbench.report.from_lines import Item, RunLines, case_line, record_fields, report_of, run_lines
from sdbench.report.record import finite
from sdbench.report.table import LEGEND, in_order, reasons
from sdbench.report.terminal import suite_lines
from sdbench.suite.here import Here, runner_for
from sdbench.suite.running import Suite, assets_of, group_of, layer_limits, layer_values
from sdbench.suite.showing import shown_by
from sdbench.suite.since import since_last

ROOT = Path(__file__).parents[2]
HISTORY, THRESHOLDS = ROOT / "reports" / "history.jsonl", ROOT / "benchmarks" / "thresholds.json"

_WIDTH = 120
"""Of a line where no terminal is."""

_RECORDS = pytest.StashKey[list[Record]]()
_GROUPS = pytest.StashKey[frozenset[str]]()
_OWN = pytest.StashKey[frozenset[str]]()
"""The ids of what --expected adds."""

_SUITE = pytest.StashKey[Suite]()
_LOG = pytest.StashKey[CacheLog]()
_STATISTICS = ("min", "max", "mean", "stddev", "median", "q1", "q3", "rounds", "iterations")
"""What of pytest-benchmark's statistics goes into a report, in seconds."""

_BREAKS = 2
"""So often a measurement may end the process: its other cases then are errors without another try."""


@dataclass
class _Run:
    """What is written of a run as it goes.

    Attributes:
        folder: of its report.
        told: what its supervisor says.
        before: what processes before this one have written.
        running: the test that runs, and its record where it is a case.
        settled: ids of cases whose outcome is written.
        said: of each phase of the test that runs, how it ended and what was said.
        waited: when the disk was last waited for.
    """

    folder: Path
    told: Supervision
    before: RunLines
    written: set[Asked] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    running: str = ""
    record: Record | None = None
    said: list[Item] = field(default_factory=list)
    raised: str = ""
    waited: float = 0.0

    def write(self, **entry: Any) -> None:
        now = time.monotonic()
        wait = now - self.waited > 1  # hundreds of cases are told at once not to run: each would take 4 ms
        self.waited = now if wait else self.waited
        append_line(self.folder / JOURNAL, entry, wait)

    def settle(self, case: Case, record: Record) -> None:
        self.settled.add(case.id)
        self.write(**case_line(case, record))

    def watch(self, wanted: Asked, measured: Measurement | None) -> None:
        """A measurement begins, or is done."""
        self.write(**{"measures" if measured is None else "done": _title(wanted)})

    def write_measurements(self, suite: Suite) -> None:
        for wanted, found in suite.measurements.items():
            if wanted not in self.written:
                self.written.add(wanted)
                self.write(
                    measured=_title(wanted),
                    record=finite(found.as_record()),
                    layers=finite(layer_values(found)),
                    intervals=finite(layer_limits(found)),
                    trained_on=wanted.trained_on,
                )


_RUN = pytest.StashKey[_Run]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the records, and the lines of processes before this one; a wrong option is told before any case."""
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
        told, folder = supervision() or Supervision(), config.getoption("--report")
        if not config.option.collectonly:
            with refused(folder):
                check_place(folder / "report.json")
            end_as_ctrl_c_does(told.lifeline)
        before = run_lines(folder) if told.attempt else RunLines()
        config.stash[_RUN] = run = _Run(folder, told, before)
        config.stash[_SUITE] = suite = Suite(here, run.watch)
        for wanted in {each for record in records for each in asked(record)}:
            if before.broken[_title(wanted)] >= _BREAKS:
                ended = f"measuring {_title(wanted)} has ended the process {_BREAKS} times, and is not tried again"
                suite.give_up(wanted, InputError(f"{ended}: {before.crashes[-1]}"))
    except SdbenchError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(_Told(run), "sdbench-lines")
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
    if session.items and not session.config.option.collectonly:
        config = session.config
        config.stash[_RUN].write(run=finite(_environment(config)), totals=vars(_totals(config)))


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
    """What runs the cases."""
    return pytestconfig.stash[_SUITE]


def _environment(config: pytest.Config) -> dict[str, Any]:
    """What the run is made with, as its report says; what it uses is added at its end."""
    here = config.stash[_SUITE].here
    return {
        **describe_environment(ROOT, config.stash[_RUN].told.command or sys.argv),
        "interrupted": False,
        "rehearsal": is_rehearsal(here.store.folder, here.data),
        "seed": here.seed,
        "pairs": here.pairs if here.pairs is not None else "one of each factor a sample",
        "device": here.device,
        "precision": here.precision,
        "compile": here.compiling,
        "measured by": "the workers of a Ray cluster" if here.runner is not None else "this process",
        "protocol": here.protocol,
        "strict": bool(config.getini("strict")),
    }


@pytest.fixture(scope="session", autouse=True)
def _environment_in_junit(
    pytestconfig: pytest.Config, record_testsuite_property: Callable[[str, object], None]
) -> None:
    for name, value in _environment(pytestconfig).items():
        record_testsuite_property(name, str(value))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Note what begins; what a process before this one has ended, or fell over, is told again and not run."""
    run = item.config.stash[_RUN]
    callspec = getattr(item, "callspec", None)
    run.record = callspec.params.get("record") if callspec is not None else None
    kept = run.before.items.get(item.nodeid)
    if kept is None and run.told.given_up:
        if run.record is not None:
            run.settle(not_run(run.record, run.told.given_up), run.record)
        kept = Item("skipped", f"not run: {run.told.given_up}")
    if kept is None:
        run.running, run.said, run.raised = item.nodeid, [], ""
        run.write(begins=item.nodeid, record=record_fields(run.record) if run.record is not None else None)
        return None
    _tell_again(item, kept, run.before.cases.get(kept.case))
    return True


def _tell_again(item: pytest.Item, kept: Item, case: Case | None) -> None:
    """Report a test to pytest, and so to its files and its exit status, as it ended before."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for phase in ("setup", "call", "teardown"):
        outcome: Any = kept.outcome if phase == "call" else "passed"
        path, line, _ = item.location
        report = pytest.TestReport(
            item.nodeid,
            item.location,
            dict.fromkeys(item.keywords, 1),
            outcome,
            {"failed": kept.said, "skipped": (path, line, kept.said)}.get(outcome),  # type: ignore[arg-type]
            phase,
            duration=kept.seconds if phase == "call" else 0.0,
            user_properties=[("verdict", case.verdict.value), ("measured", str(case.measured))] if case else [],
        )
        try:
            item.ihook.pytest_runtest_logreport(report=report)
        except Exception as error:  # a plugin that broke on this test before breaks again
            item.session.testsfailed += 1
            said = f"{item.nodeid} cannot be told again: {type(error).__name__}: {error}"
            item.warn(pytest.PytestWarning(said))
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Note what ended a test."""
    if call.excinfo is not None:
        item.config.stash[_RUN].raised = call.excinfo.exconly().strip()


class _Told:
    """Hears how tests end; a plugin of its own, since these hooks are not given the configuration."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        run = self._run
        if report.nodeid == run.running:
            said = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            run.said.append(Item(report.outcome, said, report.duration))

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        run = self._run
        if nodeid != run.running:
            return
        ended = next((each for word in ("failed", "skipped") for each in run.said if each.outcome == word), None)
        if run.record is not None and run.record.id not in run.settled and ended is not None:
            # Whatever ended it, a case is never absent.
            became = failed if ended.outcome == "failed" else not_run
            run.settle(became(run.record, run.raised or ended.said), run.record)
        seconds = sum(each.seconds for each in run.said)
        ended = ended or Item("passed")
        run.write(ends=nodeid, outcome=ended.outcome, said=ended.said, seconds=seconds)
        run.running = ""

    def pytest_keyboard_interrupt(self) -> None:
        self._run.write(interrupted=True)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        run = self._run
        if run.running:
            run.write(crashed=run.running, said=f"pytest broke ({excinfo.exconly()}) in {short_name(run.running)}")


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Keep the statistics of a timed loop: what the history compares. Cases have a verdict instead."""
    benchmark = getattr(item, "funcargs", {}).get("benchmark")
    if benchmark is not None and benchmark.stats is not None and "record" not in item.funcargs:  # type: ignore[attr-defined]
        found = benchmark.stats.as_dict(include_data=False)["stats"]
        timing = {name: float(found[name]) for name in _STATISTICS}
        item.config.stash[_RUN].write(name=item.name, timing=finite(timing))


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
    run = request.config.stash[_RUN]

    def settle_case(record: Record) -> None:
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
        run.write_measurements(suite)
        run.settle(case, record)
        record_property("verdict", case.verdict.value)
        record_property("measured", str(case.measured))
        if case.verdict.is_bad or (strict and case.verdict.is_open):
            pytest.fail(f"{case.verdict.value}: {case.reason}", pytrace=False)
        if case.verdict is Verdict.NOT_RUN:
            pytest.skip(f"not run: {case.reason}")

    return settle_case


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """One screen: what is wrong in full, all else counted; with -v every case."""
    if config.option.collectonly:
        return
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        terminalreporter.write_line("sdbench: no case is selected; all names: pytest benchmarks --collect-only -q")
    told = run_lines(config.stash[_RUN].folder)
    cases = list(told.cases.values())
    if not cases:
        return
    terminalreporter.section("sdbench")
    here = config.stash[_SUITE].here
    if is_rehearsal(here.store.folder, here.data):
        terminalreporter.write_line(f"{SENTENCE}.", bold=True)
    if config.option.verbose > 0:
        _every_case(terminalreporter.write_line, cases, told, config)
    else:
        about = {record.id: _about(record) for record in config.stash[_RECORDS]}
        for line in suite_lines(cases, about, _totals(config), shutil.get_terminal_size((_WIDTH, 0)).columns):
            terminalreporter.write_line(line)
    terminalreporter.write_line(f"report: {config.getoption('--report')}")


def _about(record: Record) -> tuple[str, list[str]]:
    """The group of a record, and the networks that it is about."""
    return group_of(record), list(dict.fromkeys(each.network for each in asked(record)))


def _every_case(write: Callable[..., None], cases: Sequence[Case], lines: RunLines, config: pytest.Config) -> None:
    write(case_table(cases))
    write("")
    write(LEGEND + ". Cases of one network share one measurement: seconds are its own.")
    for reason, ids in reasons(in_order(cases), [v for v in Verdict if v.is_bad or v is Verdict.INCONCLUSIVE]):
        write(f"- {', '.join(ids)}: {reason}")
    for cause in causes(cases):
        write(f"- not run: {', '.join(case.id for case in cause.cases)}: {cause.says}")
        for told in (*cause.commands, *cause.sentences):
            write(f"  {told}")
    for title, measured in lines.measurements.items():
        write(f"{title}: {measured['record']['resampling']}.")
    write("")
    for line in summary_lines(cases, _totals(config)):
        write(line, bold=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Make the report of all lines."""
    config = session.config
    run = config.stash.get(_RUN, None)
    if run is None or config.option.collectonly or hasattr(config, "workerinput"):
        return
    if exitstatus == pytest.ExitCode.INTERNAL_ERROR and run.told.attempt is not None:
        return  # one case has broken pytest: a fresh process goes on behind it
    if not run_lines(run.folder).environment:  # nothing was selected
        return
    run.write(taken=config.stash[_LOG].taken())
    told = run_lines(run.folder)
    suite = config.stash[_SUITE]
    interrupted = told.interrupted or exitstatus == pytest.ExitCode.INTERRUPTED
    if told.cases:
        report = report_of(told, interrupted, () if interrupted else shown_by(suite, _feeds(told, config)))
        write_report(replace(report, since=_since(report)), run.folder)
    run.write(over=int(exitstatus))
    if not interrupted:
        suite.over()


def _feeds(told: RunLines, config: pytest.Config) -> Iterator[tuple[Asked, dict[str, Any]]]:
    """What was measured, and what the networks were fed."""
    known = {_title(each): each for record in config.stash[_RECORDS] for each in asked(record)}
    for title, measured in told.measurements.items():
        yield known[title], measured["record"]["feed"]


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
