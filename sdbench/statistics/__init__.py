"""Moments, estimate and uncertainty: numpy in, plain numbers out; no files, no video, no torch."""

from sdbench.statistics.estimating import CLASS_NAMES, SHARE_NAMES, Estimate, estimate, estimate_from_moments
from sdbench.statistics.sums import FACTORS, Moments, beside, merge, moments
from sdbench.statistics.uncertainty import FEWEST_GROUPS, Interval, Intervals, intervals

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
    "estimate",
    "estimate_from_moments",
    "intervals",
    "merge",
    "moments",
]
