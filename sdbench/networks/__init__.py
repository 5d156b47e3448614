"""Architectures, one file each. They know nothing of weights, data or experiments."""

from sdbench.networks.layer_summary import units
from sdbench.networks.network import Network
from sdbench.networks.reading import Layer, VideoNetwork
from sdbench.networks.registry import build, network_names

__all__ = ["Layer", "Network", "VideoNetwork", "build", "network_names", "units"]
