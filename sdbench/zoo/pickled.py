"""Pickles of numpy arrays, read by an unpickler that knows nothing else: a pickle can run code when it is read."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sdbench.base.errors import AssetError


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
    """Unpickle containers of numpy arrays, those written by Python 2 included.

    Raises:
        AssetError: the pickle names anything but numpy arrays, or is damaged.
    """
    try:
        with path.open("rb") as file:
            # The strings of Python 2 are bytes; as latin1, the bytes of its arrays come through unchanged.
            tree = _ArrayUnpickler(file, encoding="latin1").load()
        found = list(leaves(tree))
    except RecursionError:
        raise AssetError(f"{path} holds containers that hold themselves, or very deep ones; refused") from None
    except AssetError as error:
        raise AssetError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle can fail in any way
        raise AssetError(
            f"{path} is not a whole pickle ({type(error).__name__}: {error}); delete it and retry"
        ) from None
    for name, array in found:
        if isinstance(array, np.ndarray) and array.dtype.hasobject:
            raise AssetError(f"{path}: entry {name} holds Python objects; only arrays of numbers are admitted")
    return tree


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What a tree of mappings holds, each with the keys that lead to it, joined by slashes."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{prefix}/{key}")
    else:
        yield prefix.lstrip("/"), tree
