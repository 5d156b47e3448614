"""Weights that were published inside a zip, in one file or in several, and folders of such files."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sdbench.assets.archives import list_members, unpack
from sdbench.assets.store import AssetStore
from sdbench.base.errors import AssetError, InputError
from sdbench.networks.reading import VideoNetwork
from sdbench.zoo.checkpoints import (
    StateDict,
    converted,
    is_torch_archive,
    load_state,
    read_checkpoint,
    read_converted,
    read_torch,
)
from sdbench.zoo.published import Model

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """The weights of a network as they were read.

    Attributes:
        state: entry -> tensor, under our names; also what the network does not have.
        in_parts: whether they came in several files, whose entries need not all be used.
        what: where they come from, in words.
    """

    state: StateDict
    in_parts: bool
    what: str

    def into(self, module: VideoNetwork) -> None:
        """Copy the weights into `module`.

        Of weights in parts, entries that the network does not have are left out, and those that no layer depends on
        (`VideoNetwork.unused_entries`) may be missing; either are named in the log.

        Raises:
            AssetError: other entries are missing, left over or of another shape; all of them are listed.
        """
        if not self.in_parts:
            load_state(module, self.state, self.what)
            return
        own, unused = module.state_dict(), module.unused_entries()
        extra = [name for name in self.state if name not in own]
        lacking = [name for name in own if name in unused and name not in self.state]
        fitting = {name: value for name, value in self.state.items() if name in own}
        load_state(module, fitting, self.what, spare=unused)
        if extra:
            _log.warning("%s has %d entries that the network does not use: %s", self.what, len(extra), ", ".join(extra))
        if lacking:
            _log.warning(
                "%s lacks %d entries that no layer depends on; they keep their initial values: %s",
                self.what,
                len(lacking),
                ", ".join(lacking),
            )


def published_weights(known: Model, store: AssetStore) -> Weights:
    """The published weights of a network, fetched and verified; read once, kept as safetensors.

    Raises:
        AssetError: they cannot be had, are damaged, or lie in an archive that is not safe to unpack or lacks them.
    """
    path = store.path(known.asset)
    what = f"the checkpoint {path.name}"
    folder = store.cache.converted
    if known.member is None:
        return Weights(read_converted(path, known.architecture, folder, known.options), False, what)
    member = known.member
    details = {**known.options, "member": member}
    source = store.sha256(known.asset)
    state = converted(folder, source, known.name, details, lambda: _read_packed(path, known, member, store))
    return Weights(state, bool(known.parts), what)


def own_weights(path: Path, known: Model, store: AssetStore) -> Weights:
    """Weights of the user's own: a checkpoint, a zip packed as the published one, or a folder of `known.parts`.

    Raises:
        InputError: there is nothing there, or a folder where the network's weights are one file.
        AssetError: they are damaged, or lie in an archive that is not safe to unpack or lacks them.
    """
    what = f"the checkpoint {path.name}"
    if path.is_dir():
        if not known.parts:
            raise InputError(f"{path} is a folder; the weights of {known.name} are one file: name that")
        files = {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*.pt")) if file.is_file()}
        chosen = newest_parts(list(files), known.parts, str(path))
        return Weights(_read_parts({part: files[name] for part, name in chosen.items()}), True, what)
    if not path.is_file():
        kinds = [
            "a .safetensors file",
            "a torch checkpoint",
            *([f"a folder of {_pattern_in_words(known.parts)}"] if known.parts else []),
        ]
        raise InputError(f"no checkpoint at {path}; expected {', '.join(kinds)} or {known.asset}")
    if known.member is not None and _is_plain_zip(path):
        return Weights(_read_packed(path, known, known.member, store), bool(known.parts), what)
    return Weights(read_checkpoint(path, known.architecture, known.options), False, what)


def _is_plain_zip(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return start.startswith(b"PK") and not is_torch_archive(path)


def _read_packed(path: Path, known: Model, member: str, store: AssetStore) -> StateDict:
    names = find_in([entry.name for entry in list_members(path)], member, str(path))
    chosen = newest_parts(names, known.parts, f"{path}, {member or 'the whole archive'},") if known.parts else {}
    wanted = set(chosen.values()) or set(names)
    with store.workspace(f"weights-{known.name}") as folder:
        files = folder / "files"
        unpack(path, files, wanted.__contains__, quiet=store.quiet)
        try:
            if known.parts:
                return _read_parts({part: files / name for part, name in chosen.items()})
            (name,) = wanted
            return read_checkpoint(files / name, known.architecture, known.options)
        except AssetError as error:
            # The unpacked file is gone when this is read: say where it came from.
            raise AssetError(str(error).replace(str(files), str(path))) from None


def _read_parts(files: Mapping[str, Path]) -> StateDict:
    """The entries of several files, those of `module.NAME` or `NAME` in the file of a part as `PART.NAME`."""
    state: dict[str, Tensor] = {}
    for part, path in files.items():
        for name, value in read_torch(path).items():
            own = f"{part}.{name.removeprefix('module.')}"
            if own in state:
                raise AssetError(f"{path} holds {own.removeprefix(f'{part}.')} with and without module. before it")
            state[own] = value
    return state


def newest_parts(names: Sequence[str], parts: Sequence[str], where: str) -> dict[str, str]:
    """For each of `parts` the file of the highest epoch that all of them have.

    Args:
        names: paths of files with `/`; those that are not named `PART_EPOCH.pt` are passed over.
        parts: the parts.
        where: where the files lie, for the error.

    Raises:
        AssetError: a part is missing, two files are of the same part and epoch, or no epoch has every part.
    """
    epochs: dict[str, dict[int, str]] = {part: {} for part in parts}
    pattern = re.compile(rf"({'|'.join(map(re.escape, parts))})_(\d+)\.pt", re.ASCII)
    for name in names:
        if found := pattern.fullmatch(name.rpartition("/")[2]):
            part, epoch = found[1], int(found[2])
            if epoch in epochs[part]:
                raise AssetError(
                    f"{where} has two files of the {part} at epoch {epoch}: {epochs[part][epoch]} and {name}; leave one"
                )
            epochs[part][epoch] = name
    lacking = [part for part in parts if not epochs[part]]
    if lacking:
        there = ", ".join(sorted(names)[:8]) or "no .pt file"
        raise AssetError(
            f"{where} has no {' and no '.join(lacking)}: expected {_pattern_in_words(parts)} of the same epoch; "
            f"it holds {there}{', ...' if len(names) > 8 else ''}"
        )
    common = set.intersection(*(set(of_part) for of_part in epochs.values()))
    if not common:
        listed = "; ".join(f"{part}: {', '.join(map(str, sorted(epochs[part])))}" for part in parts)
        raise AssetError(f"{where} has no epoch with {' and '.join(parts)}; epochs of {listed}")
    newest = max(common)
    if later := sorted({epoch for of_part in epochs.values() for epoch in of_part if epoch > newest}):
        _log.warning("%s: epoch %d is read; of %s not every part is there", where, newest, ", ".join(map(str, later)))
    return {part: epochs[part][newest] for part in parts}


def _pattern_in_words(parts: Sequence[str]) -> str:
    return " and ".join(f"{part}_EPOCH.pt" for part in parts)


def find_in(names: Sequence[str], wanted: str, where: str) -> list[str]:
    """The files of an archive that `wanted` means: one file, or, where it ends in `/`, all below a folder.

    Archives are often packed with one folder around everything: `wanted` may stand below one more folder than it says.

    Args:
        names: the paths of all files, with `/`.
        wanted: a path of a file, or of a folder with `/` at its end; "" means every file.
        where: the archive, for the error.

    Raises:
        AssetError: there is none, or there are several.
    """
    if not wanted:
        return list(names)
    places: dict[str, list[str]] = {}
    for name in names:
        top, _, below = name.partition("/")
        for prefix, rest in (("", name), (f"{top}/", below)):
            if rest == wanted or (wanted.endswith("/") and rest.startswith(wanted)):
                places.setdefault(prefix + wanted, []).append(name)
    if len(places) > 1:
        raise AssetError(f"{where} holds {wanted} more than once: {', '.join(sorted(places))}; expected one")
    if not places:
        shown = ", ".join(sorted(names)[:8]) + (", ..." if len(names) > 8 else "")
        raise AssetError(f"{where} does not hold {wanted}, nor one folder that does; it holds {shown or 'no file'}")
    (found,) = places.values()
    return found
