"""SHA-256 of a module: parameters, buffers, and whatever else its state dict holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdbench.base.errors import InputError
from sdbench.networks.user_errors import users_code

_PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.Size, torch.device)


def hash_module(module: nn.Module, name: str) -> str:
    """SHA-256 over the names and values of a module's state dict, and of the buffers that are no part of it.

    Args:
        module: any module.
        name: how to call it in messages.

    Raises:
        InputError: its state dict cannot be made, or a tensor has no values yet.
    """
    with users_code(f"the state dict of {name} cannot be made"):
        entries: dict[str, Any] = dict(module.state_dict())
    entries |= {key: value for key, value in module.named_parameters() if key not in entries}
    entries |= {key: value for key, value in module.named_buffers() if key not in entries}
    digest = hashlib.sha256(type(module).__qualname__.encode())
    for key, value in entries.items():
        digest.update(key.encode())
        if isinstance(value, Tensor):
            check_values(key, value, name)
        _add(digest, value)
    return digest.hexdigest()


def check_values(key: str, value: Tensor, name: str) -> None:
    """See that a tensor of a module has values.

    Raises:
        InputError: it has none: it is made at the first forward pass, or it is a shape alone.
    """
    if nn.parameter.is_lazy(value):
        raise InputError(
            f"{key} of {name} is lazy: it has no values before the first forward pass, and random ones after it; pass "
            "a clip through the module, load its weights, and measure it then"
        )
    if value.is_meta:
        raise InputError(
            f"{key} of {name} is on the meta device, a shape without values, as offloaded weights are: load them first"
        )


def _add(digest: Any, value: Any) -> None:
    """Add a value, whatever it is, in a way that is the same in every process."""
    if isinstance(value, Tensor):
        _add_tensor(digest, value)
    elif isinstance(value, _PLAIN):
        digest.update(repr(value).encode())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype.str} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _add(digest, key)
            _add(digest, item)
    elif isinstance(value, (list, tuple)):
        digest.update(f"{type(value).__qualname__} {len(value)}".encode())
        for item in value:
            _add(digest, item)
    elif isinstance(value, (set, frozenset)):
        digest.update(repr(sorted(map(repr, value))).encode())
    else:  # its repr may hold an address
        digest.update(f"{type(value).__module__}.{type(value).__qualname__}".encode())


def _add_tensor(digest: Any, value: Tensor) -> None:
    value = value.detach()
    if hasattr(value, "full_tensor"):  # sharded over processes
        value = value.full_tensor()
    if hasattr(value, "__tensor_flatten__"):  # a tensor made of others, such as quantised weights
        names, about = value.__tensor_flatten__()
        digest.update(f"{type(value).__qualname__} {sorted(map(repr, about or ()))}".encode())
        for name in names:
            _add(digest, getattr(value, name))
    elif value.is_quantized:
        digest.update(f"{value.dtype} {value.qscheme()}".encode())
        _add_tensor(digest, value.int_repr())
        _add_tensor(digest, value.dequantize())
    elif value.layout is not torch.strided:
        digest.update(f"{value.layout} {tuple(value.shape)}".encode())
        _add_tensor(digest, value.to_dense())
    else:
        plain = value.resolve_conj().resolve_neg().cpu().contiguous().flatten()
        digest.update(plain.view(torch.uint8).numpy().data)


def describe_parts(module: nn.Module) -> list[tuple[str, str, list[tuple[str, Any]]]]:
    """Name and kind of every submodule, and of torch's and this package's own the plain values they compute with."""
    found = []
    for name, part in module.named_modules():
        kind = type(part)
        own = kind.__module__.startswith(("torch.nn.modules.", "sdbench."))
        plain = [
            (key, getattr(value, "__qualname__", value))
            for key, value in sorted(vars(part).items())
            if own and not key.startswith("_") and key != "training" and _is_plain(value)
        ]
        found.append((name, f"{kind.__module__}.{kind.__qualname__}", plain))
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN) or (callable(value) and hasattr(value, "__qualname__"))
