"""Networks with their published weights: a name gives architecture, weights and preparation."""

from __future__ import annotations

from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.base.errors import AssetError
from sdbench.networks.reading import VideoNetwork
from sdbench.zoo.archives import own_weights, published_weights
from sdbench.zoo.checkpoints import load_state, read_checkpoint
from sdbench.zoo.preparation import Preparation
from sdbench.zoo.published import CLASSES, Model, model, model_names, models


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


__all__ = [
    "CLASSES",
    "Model",
    "Preparation",
    "load",
    "load_state",
    "model",
    "model_names",
    "models",
    "read_checkpoint",
]
