"""The one place where a network and a study meet: parts, sums, resuming."""

from sdbench.engine.measurement import LayerMeasurement, Measurement, join
from sdbench.engine.measuring import measure, versions
from sdbench.engine.parts import Finished
from sdbench.engine.study import About, Pair, Plan, Planned, Study, blocks_of

__all__ = [
    "About",
    "Finished",
    "LayerMeasurement",
    "Measurement",
    "Pair",
    "Plan",
    "Planned",
    "Study",
    "blocks_of",
    "join",
    "measure",
    "versions",
]
