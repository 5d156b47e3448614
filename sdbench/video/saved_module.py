"""Modules that torch saved whole, read without running anything of them.

A module that was saved whole is a pickle that names the classes of its parts, and a pickle can run code when it is
read. Here each of the few classes that a painter consists of is stood in for by an empty one, which holds what the
pickle says of it and does nothing; every other name is refused before anything comes of it. Tensors become notes of
where their values lie, and the values are taken from the file last.
"""

from __future__ import annotations

import math
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from sdbench.base.errors import AssetError

ZIP = b"PK\x03\x04"
LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""How torch wrote files before version 1.6: several pickles one after the other; the first one is a number."""

_VERSION = 1001
"""Of the older format; torch never wrote another."""

_MODULES = frozenset(
    {
        ("models", "GeneratorJ"),
        ("models", "UpsamplingLayer"),
        ("torch.nn.modules.activation", "LeakyReLU"),
        ("torch.nn.modules.activation", "ReLU"),
        ("torch.nn.modules.activation", "Tanh"),
        ("torch.nn.modules.batchnorm", "BatchNorm2d"),
        ("torch.nn.modules.container", "ModuleList"),
        ("torch.nn.modules.container", "Sequential"),
        ("torch.nn.modules.conv", "Conv2d"),
        ("torch.nn.modules.upsampling", "Upsample"),
    }
)
"""Classes that are stood in for."""

_PLAIN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}

_MOST_MODULES = 1000
"""A pickle can name one part many times over, so that the tree of them never ends."""


class _StandIn:
    """A part of a module, with the attributes that the pickle gives it and no behaviour."""


@dataclass(frozen=True)
class _Storage:
    """Values of the file that tensors are made of."""

    key: str
    kind: np.dtype[Any]
    count: int

    @property
    def bytes(self) -> int:
        return self.count * self.kind.itemsize


@dataclass(frozen=True)
class _Saved:
    """A tensor before its values are read: where in which storage they lie."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self, values: Mapping[str, Tensor]) -> Tensor:
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if math.prod(self.size) > self.storage.count or last >= self.storage.count:
            raise AssetError("a tensor reaches beyond its values")
        return values[self.storage.key].as_strided(self.size, self.stride, self.offset).clone()


class _ModuleUnpickler(pickle.Unpickler):
    """Knows stand-ins, dicts, sets and tensors.

    Attributes:
        storages: all that the pickle speaks of, by key.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}
        # Of this file alone: a pickle can hang attributes on what it is given, and the next one must not find them.
        self._stand_ins = {name: type(name[1], (_StandIn,), {}) for name in _MODULES}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            **self._stand_ins,
            **_PLAIN,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
        }
        try:
            return known[module, name]
        except KeyError:
            raise AssetError(
                f"it asks for {module}.{name}, which no painter consists of, so it was not read: get the file from its "
                "publisher"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("module", type() as kind, *_source) if kind in self._stand_ins.values():
                return kind
            case ("storage", np.dtype() as kind, str(key), str(_device), int(count), *view):
                if count < 0 or any(part is not None for part in view):
                    raise AssetError("it holds a view of other values; expected plain ones")
                found = _Storage(key, kind, count)
                if self.storages.setdefault(key, found) != found:
                    raise AssetError(f"it speaks of the values {key} in two ways")
                return found
        raise AssetError("it refers to something outside itself that is neither a tensor's values nor a class")

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_about: Any) -> _Saved:
        numbers = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
        whole = numbers and all(type(n) is int and n >= 0 for n in (offset, *size, *stride))
        if not (whole and isinstance(storage, _Storage)):
            raise AssetError("it describes a tensor as torch never does")
        return _Saved(storage, offset, size, stride)

    def _parameter(self, data: Any, *_about: Any) -> _Saved:
        if not isinstance(data, _Saved):
            raise AssetError("it describes a parameter as torch never does")
        return data


def read_saved_module(path: Path) -> dict[str, Tensor]:
    """The state dict of a module that torch saved whole, or one that was saved as such; nothing of the file is run.

    Both formats of torch are read: the zip archive, and what was written before version 1.6.

    Raises:
        AssetError: the file is damaged, is none of these, or names anything but the parts of a painter.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(LEGACY))
            if start.startswith(ZIP):
                tree, values = _from_zip(path)
            elif start == LEGACY:
                tree, values = _from_legacy(file)
            else:
                raise AssetError("it is not a file as torch writes it")
        entries = {name: saved.read(values) for name, saved in _entries(tree)}
    except AssetError as error:
        raise AssetError(f"{path} cannot be read as a painter: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise AssetError(
            f"{path} is not a whole file of torch ({type(error).__name__}: {error}); delete it and fetch it again"
        ) from None
    return entries


def _from_zip(path: Path) -> tuple[Any, dict[str, Tensor]]:
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(found) != 1:
            raise AssetError(
                "it is a zip archive of something else than one module; if that is inside, unpack it first"
            )
        if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
            raise AssetError("it is compressed, as torch never does")  # what is not cannot be larger than the file
        prefix = found[0].removesuffix("data.pkl")
        if f"{prefix}byteorder" in archive.namelist() and archive.read(f"{prefix}byteorder") != b"little":
            raise AssetError("it was written on a machine of another byte order; save it anew on a common one")
        with archive.open(found[0]) as file:
            unpickler = _ModuleUnpickler(file)
            tree = unpickler.load()
        _check_total(unpickler.storages, path.stat().st_size)
        values = {}
        for key, storage in unpickler.storages.items():
            values[key] = _tensor_of(storage, archive.read(f"{prefix}data/{key}"))
    return tree, values


def _from_legacy(file: IO[bytes]) -> tuple[Any, dict[str, Tensor]]:
    version, machine = (_ModuleUnpickler(file).load() for _ in range(2))
    if version != _VERSION or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise AssetError("it was written by a torch, or on a machine, that is not known; save it anew on a common one")
    unpickler = _ModuleUnpickler(file)
    tree = unpickler.load()
    keys = _ModuleUnpickler(file).load()
    if not isinstance(keys, list) or sorted(keys) != sorted(unpickler.storages):
        raise AssetError("its tensors and its values do not belong together")
    _check_total(unpickler.storages, os.fstat(file.fileno()).st_size)
    values = {}
    for key in keys:
        storage = unpickler.storages[key]
        if int.from_bytes(file.read(8), "little") != storage.count:
            raise AssetError(f"it speaks of the values {key} in two ways")
        values[key] = _tensor_of(storage, file.read(storage.bytes))
    return tree, values


def _check_total(storages: Mapping[str, _Storage], size: int) -> None:
    if sum(storage.bytes for storage in storages.values()) > size:
        raise AssetError("it promises more values than it is large; if it is cut off, delete it and fetch it again")


def _tensor_of(storage: _Storage, content: bytes) -> Tensor:
    if len(content) != storage.bytes:
        raise AssetError("its values are not whole; delete it and fetch it again")
    return torch.from_numpy(np.frombuffer(content, storage.kind).astype(storage.kind.newbyteorder("=")))


def _entries(tree: Any) -> Iterator[tuple[str, _Saved]]:
    """Name of each entry of a state dict, and its tensor."""
    if isinstance(tree, _StandIn):
        yield from _entries_of_modules(tree)
        return
    if not isinstance(tree, Mapping) or not tree:
        raise AssetError(f"it holds {type(tree).__name__}; expected a module, or a dict of tensors by name")
    for name, saved in tree.items():
        if not (isinstance(name, str) and isinstance(saved, _Saved)):
            raise AssetError(f"it holds {name} beside or instead of tensors; expected a module, or tensors by name")
        yield name, saved


def _entries_of_modules(top: _StandIn) -> Iterator[tuple[str, _Saved]]:
    waiting: list[tuple[str, Any]] = [("", top)]
    for visited in range(_MOST_MODULES + 1):
        if not waiting:
            return
        if visited == _MOST_MODULES:
            raise AssetError("it consists of more parts than any painter")
        prefix, module = waiting.pop()
        if not isinstance(module, _StandIn):
            raise AssetError(f"its part {prefix.rstrip('.')} is none")
        own = vars(module)
        tensors = {**own.get("_parameters", {}), **own.get("_buffers", {})}
        for name, saved in tensors.items():
            if saved is None:  # a convolution without bias has a place for one
                continue
            if not isinstance(saved, _Saved):
                raise AssetError(f"its entry {prefix}{name} is no tensor")
            yield f"{prefix}{name}", saved
        inner = own.get("_modules", {})
        waiting += [(f"{prefix}{name}.", part) for name, part in inner.items() if part is not None]
