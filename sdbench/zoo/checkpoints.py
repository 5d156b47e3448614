"""Published checkpoints, read safely and turned into state dicts.

A pickle can run code when it is read. Here every pickle goes through an unpickler that knows numpy arrays and nothing
else, or through torch's own `weights_only` reader; what was read once is kept as safetensors.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sdbench.base.cache_keys import cache_key
from sdbench.base.errors import AssetError
from sdbench.base.files import is_web_page, sha256_of
from sdbench.base.kept import kept_arrays
from sdbench.networks.action.tokens import resize_positions
from sdbench.networks.registry import build
from sdbench.zoo.caffe2 import from_caffe2
from sdbench.zoo.flax import from_flax_i3d
from sdbench.zoo.pickled import read_pickled_arrays
from sdbench.zoo.pytorchvideo import from_pytorchvideo as from_pytorchvideo  # noqa: PLC0414 - callers find it here
from sdbench.zoo.pytorchvideo import is_pytorchvideo

StateDict = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

_CONVERSION = "2"
"""Raise this when a reader changes what it answers, so that files converted before are not used."""

_ZIP = b"PK\x03\x04"
# Before version 1.6 torch wrote several pickles one after the other; the first one is this number.
_LEGACY_TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
_WRAPPERS = ("model_state", "state_dict")
_TIME_EMBEDDING = "model.time_embed"
_LISTED = 40
_NO_OPTIONS: Mapping[str, int | str] = MappingProxyType({})


def read_checkpoint(path: Path, network: str, options: Mapping[str, int | str] = _NO_OPTIONS) -> StateDict:
    """A published checkpoint as a state dict for the network that `build(network, **options)` makes.

    What the file is decides, not its ending: torch's archive (or its older format) with the entries at the top, under
    `model_state` or under `state_dict`; a pickle of arrays from Caffe2 (`blobs`) or from Flax; safetensors. Names may
    be ours, PyTorchVideo's or Caffe2's, with DataParallel's `module.` or TimeSformer's `model.` before them. A time
    embedding of another length is resized to the network's by nearest neighbour, as TimeSformer's own code does.

    The answer holds all that the file holds for the network, and what it holds beyond under its own name:
    `load_state` lists what does not fit.

    Raises:
        InputError: the network or an option is unknown.
        AssetError: the file is damaged, is none of these, or would run code.
    """
    shapes = _shapes(network, options)
    with path.open("rb") as file:
        start = file.read(len(_LEGACY_TORCH))
    if is_web_page(path):
        raise AssetError(f"{path} is a web page, not a checkpoint; open it in a browser to see what it says")
    if start.startswith(_ZIP) or start == _LEGACY_TORCH:
        state = read_torch(path)
    elif start[8:9] == b"{":
        state = read_safetensors(path)
    else:
        state = _named_arrays(read_pickled_arrays(path), shapes, path)
    try:
        return _resize_time(_rename(state, shapes), shapes)
    except AssetError as error:
        raise AssetError(f"{path}: {error}") from None


def _shapes(network: str, options: Mapping[str, Any]) -> Shapes:
    with torch.device("meta"):  # nothing is allocated or drawn
        return {name: tuple(value.shape) for name, value in build(network, **options).state_dict().items()}


def _named_arrays(tree: Any, shapes: Shapes, path: Path) -> StateDict:
    tree = _with_text_keys(tree)
    try:
        if isinstance(tree, Mapping) and isinstance(tree.get("blobs"), Mapping):
            return from_caffe2(tree["blobs"], shapes)
        if isinstance(tree, Mapping) and "params" in tree:
            return from_flax_i3d(tree)
    except AssetError as error:
        raise AssetError(f"{path}: {error}") from None
    keys = ", ".join(map(str, list(tree)[:5])) if isinstance(tree, Mapping) else ""
    holds = f"a dict with the keys {keys}" if keys else f"a {type(tree).__name__}"
    raise AssetError(f"{path} is a pickle of {holds}; expected a dict with the key blobs (Caffe2) or params (Flax)")


def _with_text_keys(tree: Any) -> Any:
    """The same tree with text for keys: those of files from Python 2 may be bytes."""
    if not isinstance(tree, Mapping):
        return tree
    return {
        key.decode("latin1") if isinstance(key, bytes) else key: _with_text_keys(value) for key, value in tree.items()
    }


def _rename(state: StateDict, shapes: Shapes) -> StateDict:
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    if is_pytorchvideo(state):
        return from_pytorchvideo(state)
    # The same file may name TimeSformer's entries with or without the `model.` that ours have.
    candidates = [
        state,
        {f"model.{name}": value for name, value in state.items()},
        {name.removeprefix("model."): value for name, value in state.items()},
    ]
    return max(candidates, key=lambda candidate: len(candidate.keys() & shapes.keys()))


def _resize_time(state: StateDict, shapes: Shapes) -> StateDict:
    embedding, wanted = state.get(_TIME_EMBEDDING), shapes.get(_TIME_EMBEDDING)
    if embedding is None or wanted is None or embedding.ndim != 3 or embedding.shape[1] == wanted[1]:
        return state
    resized = resize_positions(embedding, (embedding.shape[1],), (wanted[1],)).contiguous()
    return {**state, _TIME_EMBEDDING: resized}


def read_torch(path: Path) -> StateDict:
    """A state dict saved by torch, at the top of the file, under `model_state` or under `state_dict`.

    It is read with weights_only=True; of numpy, only plain numbers are admitted (optimisers keep some).

    Raises:
        AssetError: the file is damaged, would run code, or holds no dict of tensors by name.
    """
    with path.open("rb") as file:
        start = file.read(len(_LEGACY_TORCH))
    members = _members_of_zip(path)
    if members is not None:
        if not is_torch_archive(path):
            raise AssetError(
                f"{path} is a zip archive of {', '.join(members[:3])}{', ...' if len(members) > 3 else ''}, not a "
                "checkpoint; if the checkpoint is inside, unpack it first"
            )
    elif start.startswith(_ZIP):
        raise AssetError(f"{path} is cut off: a zip archive without its end; delete it and fetch it again")
    elif start != _LEGACY_TORCH:
        raise AssetError(f"{path} is not a checkpoint as torch writes it (a zip archive); is it whole?")
    try:
        with _plain_numbers_admitted():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise AssetError(f"{path} cannot be read as a torch checkpoint of tensors alone: {_reason(error)}") from None
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping):
        raise AssetError(f"{path} holds {type(content).__name__}, expected a dict of tensors by name")
    strange = [name for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if strange or not content:
        listed = ", ".join(map(str, strange[:5])) + (", ..." if len(strange) > 5 else "")
        found = f"{listed} beside or instead of tensors" if strange else "nothing"
        raise AssetError(
            f"{path} holds {found}; expected a dict of tensors by name, or one under {' or '.join(_WRAPPERS)}"
        )
    return {name: value.detach() for name, value in content.items()}


def is_torch_archive(path: Path) -> bool:
    """Whether a file is the kind of zip that torch saves tensors as."""
    return any(member.endswith("data.pkl") for member in _members_of_zip(path) or ())


def _members_of_zip(path: Path) -> list[str] | None:
    """The names in a zip; None where the file is none, or not whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        return None


def _plain_numbers_admitted() -> AbstractContextManager[Any]:
    scalar = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "bool")]
    named = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return torch.serialization.safe_globals([*named, np.dtype, *kinds])


def _reason(error: Exception) -> str:
    text = str(error).strip()
    if asked := re.search(r"GLOBAL (\S+)", text):
        return f"it asks for {asked[1]}, so it was not read; get the file from its publisher"
    return (text.splitlines()[0] if text else type(error).__name__) + "; if it is cut off, delete it and fetch it again"


def read_safetensors(path: Path) -> StateDict:
    """A state dict in the safetensors format.

    Raises:
        AssetError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise AssetError(f"{path} cannot be read as safetensors ({error}); delete it and retry") from None


def read_converted(path: Path, network: str, folder: Path, options: Mapping[str, int | str] = _NO_OPTIONS) -> StateDict:
    """What `read_checkpoint` answers, by way of a safetensors copy in `folder`: see `converted`.

    Raises:
        InputError, AssetError: as `read_checkpoint`.
    """
    return converted(folder, sha256_of(path), network, dict(options), lambda: read_checkpoint(path, network, options))


def converted(
    folder: Path, source: str, name: str, details: Mapping[str, Any], read: Callable[[], StateDict]
) -> StateDict:
    """What `read` answers, by way of a copy in `folder`, which is made at the first call, and anew where it is damaged.

    Args:
        folder: where the copies lie.
        source: the SHA-256 of the file that `read` reads.
        name: whose weights they are.
        details: what the answer depends on besides.
        read: reads the weights.

    Raises:
        DiskError: the copy cannot be read or written.
    """
    recipe = (_CONVERSION, source, name, sorted(details.items()))
    key = cache_key("converted weights", recipe, code=(__name__, read))
    kept = kept_arrays(folder, key, lambda: {entry: value.numpy() for entry, value in read().items()})
    return {entry: torch.from_numpy(value) for entry, value in kept.items()}


def load_state(module: nn.Module, state: Mapping[str, Tensor], what: str, spare: Collection[str] = ()) -> None:
    """Copy `state` into `module`; every entry must fit.

    Args:
        module: the network.
        state: its entries.
        what: where they come from, for the error.
        spare: entries that may be missing; they keep their values.

    Raises:
        AssetError: entries are missing, left over or of another shape; all of them are listed.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and name not in spare]
    extra = [name for name in state if name not in own]
    reshaped = [name for name, value in own.items() if name in state and state[name].shape != value.shape]
    if not (missing or extra or reshaped):
        module.load_state_dict({**own, **state})
        return
    faults = [f"missing {name}" for name in missing]
    faults += [f"left over {name}" for name in extra]
    faults += [f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}" for name in reshaped]
    hint = ""
    if not missing and not extra and all(_classes_differ(state[name], own[name]) for name in reshaped):
        theirs, ours = state[reshaped[0]].shape[0], own[reshaped[0]].shape[0]
        hint = f"; it knows {theirs} classes, the network {ours}: take the weights of the training set you asked for"
    elif 2 * (len(missing) + len(reshaped)) > len(own):
        hint = "; it seems to be a checkpoint of another network"
    counts = f"{len(missing)} missing, {len(extra)} left over, {len(reshaped)} of another shape"
    shown = "; ".join(faults[:_LISTED]) + (f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else "")
    raise AssetError(f"{what} does not fit {type(module).__name__} in {len(faults)} entries ({counts}): {shown}{hint}")


def _classes_differ(theirs: Tensor, ours: Tensor) -> bool:
    """Whether only the first axis differs, as in a classifier's weight (classes, C) and bias (classes,)."""
    return theirs.ndim == ours.ndim <= 2 and theirs.shape[1:] == ours.shape[1:]
