"""Runs cases: data sets and quantities by name, each an object that knows what it lacks and how it is measured."""

from sdbench.suite.datasets import DATA_SETS, DataSet, data_set
from sdbench.suite.here import Here
from sdbench.suite.quantities import QUANTITIES, Quantity, quantity_named
from sdbench.suite.running import Suite, assets_of, group_of, layer_limits, layer_values, why_not

__all__ = [
    "DATA_SETS",
    "QUANTITIES",
    "DataSet",
    "Here",
    "Quantity",
    "Suite",
    "assets_of",
    "data_set",
    "group_of",
    "layer_limits",
    "layer_values",
    "quantity_named",
    "why_not",
]
