"""Who does the parts of a measurement: `sdbench.measure(..., runner=sdbench.runners.OnRay(workers=8))`."""

from sdbench.engine.ray_cluster import OnRay
from sdbench.engine.running import OneProcess, Runner

__all__ = ["OnRay", "OneProcess", "Runner"]
