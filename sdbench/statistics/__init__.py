"""Moments, estimate and uncertainty: numpy in, plain numbers out; no files, no video, no torch."""

from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES, Estimate, estimate, estimate_from_moments
from sdbench.statistics.resampling import FEWEST_GROUPS, Interval, bootstrap_means, bootstrap_weights, percentiles
from sdbench.statistics.sums import FACTORS, Moments, beside, merge, moments
from sdbench.statistics.uncertainty import Intervals, intervals

__all__ = [
    "CLASS_NAMES",
    "FACTORS",
    "FEWEST_GROUPS",
    "SHARE_NAMES",
    "Estimate",
    "Interval",
    "Intervals",
    "Moments",
    "beside",
    "bootstrap_means",
    "bootstrap_weights",
    "estimate",
    "estimate_from_moments",
    "intervals",
    "merge",
    "moments",
    "percentiles",
]
