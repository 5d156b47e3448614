"""What is kept on disk, and a disk that takes no more."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from sdbench.base.cache_keys import cache_key
from sdbench.base.errors import DiskError
from sdbench.base.kept import kept_arrays, read_arrays

KEY = cache_key("things", code=())


def test_arrays_come_back(tmp_path: Path) -> None:
    made = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array([True, False]), "empty": np.zeros((0, 3), np.uint8)}
    for make in (lambda: made, dict):  # the second time they are read
        found = kept_arrays(tmp_path, KEY, make)
        assert found.keys() == made.keys()
        assert all(np.array_equal(found[name], made[name]) and found[name].dtype == made[name].dtype for name in made)


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "no room for .*; make room and run the same command again"), (errno.EROFS, "SDBENCH_CACHE")],
)
def test_a_disk_that_takes_no_more_is_a_sentence(
    number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskError, match=said):
        kept_arrays(tmp_path, KEY, lambda: {"a": np.zeros(3)})
    assert not list(tmp_path.iterdir()), "nothing half-written is left"
    assert read_arrays(tmp_path / f"{KEY}.safetensors") is None
