"""The networks of this suite under the names that PyTorchVideo's hub has for them: "pytorchvideo:slow_r50"."""

from __future__ import annotations

from dataclasses import replace

from sdbench.assets.store import AssetStore
from sdbench.base.errors import unknown_name
from sdbench.networks.network import Network
from sdbench.zoo import network_named
from sdbench.zoo.asked import Asked

_OURS = {
    "c2d_r50": "c2d",
    "i3d_r50": "i3d",
    "mvit_base_16x4": "mvit_b_16x4",
    "slow_r50": "slow_r50_8x8",
    "slowfast_r50": "slowfast_r50_8x8",
    "x3d_l": "x3d_l",
    "x3d_m": "x3d_m",
    "x3d_s": "x3d_s",
    "x3d_xs": "x3d_xs",
}
"""Name on the hub -> the network of this suite with the same layers, frames and stride."""

_SAME_WEIGHTS = ("c2d_r50",)
"""Those whose weights this suite too takes from PyTorchVideo; the others are those of SlowFast's authors."""


def network_of(name: str, asked: Asked, store: AssetStore) -> Network:
    """The network of this suite that PyTorchVideo calls so.

    Raises:
        InputError: this suite has no such network, or what is asked for does not fit it.
        AssetError: the weights cannot be had.
    """
    if name not in _OURS:
        raise unknown_name("network of PyTorchVideo in this suite", name, _OURS)
    ours = _OURS[name]
    network = network_named(
        ours,
        asked.trained_on,
        asked.weights,
        store,
        layers=asked.layers,
        feed=asked.feed,
        revision=asked.revision,
        untrained=asked.untrained,
    )
    note = f"pytorchvideo:{name} is {ours} of this suite"
    if asked.weights is None and asked.untrained is None and name not in _SAME_WEIGHTS:
        note += ", with the weights that SlowFast's authors published, not those of PyTorchVideo's hub"
    return replace(network, name=f"pytorchvideo:{name}", notes=(note, *network.notes))
