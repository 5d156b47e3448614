"""Checkpoints in the formats in which they were published."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.rehearsal.entries import Shapes
from benchmarks.rehearsal.values import Array, Values

State = dict[str, Tensor]


def state_of(names: Mapping[str, str], values: Values) -> State:
    """A state dict: name in the file -> the numbers of its entry."""
    return {name: torch.from_numpy(np.array(values(entry))) for name, entry in names.items()}


def under(prefix: str, shapes: Iterable[str]) -> dict[str, str]:
    """Each entry under its own name with `prefix` before it."""
    return {prefix + entry: entry for entry in shapes}


def pyslowfast(state: State, path: Path, legacy: bool = False) -> None:
    """As PySlowFast's training saves it; `legacy`: by a torch before 1.6, whose files are no zip archives."""
    optimiser = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    content = {"epoch": 299, "model_state": state, "optimizer_state": optimiser, "cfg": "TRAIN:\n  ENABLE: True\n"}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)


def pytorchvideo(state: State, path: Path) -> None:
    """As PyTorchVideo publishes the networks that PySlowFast trained."""
    torch.save({"model_state": state}, path)


def fusionseg(state: State, path: Path) -> None:
    """As the training code of its DeepLab saves it."""
    content = {"cur_itrs": 30000, "model_state": state, "optimizer_state": {"state": {}, "param_groups": []}}
    torch.save({**content, "scheduler_state": {"last_epoch": 30000}, "best_score": np.float64(0.75)}, path)


def rtnet(state: State, path: Path) -> None:
    """As DataParallel leaves it, by an old torch."""
    named = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 10, "state_dict": named}, path, _use_new_zipfile_serialization=False)


def matnet(state: State, folder: Path, epochs: Iterable[int] = (18, 19)) -> None:
    """An encoder and a decoder of each epoch, in files of their own, with entries that the network has no use for.

    Only the last epoch has the numbers; those before are zero.
    """
    folder.mkdir(parents=True, exist_ok=True)
    *before, last = epochs
    for part in ("encoder", "decoder"):
        own = {f"module.{name.removeprefix(f'{part}.')}": v for name, v in state.items() if name.startswith(f"{part}.")}
        own["module.fc_of_pretraining.weight"] = torch.zeros(4, 4)
        torch.save(own, folder / f"{part}_{last}.pt")
        for epoch in before:
            # One zero, stretched: an epoch that nobody reads takes no room.
            none = {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in own.items()}
            torch.save(none, folder / f"{part}_{epoch}.pt")


def zipped(folder: Path, target: Path, top: str = "") -> None:
    """The files of a folder in a zip that is not packed, below the folder `top`, as Dropbox and others make them."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, top + path.relative_to(folder).as_posix())


class _FromPython2(pickle._Pickler):
    """Writes what Python 2 wrote: text and bytes are one kind of string, and numpy's modules have their old names."""

    dispatch: ClassVar[dict[type, Callable[..., None]]] = dict(pickle._Pickler.dispatch)
    write: Callable[[bytes], Any]
    memoize: Callable[[Any], None]

    def _save_string(self, text: str | bytes) -> None:
        data = text.encode("latin1") if isinstance(text, str) else text
        size = len(data)
        head = pickle.SHORT_BINSTRING + bytes([size]) if size < 256 else pickle.BINSTRING + struct.pack("<i", size)
        self.write(head + data)
        self.memoize(text)

    dispatch[str] = _save_string
    dispatch[bytes] = _save_string

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name or obj.__qualname__}\n".encode())
        self.memoize(obj)

    dispatch[type] = save_global
    dispatch[type(len)] = save_global
    dispatch[type(zipped)] = save_global


def caffe2(blobs: Mapping[str, str], shapes: Shapes, values: Values, path: Path) -> None:
    """As Caffe2's model zoo pickles it, with what its optimiser kept."""
    arrays: dict[str, Array] = {blob: np.asarray(values(entry), np.float32) for blob, entry in blobs.items()}
    for blob, entry in list(blobs.items())[:3]:
        arrays[f"{blob}_momentum"] = np.zeros(shapes[entry], np.float32)
    arrays["lr"], arrays["model_iter"] = np.full(1, 1e-4, np.float32), np.full(1, 300_000, np.int64)
    with path.open("wb") as file:
        _dump({"blobs": arrays}, file)


def _dump(content: Any, file: BinaryIO) -> None:
    _FromPython2(file, protocol=2).dump(content)
