"""What a report consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sdbench.cases.verdicts import Case
from sdbench.report.table import Totals


@dataclass(frozen=True)
class Report:
    """Everything that a run found.

    Attributes:
        environment: versions, hardware, seed, revision, command, assets; plain values.
        cases: the outcome of every case.
        totals: how many published results and claims there are.
        measurements: one record for each measurement behind them; plain values.
        layers: (network, dataset) -> layer -> "shares" and "units", for pictures.
        timings: name of a timed loop -> pytest-benchmark's statistics, in seconds.
    """

    environment: dict[str, Any]
    cases: Sequence[Case]
    totals: Totals
    measurements: Sequence[dict[str, Any]] = ()
    layers: dict[str, dict[str, dict[str, dict[str, float]]]] = field(default_factory=dict)
    timings: dict[str, dict[str, float]] = field(default_factory=dict)
