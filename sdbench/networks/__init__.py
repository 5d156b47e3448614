"""Architectures, one file each. They know nothing of weights, data or experiments."""

from sdbench.networks.reading import VideoNetwork, units
from sdbench.networks.registry import build, network_names

__all__ = ["VideoNetwork", "build", "network_names", "units"]
