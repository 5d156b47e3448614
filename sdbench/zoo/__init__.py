"""Networks with their published weights: a name gives architecture, weights and preparation."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from sdbench.assets.store import AssetStore
from sdbench.errors import InputError, unknown_name
from sdbench.networks.reading import VideoNetwork
from sdbench.networks.registry import build
from sdbench.zoo.checkpoints import (
    Reader,
    StateDict,
    load_state,
    read_converted,
    read_flax_i3d,
    read_safetensors,
    read_torch,
)
from sdbench.zoo.preparation import Preparation


@dataclass(frozen=True)
class Model:
    """A network with weights that are known.

    Attributes:
        name: as `load` takes it; the same name gives the architecture to `build`.
        task: what the weights were trained to do.
        trained_on: the data set they were trained on.
        asset: the asset that holds the weights.
        reader: turns that file into a state dict.
        preparation: what the network is fed.
    """

    name: str
    task: str
    trained_on: str
    asset: str
    reader: Reader
    preparation: Preparation


_MODELS = {
    model.name: model
    for model in (
        Model(
            name="i3d_inception",
            task="action recognition",
            trained_on="kinetics400",
            asset="i3d_inception_kinetics400",
            reader=read_flax_i3d,
            # 112 x 112 instead of the 224 x 224 of training: a quarter of the time, and the network is convolutional.
            preparation=Preparation(frames=16, short_side=112, size=(112, 112), fit="crop", layout="signed"),
        ),
        Model(
            name="transnetv2",
            task="shot boundary detection",
            trained_on="clipshots, bbc, rai",
            asset="transnetv2",
            reader=read_torch,
            preparation=Preparation(frames=16, short_side=112, size=(27, 48), fit="stretch", layout="bytes"),
        ),
    )
}


def model_names() -> tuple[str, ...]:
    """The names that `load` knows, in alphabetical order."""
    return tuple(sorted(_MODELS))


def model(name: str) -> Model:
    """What is known of the network `name`."""
    if name not in _MODELS:
        raise unknown_name("network", name, _MODELS)
    return _MODELS[name]


def load(name: str, weights: Path | str | None = None, store: AssetStore | None = None) -> VideoNetwork:
    """A network with published weights, fetched and verified where they are not at hand, in eval mode.

    Args:
        name: one of `model_names`.
        weights: a checkpoint of your own instead: .safetensors, a torch state dict, or the published format.
        store: where assets lie.

    Raises:
        InputError: the name is unknown, or `weights` is not a file.
        AssetError: the weights cannot be had, are damaged, or do not fit.
    """
    known = model(name)
    store = store or AssetStore()
    if weights is None:
        path = store.path(known.asset)
        state = read_converted(path, known.reader, store.folder / "converted")
    else:
        path = Path(weights)
        state = _read_own(path, known)
    module = build(name)
    load_state(module, state, f"the checkpoint {path.name}")
    return module


def _read_own(path: Path, known: Model) -> StateDict:
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; expected a .safetensors file, a torch state dict or {known.asset}")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    if zipfile.is_zipfile(path):
        return read_torch(path)
    return known.reader(path)


__all__ = ["Model", "Preparation", "load", "model", "model_names"]
