"""Networks with their published weights: a name gives architecture, weights and feed."""

from __future__ import annotations

from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.base.errors import AssetError
from sdbench.networks import VideoNetwork, build
from sdbench.networks.filled import fill_state_dict
from sdbench.networks.network import Network
from sdbench.zoo.archives import own_weights, published_weights
from sdbench.zoo.checkpoints import load_state, read_checkpoint
from sdbench.zoo.feeds import feed_of
from sdbench.zoo.published import CLASSES, Model, model, model_names, models

FILLED = "filled"
"""Stands where a training set is named: made-up weights, the same on every machine."""

_FILL_SEED = 0


def load(
    name: str, weights: Path | str | None = None, store: AssetStore | None = None, trained_on: str | None = None
) -> VideoNetwork:
    """A network with published weights, fetched and verified where they are not at hand, in eval mode.

    Args:
        name: one of `model_names`.
        weights: a checkpoint of your own instead, in any format that `read_checkpoint` reads; where the published one
            is in a zip, also such a zip, and of MATNet a folder of encoder_EPOCH.pt and decoder_EPOCH.pt.
        store: where assets lie.
        trained_on: the data set of the weights, one of those that `models` gives for the name; by default the first.

    Raises:
        InputError: the name or the training set is unknown, or `weights` is not there.
        AssetError: the weights cannot be had, are damaged, or do not fit.
    """
    known = model(name, trained_on)
    store = store or AssetStore()
    if weights is not None:
        found = own_weights(Path(weights), known, store)
    else:
        try:
            found = published_weights(known, store)
        except AssetError as error:
            if store.is_present(known.asset) and (seen := store.seen(known.asset)):
                raise AssetError(
                    f"{error}; its hash was first seen on {seen.first_seen}: if the file came damaged, delete it and "
                    f"its record in {store.lock.path}"
                ) from None
            raise
    module = known.build()
    found.into(module)
    return module


def network_named(
    name: str, trained_on: str | None = None, weights: Path | str | None = None, store: AssetStore | None = None
) -> Network:
    """A network of the zoo as the engine takes it: with what it is fed and the hashes of its weights.

    Args:
        name: one of `model_names`; with made-up weights also any other that `sdbench.build` knows.
        trained_on: the data set of the weights; by default the first known. `FILLED` stands for made-up weights, which
            let a pipeline run to the digit without published ones.
        weights: a checkpoint of your own instead: see `load`.
        store: where assets lie.

    Raises:
        InputError: the name or the training set is unknown, or `weights` is not there.
        AssetError: the weights cannot be had, are damaged, or do not fit.
    """
    if trained_on == FILLED:
        module = build(name)
        fill_state_dict(module, _FILL_SEED)
        return Network(module, feed_of(name), name)
    store = store or AssetStore()
    known = model(name, trained_on)
    module = load(name, weights, store, trained_on)
    assets = {} if weights is not None else store.hashes([known.asset])
    return Network(module, known.feed, name, assets=assets)


__all__ = [
    "CLASSES",
    "FILLED",
    "Model",
    "feed_of",
    "load",
    "load_state",
    "model",
    "model_names",
    "models",
    "network_named",
    "read_checkpoint",
]
