"""95 % intervals by resampling whole videos.

Clips of one video resemble each other, so rows cannot be resampled as if they were independent: the resampling unit is
a video (or a shot, where videos are few), and all its pairs come or go together. Because the sums of `Moments` are
additive, a replicate is a weighted sum over groups and costs no second look at the data.

- Shares are smooth in the sums: the jackknife over groups gives the standard error and the bias that few videos cause
  (between-video covariance is underestimated by 1/G); the interval is centred on the bias-corrected value, and widened
  by sqrt(G / (G - 1)), since correcting a bias costs some of the precision.
- Counts of units above a threshold are biased by the noise of every unit's score: the interval is centred on the count
  with that bias taken away (`sdbench.statistics.counting`), which is not the estimate, and may leave it outside.

Both use Student's t with G - 1 degrees of freedom: with 8 groups the normal quantile would be too narrow by a fifth.
How often the intervals cover the truth is measured in docs/calibration.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import stats

from sdbench.statistics.counting import count_classes
from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES, Summary, summarise
from sdbench.statistics.resampling import FEWEST_GROUPS, Interval, bootstrap_weights
from sdbench.statistics.sums import FloatArray, Moments, about, common_origin

_REPLICATES_AT_ONCE = 64


@dataclass(frozen=True)
class Intervals:
    """The 95 % intervals of one layer and the bootstrap replicates behind comparisons of layers.

    Attributes:
        shares: interval of each share in percent.
        published_percent: interval of each share as the paper prints it.
        classes: interval of the percentage of units in each class.
        replicates: bootstrap replicates, "share.dynamic" or "units.joint" -> (B,) values; replicate b weights the same
            groups in every layer that was given the same generator state, so differences of layers can be formed.
        groups: number of resampling units G.
    """

    shares: dict[str, Interval]
    published_percent: dict[str, Interval]
    classes: dict[str, Interval]
    replicates: dict[str, FloatArray]
    groups: int


def intervals(
    groups: Sequence[Moments],
    threshold: float,
    generator: np.random.Generator,
    replicates: int = 1000,
    level: float = 0.95,
) -> Intervals | None:
    """Intervals of a layer's shares and unit classes from the sums of each resampling unit.

    Args:
        groups: the sums of the pairs of each video (or shot).
        threshold: as for `estimate`.
        generator: source of the bootstrap's random weights and of the moves that unit classes are counted under.
        replicates: number of bootstrap replicates B.
        level: coverage that is aimed at.

    Returns:
        None where there are fewer than `FEWEST_GROUPS` groups, or where leaving one group out leaves fewer than two
        pairs of a factor: a number without an interval is then all that the data give.
    """
    count = len(groups)
    if count < FEWEST_GROUPS:
        return None
    pairs = np.stack([group.pairs for group in groups]).astype(np.float64)
    if (pairs.sum(axis=0) - pairs < 2).any():
        return None
    origin = common_origin(groups)
    moved = [about(group, origin) for group in groups]
    stacks = [pairs] + [np.stack([getattr(g, name) for g in moved]) for name in ("total", "square", "product")]

    everything = _replicate(np.ones((1, count)), stacks, origin, threshold, keep_scores=True)
    without = _replicate(1 - np.eye(count), stacks, origin, threshold, keep_scores=True)
    weights = bootstrap_weights(count, generator, replicates)
    assert weights is not None
    weights = weights[((weights @ pairs) >= 2).all(axis=1)]
    drawn = _replicate(weights, stacks, origin, threshold)

    t = float(stats.t.ppf((1 + level) / 2, count - 1)) * np.sqrt(count / (count - 1))
    mean_without = without.shares.mean(axis=0)
    centre = count * everything.shares[0] - (count - 1) * mean_without
    error = np.sqrt((count - 1) / count * ((without.shares - mean_without) ** 2).sum(axis=0))
    shares = _named(SHARE_NAMES, centre - t * error, centre + t * error)
    # The cut to whole units moves a share by less than two units and is the same in every replicate's neighbourhood:
    # the published percentages take the shares' interval, moved by what the cut does to the estimate itself.
    cut = 100 * everything.dimensions[0] / origin.shape[1] - everything.shares[0]
    published = _named(SHARE_NAMES, centre + cut - t * error, centre + cut + t * error)
    counted, spread = _classes(everything, without, drawn, threshold, generator)
    classes = _named(CLASS_NAMES, counted - t * spread, counted + t * spread)
    columns = {f"share.{name}": drawn.shares[:, i] for i, name in enumerate(SHARE_NAMES)}
    columns |= {f"units.{name}": drawn.classes[:, i] for i, name in enumerate(CLASS_NAMES)}
    return Intervals(shares, published, classes, columns, count)


def _classes(
    everything: Summary, without: Summary, drawn: Summary, threshold: float, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Centre and standard error of the percentage of units in each of `CLASS_NAMES`."""
    scores = everything.scores[0]
    alive = np.isfinite(scores).all(axis=0)
    centre, spread = everything.classes[0].copy(), np.nanstd(drawn.classes, axis=0, ddof=1)
    if alive.any():
        found = count_classes(scores[:, alive], without.scores[:, :, alive], threshold, generator)
        centre[:-1], spread[:-1] = alive.mean() * found[0], alive.mean() * found[1]
    return centre, spread


def _replicate(
    weights: FloatArray, stacks: list[FloatArray], origin: FloatArray, threshold: float, keep_scores: bool = False
) -> Summary:
    """The estimator on the groups' sums weighted by each row of `weights` (B, G)."""
    pieces = []
    for start in range(0, len(weights), _REPLICATES_AT_ONCE):
        rows = weights[start : start + _REPLICATES_AT_ONCE]
        pairs, total, square, product = (np.tensordot(rows, stack, axes=1) for stack in stacks)
        piece = summarise(pairs, origin, total, square, product, threshold)
        pieces.append(piece if keep_scores else replace(piece, scores=np.empty((0, 2, origin.shape[1]))))
    return Summary(
        **{field.name: np.concatenate([getattr(p, field.name) for p in pieces]) for field in fields(Summary)}
    )


def _named(names: Sequence[str], low: FloatArray, high: FloatArray) -> dict[str, Interval]:
    low, high = np.clip(low, 0, 100), np.clip(high, 0, 100)
    return {name: Interval(float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}
