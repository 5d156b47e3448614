"""The bootstrap: what comes and goes together (a video, a sequence) is drawn whole, with replacement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FEWEST_GROUPS = 8
"""Below this number of videos (or shots) a variance between them is a guess, and no interval is given."""

REPLICATES = 2000
"""Bootstrap samples behind an interval of a mean."""


@dataclass(frozen=True)
class Interval:
    """An interval `low` .. `high` in the units of its quantity (here: percentage points)."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance from low to high."""
        return (self.high - self.low) / 2

    def moved(self, by: float) -> Interval:
        """The same interval elsewhere, kept within 0 to 100."""
        return Interval(_percent(self.low + by), _percent(self.high + by))

    def scaled(self, by: float) -> Interval:
        """The interval of so many times the quantity, kept within 0 to 100."""
        return Interval(_percent(self.low * by), _percent(self.high * by))


def _percent(value: float) -> float:
    return min(100.0, max(0.0, value))


def bootstrap_weights(count: int, generator: np.random.Generator, replicates: int = REPLICATES) -> FloatArray | None:
    """(replicates, count): how often each of `count` groups is in each bootstrap sample; None below `FEWEST_GROUPS`."""
    if count < FEWEST_GROUPS:
        return None
    return generator.multinomial(count, np.full(count, 1 / count), size=replicates).astype(np.float64)


def bootstrap_means(means: FloatArray, generator: np.random.Generator) -> FloatArray | None:
    """Means over bootstrap samples of groups: (groups, columns) -> (replicates, columns); None below `FEWEST_GROUPS`.

    All columns of a replicate are of the same groups, so that columns can be compared.
    """
    weights = bootstrap_weights(len(means), generator)
    return None if weights is None else weights @ means / len(means)


def percentiles(values: npt.NDArray[Any]) -> Interval | None:
    """The middle 95 % of bootstrap replicates; None where one has no value."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(low), float(high))
