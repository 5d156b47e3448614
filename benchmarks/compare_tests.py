"""Hold the usual tests of whether a network sees motion against small networks whose training is known.

    python -m benchmarks.compare_tests [--processes 2] [--seed 0] [--out reports/tests] [--only calibration_resnet3d]

Every test is made of the same networks: five trainings on each task, and five with random weights. Writes tests.json,
all numbers; tests.md, the tables of docs/test_of_tests.md; test_of_tests.png. Finished networks are kept in a folder of
--out and not measured again, so that an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tabulate import tabulate

from benchmarks.ordering import Ordering, Scored, agreement, ordering
from benchmarks.picture_of_tests import Panel, picture
from benchmarks.usual_tests import (
    ANSWER,
    CONFLICT,
    LAYERED,
    OF_ANSWERS,
    OF_SCENES,
    SIZES,
    UNTRAINED,
    Found,
    layers_of,
    tell,
)
from sdbench.base.draws import generator_for
from sdbench.base.environment import git_revision
from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.files import json_text, write_text
from sdbench.base.machine import processor_name
from sdbench.base.progress import progress
from sdbench.calibration.trained import FOLDER, KINDS, SEEDS, kind_named

ROOT = Path(__file__).parents[1]

Job = tuple[str, str, int]
"""Network, task, number of the training."""

All = Mapping[Job, Found]

PAIRS = {
    False: (("motion", "texture"), ("motion", "both"), ("both", "texture"), ("motion", UNTRAINED)),
    True: (("camouflaged", "still"), ("camouflaged", UNTRAINED)),
}
"""Trainings of which the first is to score more, of action and of segmentation networks; the last is a control."""

TESTS = {
    False: (*OF_ANSWERS, CONFLICT, *LAYERED),
    True: (*OF_ANSWERS, *OF_SCENES, *LAYERED),
}

WITHIN = "within both"
"""In the place of two trainings: networks trained on both, ordered as `CONFLICT` orders them."""


@dataclass(frozen=True)
class Row:
    """How a test orders the networks of some kinds.

    Attributes:
        test: its name.
        kinds: the networks that are put together.
        layer: which layer of each.
        more, less: the trainings; `WITHIN` and `CONFLICT` where networks of one training are ordered.
        found: how.
    """

    test: str
    kinds: tuple[str, ...]
    layer: tuple[str, ...]
    more: str
    less: str
    found: Ordering


def jobs(names: Sequence[str]) -> list[Job]:
    """All networks that are tested."""
    return [(name, task, n) for name in names for task in (*kind_named(name).tasks, UNTRAINED) for n in range(SEEDS)]


def recipe(seed: int) -> str:
    """Hash of what decides the numbers: numbers of another recipe are not gone on with."""
    digest = hashlib.sha256(f"{seed} {SIZES} {torch.__version__}".encode())
    package = FOLDER.parents[1]
    sources = [Path(__file__).with_name("usual_tests.py"), package / "answers" / "otherwise.py"]
    for room in ("calibration", "statistics"):
        sources += sorted((package / room).glob("*.py"))
    for path in (*sources, *sorted(FOLDER.glob("*.safetensors"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def told(job: Job, seed: int, kept: Path) -> Found:
    """All tests of one network; read from `kept` where they are known already."""
    path = kept / f"{'.'.join(map(str, job))}.json"
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        return {test: {layer: Scored(*values) for layer, values in layers.items()} for test, layers in content.items()}
    found = tell(*job, seed, SIZES[kind_named(job[0]).segments])
    write_text(path, json_text(plain(found)))
    return found


def plain(found: Found) -> dict[str, Any]:
    """As JSON: test -> layer -> value, low, high."""
    return {
        test: {layer: [each.value, each.low, each.high] for layer, each in layers.items()}
        for test, layers in found.items()
    }


def all_told(wanted: Sequence[Job], seed: int, processes: int, kept: Path) -> dict[Job, Found]:
    """All tests of all networks, several side by side."""
    found: dict[Job, Found] = {}
    # Fresh processes: a copy of this one could inherit locks of torch's threads.
    with (
        ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool,
        progress("tests of small networks", len(wanted), 0, quiet=False) as show,
    ):
        running = {pool.submit(told, job, seed, kept): job for job in wanted}
        try:
            for future in as_completed(running):
                found[running[future]] = future.result()
                show(len(found))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {job: found[job] for job in wanted}


def rows(found: All, seed: int) -> Iterator[Row]:
    """How each test orders each pair of trainings: all networks at one layer each, then each network at each layer."""
    for segments in (False, True):
        names = tuple(name for name in dict.fromkeys(name for name, *_ in found) if KINDS[name].segments == segments)
        if not names:
            continue
        for test in TESTS[segments]:
            for of, layers in _places(names, test):
                for more, less in PAIRS[segments]:
                    pairings = [
                        (_scores(found, name, more, test, layer), _scores(found, name, less, test, layer))
                        for name, layer in zip(of, layers, strict=True)
                    ]
                    if all(side for sides in pairings for side in sides):
                        generator = generator_for(seed, f"ordering {test} {of} {layers} {more} {less}")
                        yield Row(test, of, layers, more, less, ordering(pairings, generator))
                if not segments and test != CONFLICT:
                    groups = [
                        list(
                            zip(
                                _scores(found, name, "both", test, layer),
                                _scores(found, name, "both", CONFLICT, ANSWER),
                                strict=True,
                            )
                        )
                        for name, layer in zip(of, layers, strict=True)
                    ]
                    generator = generator_for(seed, f"agreement {test} {of} {layers}")
                    yield Row(test, of, layers, WITHIN, CONFLICT, agreement(groups, generator))


def _places(names: tuple[str, ...], test: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Networks and the layer of each: all at the layer that claims speak of, then every layer of every network."""
    if test not in LAYERED:
        yield names, (ANSWER,) * len(names)
        if len(names) > 1:
            yield from (((name,), (ANSWER,)) for name in names)
        return
    yield names, tuple(KINDS[name].layer for name in names)
    for name in names:
        yield from (((name,), (layer,)) for layer in layers_of(KINDS[name].build()))


def _scores(found: All, name: str, task: str, test: str, layer: str) -> list[Scored]:
    """What a test says of all trainings on a task; nothing where it is not defined of them."""
    of = [found[name, task, number].get(test, {}).get(layer) for number in range(SEEDS)]
    return [each for each in of if each is not None]


def tables(found: All, every: Sequence[Row]) -> str:
    """The tables of docs/test_of_tests.md, as Markdown."""
    names = tuple(dict.fromkeys(name for name, *_ in found))
    written = []
    for segments in (False, True):
        of = tuple(name for name in names if KINDS[name].segments == segments)
        if not of:
            continue
        pairs = _pairs(segments)
        here = [row for row in every if row.kinds == of]
        titles = [_title(pair) for pair in pairs]
        written.append(_table(here, TESTS[segments], pairs, titles, _in_percent))
        written.append(_table(here, TESTS[segments], pairs, titles, _apart))
        for name in of:
            written.append(_values(found, name))
            layers = layers_of(KINDS[name].build())
            for pair in pairs:
                lines = []
                for test in LAYERED:
                    chosen = {
                        row.layer[0]: row
                        for row in every
                        if row.kinds == (name,) and (row.test, row.more, row.less) == (test, *pair)
                    }
                    lines.append([test, *(f"{chosen[layer].found.right:.0f}" for layer in layers)])
                written.append(f"{name}, {_title(pair)}\n\n" + _markdown(lines, ["test", *layers]))
    return "\n\n".join(written) + "\n"


def panels(every: Sequence[Row]) -> Iterator[Panel]:
    """Of the picture: all action networks at their layers, and all segmentation networks."""
    for segments, title in ((False, "action networks"), (True, "segmentation networks")):
        rows_here = [row for row in every if KINDS[row.kinds[0]].segments == segments]
        if not rows_here:
            continue
        of = rows_here[0].kinds
        compared = []
        for pair in _pairs(segments):
            found = {row.test: row.found for row in rows_here if row.kinds == of and (row.more, row.less) == pair}
            compared.append((_title(pair), found))
        yield title, TESTS[segments], compared


def _pairs(segments: bool) -> list[tuple[str, str]]:
    return [*PAIRS[segments], *([] if segments else [(WITHIN, CONFLICT)])]


def _title(pair: tuple[str, str]) -> str:
    more, less = pair
    return f"{more}, by conflict" if more == WITHIN else f"{more} over {less}"


def _in_percent(found: Ordering) -> str:
    return f"{found.right:.0f} ({found.interval.low:.0f} to {found.interval.high:.0f})"


def _apart(found: Ordering) -> str:
    return f"{found.told:.0f} / {found.mistaken:.0f}"


def _table(
    here: Sequence[Row], tests: Sequence[str], pairs: Sequence[tuple[str, str]], titles: Sequence[str], said: Any
) -> str:
    cells = {(row.test, row.more, row.less): said(row.found) for row in here}
    lines = [[test, *(cells.get((test, *pair), "-") for pair in pairs)] for test in tests]
    return _markdown(lines, ["test", *titles])


def _values(found: All, name: str) -> str:
    """What each test says: the mean over trainings, and the least and the largest."""
    kind = KINDS[name]
    tasks = (*kind.tasks, UNTRAINED)
    lines = []
    for test in TESTS[kind.segments]:
        cells = []
        for task in tasks:
            of = [
                each.value for each in _scores(found, name, task, test, ANSWER if test not in LAYERED else kind.layer)
            ]
            cells.append(f"{fmean(of):.0f} ({min(of):.0f} to {max(of):.0f})" if of else "-")
        lines.append([test, *cells])
    return f"{name}, {kind.layer}\n\n" + _markdown(lines, ["test", *tasks])


def _markdown(lines: Sequence[Sequence[str]], titles: Sequence[str]) -> str:
    return str(tabulate(lines, titles, "github", disable_numparse=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Test all networks, order them, write the numbers, the tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2, help="networks tested side by side, each on one thread")
    parser.add_argument("--seed", type=int, default=0, help="of all that is shown, and of the intervals")
    parser.add_argument("--out", type=Path, default=Path("reports/tests"), help="folder to write to")
    parser.add_argument("--only", action="append", metavar="NETWORK", help=f"one of {', '.join(KINDS)}; repeatable")
    options = parser.parse_args(arguments)
    try:
        if options.processes < 1:
            raise InputError(f"--processes must be at least 1; got {options.processes}")
        wanted = jobs(options.only or list(KINDS))
        found = all_told(wanted, options.seed, options.processes, options.out / "kept" / recipe(options.seed))
        every = list(rows(found, options.seed))
        content = {
            "about": "tests of motion on small networks: value, low and high end of the 95 % interval",
            "command": f"python -m benchmarks.compare_tests --seed {options.seed}",
            "seed": options.seed,
            "revision": git_revision(ROOT),
            "machine": processor_name(),
            "sizes": {("scenes" if segments else "videos"): asdict(sizes) for segments, sizes in SIZES.items()},
            "networks": [
                {"network": name, "trained_on": task, "number": number, "tests": plain(of)}
                for (name, task, number), of in found.items()
            ],
            "orderings": [asdict(row) for row in every],
        }
        text = tables(found, every)
        write_text(options.out / "tests.json", json_text(content))
        write_text(options.out / "tests.md", text)
        picture(list(panels(every)), options.out / "test_of_tests.png")
    except SdbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
