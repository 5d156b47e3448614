"""Which runs of a history are good, so that a new one is held against the last of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sdbench.history.comparing import Comparison, Reference, compare
from sdbench.history.record import Run
from sdbench.history.thresholds import Thresholds


@dataclass(frozen=True)
class Standing:
    """One run in its place.

    Attributes:
        run: the run.
        comparison: it against the last good runs before it.
        accepted: why somebody accepted it; None where nobody did.
    """

    run: Run
    comparison: Comparison
    accepted: str | None

    @property
    def is_good(self) -> bool:
        """Whether later runs are held against it: whole, and not worse than those before or accepted as it is."""
        return not self.run.interrupted and (self.accepted is not None or not self.comparison.is_regression)


def standings(runs: Sequence[Run], accepted: Mapping[str, str], thresholds: Thresholds) -> Iterator[Standing]:
    """Go through a history, each run against the last good ones before it.

    Values are held against the last good run that was asked for the same (seed, pairs, protocol, device); times against
    the last good run of the same machine and device that has any. A bad run is never held against: what is worse stays
    worse until it is repaired or accepted.
    """
    by_settings: dict[tuple[str, ...], Reference] = {}
    by_machine: dict[tuple[str, ...], Reference] = {}
    for run in runs:
        values = by_settings.setdefault(run.settings, Reference())
        times = by_machine.setdefault((*run.machine, run.settings[-1]), Reference())
        reference = Reference(values.values_of, times.times_of, values.cases, times.timings)
        standing = Standing(run, compare(run, reference, thresholds), accepted.get(run.id))
        yield standing
        if standing.is_good:
            values.take_values(run)
            times.take_times(run)
