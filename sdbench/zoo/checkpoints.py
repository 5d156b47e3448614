"""Published checkpoints, read safely and turned into state dicts.

A pickle can run code when it is read. Here every pickle goes through an unpickler that knows numpy arrays and nothing
else, or through torch's own `weights_only` reader; what was read once is kept as safetensors.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sdbench.assets.files import atomic_path, sha256_of
from sdbench.errors import AssetError
from sdbench.zoo.pytorchvideo import from_pytorchvideo as from_pytorchvideo  # noqa: PLC0414 - callers find it here

StateDict = dict[str, Tensor]
Reader = Callable[[Path], StateDict]

_CONVERSION = "1"
"""Raise this when a reader changes what it answers, so that files converted before are not used."""


def _latin1(text: str, encoding: str) -> bytes:
    """What old pickles of arrays use `_codecs.encode` for, and no other encoding."""
    if encoding != "latin1":
        raise AssetError(f"the pickle encodes text as {encoding}; only arrays as latin1 are admitted")
    return text.encode("latin1")


_ARRAY_GLOBALS = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # numpy 1 pickles name numpy.core, numpy 2 pickles numpy._core; both mean the same functions.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0] for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): np.float32(0).__reduce__()[0] for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): np.zeros(1).__reduce_ex__(5)[0] for core in ("core", "_core")},
    ("_codecs", "encode"): _latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ARRAY_GLOBALS[module, name]
        except KeyError:
            raise AssetError(
                f"the pickle asks for {module}.{name}; only numpy arrays are admitted, so it was not read: "
                "get the file from its publisher"
            ) from None

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002 - the signature is pickle's
        raise AssetError("the pickle refers to objects outside itself; only numpy arrays are admitted")


def read_pickled_arrays(path: Path) -> Any:
    """Unpickle containers of numpy arrays.

    Raises:
        AssetError: the pickle names anything but numpy arrays, or is damaged.
    """
    try:
        tree = _ArrayUnpickler(io.BytesIO(path.read_bytes())).load()
    except AssetError as error:
        raise AssetError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise AssetError(
            f"{path} is not a whole pickle ({type(error).__name__}: {error}); delete it and retry"
        ) from None
    for name, array in _leaves(tree):
        if isinstance(array, np.ndarray) and array.dtype.hasobject:
            raise AssetError(f"{path}: entry {name} holds Python objects; only arrays of numbers are admitted")
    return tree


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}/{key}")
    else:
        yield prefix.lstrip("/"), tree


def read_flax_i3d(path: Path) -> StateDict:
    """The packaged Inception-v1 I3D checkpoint: nested dicts `params` and `batch_stats` of channel-last arrays.

    Names become those of `I3DInception`: slashes become dots; a kernel (T, H, W, in, out) becomes a `weight`
    (out, in, T, H, W).
    """
    endings = {"kernel": "weight", "mean": "running_mean", "var": "running_var", "bias": "bias"}
    state: StateDict = {}
    for name, value in _leaves(read_pickled_arrays(path)):
        _, _, entry = name.partition("/")
        owner, _, leaf = entry.rpartition("/")
        if leaf not in endings or not isinstance(value, np.ndarray):
            raise AssetError(f"{path}: unexpected entry {name} in a Flax I3D checkpoint; is it the right file?")
        array: npt.NDArray[Any] = value.transpose(4, 3, 0, 1, 2) if leaf == "kernel" else value.reshape(-1)
        state[f"{owner.replace('/', '.')}.{endings[leaf]}"] = torch.from_numpy(np.ascontiguousarray(array))
    return state


def read_torch(path: Path) -> StateDict:
    """A state dict saved by torch, read with weights_only=True.

    Raises:
        AssetError: the file is damaged, or holds anything but tensors by name.
    """
    if not zipfile.is_zipfile(path):
        raise AssetError(f"{path} is not a checkpoint as torch writes it (a zip archive); is it whole?")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AssetError(f"{path} cannot be read as a torch checkpoint of tensors alone: {reason}") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise AssetError(f"{path} holds {type(state).__name__}, expected a dict of tensors by name")
    return dict(state)


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


def read_converted(path: Path, reader: Reader, folder: Path) -> StateDict:
    """Read a verified checkpoint through its safetensors copy in `folder`, which is made at the first call.

    The copy names the hash of the checkpoint it was made from and its own hash lies beside it; a copy that does not fit
    either is made anew.
    """
    source = sha256_of(path)
    copy = folder / f"{source[:16]}-{reader.__name__}-{_CONVERSION}.safetensors"
    seal = copy.with_suffix(".sha256")
    if copy.is_file() and seal.is_file() and seal.read_text(encoding="ascii").strip() == sha256_of(copy):
        return read_safetensors(copy)
    state = reader(path)
    seal.unlink(missing_ok=True)
    with atomic_path(copy) as temporary:
        save_file(state, temporary, metadata={"source_sha256": source})
        digest = sha256_of(temporary)
    with atomic_path(seal) as temporary:
        temporary.write_text(digest, encoding="ascii")
    return state


def load_state(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Copy `state` into `module`; every entry must fit.

    Raises:
        AssetError: entries are missing, left over or of another shape; all of them are listed.
    """
    own = module.state_dict()
    faults = [f"missing {name}" for name in own if name not in state]
    faults += [f"left over {name}" for name in state if name not in own]
    faults += [
        f"{name} has shape {tuple(state[name].shape)}, expected {tuple(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    if faults:
        shown = "; ".join(faults[:12]) + (f"; and {len(faults) - 12} more" if len(faults) > 12 else "")
        raise AssetError(f"{what} does not fit {type(module).__name__} in {len(faults)} entries: {shown}")
    module.load_state_dict(dict(state))
