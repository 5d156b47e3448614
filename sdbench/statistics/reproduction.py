"""How far another run on the same videos would lie: the interval that decides whether a published number is reproduced.

A published number is of the same videos that a reproduction uses, so what the choice of videos does is common to both.
They differ by what was drawn at random: styles, jitter, which videos give which factor, the order of shuffled frames.
The interval is about the estimate itself, not about one with a bias taken away, since the other run has the same bias.

- *Several seeds* show what the draws do: the estimate is linearised (each seed's sums of each video are left out once),
  and within a video the seeds differ by their draws alone. With S seeds and G videos that has G (S - 1) degrees of
  freedom, where the S values themselves would have S - 1.
- *One seed* does not tell draws and videos apart. What videos and draws do together is taken, which is an upper bound:
  where each video gives one pair of a factor drawn at random, at most sqrt(2) too long for what videos add
  independently to both factors, and hardly too long for what styles and orders add.
- *Several networks* that were trained alike have no unit in common: the spread of their values is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from sdbench.statistics.counting import fisher, moved_scores
from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES, class_fractions, summarise
from sdbench.statistics.jackknife import LEVEL
from sdbench.statistics.resampling import Interval
from sdbench.statistics.sums import FloatArray, Stack
from sdbench.statistics.uncertainty import without_each


@dataclass(frozen=True)
class DrawError:
    """How far another run on the same videos would lie, as half the length of an interval in percentage points.

    Attributes:
        shares: by `SHARE_NAMES`.
        classes: by `CLASS_NAMES`, of the percentage of all units.
    """

    shares: Mapping[str, float]
    classes: Mapping[str, float]


def draw_error(
    stacked: Stack, videos: npt.NDArray[np.int64], threshold: float, moves: FloatArray, level: float = LEVEL
) -> DrawError | None:
    """What the random draws of a run do to a layer's shares and unit classes.

    Args:
        stacked: the sums of each cell: of one seed's pairs of one video.
        videos: (N,) the number of each cell's video. Where no video has two cells, the videos' share of the error is
            not told from that of the draws, and both are given.
        threshold: as for `estimate`.
        moves: (M, N) standard normal: how much each cell moves the scores when units are counted.
        level: how often another run's mean lies within.

    Returns:
        None where leaving out one cell leaves fewer than two pairs of a factor.
    """
    if (stacked.pairs.sum(axis=0) - stacked.pairs < 2).any():
        return None
    members = np.bincount(videos)
    if members.max() == 1:
        videos, members = np.zeros(len(videos), dtype=np.int64), np.array([len(videos)])
    freedom = int((members - 1).sum())
    t = float(stdtrit(freedom, (1 + level) / 2))
    # A deviation from the mean of a video's M cells is short by (M - 1) / M on average, and leaving a cell out moves
    # an estimate by a little more than the cell had moved it.
    gain = np.sqrt(members / np.maximum(members - 1, 1))[videos] * (1 - 1 / len(videos))
    without = without_each(stacked, threshold)
    reach = t * np.sqrt(((gain[:, None] * _within(without.shares, videos, members)) ** 2).sum(axis=0))
    whole = stacked.merged()
    scores = summarise(whole.pairs, whole.origin, whole.total, whole.square, whole.product, threshold).scores
    alive = np.isfinite(scores).all(axis=0)
    spread = np.zeros(len(CLASS_NAMES))
    if alive.any():
        z, left = fisher(scores[:, alive]), fisher(without.scores[:, :, alive])
        np.copyto(left, z, where=np.isnan(left))
        deviations = gain[:, None, None] * _within(left, videos, members)
        counts = class_fractions(z + moved_scores(deviations, moves), float(fisher(np.array([threshold]))[0]))
        spread = 100 * alive.mean() * counts.std(axis=0, ddof=1)
    return DrawError(
        dict(zip(SHARE_NAMES, reach.tolist(), strict=True)), dict(zip(CLASS_NAMES, (t * spread).tolist(), strict=True))
    )


def interval_of_runs(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The interval of the mean of at least two independent runs, by Student's t."""
    reach = float(stdtrit(len(values) - 1, (1 + level) / 2)) * stdev(values) / sqrt(len(values))
    return Interval(fmean(values) - reach, fmean(values) + reach)


def _within(values: FloatArray, videos: npt.NDArray[np.int64], members: npt.NDArray[np.int64]) -> FloatArray:
    """Values (N, ...) of cells less the mean over those of their video."""
    sums = np.zeros((len(members), *values.shape[1:]))
    np.add.at(sums, videos, values)
    means = sums / np.maximum(members, 1).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values - means[videos])
