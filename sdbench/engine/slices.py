"""A measurement in slices, for machines that share nothing but a folder, and the merging of what they did.

Every slice makes the same plan and does its own parts; beside them lies what the measurement is but for its sums. So
whoever merges needs the key and the folder, and no network, no videos and no GPU.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.base.files import write_text
from sdbench.base.kept import disk_error, read_arrays
from sdbench.base.progress import progress
from sdbench.engine.compiling import known_choice
from sdbench.engine.measurement import Measurement
from sdbench.engine.measuring import Collected, Prepared
from sdbench.engine.parts import Kept, Part
from sdbench.engine.running import OneProcess, Runner

DESCRIPTION = "measurement.json"
"""Beside the parts: what is measured, and which parts there are."""

_MOST_SLICES = 4096
"""So many slices do no harm where they are more than the parts: some of them then have nothing to do."""

_SHOWN = 16
"""So many digits of a key are shown."""


@dataclass(frozen=True)
class Slice:
    """Some of the parts of a measurement: the `number`-th of `of` rows of neighbours, which are often of one video.

    Attributes:
        number: from 1.
        of: how many slices there are.

    Raises:
        InputError: there is no such slice.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise InputError(
                f"slices are counted from 1 to their number, as in 1/16 to 16/16; got {self.number}/{self.of}"
            )

    def of_parts(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        """The parts that are this slice's."""
        return tuple(parts[(self.number - 1) * len(parts) // self.of : self.number * len(parts) // self.of])


@dataclass(frozen=True)
class Sliced:
    """What came of a slice.

    Attributes:
        key: of the measurement: `merge` takes it.
        parts: how many parts the slice has.
        resumed: how many of them were done before.
        missing: how many of all parts nobody has done yet.
        total: how many parts the measurement has.
    """

    key: str
    parts: int
    resumed: int
    missing: int
    total: int

    def __str__(self) -> str:
        rest = f"{self.missing} of {self.total} are still to be done" if self.missing else "all are done"
        return (
            f"{self.parts} parts of measurement {self.key[:_SHOWN]} are done, {self.resumed} of them before; {rest}: "
            f"sdbench merge {self.key[:_SHOWN]}"
        )


def measure_slice(prepared: Prepared, chosen: Slice, runner: Runner | None = None) -> Sliced:
    """Do the parts of one slice and leave them on disk.

    Args:
        prepared: the measurement.
        chosen: which slice of it.
        runner: does the parts; by default this process.

    Raises:
        InputError: a sample cannot be used.
        DiskError: what is finished cannot be written.
    """
    if chosen.of > max(len(prepared.parts), _MOST_SLICES):
        raise InputError(
            f"the measurement has {len(prepared.parts)} parts, so that most of {chosen.of} slices would do nothing: "
            f"ask for at most {_MOST_SLICES}"
        )
    kept, parts = prepared.kept, chosen.of_parts(prepared.parts)
    _describe(prepared, chosen.of)
    resumed = sum(kept.is_done(part) for part in parts)
    done = sum(len(part.samples) for part in parts if kept.is_done(part))
    samples = sum(len(part.samples) for part in parts)
    doing = f"measuring {prepared.job.network.name}, slice {chosen.number} of {chosen.of}"
    with progress(doing, samples, done, prepared.store.quiet) as advance:
        for _ in (runner or OneProcess()).sums(prepared.job, parts, kept, advance):
            pass
    missing = sum(not kept.is_done(part) for part in prepared.parts)
    return Sliced(kept.key, len(parts), resumed, missing, len(prepared.parts))


def _describe(prepared: Prepared, slices: int) -> None:
    """Write what is measured, but for its sums, beside the parts."""
    found = prepared.measurement(prepared.no_sums(), seconds=0.0, resumed=0)
    plain = {field.name: getattr(found, field.name) for field in fields(found) if field.name != "sums"}
    content = {
        "measurement": plain,
        "layers": list(found.layers),
        "parts": {part.name: len(part.samples) for part in prepared.parts},
        "slices": slices,
    }
    place = prepared.kept.folder / DESCRIPTION
    try:
        write_text(place, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise disk_error(place, "written", error) from None


def merge_slices(
    key: str, store: AssetStore | None = None, advance: Callable[[int], None] = lambda _done: None
) -> Measurement:
    """The measurement whose parts were done in slices; the parts stay where they are.

    Args:
        key: of the measurement, or its first digits.
        store: the parts lie in its folder.
        advance: called with the number of parts that are merged.

    Raises:
        InputError: there is no such measurement, parts of it are missing or damaged, or a part is of another one.
        DiskError: a part cannot be read.
    """
    started = time.perf_counter()
    folder = _found(key, (store or AssetStore()).cache.parts)
    content = _description(folder)
    names: dict[str, int] = content["parts"]
    missing = [number for number, name in enumerate(names) if not (folder / f"{name}.safetensors").exists()]
    if missing:
        raise _lacking(folder, missing, len(names), content["slices"])
    collected = Collected({layer: {} for layer in content["layers"]})
    for number, name in enumerate(names):
        arrays = read_arrays(folder / f"{name}.safetensors", of=folder.name)
        if arrays is None:  # damaged, said so and set aside
            raise _lacking(folder, [number], len(names), content["slices"])
        collected.add(arrays)
        advance(number + 1)
    choice = known_choice(folder)
    seconds = {**content["measurement"]["seconds"], "drawing": collected.drawing, "network": collected.network}
    seconds["total"] = time.perf_counter() - started
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content["measurement"].items()
    }
    plain |= {"seconds": seconds, "resumed": sum(names.values()), "compiled": choice.why if choice else ""}
    return Measurement(sums=collected.sums, **plain)


def forget_slices(key: str, store: AssetStore | None = None) -> None:
    """Delete the parts of a measurement that was merged.

    Raises:
        InputError: there is no such measurement.
    """
    folder = _found(key, (store or AssetStore()).cache.parts)
    for name in _description(folder)["parts"]:
        (folder / f"{name}.safetensors").unlink(missing_ok=True)
    (folder / DESCRIPTION).unlink()
    Kept(folder).discard(())


def _found(key: str, parts: Path) -> Path:
    known = sorted(path.parent for path in parts.glob(f"*/{DESCRIPTION}"))
    found = [folder for folder in known if key and folder.name.startswith(key)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(folder.name[:_SHOWN] for folder in known) or "none"
    if found:
        raise InputError(f"{key!r} begins the keys of {len(found)} measurements; give more digits of one of {there}")
    raise InputError(
        f"no measurement {key!r} was done in slices in {parts} (there: {there}); sdbench measure ... --slice 1/16 says "
        "its key, and SDBENCH_CACHE must name the folder that the slices used"
    )


def _description(folder: Path) -> dict[str, Any]:
    place = folder / DESCRIPTION
    try:
        content: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{place} is damaged ({error}); do one of the slices again, it writes the file anew") from None
    except OSError as error:
        raise disk_error(place, "read", error) from None
    return content


def _lacking(folder: Path, missing: Sequence[int], parts: int, slices: int) -> InputError:
    """Say which parts are missing, and which slices do them."""
    rows: list[list[int]] = []
    for number in missing:
        if rows and rows[-1][-1] == number - 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    named = ", ".join(f"{row[0]}" if len(row) == 1 else f"{row[0]} to {row[-1]}" for row in rows)
    to_do = sorted({((number + 1) * slices - 1) // parts for number in missing})
    return InputError(
        f"{len(missing)} of the {parts} parts of measurement {folder.name[:_SHOWN]} are missing (parts {named}, from "
        f"0): do --slice {', '.join(f'{s + 1}/{slices}' for s in to_do)} (again), then merge"
    )
