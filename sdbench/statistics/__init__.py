"""Moments, estimate and uncertainty: numpy in, plain numbers out; no files, no video, no torch."""

from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES, Estimate, estimate, estimate_from_moments
from sdbench.statistics.resampling import FEWEST_GROUPS, Interval, bootstrap_means, bootstrap_weights, percentiles
from sdbench.statistics.sums import FACTORS, READING_ORDER, Moments, Stack, beside, merge, moments, stack
from sdbench.statistics.uncertainty import Draws, Intervals, draw, intervals, intervals_by

__all__ = [
    "CLASS_NAMES",
    "FACTORS",
    "FEWEST_GROUPS",
    "READING_ORDER",
    "SHARE_NAMES",
    "Draws",
    "Estimate",
    "Interval",
    "Intervals",
    "Moments",
    "Stack",
    "beside",
    "bootstrap_means",
    "bootstrap_weights",
    "draw",
    "estimate",
    "estimate_from_moments",
    "intervals",
    "intervals_by",
    "merge",
    "moments",
    "percentiles",
    "stack",
]
