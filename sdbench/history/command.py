"""`sdbench history`: keep runs, show them, hold the newest against the last good one."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdbench.base.errors import InputError, unknown_name
from sdbench.base.outputs import add_output, write_outputs

if TYPE_CHECKING:
    from sdbench.history.file import Content
    from sdbench.history.standing import Standing
    from sdbench.history.thresholds import Thresholds

REGRESSION = 3
"""Exit status of `compare` where the run is worse: not 1 (an error), not 2 (a wrong command line)."""

NOT_AMONG_PACKAGES = 4
"""Exit status of `blame` where the packages do not explain what moved."""

_BLAME = Path("reports") / "blame"
_HISTORY = Path("reports") / "history.jsonl"
_REPORT = Path("reports") / "latest"
_THRESHOLDS = Path("benchmarks") / "thresholds.json"


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of `sdbench`."""
    parser = commands.add_parser("history", help="keep runs, show them, tell whether the newest is worse")
    add_parts(parser)
    parser.set_defaults(run=run)


def add_parts(parser: argparse.ArgumentParser) -> None:
    """Add the parts of the command to a parser."""
    parts = parser.add_subparsers(required=True, metavar="WHAT")
    adding = parts.add_parser("add", help="add the run of a report to the history")
    adding.add_argument(
        "report", nargs="?", type=Path, default=_REPORT, help="folder of the report (default: %(default)s)"
    )
    adding.set_defaults(part=_add)
    showing = parts.add_parser("show", help="all runs, or one case or timed loop over time")
    showing.add_argument("case", nargs="?", help="a case, or the name of a timed loop")
    add_output(showing, "--picture", "picture", "also draw the case over time into this PNG, SVG or PDF file")
    showing.set_defaults(part=_show)
    comparing = parts.add_parser(
        "compare",
        help="hold a run against the last good one",
        description=(
            "Exit status: 0 not worse, or nothing to compare with; 1 an error; 2 a wrong command line; 3 a regression."
        ),
    )
    comparing.add_argument(
        "chosen", nargs="?", metavar="RUN", help="the first characters of a run (default: the newest)"
    )
    comparing.add_argument("--against", metavar="RUN", help="compare with this run (default: the last good one before)")
    add_output(comparing, "--issue", "text", "where it is worse, write the text of an issue to this file")
    comparing.set_defaults(part=_compare)
    accepting = parts.add_parser("accept", help="say that a run is good although it differs from those before")
    accepting.add_argument("chosen", metavar="RUN", help="the first characters of a run")
    accepting.add_argument("--because", required=True, help="why; shown in the history")
    accepting.set_defaults(part=_accept)
    blaming = parts.add_parser(
        "blame",
        help="find which package of two sets of versions moved a case, by halving",
        description=(
            "Install mixtures of two sets of package versions, run the selected cases with each, and halve what is in "
            "question. A set is a file of constraints, the first characters of a run in the history, or 'newest': what "
            "the requirements admit. Stopped, it goes on with the same command. Exit status: 0 a culprit was found; 1 "
            "an error; 2 a wrong command line; 4 the good set is not good or the bad one not bad: the culprit is not "
            "among the packages."
        ),
    )
    blaming.add_argument("good", metavar="GOOD", help="packages with which the cases are as they should be")
    blaming.add_argument("bad", metavar="BAD", help="packages with which they moved")
    blaming.add_argument(
        "-k", required=True, dest="cases", metavar="CASES", help="which cases, as pytest's -k takes them"
    )
    blaming.add_argument(
        "--options", default="", metavar="WORDS", help="of the run, as one word: --options='--device cuda --seed 1'"
    )
    blaming.add_argument(
        "--state", type=Path, default=_BLAME, metavar="DIR", help="keeps packages and trials (default: %(default)s)"
    )
    add_output(blaming, "--json", "json", "also write all of it to this file")
    blaming.set_defaults(part=_blame)
    from sdbench.history.telling import add_parts as add_telling

    announcing, dead, syncing = add_telling(parts)
    for part in (adding, showing, comparing, accepting, announcing, dead, syncing, blaming):
        part.add_argument(
            "--history", type=Path, default=_HISTORY, metavar="FILE", help="the history (default: %(default)s)"
        )
    for part in (showing, comparing, announcing):
        part.add_argument(
            "--thresholds", type=Path, metavar="FILE", help="how much slower loops may become (default: the suite's)"
        )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status.

    Raises:
        InputError: something that was named is not there or cannot be used.
    """
    status: int = options.part(options)
    return status


def read_history(path: Path) -> Content:
    """What a history holds; its damaged lines are named on stderr."""
    from sdbench.history.file import HistoryFile

    content = HistoryFile(path).read()
    for sentence in content.damaged:
        print(f"sdbench: {sentence}", file=sys.stderr)
    return content


def some_runs(path: Path) -> Content:
    """The same of a history that has a run.

    Raises:
        InputError: it has none.
    """
    content = read_history(path)
    if not content.runs:
        raise InputError(f"no run is in the history {path}; add one: sdbench history add REPORT --history {path}")
    return content


def all_standings(options: argparse.Namespace, content: Content) -> list[Standing]:
    """Each run in its place, by the thresholds that options name."""
    from sdbench.history.standing import standings

    return list(standings(content.runs, content.accepted, _thresholds(options)))


def _thresholds(options: argparse.Namespace) -> Thresholds:
    from sdbench.history.thresholds import read_thresholds

    if options.thresholds is not None:
        return read_thresholds(options.thresholds)
    for root in (Path(__file__).parents[2], Path.cwd()):
        if (root / _THRESHOLDS).is_file():
            return read_thresholds(root / _THRESHOLDS)
    raise InputError(
        f"no {_THRESHOLDS} beside the package or here; run this in a checkout, or name it: --thresholds FILE"
    )


def _add(options: argparse.Namespace) -> int:
    from sdbench.history.file import HistoryFile
    from sdbench.history.record import run_of_report

    added = run_of_report(options.report)
    read_history(options.history)  # names damaged lines
    if HistoryFile(options.history).add(added):
        print(f"run {added.id}: {len(added.cases)} cases, {len(added.timings)} times, added to {options.history}")
    else:
        print(f"run {added.id} is in {options.history} already")
    return 0


def _show(options: argparse.Namespace) -> int:
    from sdbench.history.text import case_table, runs_table

    content = some_runs(options.history)
    if options.case is None:
        if options.picture is not None:
            raise InputError("a picture shows one case over time; name it: sdbench history show CASE --picture FILE")
        print(runs_table(all_standings(options, content)))
        return 0
    known = {name for run in content.runs for name in (*run.cases, *run.timings)}
    if options.case not in known:
        raise unknown_name("case or timed loop", options.case, known)

    def picture(place: Path) -> None:
        from sdbench.history.picture import history_picture

        history_picture(options.case, content.runs, place)

    write_outputs((options.picture, picture))
    print(case_table(content.runs, options.case))
    if options.picture is not None:
        print(f"wrote {options.picture}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from sdbench.base.files import write_text
    from sdbench.history.comparing import Reference, compare
    from sdbench.history.text import comparison_text, issue_text

    content = some_runs(options.history)
    chosen = content.run(options.chosen) if options.chosen else content.runs[-1]
    standing = next(known for known in all_standings(options, content) if known.run is chosen)
    found = standing.comparison
    if options.against:
        earlier = content.run(options.against)
        reference = Reference()
        reference.take_values(earlier)
        if earlier.machine == chosen.machine:
            reference.take_times(earlier)
        found = compare(chosen, reference, _thresholds(options))
    if not found.is_regression:
        print(comparison_text(found))
        return 0
    if standing.accepted is not None and not options.against:
        print(comparison_text(found))
        print(f"accepted: {standing.accepted}")
        return 0
    write_outputs((options.issue, lambda place: write_text(place, issue_text(found))))
    print(comparison_text(found))
    if options.issue is not None:
        print(f"wrote {options.issue}")
    return REGRESSION


def _accept(options: argparse.Namespace) -> int:
    from sdbench.history.file import HistoryFile
    from sdbench.history.record import Acceptance, now

    accepted = some_runs(options.history).run(options.chosen)
    if len(options.because) < 3:
        raise InputError("--because takes a reason in words")
    HistoryFile(options.history).accept(Acceptance(run=accepted.id, because=options.because, added=now()))
    print(f"run {accepted.id} is accepted; later runs are held against it")
    return 0


def _blame(options: argparse.Namespace) -> int:
    from filelock import FileLock, Timeout

    from sdbench.base.files import write_text
    from sdbench.history.blame import NotAmongPackagesError, Trials, ask

    content = read_history(options.history)
    root = _checkout()
    words = tuple(shlex.split(options.options))

    def say(line: str) -> None:
        print(f"sdbench: {line}", file=sys.stderr, flush=True)

    options.state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(options.state / ".lock", timeout=0):
            question = ask((options.good, options.bad), content, options.cases, words, options.state, root)
            answer = Trials(question, options.state, root, say).run()
    except Timeout:
        raise InputError(f"another call is at work in {options.state}; wait for it, or name --state DIR") from None
    except NotAmongPackagesError as error:
        say(str(error))
        return NOT_AMONG_PACKAGES
    write_outputs((options.json, lambda place: write_text(place, answer.as_json())))
    print(f"{answer.sentence}\n\n{answer.table()}")
    return 0


def _checkout() -> Path:
    for root in (Path(__file__).parents[2], Path.cwd()):
        if (root / "benchmarks").is_dir() and (root / "pyproject.toml").is_file():
            return root
    raise InputError("no checkout of sdbench beside the package or here; run this in one: trials take its cases")
