"""Zip archives that strangers made: looked through before a byte is written, unpacked whole or not at all.

What is unpacked is described by a seal beside the folder, so that later damage shows.
"""

from __future__ import annotations

import contextlib
import lzma
import re
import shutil
import stat
import struct
import sys
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sdbench.base.errors import AssetError
from sdbench.base.files import remove_tree, write_text

_BLOCK = 1 << 20
_LONGEST_NAME = 255  # bytes of a file's name that every usual file system takes
_LONGEST_PATH = 1024  # bytes of all folders and the name: some systems take 4096 in all, with what lies above
_RATIO_COUNTS_FROM = 64 << 20  # bytes; a small archive cannot do harm, and text packs well
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What zipfile lets through of a file that only looks like a zip; RuntimeError: it is encrypted or packed otherwise.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold, in the sizes that it declares; what it declares is not exceeded while unpacking.

    Attributes:
        bytes: all members together, unpacked. The largest published archive holds a few gigabytes.
        members: how many there may be. The largest published one holds about 14,000.
        ratio: unpacked bytes for each byte of the archive. Pictures and weights hardly shrink: far more is a bomb.
    """

    bytes: int = 32 << 30
    members: int = 200_000
    ratio: float = 100.0


@dataclass(frozen=True)
class Member:
    """One regular file of an archive: its path inside, with `/`, its size in bytes and its CRC-32."""

    name: str
    size: int
    crc: int


def list_members(archive: Path, limits: Limits | None = None) -> tuple[Member, ...]:
    """The regular files of a zip, after all that could do harm has been refused.

    What macOS puts beside the files (`__MACOSX`, `.DS_Store`) is left out.

    Raises:
        AssetError: it is no readable zip, holds more than `limits`, or a member is encrypted, a link or another special
            file, packed by an unknown method, named twice (in other case or other Unicode form counts as the same), or
            has a name that leads out of a folder or means something else on another system.
    """
    return tuple(member for _, member in _look_through(archive, limits or Limits()))


def _look_through(archive: Path, limits: Limits) -> list[tuple[zipfile.ZipInfo, Member]]:
    with _opened(archive) as zipped:
        entries = zipped.infolist()
    if len(entries) > limits.members:
        raise AssetError(
            f"{archive} names {len(entries)} members, more than the {limits.members} that any published archive could "
            "have; refused"
        )
    found: list[tuple[zipfile.ZipInfo, Member]] = []
    spelled: dict[str, tuple[str, bool]] = {}
    for entry in entries:
        # Python's own name is cut at a NUL: what the archive says is looked at.
        name = entry.orig_filename
        if name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store":
            continue
        if fault := _fault_of_name(name) or _fault_of_kind(entry):
            raise AssetError(f"{archive} is not unpacked: its member {_shown(name)} {fault}")
        _claim_name(archive, name, spelled)
        if not name.endswith("/"):
            found.append((entry, Member(name, entry.file_size, entry.CRC)))
    declared = sum(member.size for _, member in found)
    if declared > limits.bytes:
        raise AssetError(
            f"{archive} would unpack to {declared / 1e9:.1f} GB; at most {limits.bytes / 1e9:.1f} GB are expected of "
            "an archive of weights or frames, so it is refused"
        )
    packed = archive.stat().st_size
    if declared > max(limits.ratio * packed, _RATIO_COUNTS_FROM):
        raise AssetError(
            f"{archive} would grow from {packed / 1e6:.1f} MB to {declared / 1e6:.1f} MB, more than {limits.ratio:.0f} "
            "times: weights and pictures do not pack so well, so it is refused as a bomb"
        )
    return found


def _shown(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_NAME else f"{name[:80]}...")


def _fault_of_name(name: str) -> str | None:
    parts = name.removesuffix("/").split("/")
    if max(len(part.encode(errors="surrogatepass")) for part in parts) > _LONGEST_NAME:
        return f"has a name of more than {_LONGEST_NAME} bytes, which no usual file system takes"
    if len(name.encode(errors="surrogatepass")) > _LONGEST_PATH:
        return f"has a path of more than {_LONGEST_PATH} bytes, which not every system takes"
    if _CONTROL.search(name):
        return "has a control character in its name"
    if "\\" in name:
        return "has a backslash in its name, which another system reads as a folder"
    if name.startswith("/"):
        return "has an absolute path"
    if ":" in name:
        return "has a colon in its name, which another system reads as a drive"
    if ".." in parts:
        return "climbs out of its folder"
    if "" in parts or "." in parts or any(part != part.rstrip(". ") for part in parts):
        return "has a name that systems spell differently (an empty part, or one that ends in a dot or a space)"
    return None


def _fault_of_kind(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a link"
    regular = (0, stat.S_IFREG, stat.S_IFDIR) if entry.orig_filename.endswith("/") else (0, stat.S_IFREG)
    if kind not in regular:
        return "is no regular file"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in _METHODS:
        return (
            f"is packed by method {entry.compress_type}, which Python cannot unpack; unpack the archive with another "
            "program"
        )
    return None


def _claim_name(archive: Path, name: str, spelled: dict[str, tuple[str, bool]]) -> None:
    """Note `name` and the folders it lies in; refuse what would meet another name on some file system."""
    path = PurePosixPath(name)
    for part, is_folder in [*((folder, True) for folder in path.parents), (path, name.endswith("/"))]:
        own = str(part)
        folded = unicodedata.normalize("NFC", own).casefold()
        other, was_folder = spelled.setdefault(folded, (own, is_folder))
        if other != own:
            raise AssetError(
                f"{archive} is not unpacked: its members {other!r} and {own!r} are the same on some file systems"
            )
        if is_folder != was_folder:
            raise AssetError(f"{archive} is not unpacked: its member {own!r} is both a file and a folder")
    if not name.endswith("/"):
        taken = f"{name}\0"  # no name holds a NUL: this marks the file as seen
        if taken in spelled:
            raise AssetError(f"{archive} is not unpacked: it holds two members {name!r}")
        spelled[taken] = (name, False)


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as zipped:
            yield zipped
    except _UNREADABLE as error:
        raise AssetError(
            f"{archive} cannot be read as a zip archive ({error}); if it is cut off, delete it and fetch it again"
        ) from None


def unpack(
    archive: Path,
    target: Path,
    chosen: Callable[[str], bool] | None = None,
    limits: Limits | None = None,
    quiet: bool = True,
) -> tuple[Member, ...]:
    """Unpack a zip, or the members that are `chosen` by name, as the folder `target`, which must not exist.

    The files appear together, when all of them are whole: each has the size and the CRC-32 that the archive names.

    Returns:
        What was unpacked.

    Raises:
        AssetError: as `list_members`; nothing is chosen; a member is damaged; or the disk has too little room.
    """
    entries = [
        (entry, member)
        for entry, member in _look_through(archive, limits or Limits())
        if chosen is None or chosen(member.name)
    ]
    if not entries:
        raise AssetError(f"{archive} holds none of the files that are expected in it; is it the right archive?")
    target.parent.mkdir(parents=True, exist_ok=True)
    total = sum(member.size for _, member in entries)
    free = shutil.disk_usage(target.parent).free
    if total > free:
        raise AssetError(
            f"unpacking {archive} takes {total / 1e9:.2f} GB and {target.parent} has {free / 1e9:.2f} GB free; "
            "make room and retry"
        )
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        whole = staging / "whole"
        whole.mkdir()  # not mkdtemp's own folder, which nobody else may read
        with (
            Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as progress,
            _opened(archive) as zipped,
        ):
            task = progress.add_task(f"unpacking {archive.name}", total=total)
            for entry, member in entries:
                _copy_member(zipped, entry, member, whole)
                progress.update(task, advance=member.size)
        whole.rename(target)
    finally:
        remove_tree(staging)
    return tuple(member for _, member in entries)


def _copy_member(zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, member: Member, folder: Path) -> None:
    path = folder.joinpath(*member.name.split("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    copied = crc = 0
    with zipped.open(entry) as source, path.open("xb") as file:
        while block := source.read(_BLOCK):
            copied += len(block)
            crc = zlib.crc32(block, crc)
            if copied > member.size:
                break
            file.write(block)
    if (copied, crc) != (member.size, member.crc):
        raise zipfile.BadZipFile(f"{member.name} is damaged: its size or CRC-32 is not the one that is named")


class _Seal(BaseModel):
    """What an unpacked folder holds and what it came from; `files` maps a path to size and CRC-32."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    archive_sha256: str
    patterns: tuple[str, ...]
    files: dict[str, tuple[int, int]]


def _seal_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def is_unpacked(folder: Path, archive_sha256: str, patterns: Sequence[str] = ()) -> bool:
    """Whether `folder` is what `unpack_sealed` made of that archive: every file has its size and CRC-32.

    Files that were added are not looked at.
    """
    try:
        seal = _Seal.model_validate_json(_seal_of(folder).read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return False
    if (seal.archive_sha256, seal.patterns) != (archive_sha256, tuple(patterns)):
        return False
    return all(_is_whole(folder.joinpath(*name.split("/")), *known) for name, known in seal.files.items())


def _is_whole(path: Path, size: int, crc: int) -> bool:
    try:
        if path.stat().st_size != size:
            return False
        found = 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                found = zlib.crc32(block, found)
    except OSError:
        return False
    return found == crc


def unpack_sealed(
    archive: Path, folder: Path, archive_sha256: str, patterns: Sequence[str] = (), quiet: bool = True
) -> None:
    """Unpack `archive` as `folder`, in the place of what was there, with a seal that `is_unpacked` reads.

    Only one process may do this at a time.

    Args:
        archive: the zip.
        folder: where its files come to lie, under the paths they have in the archive.
        archive_sha256: its SHA-256, which the seal names.
        patterns: which members are wanted, as `*480p/*` (a star also stands for slashes); all where there are none.
        quiet: no progress on the terminal.

    Raises:
        AssetError: as `unpack`; what was there before then stays.
    """
    for left in folder.parent.glob(f".{folder.name}.*"):  # of a run that was killed
        remove_tree(left)
    fresh = folder.with_name(f".{folder.name}.new")
    members = unpack(archive, fresh, _any_of(patterns) if patterns else None, quiet=quiet)
    seal = _Seal(
        archive_sha256=archive_sha256,
        patterns=tuple(patterns),
        files={member.name: (member.size, member.crc) for member in members},
    )
    # Without its seal a folder counts as not there: at no moment does a seal lie beside other files than its own.
    _seal_of(folder).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    fresh.rename(folder)
    write_text(_seal_of(folder), seal.model_dump_json() + "\n")


def _any_of(patterns: Sequence[str]) -> Callable[[str], bool]:
    return lambda name: any(fnmatchcase(name, pattern) for pattern in patterns)
