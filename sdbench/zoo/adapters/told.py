"""How layers are read of which more is known than the names that a user gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sdbench.networks.network import Network
from sdbench.networks.reading import Layer


def told(network: Network, how: Callable[[str], Layer | None]) -> Network:
    """The network, its layers read as `how` says, where who named them said no more than the name.

    Args:
        network: opened with the names that were asked for; globs stand for all that fit by now.
        how: name of a layer -> how it is read; None where nothing is known of it.
    """
    layers = [(how(layer.name) or layer) if layer == Layer(layer.name) else layer for layer in network.read]
    return replace(network, layers=layers)


def among(layers: Sequence[Layer]) -> Callable[[str], Layer | None]:
    """What `told` asks, where some layers are known by their names."""
    return {layer.name: layer for layer in layers}.get
