"""How much of what each layer of a video network encodes is static, how much is dynamic, and does it match the paper?

sdbench.estimate(first, second, factor)     shares and unit classes from the unit vectors of pairs
sdbench.build(name)                         an architecture with random weights
sdbench.load(name)                          the same with published weights, fetched and verified
sdbench.units(module, inputs)               unit values of all layers in one forward pass
sdbench.measure(network, dataset)           all of it: clips, pairs, forward passes, statistics
sdbench.measure_action(network, dataset)    the same on a stylised data set, with the paper's protocol
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sdbench.base.errors import AssetError, InputError, SdbenchError
from sdbench.statistics import Estimate, estimate

if TYPE_CHECKING:
    from sdbench.measure import Measurement, measure
    from sdbench.measure_action import measure_action
    from sdbench.networks import build, units
    from sdbench.zoo import load

__version__ = "0.1.0"

# What needs torch is imported when it is first used: statistics, verdicts and reports work without it.
_LAZY = {
    "Measurement": "sdbench.measure",
    "measure": "sdbench.measure",
    "measure_action": "sdbench.measure_action",
    "build": "sdbench.networks",
    "units": "sdbench.networks",
    "load": "sdbench.zoo",
}

__all__ = [
    "AssetError",
    "Estimate",
    "InputError",
    "Measurement",
    "SdbenchError",
    "build",
    "estimate",
    "load",
    "measure",
    "measure_action",
    "units",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sdbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
