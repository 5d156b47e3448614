"""Assets and data sets that are here or missing, and the hours that cases take by a timed forward pass."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sdbench.assets.store import AssetStore
from sdbench.base.errors import SdbenchError
from sdbench.base.machine import available_cores
from sdbench.cases.records import Record, asked
from sdbench.doctor.finding import Finding

SECONDS = Path(__file__).with_name("published_seconds.json")
"""Seconds of one core for a pass of each network, and how many passes each data set takes of it."""

_TIMED = {"cpu": ("x3d_xs", 1), "cuda": ("slow_r50_8x8", 4)}
"""Device -> the network that is timed there, and the clips at once: small on a processor, at work on a GPU."""

_PASSES = 6
_BUDGET = 0.8
"""Seconds in which passes are timed: the first one warms up, and other work slows some."""

_DAVIS = ("davis2016", "stylized_davis")
"""Data sets that are assets too."""

_STYLISED = "stylized_"
"""How the names of data sets begin that `sdbench stylize` makes, but for DAVIS's; the rest is their layout."""


def asset_finding(store: AssetStore) -> Finding:
    """Whether what the default run fetches is here."""
    group = store.manifest.group("packaged")
    try:
        missing = [name for name in group if not store.is_present(name)]
    except (SdbenchError, OSError) as error:
        return Finding("assets of the default run", "fails", str(error), needed=True)
    if not missing:
        return Finding("assets of the default run", "ok", f"all {len(group)} are here")
    size = sum(store.manifest[name].bytes or 0 for name in missing) / 1e6
    said = f"{len(missing)} of {len(group)} are not here yet ({size:.0f} MB): {', '.join(missing)}"
    if store.offline:
        cure = "unset SDBENCH_OFFLINE, or fetch where there is internet access: sdbench fetch"
        return Finding("assets of the default run", "fails", said, cure, needed=True)
    return Finding("assets of the default run", "note", said, "the run fetches them; now: sdbench fetch")


def data_findings(records: Sequence[Record], data: Path | None, store: AssetStore) -> list[Finding]:
    """The data sets that cases name and a user has, and the missing ones with what gets them.

    Args:
        records: the cases.
        data: the folder of the user's data sets; None where there is none.
        store: where fetched ones lie.
    """
    needs: dict[str, Counter[str]] = {}
    cases: Counter[str] = Counter()
    for record in records:
        names = {each.dataset for each in asked(record)}
        cases.update(names)
        wanted = [need.partition(": ")[2] for need in record.needs if need.startswith("data: ")]
        if len(names) == 1 and wanted:
            needs.setdefault(names.pop(), Counter()).update(wanted)
    findings = []
    for name, cures in needs.items():
        if (place := _place(name, data, store)) is not None:
            findings.append(Finding(name, "ok", str(place)))
            continue
        said = f"not here; {cases[name]} cases need it"
        (cure, _), *_ = cures.most_common(1)
        folder = f"{data or 'DATA'}/{name}"
        if name.startswith(_STYLISED) and name not in _DAVIS:
            layout = name.removeprefix(_STYLISED)
            cure = f"{cure.partition(', then')[0]}; then: sdbench stylize VIDEOS {folder} --layout {layout}"
        elif folder not in cure.replace("DATA", str(data or "DATA")):
            cure = f"{cure}, in {folder}"
        findings.append(Finding(name, "missing", said, cure))
    if data is None:
        findings.append(
            Finding("folder of data sets", "note", "none is named", "name it: --data DATA, or SDBENCH_DATA=DATA")
        )
    return sorted(findings, key=lambda finding: ("ok", "note", "missing").index(finding.state))


def _place(name: str, data: Path | None, store: AssetStore) -> Path | None:
    if data is not None and (data / name).is_dir():
        return data / name
    if name in _DAVIS and (store.folder / "unpacked" / name).is_dir():
        return store.folder / "unpacked" / name
    return None


def timed_pass(network: str, device: str, clips: int) -> float:
    """Seconds of one clip through a network with random weights: the fastest of some passes; of one core, or a GPU."""
    import torch  # noqa: PLC0415 - may not import

    from sdbench.networks import units  # noqa: PLC0415
    from sdbench.zoo import model  # noqa: PLC0415

    known = model(network)
    module = known.build().eval().to(device)
    size = known.feed.height_and_width
    inputs = {
        name: known.feed.ordered([torch.zeros(3, frames, *size)] * clips).to(device)
        for name, frames in known.feed.inputs.items()
    }
    best = float("inf")
    # A processor's own seconds, on one core, as the recorded ones are: other work that goes on does not count.
    clock = time.process_time if device == "cpu" else time.perf_counter
    threads, until = torch.get_num_threads(), time.perf_counter() + _BUDGET
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            for number in range(_PASSES):
                if number > 1 and time.perf_counter() > until:
                    break
                started = clock()
                units(module, inputs)
                if device != "cpu":
                    torch.cuda.synchronize()
                best = min(best, clock() - started)
    finally:
        torch.set_num_threads(threads)
    return best / clips


def hours_finding(
    device: str, data_sets: Sequence[str], timed: Callable[[str, str, int], float] = timed_pass
) -> Finding:
    """A timed forward pass, and the hours of all published cases and of those whose data sets are here.

    Hours are those that were measured on one core of another machine, times the ratio of the pass here to the pass
    there: good to a factor of two or so, since networks differ in what they gain from a machine.

    Args:
        device: "cpu" or "cuda".
        data_sets: those that are here.
        timed: seconds of one clip through a network, on a device, so many clips at once.
    """
    recorded: dict[str, Any] = json.loads(SECONDS.read_text(encoding="utf-8"))
    network, clips = _TIMED[device]
    seconds = timed(network, device, clips)
    ratio = seconds / recorded["pass"][f"{network} units"]
    hours = {
        name: ratio * sum(passes * recorded["pass"][each] for each, passes in of.items()) / 3600
        for name, of in recorded["passes"].items()
    }
    whole, here = sum(hours.values()), sum(hours.get(name, 0.0) for name in data_sets)
    cores = available_cores() if device == "cpu" else 1
    of = "one core" if device == "cpu" else "the GPU"

    def text(hours: float) -> str:
        return f"{hours_text(hours)} of {of}" + (
            f", at best {hours_text(hours / cores)} of {cores}" if cores > 1 else ""
        )

    said = (
        f"{network} took {seconds * 1000:.0f} ms a clip on {of}: passes of all published cases take about "
        f"{text(whole)}; those of the data sets that are here {text(here) if here else 'none'}"
    )
    values = {"network": network, "device": device, "seconds": seconds, "hours": whole, "hours_by_data_set": hours}
    return Finding("a forward pass", "ok", said, values=values)


def hours_text(hours: float) -> str:
    """Hours as a person reads them."""
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.0f} h" if hours < 72 else f"{hours:,.0f} h ({hours / 24:.0f} days)"
