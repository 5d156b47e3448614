"""Measure a list of published models on rendered scenes; one folder of measurements, one picture, one report.

    python -m benchmarks.atlas [--out reports/atlas] [--scenes N] [--device cuda] [--only 'facebook/*'] [--small]

The first run writes lock.json, which commit of each model's repository it measured; later runs measure the same ones.
Models that cannot be had are named, the others go on. With --small, small checkpoints with random weights stand in: all
that is written then says so, and none of its numbers says anything of the models.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sdbench.assets.store import AssetStore
from sdbench.base.errors import AssetError, InputError, SdbenchError
from sdbench.base.files import json_text, write_text
from sdbench.engine import measure
from sdbench.engine.written import content_of
from sdbench.networks import Network
from sdbench.report.atlas import atlas_picture, atlas_table
from sdbench.report.outcome import Outcome, outcome_of
from sdbench.studies import rendered
from sdbench.zoo import network_named
from sdbench.zoo.adapters.hugging_face_hub import described, silent

LIST = Path(__file__).with_name("atlas.json")

STAND_IN = "small stand-in with random weights: its numbers say nothing of the model"


@dataclass(frozen=True)
class Entry:
    """A model of the list.

    Attributes:
        name: on the hub.
        licence: of its weights, as its card says; None where that is not known here.
        small: class of the small checkpoint that stands in for it.
    """

    name: str
    licence: str | None
    small: str

    @property
    def said(self) -> str:
        """Its licence, and what that forbids."""
        if self.licence is None:
            return "not known here: see the model's page"
        return self.licence + (" (forbids commercial use)" if "-NC" in self.licence else "")

    def file(self, small: bool) -> str:
        """Name of the file of its measurement."""
        return ("small-" if small else "") + self.name.replace("/", "--") + ".json"


def entries(only: str = "*") -> list[Entry]:
    """The models of the list whose names match.

    Raises:
        InputError: none does.
    """
    known = [Entry(**entry) for entry in json.loads(LIST.read_text())]
    chosen = [entry for entry in known if fnmatchcase(entry.name, only)]
    if not chosen:
        raise InputError(f"no model of the list matches {only!r}; known: {', '.join(entry.name for entry in known)}")
    return chosen


def opened(entry: Entry, small: bool, lock: dict[str, str], store: AssetStore) -> Network:
    """The model at the commit of the lock, which is put there where it is new; or what stands in for it."""
    if small:
        from tests.zoo.adapters.small_checkpoints import small as small_checkpoint  # noqa: PLC0415 - only here

        with tempfile.TemporaryDirectory() as folder, silent():
            network = network_named(f"hf:{small_checkpoint(entry.small).save(Path(folder) / 'small')}", store=store)
        return replace(network, name=f"small: {entry.name}", notes=(STAND_IN, *network.notes[1:]))
    commit = described(entry.name, lock.get(entry.name), store.offline).commit
    assert commit is not None
    network = network_named(f"hf:{entry.name}", store=store, revision=commit)
    lock[entry.name] = commit
    return network


def lines_of(outcome: Outcome) -> Outcome:
    """The same with one read-out a depth: tokens behind each block, class tokens and norms left out."""
    kept = tuple(name for name in outcome.layers if name == "embeddings" or name.removeprefix("block").isdecimal())
    return replace(outcome, layers={name: outcome.layers[name] for name in kept}, all_layers=kept)


def report(chosen: Sequence[Entry], missing: dict[str, str], small: bool, lock: dict[str, str], out: Path) -> str:
    """What was measured, as Markdown; draws the picture beside it."""
    measured = [entry for entry in chosen if (out / entry.file(small)).is_file() and entry.name not in missing]
    lines = ["# Atlas" + (f": {STAND_IN}" if small else ""), ""]
    if measured:
        outcomes = [_outcome(out / entry.file(small)) for entry in measured]
        atlas_picture(outcomes, out / ("small-atlas.png" if small else "atlas.png"))
        lines += ["Mean over all tokens behind each block, class tokens included.", ""]
        lines += ["```", atlas_table(outcomes), "```", ""]
    lines += ["| model | commit | licence of the weights | |", "| --- | --- | --- | --- |"]
    for entry in chosen:
        state = missing.get(entry.name, STAND_IN if small else "measured")
        lines.append(f"| {entry.name} | {'' if small else lock.get(entry.name, '')} | {entry.said} | {state} |")
    return "\n".join(lines) + "\n"


def _outcome(path: Path) -> Outcome:
    found = outcome_of(path)
    kind, _, name = found.network.rpartition(":")
    short = name.rpartition("/")[2]
    return lines_of(replace(found, source=found.network, network=f"small: {short}" if kind == "small" else short))


def lock_of(path: Path) -> dict[str, str]:
    """Name of each model -> the commit that was measured.

    Raises:
        InputError: the file holds something else.
    """
    if not path.is_file():
        return {}
    try:
        lock: Any = json.loads(path.read_text())
    except ValueError:
        lock = None
    if not isinstance(lock, dict) or not all(isinstance(commit, str) for commit in lock.values()):
        raise InputError(f"{path} must hold the name of each model with its commit; repair or delete it")
    return lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write all of it; 1 where a model is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("reports/atlas"))
    parser.add_argument("--lock", type=Path, help="which commits to measure (default: lock.json in --out)")
    parser.add_argument("--scenes", type=int, help="how many scenes are rendered (default: as many as needed)")
    parser.add_argument("--only", default="*", help="names of models, as a glob")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--workers", type=int, help="processes that draw ahead (default: one a core)")
    parser.add_argument("--small", action="store_true", help="small checkpoints with random weights stand in")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except SdbenchError as error:
        print(f"atlas: {error}", file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    store = AssetStore()
    chosen = entries(given.only)
    path = given.lock or given.out / "lock.json"
    lock = {} if given.small else lock_of(path)
    study = rendered() if given.scenes is None else rendered(given.scenes)
    given.out.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    for entry in chosen:
        try:
            network = opened(entry, given.small, lock, store)
        except (AssetError, InputError) as error:
            missing[entry.name] = str(error)
            print(f"{entry.name}: {error}", file=sys.stderr)
            continue
        found = measure(
            network, study, device=given.device, precision=given.precision, store=store, workers=given.workers
        )
        write_text(given.out / entry.file(given.small), json_text(content_of(found)))
        if not given.small:
            write_text(path, json_text(lock))
        print(f"{network.name}: {found.seconds['total']:.0f} s; {entry.said}")
    text = report(chosen, missing, given.small, lock, given.out)
    write_text(given.out / ("small-atlas.md" if given.small else "atlas.md"), text)
    print(text)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
