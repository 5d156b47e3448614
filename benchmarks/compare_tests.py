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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks import paired_tests
from benchmarks.ordered_tests import Job, jobs, panels, rows, tables
from benchmarks.ordering import Scored
from benchmarks.picture_of_tests import picture
from benchmarks.usual_tests import SIZES, Found, tell
from sdbench.base.environment import git_revision
from sdbench.base.errors import InputError, SdbenchError
from sdbench.base.files import json_text, write_text
from sdbench.base.machine import processor_name
from sdbench.base.progress import progress
from sdbench.calibration.trained import FOLDER, KINDS, kind_named

ROOT = Path(__file__).parents[1]


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
        text = tables(found, every) + "\n" + paired_tests.tables(found, options.seed)
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
