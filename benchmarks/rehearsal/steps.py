"""The steps of a rehearsal, each of which is done once: interrupted, the same command goes on with the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmarks.rehearsal.datasets import DATA_SETS
from benchmarks.rehearsal.davis import SEQUENCES
from benchmarks.rehearsal.judging import Rehearsed, cases_of, unmarked
from benchmarks.rehearsal.known import PREFIX, write_known
from benchmarks.rehearsal.published import PUBLISHED, Published, make, published
from benchmarks.rehearsal.server import Offers, address_of, serving
from benchmarks.rehearsal.watching import Peak
from sdbench.assets import AssetStore
from sdbench.assets.manifest import MIRROR_VARIABLE, Manifest, Url
from sdbench.base.environment import git_revision
from sdbench.base.errors import InputError
from sdbench.base.files import remove_tree, write_text
from sdbench.base.rehearsal import mark_rehearsal

ROOT = Path(__file__).parents[2]
GROUPS = ("action", "vos")
"""Of the suite: each has a module under benchmarks/, and a group of assets."""

PICTURES = ("stylized_davis", "davis2016")
"""Assets that cases of segmentation need whatever their network is."""

FEWEST_PAIRS = 8
"""With fewer, accuracy is of too few videos for an interval."""

_KNOWN_PAIRS = 48
_DRAWS, _SEEDS = 5, 4
"""Of the study of segmentation: draws for each sequence, and seeds."""

_NOT_COLLECTED = 5
"""Exit status of pytest where no case was selected."""


@dataclass
class Rehearsal:
    """One rehearsal in a folder of its own.

    Attributes:
        work: the folder; what is made, fetched and reported lies in it.
        selection: what of the suite, as pytest's -k takes it; "" is all.
        pairs: pairs of each factor.
        say: tells the user how far it is.
        peak: the most of disk and memory that was taken, also before an interruption.

    Raises:
        InputError: the folder holds an unfinished rehearsal of something else, or of another revision.
    """

    work: Path
    selection: str = ""
    pairs: int = FEWEST_PAIRS
    say: Callable[[str], None] = print
    peak: Peak = field(default_factory=Peak)
    _done: dict[str, Any] = field(default_factory=dict)
    _asked: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        self._asked = {"selection": self.selection, "pairs": self.pairs, "revision": git_revision(ROOT)}
        if self._notes.is_file():
            kept = json.loads(self._notes.read_text(encoding="utf-8"))
            if kept["asked"] != self._asked:
                raise InputError(
                    f"{self.work} holds an unfinished rehearsal that was asked for {kept['asked']}, not {self._asked}; "
                    "delete the folder, or name another one: --work DIR"
                )
            self._done, self.peak = kept["done"], Peak(**kept["peak"])
        else:
            for name in ("made", "cache", "data", "expected", "reports"):
                remove_tree(self.work / name)
            (self.work / "lock.json").unlink(missing_ok=True)
            self._keep()

    def _keep(self) -> None:
        kept = {"asked": self._asked, "peak": asdict(self.peak), "done": self._done}
        write_text(self._notes, json.dumps(kept, indent=1) + "\n")

    def over(self) -> None:
        """It came to its end: the next one with this folder begins anew."""
        self._notes.unlink()

    @property
    def _notes(self) -> Path:
        return self.work / "steps.json"

    @property
    def cache(self) -> Path:
        return self.work / "cache"

    @property
    def data(self) -> Path:
        return self.work / "data"

    def once(self, step: str, work: Callable[[], Any]) -> Any:
        """What `work` answers, plain values; a step that was done is not done again."""
        if step not in self._done:
            self.say(f"rehearsal: {step}")
            start = time.monotonic()
            answer = work()
            self._done[step] = {"answer": answer, "seconds": round(time.monotonic() - start, 1)}
            self._keep()
        return self._done[step]["answer"]

    @property
    def seconds(self) -> dict[str, float]:
        """Step -> how long it took."""
        return {step: told["seconds"] for step, told in self._done.items()}

    def run(self) -> list[Rehearsed]:
        """Do what is left to do; the cases of all groups."""
        self.once("making data sets", self._make_data)
        cases: list[Rehearsed] = []
        for group in GROUPS:
            if self.once(f"looking for {group} in the selection", partial(self._is_selected, group)):
                self.once(f"fetching {group}", partial(self._fetch, group))
                cases += self._measured(group)
                remove_tree(self.cache / "assets")
                remove_tree(self.cache / "converted")
        return cases

    def _make_data(self) -> None:
        for folder in (self.cache, self.data):
            mark_rehearsal(folder)
        for name, write in DATA_SETS.items():
            remove_tree(self.data / name)
            (self.data / name).mkdir()
            write(self.data / name)
        write_known(self.work / "expected", _KNOWN_PAIRS, _DRAWS * len(SEQUENCES) // 2, _SEEDS)

    def _is_selected(self, group: str) -> bool:
        return self._pytest(group, "--collect-only", quiet=True) != _NOT_COLLECTED

    def _fetch(self, group: str) -> dict[str, Any]:
        """Fetch what the selected cases of a group need from a server that has its troubles; what was seen."""
        offers = Offers()
        with serving(offers) as mirror:
            if not self.selection:
                return self._fetched(offers, mirror, group, [each for each in PUBLISHED if self._group(each) == group])
            pictures = [published(name) for name in PICTURES] if group == "vos" else []
            seen = self._fetched(offers, mirror, group, pictures) if pictures else {}
            target = self.work / f"{group}.json"
            self._pytest(group, "--collect-only", "--list-assets", str(target), quiet=True)
            needed = json.loads(target.read_text(encoding="utf-8"))
            rest = [each for each in PUBLISHED if each.asset in needed and each not in pictures]
            return self._fetched(offers, mirror, group, rest) if rest else seen

    def _fetched(self, offers: Offers, mirror: str, group: str, wanted: Sequence[Published]) -> dict[str, Any]:
        made = self.work / "made"
        by_program, by_hand = [], []
        for each in wanted:
            asset = self._manifest[each.asset]
            assert isinstance(asset.source, Url)
            assert asset.source.url is not None
            file = make(each.asset, made / asset.filename)
            if asset.source.how == "direct":
                by_program.append(each.asset)
                offers.files[address_of(asset.source.url)] = file
            else:
                by_hand.append((each.asset, file))
        if by_program and not offers.answered:
            offers.spread(offers.files)
        names = by_program if self.selection else [group]
        for name, file in by_hand:
            self._sdbench(mirror, "fetch", name, "--from", str(file), wanted=0)
        first = self._sdbench(mirror, "fetch", *names) if by_program else 0
        # A page of HTML in place of a file is not tried again by itself: the next call gets the file.
        again = self._sdbench(mirror, "fetch", *names, wanted=0) if first else None
        remove_tree(made)
        return {
            "first call": first,
            "next call": again,
            "faults": offers.survived(),
            "files": len(wanted),
            "megabytes": round(sum(self._store.path(each.asset).stat().st_size for each in wanted) / 1e6),
        }

    def _measured(self, group: str) -> list[Rehearsed]:
        """Run the suite's cases of a group, and those of the network that was built by hand."""
        report = self.work / "reports" / group
        known = group == "action" and self._store.is_present("x3d_xs_kinetics400")
        expected: tuple[str, ...] = ("--expected", str(self.work / "expected")) if group == "vos" else ()
        if not self.selection:
            expected += ("--published-size", "fusionseg:davis")
        self.once(f"measuring {group}", partial(self._measure, group, report, *expected))
        reports = [report]
        if group == "action" and (known or (self.work / "reports" / "known").is_dir()):
            reports.append(self.work / "reports" / "known")
            self.once("measuring a network built by hand", partial(self._measure_known, reports[-1]))
            self.once("measuring on the layout that no published network is shown", self._measure_diving)
        return [case for each in reports for case in cases_of(each / "report.json")]

    def _measure(self, group: str, report: Path, *options: str) -> int:
        return self._pytest(group, "--pairs", str(self.pairs), "--report", str(report), *options)

    def _measure_known(self, report: Path) -> int:
        options = ("--pairs", str(_KNOWN_PAIRS), "--expected", str(self.work / "expected"), "--report", str(report))
        return self._pytest("action", *options, selection=PREFIX)

    def _measure_diving(self) -> int:
        """Diving48: all networks that the study trained on it were never published."""
        folder = self.data / "stylized_diving48"
        words = ("measure", "x3d_xs", str(folder), "--stylised", "diving48", "--pairs", str(self.pairs))
        return self._sdbench("", *words, wanted=0)

    def faults(self) -> list[str]:
        """What is wrong with the reports: one that is not marked, or that the history takes."""
        found = []
        for report in sorted((self.work / "reports").glob("*")):
            found += [f"{report / name} does not say that it is of a rehearsal" for name in unmarked(report)]
            history = self.work / "history.jsonl"
            if self._sdbench("", "history", "add", str(report), "--history", str(history), quiet=True) != 1:
                found.append(f"the history took {report}, which is of a rehearsal")
        return found

    @property
    def fetched(self) -> dict[str, dict[str, Any]]:
        """Group -> what was seen while its files were fetched."""
        return {group: told["answer"] for group in GROUPS if (told := self._done.get(f"fetching {group}"))}

    @cached_property
    def _store(self) -> AssetStore:
        return AssetStore(self.cache, quiet=True, offline=True, lock=self.work / "lock.json")

    @property
    def _manifest(self) -> Manifest:
        return self._store.manifest

    def _group(self, each: Published) -> str:
        return str(self._manifest[each.asset].group)

    def _environment(self, mirror: str = "") -> dict[str, str]:
        own = {"SDBENCH_CACHE": str(self.cache), "SDBENCH_LOCK": str(self.work / "lock.json")}
        reach = {MIRROR_VARIABLE: mirror} if mirror else {"SDBENCH_OFFLINE": "1"}
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return {**os.environ, **own, **reach, "PYTHONPATH": path}

    def _sdbench(self, mirror: str, *words: str, wanted: int | None = None, quiet: bool = False) -> int:
        command = [sys.executable, "-m", "sdbench", *words]
        ended = subprocess.run(
            command, env=self._environment(mirror), cwd=self.work, capture_output=quiet, check=False
        ).returncode
        if wanted is not None and ended != wanted:
            raise InputError(f"sdbench {' '.join(words)} ended with status {ended}, expected {wanted}; see above")
        return ended

    def _pytest(self, group: str, *options: str, selection: str | None = None, quiet: bool = False) -> int:
        """Run the suite's module of a group; its exit status, which for wrong numbers is 1."""
        selected = selection or " and ".join(f"({part})" for part in (self.selection, "not pipeline") if part)
        module = ROOT / "benchmarks" / f"test_{group}.py"
        command = [sys.executable, "-m", "pytest", str(module), "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, "-p", "benchmarks.rehearsal.reduced", "-k", selected, "--data", str(self.data), *options],
            env=self._environment(),
            cwd=ROOT,
            capture_output=quiet,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1, _NOT_COLLECTED):
            said = done.stderr.strip().rpartition("\n")[2] if quiet else "see above"
            raise InputError(f"pytest ended with status {done.returncode} for {group}: {said}")
        return done.returncode
