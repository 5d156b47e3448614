"""The paper's estimator: how many of a layer's dimensions, and which of its units, are static or dynamic.

Kowal et al., "A Deeper Dive Into What Deep Spatiotemporal Networks Encode", CVPR 2022 (arXiv 2206.02846): the
layer-wise and the unit-wise quantities. The cut to integers and the rounding are those of the published code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sdbench.base.errors import InputError
from sdbench.statistics.sums import FACTORS, FloatArray, Moments, moments

SHARE_NAMES = ("dynamic", "static", "residual")
CLASS_NAMES = ("dynamic", "static", "joint", "residual", "dead")

ROUNDING = 1e-12
"""A variance below this fraction of the mean square about the origin is rounding error of the sums, not variance."""


@dataclass(frozen=True)
class Estimate:
    """What one layer encodes.

    Attributes:
        shares: percent of the layer that is "dynamic", "static", "residual"; they sum to 100.
        dimensions: the same three as whole units, cut as the published code cuts them; they sum to C.
        published_percent: `dimensions` over C in percent, rounded to 0.1: what the paper's tables print.
        unit_scores: for "dynamic" and "static" the (C,) correlation in [-1, 1] of each unit; NaN where it does not
            change in the pairs of that factor.
        unit_classes: number of units that are "dynamic", "static", "joint", "residual", "dead"; they sum to C. A unit
            is dead where it does not change in the pairs of one factor, or of both.
        unit_labels: (C,) the class of each unit.
        layer_scores: the scores of "dynamic" and "static" that the softmax is taken of; the residual's is 1.
        pairs: number of pairs of "dynamic" and "static".
        threshold: the score above which (strictly) a unit counts as encoding a factor.
    """

    shares: dict[str, float]
    dimensions: dict[str, int]
    published_percent: dict[str, float]
    unit_scores: dict[str, FloatArray]
    unit_classes: dict[str, int]
    unit_labels: npt.NDArray[np.str_]
    layer_scores: dict[str, float]
    pairs: dict[str, int]
    threshold: float


@dataclass(frozen=True)
class Summary:
    """The same quantities for a stack of layers or replicates; the leading axes are those of the sums given.

    Attributes:
        shares: (..., 3) percent, in the order of `SHARE_NAMES`.
        dimensions: (..., 3) whole units.
        scores: (..., 2, C) unit scores; NaN where a unit does not change in the pairs of a factor.
        classes: (..., 5) percent of the C units in each of `CLASS_NAMES`.
        layer_scores: (..., 2)
    """

    shares: FloatArray
    dimensions: npt.NDArray[np.int64]
    scores: FloatArray
    classes: FloatArray
    layer_scores: FloatArray


def estimate(
    first: npt.ArrayLike, second: npt.ArrayLike, factor: npt.ArrayLike | Sequence[str], threshold: float = 0.5
) -> Estimate:
    """Measure how static and how dynamic a layer is from the unit vectors of N pairs.

    Args:
        first: (N, C) unit vectors of the first members: activations averaged over space and time.
        second: (N, C) unit vectors of the second members.
        factor: (N,) what the members of each pair share, "dynamic" / "static" or 0 / 1.
        threshold: score above which (strictly) a unit counts as encoding a factor, from 0 to 1.

    Raises:
        InputError: wrong shapes, values that are not finite, an unknown factor, fewer than two pairs of a factor, a
            threshold that no score can have, or activations that are the same for every clip.
    """
    check_threshold(threshold)
    return estimate_from_moments(moments(first, second, factor), threshold)


def estimate_from_moments(sums: Moments, threshold: float = 0.5) -> Estimate:
    """The estimate that follows from collected sums; see `estimate`."""
    check_pairs(sums)
    result = summarise(sums.pairs, sums.origin, sums.total, sums.square, sums.product, threshold)
    if not np.isfinite(result.layer_scores).all():
        raise InputError(
            f"none of the {sums.units} units changes from clip to clip, so nothing can be measured; "
            "check that the clips differ and that the network's weights are loaded"
        )
    labels = _labels(result.scores, threshold)
    percent = 100 * result.dimensions / sums.units
    return Estimate(
        shares=dict(zip(SHARE_NAMES, result.shares.tolist(), strict=True)),
        dimensions=dict(zip(SHARE_NAMES, result.dimensions.tolist(), strict=True)),
        published_percent=dict(zip(SHARE_NAMES, np.round(percent, 1).tolist(), strict=True)),
        unit_scores=dict(zip(FACTORS, result.scores, strict=True)),
        unit_classes={name: int((labels == name).sum()) for name in CLASS_NAMES},
        unit_labels=labels,
        layer_scores=dict(zip(FACTORS, result.layer_scores.tolist(), strict=True)),
        pairs=dict(zip(FACTORS, sums.pairs.tolist(), strict=True)),
        threshold=threshold,
    )


def check_threshold(threshold: float) -> None:
    """Raise InputError unless a score can be above the threshold and another below it."""
    if not isinstance(threshold, (int, float, np.floating)) or not 0 <= threshold <= 1:
        raise InputError(
            f"a threshold of scores must be a number from 0 to 1, as covariance over variance is; got {threshold!r}"
        )


def check_pairs(sums: Moments) -> None:
    """Raise InputError unless there are at least two pairs of each factor."""
    if (sums.pairs < 2).any():
        counts = ", ".join(f"{count} {name}" for name, count in zip(FACTORS, sums.pairs, strict=True))
        raise InputError(f"at least 2 pairs of each factor are needed for a covariance; got {counts}: add clips")


def summarise(
    pairs: npt.NDArray[np.int64] | FloatArray,
    origin: FloatArray,
    total: FloatArray,
    square: FloatArray,
    product: FloatArray,
    threshold: float = 0.5,
) -> Summary:
    """The estimator on stacked sums: pairs (..., 2), origin (2, C), the others (..., 2, C); see `Moments`.

    A factor with no pairs, or a stack member in which nothing varies, gives NaN.
    """
    units = origin.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        members = 2.0 * pairs[..., None]
        mean = total / members
        mean_square = square / members
        squared_mean = mean**2
        variance = mean_square - squared_mean
        mean_square *= ROUNDING
        dead = variance <= mean_square
        covariance = 2 * product
        covariance /= members
        covariance -= squared_mean
        variance[dead] = covariance[dead] = 0.0
        share_of_rows = members / members.sum(axis=-2, keepdims=True)
        mean += origin
        mean -= (mean * share_of_rows).sum(axis=-2, keepdims=True)
        spread = np.square(mean, out=mean)
        spread += variance
        spread *= share_of_rows
        pooled = spread.sum(axis=-2)
        layer_scores = covariance.sum(axis=-1) / pooled.sum(axis=-1)[..., None]
        scores = np.divide(covariance, variance, out=covariance)  # 0 / 0 where a unit does not change: NaN
    shares = _softmax(np.concatenate([layer_scores, np.ones_like(layer_scores[..., :1])], axis=-1))
    cut = np.floor(np.nan_to_num(shares[..., :2]) * units).astype(np.int64)
    dimensions = np.concatenate([cut, units - cut.sum(axis=-1, keepdims=True)], axis=-1)
    return Summary(100 * shares, dimensions, scores, 100 * class_fractions(scores, threshold), layer_scores)


def _softmax(values: FloatArray) -> FloatArray:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def class_fractions(scores: FloatArray, threshold: float) -> FloatArray:
    """(..., 5) the fraction of the units that are in each of `CLASS_NAMES`, for scores (..., 2, C)."""
    members = _class_members(scores, threshold)
    return np.asarray(np.stack([np.count_nonzero(each, axis=-1) for each in members], axis=-1) / scores.shape[-1])


def _labels(scores: FloatArray, threshold: float) -> npt.NDArray[np.str_]:
    """(C,) the class of each unit, for scores (2, C)."""
    labels: npt.NDArray[np.str_] = np.array(CLASS_NAMES)[np.argmax(_class_members(scores, threshold), axis=0)]
    return labels


def _class_members(scores: FloatArray, threshold: float) -> tuple[npt.NDArray[np.bool_], ...]:
    """For each of `CLASS_NAMES` (..., C) whether a unit is in it; the one place where the threshold is applied.

    A unit without a score in one factor or in both is dead: the published code, too, counts it nowhere.
    """
    dead = np.asarray(np.isnan(scores).any(axis=-2))
    with np.errstate(invalid="ignore"):
        above = scores > threshold
    above &= ~dead[..., None, :]
    dynamic, static = above[..., 0, :], above[..., 1, :]
    joint = dynamic & static
    return dynamic & ~joint, static & ~joint, joint, ~(dynamic | static | dead), dead
