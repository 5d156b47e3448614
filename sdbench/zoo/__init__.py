"""Networks with their published weights: a name gives architecture, weights and feed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sdbench.assets.store import AssetStore
from sdbench.base.checks import file_errors_said, text
from sdbench.base.errors import AssetError, InputError
from sdbench.base.rehearsal import SENTENCE
from sdbench.networks import VideoNetwork, build
from sdbench.networks.filled import fill_state_dict
from sdbench.networks.network import Network
from sdbench.networks.reading import Layer
from sdbench.zoo import adapters
from sdbench.zoo.archives import own_weights, published_weights
from sdbench.zoo.asked import Asked
from sdbench.zoo.checkpoints import load_state, read_checkpoint
from sdbench.zoo.feeds import feed_of
from sdbench.zoo.published import CLASSES, Model, model, model_names, models

FILLED = "filled"
"""Stands where a training set is named: made-up weights, the same on every machine."""

_FILL_SEED = 0


@file_errors_said
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


@file_errors_said
def network_named(
    name: str,
    trained_on: str | None = None,
    weights: Path | str | None = None,
    store: AssetStore | None = None,
    *,
    layers: Sequence[str | Layer] | None = None,
    feed: Mapping[str, Any] | None = None,
    revision: str | None = None,
    untrained: int | None = None,
    axes: Mapping[str, str] | None = None,
) -> Network:
    """A network as the engine takes it: with its weights, what it is fed, and where both came from.

    Args:
        name: one of `model_names`; with made-up weights also any other that `sdbench.build` knows. With a prefix, one
            of another library (`sdbench.zoo.adapters.PREFIXES`): "hf:MCG-NJU/videomae-base", "torchvision:r3d_18"; or a
            function of the user's own: "my_model.py:build".
        trained_on: the data set of the weights; by default the first known. `FILLED` stands for made-up weights, which
            let a pipeline run to the digit without published ones.
        weights: a checkpoint of your own instead: see `load`.
        store: where assets lie.
        layers: the layers to read, by name or glob; by default those of the network.
        feed: fields of `Feed` -> what they shall be in place of what is known of the network.
        revision: of a hub's repository.
        untrained: seed of fresh weights in place of trained ones: what the architecture alone does.
        axes: name or glob of layers -> what the axes of their activations are: see `Layer`.

    Raises:
        InputError: the name, a layer or the training set is unknown, or `weights` is not there.
        AssetError: the weights cannot be had, are damaged, or do not fit.
    """
    asked = Asked(trained_on, weights, layers, feed or {}, revision, untrained, axes or {})
    store = store or AssetStore()
    if ":" in text("the name of a network", name, ("i3d",)):
        return asked.with_axes(adapters.network_of(name, asked, store))
    asked.without("a network of the suite", axes="it says itself what its layers are")
    return _of_the_suite(name, asked, store)


def _of_the_suite(name: str, asked: Asked, store: AssetStore) -> Network:
    asked.without("a network of the suite", revision="its weights have a hash instead")
    if asked.untrained is not None:
        if asked.weights is not None:
            raise InputError("a network is untrained or has weights of your own; say one of the two")
        architecture = name
        make: Callable[[], VideoNetwork] = partial(build, name)
        if name in model_names():
            known = model(name, asked.trained_on)  # which says how many classes there are
            architecture, make = known.architecture, known.build
        module = adapters.fresh(make, asked.untrained)
        note = adapters.untrained_note(asked.untrained)
        return Network(module, asked.fed(feed_of(architecture)), name, asked.layers, notes=(note,))
    if asked.trained_on == FILLED:
        module = build(name)
        fill_state_dict(module, _FILL_SEED)
        return Network(module, asked.fed(feed_of(name)), name, asked.layers)
    known = model(name, asked.trained_on)
    module = load(name, asked.weights, store, asked.trained_on)
    assets = {} if asked.weights is not None else store.hashes([known.asset])
    notes = (SENTENCE,) if store.is_rehearsal and assets else ()
    return Network(module, asked.fed(known.feed), name, asked.layers, assets=assets, notes=notes)


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
