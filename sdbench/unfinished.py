"""The sums of a measurement while it runs, kept on disk so that an interruption costs seconds, not hours."""

from __future__ import annotations

import json
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sdbench.base.files import atomic_path
from sdbench.statistics.sums import Moments, merge

_SAVE_EVERY = 30.0  # seconds
_NAMES = tuple(field.name for field in fields(Moments))


class Unfinished:
    """Sums by layer and resampling block, and how many samples they hold.

    Args:
        path: where they are kept.
        sums: layer -> block -> sums.
        done: number of samples that the sums hold.
    """

    def __init__(self, path: Path, sums: dict[str, dict[str, Moments]] | None = None, done: int = 0) -> None:
        self.path = path
        self._sums: dict[str, dict[str, Moments]] = sums or {}
        self.done = done
        self._saved = done
        self._saved_at = time.monotonic()

    @property
    def sums(self) -> dict[str, tuple[Moments, ...]]:
        """Layer -> the sums of each block."""
        return {layer: tuple(blocks.values()) for layer, blocks in self._sums.items()}

    def add(self, layer: str, block: str, part: Moments) -> None:
        """Add the sums of one sample."""
        blocks = self._sums.setdefault(layer, {})
        blocks[block] = merge([blocks[block], part]) if block in blocks else part

    def advance(self, samples: int) -> int:
        """Count samples whose sums have been added for every layer; keeps them on disk now and then."""
        self.done += samples
        if time.monotonic() - self._saved_at > _SAVE_EVERY:
            self.save()
        return self.done

    def save(self) -> None:
        """Write what is new, atomically."""
        if self.done == self._saved:
            return
        arrays = {
            f"{layer}|{name}": np.ascontiguousarray(np.stack([getattr(part, name) for part in blocks.values()]))
            for layer, blocks in self._sums.items()
            for name in _NAMES
        }
        blocks_of = {layer: list(blocks) for layer, blocks in self._sums.items()}
        with atomic_path(self.path) as temporary:
            save_file(arrays, temporary, metadata={"done": str(self.done), "blocks": json.dumps(blocks_of)})
        self._saved, self._saved_at = self.done, time.monotonic()

    def discard(self) -> None:
        """Forget what is on disk: the measurement is finished."""
        self.path.unlink(missing_ok=True)

    @classmethod
    def resume(cls, folder: Path, key: str) -> Unfinished:
        """What an interrupted measurement with the same `key` left, or an empty start."""
        path = folder / f"{key}.safetensors"
        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata()
                sums = {
                    layer: {
                        block: Moments(**{name: file.get_tensor(f"{layer}|{name}")[i] for name in _NAMES})
                        for i, block in enumerate(blocks)
                    }
                    for layer, blocks in json.loads(about["blocks"]).items()
                }
                return cls(path, sums, int(about["done"]))
        except FileNotFoundError:
            return cls(path)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError):
            path.unlink(missing_ok=True)  # not whole: start anew
            return cls(path)
