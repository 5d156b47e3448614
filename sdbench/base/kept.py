"""What is kept on disk so that it need not be made twice: where it lies, and one idea of whole for all of it.

Keys are formed in `sdbench.base.cache_keys`. A file holds named arrays and the hash of their content; it
is written atomically, and whole if its content has that hash. A folder of files is whole if its seal, written last,
names every file with its hash. What is damaged is named and set aside, never deleted and never used; a disk that
cannot be read or written stops the run with a sentence.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sdbench.base.cache_folders import Cache
from sdbench.base.cache_keys import Key
from sdbench.base.cache_log import note_taken, now
from sdbench.base.errors import DiskError, InputError
from sdbench.base.files import atomic_path, sha256_of, write_text

Arrays = Mapping[str, npt.NDArray[Any]]

_DAMAGE = (SafetensorError, ValueError, KeyError, TypeError)
_SEAL = "seal.json"
_ASIDE = ".damaged"


@contextlib.contextmanager
def empty_cache(root: Path) -> Iterator[Cache]:
    """A cache that holds nothing, in a folder below `root`, which vanishes at the end.

    What killed processes left of theirs is cleared first.

    Raises:
        DiskError: the folder cannot be written to.
    """
    parent = root / "fresh"
    with _written(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for lock in parent.glob("*.lock"):
            with contextlib.suppress(Timeout), FileLock(lock, timeout=0):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
        folder = parent / uuid.uuid4().hex
        with FileLock(folder.with_suffix(".lock")):
            folder.mkdir()
            try:
                yield Cache(folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_suffix(".lock").unlink(missing_ok=True)


def read_arrays(place: Path, of: str = "") -> dict[str, npt.NDArray[Any]] | None:
    """The arrays kept at `place`; None where there are none, or where they are damaged: then they are set aside.

    Args:
        place: the file.
        of: key of what they belong to, where that was said when they were kept.

    Raises:
        DiskError: the file cannot be read.
        InputError: they belong to something else.
    """
    try:
        with safe_open(place, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            said = file.metadata()
            if said["content"] != _digest(arrays):
                raise ValueError("its content is not what was written")
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        _set_aside(place, str(error))
        return None
    except OSError as error:
        raise disk_error(place, "read", error) from None
    if said.get("of", "") != of:
        raise InputError(f"{place} belongs to {said.get('of') or 'nothing'}, not to {of or 'nothing'}: move it away")
    if "kind" in said:
        note_taken(place, said["kind"], said["made"], said["software"])
    return arrays


def keep_arrays(place: Path, arrays: Arrays, of: str = "", key: Key | None = None) -> None:
    """Write arrays to `place`: whole, or not at all.

    Args:
        place: the file.
        arrays: what it is to hold.
        of: key of what they belong to.
        key: where they were computed: whoever reads them later learns when, and by which software.

    Raises:
        DiskError: the disk is full, or the folder cannot be written to.
    """
    plain = {name: np.asarray(values, order="C") for name, values in arrays.items()}
    said = {"content": _digest(plain), "of": of, **({} if key is None else _made(key))}
    with _written(place), atomic_path(place) as temporary:
        # Not by save_file: that the disk is full is an error of its own there.
        temporary.write_bytes(save(plain, metadata=said))


def kept_arrays(folder: Path, key: Key, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of this key, made and kept where they are not there.

    Args:
        folder: where arrays of this kind lie.
        key: of everything that decides them.
        make: makes them.

    Raises:
        DiskError: the disk cannot be read or written.
    """
    place = folder / f"{key}.safetensors"
    found: Arrays | None = read_arrays(place)
    if found is None:
        found = make()
        keep_arrays(place, found, key=key)
    return found


def kept_folder(parent: Path, key: Key, make: Callable[[Path], None]) -> Path:
    """The folder of this key, filled and sealed where that is not done; one process at a time fills it.

    Args:
        parent: where folders of this kind lie.
        key: of everything that decides the files.
        make: fills the folder. What an interrupted call left is still there: every file of it must be whole or absent.

    Raises:
        DiskError: the disk cannot be read or written.
    """
    folder = parent / key[:16]
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        sealed = _sealed(folder)
        if sealed is None:
            make(folder)
            with _written(folder):
                write_text(folder / _SEAL, json.dumps({**_made(key), "files": _hashes(folder)}, indent=0) + "\n")
        else:
            note_taken(folder, sealed["kind"], sealed["made"], sealed["software"])
    return folder


def disk_error(place: Path, doing: str, error: OSError) -> DiskError:
    """The sentence for a disk that refuses.

    Args:
        place: the file.
        doing: "read" or "written".
        error: what the system says.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskError(f"no room for {place}; make room and run the same command again: what is finished is kept")
    if doing == "read":
        cure = "see that the disk is there and that the file may be read"
    else:
        cure = "make the folder writable, or name another one for the cache in SDBENCH_CACHE"
    return DiskError(
        f"{place} cannot be {doing} ({error.strerror or error}); {cure}, then run the same command again: what is "
        "finished is kept"
    )


def _made(key: Key) -> dict[str, str]:
    """What is said of something that is kept, for those who take it later."""
    return {"kind": key.kind, "made": now(), "software": key.software}


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = arrays[name]
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _written(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(place, "written", error) from None


def _set_aside(place: Path, why: str) -> None:
    aside = place.with_name(place.name + _ASIDE)
    with contextlib.suppress(FileNotFoundError):  # another process may have set it aside, or written it anew
        place.replace(aside)
    print(f"sdbench: {place} is damaged ({why}); it is set aside as {aside.name} and made again", file=sys.stderr)


def _hashes(folder: Path) -> dict[str, str]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: sha256_of(path) for name, path in sorted(found.items()) if name != _SEAL}


def _sealed(folder: Path) -> dict[str, str] | None:
    """What the seal says of the folder; None where it is to be made.

    One that was sealed and whose files are no longer as they were made is set aside.
    """
    seal = folder / _SEAL
    damage = ""
    try:
        sealed = json.loads(seal.read_text(encoding="utf-8"))
        files, said = sealed["files"], {name: str(sealed[name]) for name in ("kind", "made", "software")}
    except FileNotFoundError:
        return None  # interrupted: every file that is there is whole, and the rest is made
    except (ValueError, KeyError, TypeError) as error:
        damage, files, said = f": its seal is damaged ({error})", None, {}
    except OSError as error:
        raise disk_error(seal, "read", error) from None
    if files == _hashes(folder):
        return said
    number = next(n for n in range(1, 10**6) if not folder.with_name(f"{folder.name}{_ASIDE}{n}").exists())
    aside = folder.with_name(f"{folder.name}{_ASIDE}{number}")
    folder.replace(aside)
    folder.mkdir()
    print(
        f"sdbench: {folder} is no longer as it was made{damage}; it is set aside as {aside.name} and made again",
        file=sys.stderr,
    )
    return None
