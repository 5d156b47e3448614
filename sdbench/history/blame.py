"""Which package moved a case: install mixtures of two sets of versions, run the case with each, and halve.

Everything lies in one folder: packages and environments, and the outcome of each trial, which is written when it is
known. A second call with the same sets, cases and code goes on where the first one was stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from sdbench.assets.lock import LOCK_VARIABLE, lock_path
from sdbench.assets.store import cache_folder
from sdbench.base.environment import git_revision
from sdbench.base.errors import InputError, SdbenchError, counted, some
from sdbench.base.files import json_text, sha256_of, write_text
from sdbench.cases.verdicts import Verdict
from sdbench.history.comparing import Reference, compare
from sdbench.history.environments import Installer, environment_variables, last_lines
from sdbench.history.file import Content
from sdbench.history.halving import Culprits, Outcome, find_culprits, most_trials, sorted_changes
from sdbench.history.package_sets import (
    NEWEST,
    PackageSet,
    constraints_of_run,
    differences,
    mixed,
    read_constraints,
    set_of_report,
    taken_along,
)
from sdbench.history.record import SETTINGS, Run, run_of_report
from sdbench.history.thresholds import Thresholds

_SHARED = ("assets", "unpacked")
"""What of the cache a trial takes: files that were fetched. What was computed may hold numbers of other versions."""

_DECIDING = ("benchmarks", "expected", "sdbench")
"""Folders of a checkout that decide what a trial measures."""


class NotAmongPackagesError(SdbenchError):
    """The sets of packages do not explain what moved: the good one is not good, or the bad one not bad."""


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        good: the packages with which the cases are as they should be.
        bad: those with which they moved.
        selection: which cases, as pytest's -k takes them.
        options: other arguments of the run.
        recorded: the run that the good set is of, where it is of one: the good set must come to its values again.
    """

    good: PackageSet
    bad: PackageSet
    selection: str
    options: tuple[str, ...] = ()
    recorded: Run | None = None


@dataclass(frozen=True)
class Step:
    """One trial: which packages were as in the bad set, what it came to, and how long it took."""

    changed: tuple[str, ...]
    outcome: Outcome
    said: str
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What was found, and by which trials."""

    culprits: Culprits
    differences: dict[str, str]
    moved: str
    steps: list[Step] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        """The whole in one sentence."""
        parts = []
        for culprit in self.culprits.found:
            named = " together with ".join(f"{name} ({self.differences[name]})" for name in sorted(culprit.names))
            taken = f", which takes {some(sorted(culprit.with_them))} with it," if culprit.with_them else ""
            parts.append(f"{named}{taken}")
        said = f"{'; and for itself '.join(parts)} {self.moved}"
        if any(culprit.undivided for culprit in self.culprits.found):
            said += "; no trial could change a part of these packages alone"
        others = {Outcome.SAME: "the others do not", Outcome.BROKEN: "with the others alone nothing can be measured"}
        only = len(self.differences) == sum(len(each.names | each.with_them) for each in self.culprits.found)
        return said + ("" if only else f"; {others[self.culprits.rest]}")

    def table(self) -> str:
        """One row a trial."""
        number = len(self.differences)
        rows = [(_changed(each.changed, number), each.outcome.value, each.seconds, each.said) for each in self.steps]
        headers = ("as in the bad set", "outcome", "seconds", "what was seen")
        return tabulate(rows, headers=headers, disable_numparse=True, maxcolwidths=[40, None, None, 60])

    def as_json(self) -> str:
        """All of it."""
        return json_text(
            {
                "schema": 1,
                "sentence": self.sentence,
                "culprits": [
                    {"packages": sorted(each.names), "with them": sorted(each.with_them)}
                    for each in self.culprits.found
                ],
                "differences": self.differences,
                "steps": [asdict(step) for step in self.steps],
            }
        )


def _changed(names: Sequence[str], number: int) -> str:
    if len(names) in (0, number):
        return "all" if names else "none"
    return some(names, 8)


def ask(
    sets: Sequence[str], history: Content, selection: str, options: tuple[str, ...], folder: Path, root: Path
) -> Question:
    """Find out which packages two sets hold: what pip resolves, once for each state of constraints and requirements.

    Args:
        sets: the good and the bad one: a file of constraints, the beginning of a run's id, or `NEWEST`.
        history: the runs.
        selection: which cases.
        options: other arguments of the run.
        folder: where it is kept.
        root: the checkout whose requirements are resolved.

    Raises:
        InputError: one of them is neither, or cannot be resolved.
    """
    requirements = (root / "pyproject.toml").read_text(encoding="utf-8")
    runs: list[Run | None] = []
    found: list[PackageSet] = []
    for name in sets:
        is_run = name != NEWEST and not Path(name).exists() and any(run.id.startswith(name) for run in history.runs)
        runs.append(history.run(name) if is_run else None)
        run = runs[-1]
        constraints = constraints_of_run(run) if run else "" if name == NEWEST else read_constraints(Path(name))
        key = hashlib.sha256(f"{constraints}{requirements}{sys.version}".encode()).hexdigest()[:16]
        known = folder / "sets" / f"{key}.json"
        if not known.is_file():
            known.parent.mkdir(parents=True, exist_ok=True)
            write_text(known, Installer(folder, root).resolve(constraints))
        found.append(set_of_report(known.read_text(encoding="utf-8")))
    return Question(found[0], found[1], selection, options, runs[0])


Say = Callable[[str], None]


class Trials:
    """Runs cases with mixtures of two sets, and keeps what each came to.

    Args:
        question: what is asked.
        folder: where everything is kept.
        root: the checkout that is run.
        say: tells the user how far it is.
        measure: runs the cases of the question with some packages changed: a report's folder, or why there is none.
    """

    def __init__(
        self,
        question: Question,
        folder: Path,
        root: Path,
        say: Say,
        measure: Callable[[frozenset[str]], tuple[Path | None, str]] | None = None,
    ) -> None:
        self._question, self._folder, self._root, self._say = question, folder.resolve(), root.resolve(), say
        self._measure = measure or self._run_cases
        self._installer = Installer(folder, root)
        self._code = _code(root)
        self._good: Run | None = None
        self._crashes_are_moves = False
        self.steps: list[Step] = []

    def run(self) -> Answer:
        """Find the culprits.

        Raises:
            NotAmongPackagesError: the good set is not good, or the bad one not bad.
            InputError: something cannot be installed or run at all.
        """
        changing = differences(self._question.good, self._question.bad)
        if not changing:
            raise NotAmongPackagesError("both sets hold the same packages: the culprit is not among them")
        changes = sorted_changes(changing, taken_along(self._question.good, self._question.bad))
        most = most_trials(len(changes))
        self._say(f"{counted(len(changing), 'package')} in question, {len(changes)} that change for themselves")
        self._check_good(2 + most)
        moved = self._check_bad(frozenset(changing), 1 + most)

        def trial(changed: frozenset[str], asked: int, left: int) -> Outcome:
            about = f"{counted(asked, 'change')} in question"
            return self._step(changed, f"{f'at most {left} after it' if left else 'the last'}, {about}").outcome

        return Answer(find_culprits(changes, trial), changing, moved, self.steps)

    def _check_good(self, most: int) -> None:
        step = self._step(frozenset(), f"of at most {most}: the good set")
        if step.outcome is not Outcome.SAME:
            raise NotAmongPackagesError(
                f"the good set is not good here ({step.said}): the culprit is not among the packages; look at the "
                "code, the hardware and the driver, or name a set that is good"
            )

    def _check_bad(self, changing: frozenset[str], left: int) -> str:
        step = self._step(changing, f"at most {left} after it: the bad set")
        if step.outcome is Outcome.SAME:
            raise NotAmongPackagesError(
                "the bad set is not bad here: every case is as with the good one, so that the culprit is not among "
                "the packages; look at the code, the hardware and the driver"
            )
        self._crashes_are_moves = step.outcome is Outcome.BROKEN
        return f"breaks the run ({step.said})" if self._crashes_are_moves else f"moved {step.said}"

    def _step(self, changed: frozenset[str], about: str) -> Step:
        self._say(f"step {len(self.steps) + 1}, {about}: {self._shown(changed)}")
        key = hashlib.sha256(repr(self._key(changed)).encode()).hexdigest()[:16]
        known = self._folder / "trials" / f"{key}.json"
        if known.is_file():
            told = json.loads(known.read_text(encoding="utf-8"))
            report, said, seconds = known.with_suffix("") if told["report"] else None, told["said"], told["seconds"]
        else:
            started = time.monotonic()
            report, said = self._measure(changed)
            seconds = time.monotonic() - started
            known.parent.mkdir(parents=True, exist_ok=True)
            if report is not None:  # kept beside what is said of it, which makes it count
                shutil.copytree(report, known.with_suffix(""), dirs_exist_ok=True)
                report = known.with_suffix("")
            write_text(known, json_text({"report": report is not None, "said": said, "seconds": seconds}))
        outcome, seen = self._judged(report, said)
        if outcome is Outcome.BROKEN and self._crashes_are_moves:
            outcome = Outcome.MOVED
        step = Step(tuple(sorted(changed)), outcome, seen, round(seconds, 1))
        self.steps.append(step)
        self._say(f"  {outcome.value}{f': {seen}' if seen else ''} ({seconds:.0f} s)")
        return step

    def _shown(self, changed: frozenset[str]) -> str:
        number = len(differences(self._question.good, self._question.bad))
        return f"{_changed(sorted(changed), number)} as in the bad set"

    def _key(self, changed: frozenset[str]) -> object:
        packages = mixed(self._question.good, self._question.bad, changed)
        urls = sorted((name, package.url) for name, package in packages.items())
        return urls, self._question.selection, self._question.options, self._code, sys.version

    def _judged(self, report: Path | None, said: str) -> tuple[Outcome, str]:
        """What a trial came to, in a word and in words."""
        if report is None:
            return Outcome.BROKEN, said
        run = run_of_report(report)
        if self._good is None:
            self._good = run
            return self._judged_good(run)
        broken = [name for name, case in run.cases.items() if case.verdict is Verdict.ERROR]
        broken += [name for name in self._good.cases if name not in run.cases]
        moved = _moves(self._good, run, broken)
        if moved:
            return Outcome.MOVED, some(moved, 1)
        return (Outcome.BROKEN, f"{some(broken, 3)}: error") if broken else (Outcome.SAME, "")

    def _judged_good(self, run: Run) -> tuple[Outcome, str]:
        """Whether the good set is good: no case is bad, and a recorded run of it had the same values."""
        bad = [f"{name}: {case.verdict.value}" for name, case in run.cases.items() if case.verdict.is_bad]
        if bad:
            return Outcome.MOVED, some(bad, 3)
        if all(case.verdict is Verdict.NOT_RUN for case in run.cases.values()):
            raise InputError(f"no case of -k {self._question.selection!r} runs here: name others")
        recorded = self._question.recorded
        if recorded is None:
            return Outcome.SAME, ""
        if recorded.settings != run.settings:
            told, here = (dict(zip(SETTINGS, each.settings, strict=True)) for each in (recorded, run))
            raise InputError(
                f"run {recorded.id} was asked for {told}, the trials for {here}: make --options say the same"
            )
        moved = _moves(recorded, run)
        return (Outcome.MOVED, f"other than in run {recorded.id}: {some(moved, 1)}") if moved else (Outcome.SAME, "")

    def _run_cases(self, changed: frozenset[str]) -> tuple[Path | None, str]:
        question = self._question
        python = self._installer.environment(question.good, question.bad, changed)
        work = self._folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        (work / "cache").mkdir(parents=True)
        for name in _SHARED:
            if (cache_folder() / name).is_dir():
                with contextlib.suppress(OSError):  # where links are forbidden it is fetched again
                    (work / "cache" / name).symlink_to(cache_folder().resolve() / name, target_is_directory=True)
        selected = ("-k", question.selection, "--report", str(work / "report"), *question.options)
        done = subprocess.run(
            [str(python), "-m", "pytest", "benchmarks", "-p", "no:cacheprovider", "--benchmark-quiet", *selected],
            cwd=self._root,
            env={**environment_variables(work / "cache"), LOCK_VARIABLE: str(lock_path(cache_folder()).resolve())},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        shutil.rmtree(work / "cache")
        if done.returncode in (0, 1) and (work / "report" / "report.json").is_file():
            return work / "report", ""
        if not changed:
            wrong = f"with the good set the run ends with status {done.returncode}"
            raise InputError(f"{wrong}: {last_lines(done.stdout + done.stderr)}")
        return None, f"the run ends with status {done.returncode}: {last_lines(done.stdout + done.stderr)}"


def _moves(good: Run, run: Run, without: Sequence[str] = ()) -> list[str]:
    """The cases that moved against a good run, in words."""
    reference = Reference()
    reference.take_values(good)
    found = compare(run, reference, Thresholds())
    return [f"{each.name}: {each.said}" for each in (*found.worse, *found.better) if each.name not in without]


def _code(root: Path) -> Mapping[str, Any]:
    """What of a checkout decides the outcome of a trial."""
    files = sorted(path for name in _DECIDING for path in (root / name).rglob("*") if path.is_file())
    wanted = (path for path in files if path.suffix != ".pyc")
    hashes = "".join(f"{path.relative_to(root)} {sha256_of(path)}\n" for path in wanted)
    return {"revision": git_revision(root).partition("+")[0], "files": hashlib.sha256(hashes.encode()).hexdigest()}
