"""How many units truly lie above a threshold, when every unit's score is measured with noise.

Counting noisy scores is biased: noise carries more units out of a crowded class than into it, and it does not average
out over units. Three steps take it away:

1. Each unit's score is taken to Fisher's z = arctanh(score), where its noise is nearly normal and alike for all units,
   and corrected for the bias of few videos by the jackknife, which gives the noise's size and the correlation of the
   noise in the two factors as well.
2. The count is made with *more* noise instead of less: a unit counts with the probability that it would lie above the
   threshold after noise of `lambda` times its own variance was added. The measured scores carry the noise once, so the
   count with no noise is what a parabola through `_ADDED` says of lambda = -1. (Simulation-extrapolation: Cook and
   Stefanski, "Simulation-Extrapolation Estimation in Parametric Measurement Error Models", JASA 1994.)
3. Its standard error is the spread when the scores are moved as another sample of videos would have moved them, all
   units together, so that what units have in common does not pass for independent evidence.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from sdbench.statistics.sums import FloatArray

_ADDED = (0.25, 1.0, 2.0)
"""How much noise is added, in variances of a unit's own."""

_NOISE = 1.15
"""The jackknife-corrected z of few videos spreads this much more than its jackknife standard error says, and its noise
has longer tails than a normal's. Calibrated in the simulations of docs/calibration.md."""

_WIDER = 1.15
"""The scores are moved about where they were measured, which is already spread out by noise, so that fewer lie close to
the threshold than truly do: their counts move too little by about this factor. Calibrated likewise."""

_PRIOR_WEIGHT = 6.0
"""Degrees of freedom that the layer's average noise weighs when a unit's own is estimated: with 8 videos it has 7."""

_MOVES = 200
_LARGEST = 0.999
_LARGEST_CORRELATION = 0.95
_FAR = 8.0  # standard deviations beyond which a normal's tail is nothing
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(4)


def count_classes(
    scores: FloatArray, without: FloatArray, threshold: float, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """The percentage of units in each class with the noise's bias taken away, and its standard error.

    Args:
        scores: (2, C) unit scores of all groups; the units that are alive.
        without: (G, 2, C) the same with each group left out; NaN where a unit is dead without the group.
        threshold: score above which a unit counts as encoding a factor.
        generator: source of the moves.

    Returns:
        (4,) and (4,): percent of these C units that are dynamic, static, joint, residual. The percentages sum to 100;
        where the parabola overshoots, one may lie below 0 or above 100.
    """
    groups = len(without)
    z = _fisher(scores)
    left = np.where(np.isnan(without), z, _fisher(without))
    deviations = left - left.mean(axis=0)
    corrected = z - (groups - 1) * (left.mean(axis=0) - z)
    scale = (groups - 1) / groups
    variance = scale * (deviations**2).sum(axis=0)
    covariance = scale * (deviations[:, 0] * deviations[:, 1]).sum(axis=0)
    own = groups - 1
    variance = (_PRIOR_WEIGHT * variance.mean(axis=1, keepdims=True) + own * variance) / (_PRIOR_WEIGHT + own)
    covariance = (_PRIOR_WEIGHT * covariance.mean() + own * covariance) / (_PRIOR_WEIGHT + own)
    noise = np.sqrt(variance + 1e-24)
    correlation = np.clip(covariance / (noise[0] * noise[1]), -_LARGEST_CORRELATION, _LARGEST_CORRELATION)

    # Each move comes with its mirror image, so that the moves' mean is exactly zero.
    half = generator.standard_normal((_MOVES // 2, groups))
    moves = np.tensordot(np.concatenate([half, -half]), deviations, axes=1) * np.sqrt(scale)
    edge = np.arctanh(np.clip(threshold, -_LARGEST, _LARGEST))
    everywhere = np.concatenate([corrected[None], corrected + moves]) - edge
    percent = sum(
        weight * _smoothed(everywhere / (noise * _NOISE * np.sqrt(added)), correlation)
        for added, weight in zip(_ADDED, _extrapolation(), strict=True)
    )
    assert isinstance(percent, np.ndarray)
    return percent[0], _WIDER * percent[1:].std(axis=0, ddof=1)


def _fisher(scores: FloatArray) -> FloatArray:
    return np.asarray(np.arctanh(np.clip(scores, -_LARGEST, _LARGEST)))


def _extrapolation() -> list[float]:
    """The weights of the values at `_ADDED` in the value at -1 of the parabola through them (Lagrange)."""
    return [float(np.prod([(-1 - other) / (this - other) for other in _ADDED if other != this])) for this in _ADDED]


def _smoothed(distance: FloatArray, correlation: FloatArray) -> FloatArray:
    """(..., 4) expected percent of units in each class; `distance` (..., 2, C) from the threshold in noise units."""
    distance = np.clip(distance, -_FAR, _FAR)
    a, b = distance[..., 0, :], distance[..., 1, :]
    dynamic, static = ndtr(a), ndtr(b)
    joint = dynamic * static + _both_excess(a, b, correlation)
    classes = (dynamic - joint, static - joint, joint, 1 - dynamic - static + joint)
    return 100 * np.stack([np.asarray(part.mean(axis=-1)) for part in classes], axis=-1)


def _both_excess(a: FloatArray, b: FloatArray, correlation: FloatArray) -> FloatArray:
    """How much likelier two normals of this correlation both stay below a and b than independent ones.

    The derivative of the bivariate normal's distribution with respect to its correlation is its density; the integral
    over the correlation is taken by Gauss and Legendre's rule.
    """
    excess = np.zeros(np.broadcast_shapes(a.shape, correlation.shape))
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        r = correlation * (node + 1) / 2
        rest = 1 - r**2
        density = np.exp(-(a**2 - 2 * r * a * b + b**2) / (2 * rest)) / (2 * np.pi * np.sqrt(rest))
        excess += correlation / 2 * weight * density
    return excess
