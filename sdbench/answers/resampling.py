"""Intervals of means over videos: whole videos come and go, as their frames are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sdbench.statistics import FEWEST_GROUPS, Interval

FloatArray = npt.NDArray[np.float64]

REPLICATES = 2000


def resampled_means(means: FloatArray, generator: np.random.Generator) -> FloatArray | None:
    """Means over bootstrap samples of sequences: (sequences, columns) -> (replicates, columns).

    All columns of a replicate are of the same sequences, so that columns can be compared. None below 8 sequences.
    """
    weights = resampling_weights(len(means), generator)
    return None if weights is None else weights @ means / len(means)


def resampling_weights(count: int, generator: np.random.Generator) -> FloatArray | None:
    """(replicates, count): how often each of `count` sequences is in each bootstrap sample; None below 8 sequences."""
    if count < FEWEST_GROUPS:
        return None
    return generator.multinomial(count, np.full(count, 1 / count), size=REPLICATES).astype(np.float64)


def percentiles(values: npt.NDArray[Any]) -> Interval | None:
    """The middle 95 % of bootstrap replicates; None where one has no value."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(low), float(high))
