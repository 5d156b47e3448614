"""How a layer's variance is spread over what is resampled: where one part carries most, intervals are too short."""

from __future__ import annotations

import numpy as np

from sdbench.statistics.sums import FloatArray, Stack

TOO_LARGE = 0.25
"""A part of the variance above which one video decides what is measured: the intervals were too short in simulations of
such data (docs/calibration.md)."""


def parts_of_variance(stacked: Stack) -> FloatArray:
    """The part of the layer's variance that comes from each group of pairs.

    A group's part is what its vectors add to the sum of squared distances from the common mean of all vectors, both
    members and both factors together, over all units: the sum behind the variance that the layer's scores are divided
    by.

    Args:
        stacked: sums of G groups.

    Returns:
        (G,) from 0 to 1, adding up to 1; NaN where nothing varies.

    Example:
        >>> import numpy as np
        >>> from sdbench.statistics import moments, stack
        >>> calm, lively = (np.array([[1.0], [-1.0]]) * scale for scale in (1, 3))
        >>> groups = [moments(values, values, ["dynamic", "static"]) for values in (calm, lively)]
        >>> parts_of_variance(stack(groups)).round(2).tolist()
        [0.1, 0.9]
    """
    members = 2.0 * stacked.pairs[..., None]
    whole = members.sum(axis=0)
    mean = (stacked.total.sum(axis=0) + whole * stacked.origin).sum(axis=0) / whole.sum()
    move = mean - stacked.origin
    distances = (stacked.square - 2 * move * stacked.total + members * move**2).sum(axis=(1, 2))
    distances = np.maximum(distances, 0)  # rounding, of a group that hardly varies
    total = distances.sum()
    return np.asarray(distances / total) if total > 0 else np.full(len(distances), np.nan)
