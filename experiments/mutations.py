"""Deliberate bugs: does a recorded value notice each of them?

    python -m experiments.mutations [--only WORDS] [--seeds 0 1] [--results FILE]

Each bug of `experiments.bugs` puts something else in the place of one named function, method or constant, in this
process alone: no file is edited. The recorded cases that could notice it are then run at each seed, as a run of the
suite would run them, until one turns red. What is found is written to a file as it comes, and an interrupted run goes
on behind it; a changed file of the package, of the bugs or of the recorded values begins anew.

Exit status: 0 where every bug turned a case red at one seed at least, 1 where one survived, 2 where a case was red
without any bug or could not be run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from sdbench.assets import AssetStore
from sdbench.base.cache_folders import Cache
from sdbench.base.cache_keys import cache_key
from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.files import write_text
from sdbench.cases.records import Asked, ExpectedValue, asked, read_all
from sdbench.cases.verdicts import Case, Verdict
from sdbench.engine import Measurement
from sdbench.suite import Here, Suite

ROOT = Path(__file__).parents[1]

SEEDS = (0, 1)
"""The seed of a run without options, and another one that is recorded."""

CASES = {
    "rendered": "rendered-2/calibration_resnet3d/",
    "action": "pipeline/calibration_slowfast/",
    "VOS": "pipeline/vos/calibration_fusionseg/",
    "X3D": "pipeline/x3d_xs/",
}
"""What a bug speaks of -> how the ids of its cheapest recorded cases begin."""


@dataclass(frozen=True)
class Mutation:
    """A deliberate bug.

    Attributes:
        name: what is wrong, in a few words.
        where: what is replaced, "module:name" or "module:Class.name".
        change: what stands there -> what shall stand there instead.
        cases: of `CASES`, those that could notice it; the next is run where the one before noticed nothing.
    """

    name: str
    where: str
    change: Callable[[Any], Any]
    cases: tuple[str, ...]

    @contextmanager
    def put(self) -> Iterator[None]:
        """Have the bug in this process meanwhile."""
        module, _, path = self.where.partition(":")
        *holders, name = path.split(".")
        owner: Any = importlib.import_module(module)
        for holder in holders:
            owner = getattr(owner, holder)
        with mock.patch.object(owner, name, self.change(getattr(owner, name))):
            yield

    @property
    def is_statistics(self) -> bool:
        """Whether it changes nothing before the sums are there, so that these need not be collected again."""
        return self.where.startswith("sdbench.statistics")


@dataclass(frozen=True)
class Outcome:
    """What the cases of one seed say of a bug.

    Attributes:
        mutation: its name.
        seed: the seed.
        run: how many cases were run.
        red: how many of them turned red.
        first: the first of these; "" where there is none.
        tolerances: how many tolerances that one lies off what was recorded.
        seconds: how long it took.
    """

    mutation: str
    seed: int
    run: int
    red: int
    first: str
    tolerances: float
    seconds: float


@dataclass
class Looking:
    """Runs recorded cases with and without bugs.

    Attributes:
        store: where assets lie.
        records: the recorded values.
        measured: what was measured without any bug.
    """

    store: AssetStore
    records: Sequence[ExpectedValue]
    measured: dict[tuple[str, int], dict[Asked, Measurement]] = field(default_factory=dict)

    def cases(self, kind: str, seed: int) -> list[ExpectedValue]:
        """The recorded values of one seed.

        Raises:
            InputError: there are none.
        """
        found = [r for r in self.records if r.id.startswith(CASES[kind]) and r.options.get("seed") == seed]
        if not found:
            raise InputError(f"nothing is recorded of {CASES[kind]} for seed {seed}: choose another seed")
        return found

    def look(self, mutation: Mutation, seed: int) -> Outcome:
        """Run its cases with a bug.

        Raises:
            InputError: a case is red without any bug, or can no longer be run, which is no recorded value's merit.
        """
        started, run = time.perf_counter(), 0
        for kind in mutation.cases:
            known = self._without(kind, seed)
            with mutation.put():
                found = self._run(kind, seed, known if mutation.is_statistics else {})
            run += len(found)
            if red := [case for case in found if case.verdict is Verdict.CHANGED]:
                seconds = time.perf_counter() - started
                return Outcome(mutation.name, seed, run, len(red), red[0].id, _tolerances(red[0]), seconds)
        return Outcome(mutation.name, seed, run, 0, "", 0.0, time.perf_counter() - started)

    def _without(self, kind: str, seed: int) -> dict[Asked, Measurement]:
        """What the cases ask for, measured without any bug; the statistics are still to be made."""
        if (kind, seed) not in self.measured:
            with self._suite(seed) as suite:
                for record in self.cases(kind, seed):
                    suite.measurement(*asked(record))
                self.measured[kind, seed] = suite.measurements
            found = self._run(kind, seed, suite.measurements)
            if red := [case.id for case in found if case.verdict is Verdict.CHANGED]:
                raise InputError(f"red without any bug: {', '.join(red)}")
        return {each: replace(found) for each, found in self.measured[kind, seed].items()}

    def _run(self, kind: str, seed: int, known: dict[Asked, Measurement]) -> list[Case]:
        with self._suite(seed) as suite:
            suite.measurements.update(known)
            found = [suite.run(record) for record in self.cases(kind, seed)]
        for case in found:
            if case.verdict not in (Verdict.UNCHANGED, Verdict.CHANGED):
                raise InputError(f"{case.id} is {case.verdict.value}: {case.reason}")
        return found

    @contextmanager
    def _suite(self, seed: int) -> Iterator[Suite]:
        """A suite whose unfinished parts no other run takes for its own: a bug is not in their key."""
        suite = Suite(Here(self.store, seed=seed, workers=0, compiling="off"))
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(self.store, "cache", _OwnParts(self.store.cache.root, Path(folder))),
        ):
            try:
                yield suite
            finally:
                suite.over()


@dataclass(frozen=True)
class _OwnParts(Cache):
    """A cache whose parts of unfinished runs lie in a folder of their own."""

    own: Path

    @property
    def parts(self) -> Path:
        return self.own


def recorded(folder: Path = ROOT / "expected") -> list[ExpectedValue]:
    """The values that this suite recorded."""
    return [r for r in read_all(folder) if isinstance(r, ExpectedValue) and r.source.reading == "recorded"]


def _tolerances(case: Case) -> float:
    """How many tolerances the value that lies farthest off lies off."""
    assert case.measured is not None
    assert case.tolerance is not None
    expected = {name: float(value) for name, value in case.expected.items()}
    return max(abs(case.measured[name] - value) / case.tolerance[name] for name, value in expected.items())


def table(outcomes: Sequence[Outcome], mutations: Sequence[Mutation]) -> str:
    """A row for each bug, in Markdown: of each seed how many cases turned red, which first, and by how much."""
    seeds = sorted({outcome.seed for outcome in outcomes})
    heads = [f"seed {seed}: red | first, by tolerances" for seed in seeds]
    lines = [f"| bug | {' | '.join(heads)} |", f"| --- |{' --- |' * 2 * len(seeds)}"]
    known = {(outcome.mutation, outcome.seed): outcome for outcome in outcomes}
    for mutation in mutations:
        cells = []
        for seed in seeds:
            found = known[mutation.name, seed]
            cells.append(f"{found.red} of {found.run}")
            first = "/".join(found.first.split("/")[-4:-1])
            cells.append(f"{first}: {found.tolerances:,.{1 if found.tolerances < 10 else 0}f}" if found.red else "none")
        lines.append(f"| {mutation.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def survivors(outcomes: Sequence[Outcome], mutations: Sequence[Mutation]) -> list[str]:
    """Names of the bugs that turned nothing red, at any seed."""
    noticed = {outcome.mutation for outcome in outcomes if outcome.red}
    return [mutation.name for mutation in mutations if mutation.name not in noticed]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; see the head of this file."""
    from experiments.bugs import MUTATIONS  # noqa: PLC0415 - which takes `Mutation` from here

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only bugs whose name or place has these words in it")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of those that are recorded (default: 0 1)")
    parser.add_argument("--results", type=Path, default=Path("mutations.json"), help="where what is found is kept")
    given = parser.parse_args(arguments)
    chosen = [mutation for mutation in MUTATIONS if given.only in f"{mutation.name} {mutation.where}"]
    if not chosen:
        parser.error(f"no bug has {given.only!r} in its name or place")
    records = recorded()
    source = [path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))]
    of = cache_key("mutations", source, [record.model_dump_json() for record in records], code="sdbench.suite")
    outcomes = _read(given.results, of)
    looking = Looking(AssetStore(), records)
    for mutation in chosen:
        for seed in given.seeds:
            if any((each.mutation, each.seed) == (mutation.name, seed) for each in outcomes):
                continue
            outcomes.append(looking.look(mutation, seed))
            write_text(given.results, json.dumps({"of": of, "found": [asdict(each) for each in outcomes]}, indent=1))
            print(f"{mutation.name}, seed {seed}: {outcomes[-1].red} of {outcomes[-1].run} red", file=sys.stderr)
    print(table([each for each in outcomes if each.seed in given.seeds], chosen))
    lived = survivors(outcomes, chosen)
    print(f"\n{len(chosen) - len(lived)} of {len(chosen)} noticed{'; survived: ' if lived else ''}{', '.join(lived)}")
    print(f"{sum(each.seconds for each in outcomes):.0f} seconds")
    return 1 if lived else 0


def _read(results: Path, of: str) -> list[Outcome]:
    """What an interrupted run of the same found."""
    if not results.exists():
        return []
    kept = json.loads(results.read_text())
    return [Outcome(**each) for each in kept["found"]] if kept["of"] == of else []


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SdbenchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
