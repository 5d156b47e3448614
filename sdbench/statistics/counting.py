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

Where a few videos decide, because they have most of the pairs or are the liveliest, there are in effect as few: the
noise is larger than its estimate, and that estimate itself uncertain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from sdbench.statistics.sums import FloatArray

_ADDED = (0.25, 1.0, 2.0)
"""How much noise is added, in variances of a unit's own."""

_NOISE = 1.08
"""The jackknife-corrected z of N videos spreads this much, times 1 + 1 / N, more than its jackknife standard error
says, and its noise has longer tails than a normal's. Calibrated in the simulations of docs/calibration.md."""

_WIDER = 1.15
"""The scores are moved about where they were measured, which is already spread out by noise, so that fewer lie close to
the threshold than truly do: their counts move too little by about this factor. Calibrated likewise."""

_PRIOR_WEIGHT = 6.0
"""Degrees of freedom that the layer's average noise weighs when a unit's own is estimated: with 8 videos it has 7."""

_ROWS_AT_ONCE = 64
"""Groups whose deviations are squared together: bounds the memory."""

MOVES = 100
"""The scores are moved in so many ways, and in their mirror images, so that the mean of all moves is exactly zero."""

_LARGEST = 0.999
_LARGEST_CORRELATION = 0.95
_FAR = 8.0  # standard deviations beyond which a normal's tail is nothing
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(4)


@dataclass(frozen=True)
class Counted:
    """Units by class, with the noise's bias taken away.

    Attributes:
        percent: (4,) of the units, dynamic, static, joint, residual. They sum to 100; where the parabola overshoots,
            one may lie below 0 or above 100.
        moved: (2 M, 4) by how much they move: their standard deviation is the standard error.
        freedom: degrees of freedom of that standard error, at least 1.
    """

    percent: FloatArray
    moved: FloatArray
    freedom: float


def count_classes(
    scores: FloatArray, without: FloatArray, pairs: npt.NDArray[np.int64], threshold: float, moves: FloatArray
) -> Counted:
    """The percentage of units in each class with the noise's bias taken away, and how it would move.

    Args:
        scores: (2, C) unit scores of all groups; the units that are alive.
        without: (G, 2, C) the same with each group left out; NaN where a unit is dead without the group.
        pairs: (G, 2) number of pairs of each group.
        threshold: score above which a unit counts as encoding a factor.
        moves: (M, G) standard normal: how much each group moves the scores.
    """
    groups = len(without)
    z = fisher(scores)
    left = fisher(without)
    np.copyto(left, z, where=np.isnan(left))
    mean = left.mean(axis=0)
    # The jackknife's correction for groups of unequal size (Busing, Meijer and van der Leeden 1999).
    corrected = groups * z - np.einsum("gf,gfc->fc", 1 - pairs / pairs.sum(axis=0), left)
    deviations = np.subtract(left, mean, out=left)
    scale = (groups - 1) / groups
    number, freedom = _effective(deviations)
    variance = scale * np.einsum("gfc,gfc->fc", deviations, deviations)
    covariance = scale * np.einsum("gc,gc->c", deviations[:, 0], deviations[:, 1])
    own = groups - 1
    variance = (_PRIOR_WEIGHT * variance.mean(axis=1, keepdims=True) + own * variance) / (_PRIOR_WEIGHT + own)
    covariance = (_PRIOR_WEIGHT * covariance.mean() + own * covariance) / (_PRIOR_WEIGHT + own)
    noise = np.sqrt(variance + 1e-24)
    correlation = np.clip(covariance / (noise[0] * noise[1]), -_LARGEST_CORRELATION, _LARGEST_CORRELATION)

    edge = fisher(np.array([threshold]))
    distance = np.zeros((*z.shape, 1 + 2 * len(moves)))  # where measured, moved, and mirrored
    moved, mirrored = distance[..., 1 : 1 + len(moves)], distance[..., 1 + len(moves) :]
    moved[:] = (deviations.reshape(groups, -1).T @ (np.sqrt(scale) * moves.T)).reshape(moved.shape)
    np.negative(moved, out=mirrored)
    distance += (corrected - edge)[..., None]
    distance /= (noise * _NOISE * (1 + 1 / number))[..., None]
    percent = 100 * _extrapolated(distance, correlation) / scores.shape[1]
    moved_percent = percent[:, 1:].T
    return Counted(percent[:, 0], _WIDER * (moved_percent - moved_percent.mean(axis=0)), freedom)


def _effective(deviations: FloatArray) -> tuple[float, float]:
    """How many groups there are in effect, and the degrees of freedom of the scores' standard errors.

    Groups of which each has a part p of the noise's variance, averaged over units, are in effect 1 / sum(p**2) many:
    G where all have the same. The freedom is at most that, at most G - 1, and less where a unit's deviations have long
    tails, each unit its own; half of Satterthwaite's, since few groups show too short tails.

    Args:
        deviations: (G, 2, C) of z with each group left out from their mean.
    """
    groups = len(deviations)
    total = np.einsum("gfc,gfc->fc", deviations, deviations)
    part, fourth = np.zeros(groups), np.zeros_like(total)
    weight = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    for start in range(0, groups, _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        squares = deviations[rows] ** 2 * weight
        part[rows] = squares.mean(axis=(1, 2))
        fourth += np.einsum("gfc,gfc->fc", squares, squares)
    if not part.any():
        return float(groups), float(groups - 1)
    part /= part.sum()
    number = 1 / float((part**2).sum())
    kurtosis = groups * float(fourth[total > 0].mean())
    return number, max(1.0, min(number, groups - 1, groups / max(kurtosis - 1, 1e-9)))


def fisher(scores: FloatArray) -> FloatArray:
    """Fisher's z of scores in [-1, 1], kept finite."""
    clipped = np.clip(scores, -_LARGEST, _LARGEST)
    return np.asarray(np.arctanh(clipped, out=clipped))


def moved_scores(deviations: FloatArray, moves: FloatArray) -> FloatArray:
    """(2 M, 2, C) by how much z moves where others were drawn, all units together; each move and its mirror image.

    Args:
        deviations: (N, 2, C) what each of N parts adds to the error of z.
        moves: (M, N) standard normal.
    """
    moved = (moves @ deviations.reshape(len(deviations), -1)).reshape(len(moves), *deviations.shape[1:])
    return np.concatenate([moved, -moved])


def _extrapolation() -> list[float]:
    """The weights of the values at `_ADDED` in the value at -1 of the parabola through them (Lagrange)."""
    return [float(np.prod([(-1 - other) / (this - other) for other in _ADDED if other != this])) for this in _ADDED]


def _extrapolated(distance: FloatArray, correlation: FloatArray) -> FloatArray:
    """(4, N) number of units in each class, extrapolated to no noise.

    Args:
        distance: (2, C, N) of the scores from the threshold, in standard deviations of their own noise.
        correlation: (C,) of the noise in the two factors.
    """
    lowest, highest = distance.min(axis=-1), distance.max(axis=-1)
    counts = np.zeros((4, distance.shape[-1]))
    for added, weight in zip(_ADDED, _extrapolation(), strict=True):
        # A unit that stays far from the threshold however it is moved counts whole, or not at all.
        spread = np.sqrt(added)
        high, low = lowest > _FAR * spread, highest < -_FAR * spread
        near = ~(high | low)
        above = [ndtr(distance[factor, near[factor]] / spread) for factor in range(2)]
        dynamic, static = (above[factor].sum(axis=0) + np.count_nonzero(high[factor]) for factor in range(2))
        joint = np.zeros_like(dynamic) + np.count_nonzero(high.all(axis=0))
        for factor in range(2):
            joint += above[factor][high[1 - factor, near[factor]]].sum(axis=0)
        both = near.all(axis=0)
        chances = [above[factor][both[near[factor]]] for factor in range(2)]
        joint += np.einsum("cn,cn->n", *chances)
        joint += _both_excess(distance[0, both] / spread, distance[1, both] / spread, correlation[both])
        units = distance.shape[1]
        counts += weight * np.stack([dynamic - joint, static - joint, joint, units - dynamic - static + joint])
    return counts


def _both_excess(a: FloatArray, b: FloatArray, correlation: FloatArray) -> FloatArray:
    """(N,) by how many units more both lie below a and b (C, N) than if two normals of this correlation had none.

    The derivative of the bivariate normal's distribution with respect to its correlation is its density; the integral
    over the correlation is taken by Gauss and Legendre's rule.
    """
    excess = np.zeros(a.shape[1])
    squares, product = a**2 + b**2, a * b
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        r = correlation * (node + 1) / 2
        rest = 1 - r**2
        exponent = squares * (-1 / (2 * rest))[:, None]
        exponent += product * (r / rest)[:, None]
        excess += correlation / 2 * weight / (2 * np.pi * np.sqrt(rest)) @ np.exp(exponent, out=exponent)
    return excess
