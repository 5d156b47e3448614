"""What it takes to measure every published case: passes, disk and hours, before anything is downloaded.

    python -m benchmarks.published_cost [--measure] [--json FILE]

Passes, multiply-adds and bytes are counted from the suite's own plans. Hours on a CPU are passes times the seconds in
published_seconds.json, which --measure takes anew here. Hours on an H100 were not measured: they are multiply-adds over
the card's peak, of which a part is assumed to be reached. Printed is what docs/published.md holds.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.published_passes import (
    DAVIS_SOURCE,
    SIZES,
    Counted,
    Weights,
    by_data_set,
    can_run,
    counted,
    flow_pictures,
    painted_frames,
    painting_gmacs,
    weights,
)
from benchmarks.published_seconds import PAINTED_SIZE, RECORDED, measured, pass_name, recorded
from sdbench.base.files import json_text, write_text
from sdbench.base.outputs import add_output, named_outputs, numbers, write_outputs
from sdbench.data.davis_here import PAINTED
from sdbench.zoo.feeds import DAVIS_SIZE

PEAKS = {"float32": 67e12, "bfloat16": 989e12}
"""What an H100 (SXM) does at most, in operations a second, by its data sheet; bfloat16 without sparsity."""

UTILISATION = 0.3
"""Which part of the peak is assumed to be reached: a guess, 25 to 35 % for convolutions and attention of this size."""

GIGA = 1e9

_DAVIS_ARCHIVE = 1.9e9
"""Bytes, as the manifest's note says."""


def main() -> None:
    """Count, and print the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="take the CPU seconds anew, and keep them")
    add_output(parser, "--json", "json", "write the numbers there too")
    options = parser.parse_args()
    with named_outputs(options):
        cases = counted()
        if options.measure:
            found = measured(cases, lambda told: print(told, file=sys.stderr, flush=True))
            write_text(RECORDED, json_text(found))
        seconds, files = recorded(), weights(cases)
        write_outputs((options.json, numbers(as_values(cases, files, seconds))))
        print(page(cases, files, seconds), end="")


def gpu_hours(passes: float, gmacs: float, precision: str) -> float:
    """Computed hours on one H100: a multiply-add is two operations."""
    return passes * 2 * gmacs * GIGA / (PEAKS[precision] * UTILISATION) / 3600


def core_hours(each: Counted, seconds: dict[str, Any]) -> float:
    """Hours of one core for the passes."""
    return float(each.passes * seconds["pass"][pass_name(each)] / 3600)


def drawing_hours(each: Counted, seconds: dict[str, Any]) -> float | None:
    """Hours of one core for drawing the inputs; None where that was not measured."""
    return float(each.passes * seconds["draw"][each.asked.network] / 3600) if each.what == "units" else None


def as_values(cases: Sequence[Counted], files: Sequence[Weights], seconds: dict[str, Any]) -> dict[str, Any]:
    """All of it as plain values, for JSON."""
    return {
        "measurements": [
            dataclasses.asdict(each)
            | {"gpu_hours": {precision: gpu_hours(each.passes, each.gmacs, precision) for precision in PEAKS}}
            | ({} if each.never else {"core_hours": core_hours(each, seconds)})
            for each in cases
        ],
        "weights": [dataclasses.asdict(file) for file in files],
        "seconds": seconds,
        "peaks": PEAKS,
        "utilisation": UTILISATION,
    }


def page(cases: Sequence[Counted], files: Sequence[Weights], seconds: dict[str, Any]) -> str:
    """The tables of docs/published.md."""
    possible = [each for each in cases if not each.never]
    to_fetch = [file for file in files if file.how != "never published"]
    tables: dict[str, tuple[Sequence[str], Sequence[Sequence[object]]]] = {
        "What can run": (("", "can run", "never"), [(kind, *counts) for kind, counts in can_run().items()]),
        "In all": (("what", "how much"), _in_all(possible, to_fetch, seconds)),
        "Measurements": (
            (
                *("data set", "network", "cases", "passes", "GMAC a pass"),
                *(f"H100 {precision}, min" for precision in PEAKS),
                *("passes, core h", "drawing, core h", "sums, MB"),
            ),
            [*(_row(each, seconds) for each in possible), _sum_of(possible, seconds)],
        ),
        "Never": (
            ("data set", "network", "cases"),
            [(each.asked.dataset, _network(each), _cases(each)) for each in cases if each.never],
        ),
        "Weights": (
            ("asset", "MB at least", "how it comes"),
            [*((file.asset, _mb(file.bytes), file.how) for file in to_fetch), ("all", _mb(_bytes_of(to_fetch)), "")],
        ),
        "Pictures": (
            ("data set", "as published", "pictures", "GB", "making them, core h", "on an H100, min"),
            _pictures(possible, seconds),
        ),
    }
    return "\n".join(f"## {title}\n\n{_table(*table)}" for title, table in tables.items())


def _in_all(possible: Sequence[Counted], to_fetch: Sequence[Weights], seconds: dict[str, Any]) -> list[tuple[str, str]]:
    needed = by_data_set(possible)
    frames = sum(painted_frames(name) for name in SIZES if name.startswith("stylized_") and needed[name])
    disk = {
        "weights, as they come": _bytes_of(to_fetch),
        "weights, as they are kept besides": _bytes_of(to_fetch),
        "painted videos": frames * seconds["painted_bytes"],
        "Stylized DAVIS, unpacked, if it holds the validation sequences": _davis_bytes(seconds),
        "archive of DAVIS 2016": _DAVIS_ARCHIVE,
        "flow pictures of DAVIS 2016": flow_pictures() * seconds["flow_bytes"],
        "sums, until a run of everything is over": sum(each.kept for each in possible),
    }
    painting = frames * seconds["paint"] / 3600
    flow = flow_pictures() * seconds["flow"] / 3600
    gpu = {p: sum(gpu_hours(each.passes, each.gmacs, p) for each in possible) for p in PEAKS}
    return [
        *((f"disk: {what}", f"{size / GIGA:.1f} GB") for what, size in disk.items()),
        ("disk, of what is known", f"{sum(disk.values()) / GIGA:.0f} GB"),
        *((f"passes on one H100, {precision}", f"{hours:.1f} h") for precision, hours in gpu.items()),
        ("painting on one H100, float32", f"{gpu_hours(frames, painting_gmacs(*PAINTED_SIZE), 'float32'):.1f} h"),
        ("passes on one CPU core", f"{sum(core_hours(each, seconds) for each in possible):,.0f} h"),
        ("drawing what was measured of it, one core", f"{sum(drawing_hours(e, seconds) or 0 for e in possible):.1f} h"),
        ("painting on one core", f"{painting:.0f} h"),
        ("flow on one core", f"{flow:.1f} h"),
    ]


def _bytes_of(files: Iterable[Weights]) -> int:
    return sum(file.bytes for file in files)


def _davis_bytes(seconds: dict[str, Any]) -> float:
    """Bytes of Stylized DAVIS by the bytes of a painted pixel."""
    larger = DAVIS_SIZE[0] * DAVIS_SIZE[1] / (PAINTED_SIZE[0] * PAINTED_SIZE[1])
    return float(painted_frames(PAINTED) * larger * seconds["painted_bytes"])


def _row(each: Counted, seconds: dict[str, Any]) -> tuple[object, ...]:
    drawing = drawing_hours(each, seconds)
    return (
        each.asked.dataset,
        _network(each),
        _cases(each),
        f"{each.passes:,}",
        f"{each.gmacs:.1f}",
        *(_short(60 * gpu_hours(each.passes, each.gmacs, precision)) for precision in PEAKS),
        _short(core_hours(each, seconds)),
        "not measured" if drawing is None else _short(drawing),
        _mb(each.kept) if each.kept else "under 1",
    )


def _sum_of(cases: Sequence[Counted], seconds: dict[str, Any]) -> tuple[object, ...]:
    return (
        *("all", "", ""),
        f"{sum(each.passes for each in cases):,}",
        "",
        *(_short(60 * sum(gpu_hours(each.passes, each.gmacs, precision) for each in cases)) for precision in PEAKS),
        _short(sum(core_hours(each, seconds) for each in cases)),
        _short(sum(drawing_hours(each, seconds) or 0.0 for each in cases)),
        _mb(sum(each.kept for each in cases)),
    )


def _network(each: Counted) -> str:
    return f"{each.asked.network}, {each.asked.trained_on}"


def _cases(each: Counted) -> str:
    return f"{each.cases} ({each.values})"


def _pictures(possible: Iterable[Counted], seconds: dict[str, Any]) -> list[tuple[object, ...]]:
    """What is painted, and the flow pictures; of Stylized DAVIS, which comes painted, what it would be."""
    needed = by_data_set(possible)
    rows: list[tuple[object, ...]] = []
    for name, size in SIZES.items():
        called = name if needed[name] else f"{name}: no case that can run needs it"
        if not name.startswith("stylized_"):
            rows.append((called, size.source, "comes as it is", "unknown", "", ""))
            continue
        frames = painted_frames(name)
        rows.append(
            (
                *(called, size.source, f"{frames:,} painted", f"{frames * seconds['painted_bytes'] / GIGA:.0f}"),
                _short(frames * seconds["paint"] / 3600),
                _short(60 * gpu_hours(frames, painting_gmacs(*PAINTED_SIZE), "float32")),
            )
        )
    painted, flows = painted_frames(PAINTED), flow_pictures()
    davis = f"{_davis_bytes(seconds) / GIGA:.1f}"
    flow_gb, hours = f"{flows * seconds['flow_bytes'] / GIGA:.1f}", _short(flows * seconds["flow"] / 3600)
    return [
        *rows,
        (PAINTED, DAVIS_SOURCE, f"{painted:,}, come painted", davis, "", ""),
        ("davis2016", DAVIS_SOURCE, f"{flows:,} of flow", flow_gb, hours, "on CPUs only"),
    ]


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def _short(number: float) -> str:
    if number < 0.1:
        return "under 0.1"
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f}"


if __name__ == "__main__":
    main()
