"""What forward passes may change of a module, and how it is put back: modes, hooks, parts and tensors."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_TABLES = tuple(
    name for name, value in vars(nn.Module()).items() if isinstance(value, (dict, set)) and name != "_parameters"
)
"""The attributes in which every module has its buffers, parts and hooks.

Whoever exchanges parameters during a pass, such as wrappers that shard them, puts them back or counts on its own.
"""


@dataclass(eq=False)
class _Known:
    """A tensor and what it held."""

    name: str
    tensor: Tensor
    version: int | None
    values: Tensor
    is_parameter: bool = False


class ModuleState:
    """A module as it is now: `put_back` makes it so again.

    Tensors are put back by value, whether a pass changed them in place or put others in their stead; so are flags, such
    as one that says that hooks are in place. Other plain values, such as a count of passes, stay as they were left.

    Args:
        module: any module.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        parts = [(name, part) for name, part in module.named_modules() if not isinstance(part, torch.jit.ScriptModule)]
        self._modes = [(part, part.training) for part in module.modules()]
        self._tables = [
            (name, part, key, table, table.copy())
            for name, part in parts
            for key in _TABLES
            if isinstance(table := vars(part).get(key), (dict, set))
        ]
        self._attributes = [(part, dict(vars(part))) for _, part in parts]
        plain = [
            (_joined(name, key), value)
            for name, part in parts
            for key, value in vars(part).items()
            if isinstance(value, Tensor)
        ]
        self._tensors = [_remembered(name, value) for name, value in (*module.named_buffers(), *plain)]
        self._unseen: set[str] = set()
        self._parameters: list[_Known] = []

    def watch_parameters(self) -> None:
        """From now on parameters count as well: they are copied."""
        self._parameters = [_remembered(name, value, True) for name, value in self._module.named_parameters()]

    def forget_parameters(self) -> None:
        """Let go of the copies of parameters, but of those that a pass was seen to change."""
        self._parameters = [known for known in self._parameters if known.name in self._unseen]

    def put_back(self, by_value: bool = False) -> tuple[str, ...]:
        """Make the module what it was.

        Args:
            by_value: hold the values of all tensors against those they had. Otherwise torch's count of the changes of
                each is looked at, which is free, and misses what is changed behind its back (through `.data`, NumPy).

        Returns:
            the names of the tensors that were changed.
        """
        changed = []
        for part, mode in self._modes:
            if part.training != mode:
                part.training = mode
        for name, part, key, table, content in self._tables:
            now = vars(part).get(key)
            if now is not table or not _same(now, content):
                if key == "_buffers" and isinstance(now, dict) and isinstance(content, dict):
                    changed += [_joined(name, of) for of in now if now[of] is not content.get(of)]
                table.clear()
                table.update(content)
                vars(part)[key] = table
        for part, given in self._attributes:
            of_part = vars(part)
            for key in [key for key, value in of_part.items() if isinstance(value, (Tensor, bool))]:
                if key not in given:
                    del of_part[key]
                elif of_part[key] is not given[key]:
                    of_part[key] = given[key]
            of_part.update({key: value for key, value in given.items() if isinstance(value, (Tensor, bool))})
        for known in (*self._tensors, *self._parameters):
            if self._is_changed(known, by_value):
                changed.append(known.name)
                _write(known)
        return tuple(dict.fromkeys(changed))

    def _is_changed(self, known: _Known, by_value: bool) -> bool:
        seen = known.version is not None and known.tensor._version != known.version
        if not by_value:
            return seen or known.name in self._unseen
        differs = not _equal(known.tensor, known.values)
        if differs and (known.is_parameter or not seen):
            self._unseen.add(known.name)
        return differs


def _joined(part: str, name: str) -> str:
    return f"{part}.{name}" if part else name


def _remembered(name: str, value: Tensor, is_parameter: bool = False) -> _Known:
    version = None if value.is_inference() else value._version
    try:
        return _Known(name, value, version, value.detach().clone(), is_parameter)
    except (RuntimeError, NotImplementedError, TypeError, ValueError):  # has no values, or cannot be copied
        return _Known(name, value, None, value, is_parameter)


def _equal(one: Tensor, other: Tensor) -> bool:
    if one is other:
        return True
    try:
        return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
    except (RuntimeError, NotImplementedError, TypeError):  # of a kind that cannot be compared
        return True


def _write(known: _Known) -> None:
    with torch.no_grad(), torch.inference_mode() if known.tensor.is_inference() else contextlib.nullcontext():
        known.tensor.copy_(known.values)
    if known.version is not None:
        known.version = known.tensor._version


def _same(now: Any, content: Any) -> bool:
    if isinstance(content, set) or isinstance(now, set):
        return bool(now == content)
    return list(now) == list(content) and all(now[key] is value for key, value in content.items())
