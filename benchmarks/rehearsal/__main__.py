"""Walk the whole way of every published case, from a download to a verdict, with stand-ins.

    python -m benchmarks.rehearsal                  # all of it
    python -m benchmarks.rehearsal -k x3d           # a part of it, as pytest's -k selects
    python -m benchmarks.rehearsal --small          # one checkpoint of each format, one data set of each layout

Made-up weights, and some built by hand, are written in the formats in which they were published, made-up videos in the
layouts of the data sets. A server on loopback offers the files, with a redirect, a slow start, a dropped connection and
a web page in place of a file; `sdbench fetch` gets them, the suite measures. Every case must come to a verdict, but for
those whose weights were never published. No number of it says anything of a published network: its reports are marked.

Interrupted, the same command goes on behind the last step that it finished; at its end all begins anew. Exit status 1:
something is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rehearsal.judging import MOST_DISK, MOST_MEMORY, table, wrong_cases
from benchmarks.rehearsal.steps import FEWEST_PAIRS, ROOT, Rehearsal
from benchmarks.rehearsal.watching import watching
from sdbench.base.errors import SdbenchError
from sdbench.base.files import remove_tree, write_text
from sdbench.base.rehearsal import MARK, SENTENCE

SMALL = " or ".join(
    (
        "layerwise/i3d/kinetics400",
        "layerwise/x3d_xs",
        "layerwise/mvit_b_16x4",
        "layerwise/slow_r50_8x8/ssv2",
        "shuffle/slow_r50_8x8",
        "layerwise/fast_r50_8x8/diving48",
        "unitwise/fusionseg/davis/fusion5",
        "known_colours/fusionseg",
        "moca/fusionseg",
        "moca/rtnet",
        "moca/matnet_recip_gated/th0.2",
        "moca/matnet_nobar",
    )
)
"""One checkpoint of each format, one data set of each layout, and cases whose weights were never published."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse, print what it came to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rehearsal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-k", dest="selection", default="", metavar="EXPRESSION", help="which cases, as pytest's -k")
    parser.add_argument("--small", action="store_true", help="one checkpoint of each format, one data set of each kind")
    parser.add_argument(
        "--pairs", type=int, default=FEWEST_PAIRS, help="pairs of each factor (default and least: %(default)s)"
    )
    parser.add_argument(
        "--work", type=Path, default=ROOT / "reports" / "rehearsal", help="folder (default: reports/rehearsal)"
    )
    options = parser.parse_args(arguments)
    if options.pairs < FEWEST_PAIRS:
        parser.error(f"--pairs is {options.pairs}; fewer than {FEWEST_PAIRS} give no intervals, and no verdicts")
    if options.small and options.selection:
        parser.error("--small is a selection of its own; give it or -k")
    try:
        return rehearse(options.work.resolve(), SMALL if options.small else options.selection, options.pairs)
    except SdbenchError as error:
        print(f"rehearsal: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rehearsal: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def rehearse(work: Path, selection: str, pairs: int) -> int:
    """Do it in the folder `work`, write what it came to into rehearsal.md and rehearsal.json there, and clean up.

    Raises:
        SdbenchError: the folder holds another rehearsal, or a step could not be done.
    """
    start = time.monotonic()
    rehearsal = Rehearsal(work, selection, pairs, lambda text: print(text, file=sys.stderr, flush=True))
    peak = rehearsal.peak
    with watching(work, peak):
        cases = rehearsal.run()
    wrong = wrong_cases(cases) + rehearsal.faults()
    for group, seen in rehearsal.fetched.items():
        wrong += [f"{group}: {fault}: {said}" for fault, said in seen["faults"].items() if said.startswith("NOT")]
    if not cases:
        wrong.append(f"no case was selected by {selection!r}")
    for name, found, most in (("disk", peak.disk, MOST_DISK), ("memory", peak.memory, MOST_MEMORY)):
        if found is not None and found > most:
            wrong.append(f"{found / 1e9:.1f} GB of {name} were taken, at most {most / 1e9:.0f} are there for it")
    told = {
        "rehearsal": True,
        "selection": selection or "all",
        "pairs": pairs,
        "cases": {case.id: {"group": case.group, "verdict": case.verdict, "reason": case.reason} for case in cases},
        "fetched": rehearsal.fetched,
        "peak_disk_bytes": peak.disk,
        "peak_memory_bytes": peak.memory,
        "seconds": rehearsal.seconds,
        "seconds_of_this_call": round(time.monotonic() - start, 1),
        "wrong": wrong,
    }
    write_text(work / "rehearsal.json", json.dumps(told, indent=1) + "\n")
    memory = f", {peak.memory / 1e9:.1f} GB of memory" if peak.memory is not None else ""
    lines = [f"# {MARK}", f"{SENTENCE}.", table(cases)]
    for group, seen in rehearsal.fetched.items():
        survived = "; ".join(f"{fault}: {said}" for fault, said in seen["faults"].items())
        lines.append(f"{group}: {seen['files']} files, {seen['megabytes']} MB fetched. {survived}.")
    spent = sum(rehearsal.seconds.values()) / 60
    lines.append(f"At most {peak.disk / 1e9:.1f} GB of disk{memory}; {spent:.1f} minutes in all.")
    lines += (
        ["Everything is as it must be."] if not wrong else ["Not as it must be:\n" + "\n".join(f"- {w}" for w in wrong)]
    )
    text = "\n\n".join(lines) + "\n"
    write_text(work / "rehearsal.md", text)
    print(text)
    rehearsal.over()
    if not wrong:
        for name in ("made", "cache", "data"):
            remove_tree(work / name)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
