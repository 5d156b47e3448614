"""Everything that is looked at on a machine, at once; nothing that goes wrong ends it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.cases.records import read_all
from sdbench.doctor.finding import Finding
from sdbench.doctor.internet import internet_findings
from sdbench.doctor.machine import engine_findings, machine_findings
from sdbench.doctor.published import asset_finding, data_findings, hours_finding
from sdbench.doctor.software import device_of, software_findings

Look = Callable[[], Sequence[Finding]]

PATIENCE = 5.0
"""Seconds that what waits for others may take longer than all else."""


def examine(root: Path, report: Path, data: Path | None, device: str | None = None) -> dict[str, list[Finding]]:
    """Look at this machine; heading -> findings.

    Args:
        root: the checkout.
        report: the folder of the report.
        data: the folder of the user's data sets; None where there is none.
        device: where a forward pass is timed; by default a GPU that torch can use, else the processor.
    """
    store = AssetStore(quiet=True)
    # What waits for others, meanwhile.
    internet = Meanwhile("internet access", lambda: internet_findings(store.manifest, store.offline))
    engine = Meanwhile("container engine", lambda: engine_findings(has_gpu=_has_gpu()))
    software = looked_at("software", lambda: software_findings(root))
    machine = looked_at("machine", lambda: machine_findings(root, report, store))
    sets = looked_at("data sets", lambda: data_findings(read_all(root / "expected"), data, store))
    here = [finding.subject for finding in sets if finding.state == "ok"]
    chosen = device or device_of(software)
    passes: list[Finding] = []
    if not any(finding.subject == "torch" and finding.state == "fails" for finding in software):
        passes = looked_at("a forward pass", lambda: [hours_finding(chosen, here)])
    assets = looked_at("assets", lambda: [asset_finding(store)])
    return {
        "Software": software,
        "Machine": machine,
        "Containers": engine.findings(),
        "Internet": internet.findings(),
        "Assets and data": [*assets, *sets],
        "Time": passes,
    }


def looked_at(subject: str, look: Look) -> list[Finding]:
    """What `look` finds; where it breaks, that."""
    try:
        return list(look())
    except Exception as error:
        said = f"could not be looked at: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return [Finding(subject, "note", said)]


class Meanwhile:
    """A look that goes on beside others, and is not waited for much longer than they take.

    Args:
        subject: what is looked at.
        look: finds it.
    """

    def __init__(self, subject: str, look: Look) -> None:
        self._subject = subject
        self._found: list[Finding] | None = None
        self._thread = threading.Thread(target=self._work, args=(look,), daemon=True)
        self._thread.start()

    def _work(self, look: Look) -> None:
        self._found = looked_at(self._subject, look)

    def findings(self, patience: float = PATIENCE) -> list[Finding]:
        """What was found; where it does not come within so many seconds, that."""
        self._thread.join(patience)
        if self._found is None:
            return [Finding(self._subject, "note", f"no answer, also not {patience:g} s after all else")]
        return self._found


def _has_gpu() -> bool:
    return os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")  # noqa: PTH110


def works(found: Mapping[str, Sequence[Finding]]) -> bool:
    """Whether the default run would work."""
    return not any(finding.stops for findings in found.values() for finding in findings)
