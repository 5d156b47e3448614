"""Run the stages of continuous integration and print how long each took, beside what is expected of this machine.

    python3 .ci/stages.py

Only the standard library: it runs before anything is installed. Stages of one group run beside each other, one lane a
core; what they print is shown when each ends. A stage that fails ends its lane; no further group begins, and the exit
status is 1. Seconds alone never fail a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = ROOT / ".ci" / "seconds.json"
"""What each stage took on a quiet machine, and what `timed_work` took there."""

GROWN = 2.0
"""A stage that takes so many times what is expected is named."""

INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt nox"


@dataclass(frozen=True)
class Stage:
    """One command, and its name in the table.

    Attributes:
        name: unique.
        command: for bash, from the root of the checkout.
    """

    name: str
    command: str


Lane = Sequence[Stage]

HISTORY = """
history=$(mktemp -d)
trap 'rm -rf "$history"' EXIT
for step in "add reports/latest" compare; do
    .nox/reproduce/bin/python -m sdbench.history $step --history "$history/history.jsonl"
done
"""
"""A first run in the history, and the same once more: no regression."""

GROUPS: Sequence[Sequence[Lane]] = (
    # The README's main job, as somebody runs it who has just cloned the repository: alone.
    [[Stage("reproduce", f"{INSTALL} && .venv/bin/nox -s reproduce")]],
    # Each of these keeps one core busy. The dress rehearsal in small: one checkpoint of each format, one data set of
    # each layout. The adapters: networks of other people's libraries, with the torch that those are built for.
    [
        [
            Stage("lint", ".venv/bin/nox -s lint"),
            Stage("docs", ".venv/bin/nox -s docs"),
        ],
        [
            Stage("history", HISTORY),
            Stage("adapters", ".venv/bin/nox -s adapters"),
        ],
    ],
    [[Stage("rehearse", ".venv/bin/nox -s rehearse -- --small")]],
    # With a browser and a container engine where there can be ones; with the engine, also the README's command for a
    # container.
    [[Stage("tests", ".ci/browser .ci/engine .ci/with-engine")]],
)


def timed_work() -> float:
    """Seconds of a fixed piece of work, the least of three: a measure of this machine's speed now."""

    def work() -> float:
        began = time.perf_counter()
        data = bytes(2**20)
        for _ in range(200):
            data = hashlib.sha256(data).digest() + data[32:]
        total = 0
        for number in range(2_000_000):
            total += number * number % 7
        return time.perf_counter() - began

    return min(work() for _ in range(3))


def run(groups: Sequence[Sequence[Lane]]) -> tuple[dict[str, float], list[str]]:
    """Run all stages; their seconds by name, and the names of those that failed."""
    seconds: dict[str, float] = {}
    failed: list[str] = []
    printing = threading.Lock()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}

    def follow(lane: Lane, alone: bool) -> None:
        for stage in lane:
            began = time.monotonic()
            with tempfile.TemporaryFile() as output:
                if alone:
                    print(f"==> {stage.name}: {stage.command.strip()}", flush=True)
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", stage.command],
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=None if alone else output,
                    stderr=None if alone else subprocess.STDOUT,
                    check=False,
                )
                seconds[stage.name] = time.monotonic() - began
                with printing:
                    if not alone:
                        output.seek(0)
                        print(f"==> {stage.name}: {stage.command.strip()}", flush=True)
                        print(output.read().decode(errors="replace"), end="", flush=True)
                    print(f"<== {stage.name}: exit {done.returncode}, {seconds[stage.name]:.0f} s", flush=True)
            if done.returncode:
                failed.append(stage.name)
                return

    for group in groups:
        lanes = [threading.Thread(target=follow, args=(lane, len(group) == 1)) for lane in group]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        if failed:
            break
    return seconds, failed


def table(seconds: Mapping[str, float], expected: Mapping[str, float], scale: float) -> str:
    """Seconds of each stage beside those that are expected of a machine that is `scale` times as slow."""
    lines = [f"{'stage':12}{'seconds':>9}{'expected':>10}"]
    for name, took in seconds.items():
        wanted = scale * expected[name] if name in expected else None
        told = f"{wanted:10.0f}" if wanted is not None else f"{'unknown':>10}"
        grown = f"  took over {GROWN:g} times as long" if wanted is not None and took > GROWN * wanted else ""
        lines.append(f"{name:12}{took:9.0f}{told}{grown}")
    lines.append(f"{'lanes summed':12}{sum(seconds.values()):9.0f}")
    return "\n".join(lines)


def main(groups: Sequence[Sequence[Lane]] = GROUPS) -> int:
    """Run everything, print the table; the exit status."""
    known = json.loads(SECONDS.read_text(encoding="utf-8"))
    scale = timed_work() / known["timed_work"]
    began = time.monotonic()
    seconds, failed = run(groups)
    print(f"\nSeconds here, and expected of this machine ({scale:.2f} times those of {SECONDS.name}):")
    print(table(seconds, known["stages"], scale))
    print(f"from beginning to end: {time.monotonic() - began:.0f} s")
    for name in failed:
        print(f"failed: {name}")
    sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
