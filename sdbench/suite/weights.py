"""Weights that cases name: whether they can be had, and which assets they are."""

from __future__ import annotations

from sdbench.assets.manifest import Url
from sdbench.assets.store import AssetStore
from sdbench.base.errors import InputError
from sdbench.calibration.trained import KINDS
from sdbench.cases.records import Asked
from sdbench.networks import network_names
from sdbench.zoo import FILLED, Model, model


def lacking_weights(asked: Asked, store: AssetStore) -> list[str]:
    """Why a network of this name and training cannot be had at all, in a sentence; fetching it is not tried."""
    if asked.subject is not None:
        return []
    network, trained_on = asked.network, asked.trained_on
    if trained_on == FILLED:
        return [] if network in network_names() else [f"network {network} is not part of this version"]
    if network in KINDS:
        return [] if trained_on in KINDS[network].tasks else [f"{network} was not trained on {trained_on}"]
    known = _published(asked)
    if known is None:
        return [f"weights of {network} trained on {trained_on} are not part of this version"]
    source = store.manifest[known.asset].source
    if isinstance(source, Url) and source.how == "never published":
        return [f"weights of {network} trained on {trained_on} were never published"]
    return []


def assets_of_weights(asked: Asked) -> list[str]:
    """The assets that a network's weights come from; none for those that come with this package, or are one's own."""
    if asked.subject is not None:
        subject = asked.subject
        if ":" in subject.network or subject.weights is not None or subject.untrained is not None:
            return []
        asked = Asked(subject.network, subject.trained_on or asked.trained_on, asked.dataset)
    known = None if asked.trained_on == FILLED or asked.network in KINDS else _published(asked)
    return [] if known is None else [known.asset]


def architecture_of(asked: Asked) -> str | None:
    """The name that `sdbench.build` knows the network by; None where it is not known."""
    if asked.trained_on == FILLED:
        return asked.network if asked.network in network_names() else None
    if asked.network in KINDS:
        return KINDS[asked.network].architecture
    known = _published(asked)
    return None if known is None else known.architecture


def _published(asked: Asked) -> Model | None:
    try:
        return model(asked.network, asked.trained_on)
    except InputError:
        return None
