"""Zip archives: every trick that one can play is refused before a file is written, and damage is noticed afterwards."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sdbench.assets import Asset, AssetStore, Manifest, Url
from sdbench.assets.archives import Limits, list_members, unpack
from sdbench.base.errors import AssetError
from sdbench.base.files import sha256_of

FILES = {"top/a.txt": b"one", "top/deep/b.bin": bytes(range(256)) * 8, "top/empty": b""}


def write_zip(path: Path, files: dict[str, bytes] | None = None, folders: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in folders:
            archive.writestr(f"{folder}/", b"")
        for name, content in (files or FILES).items():
            archive.writestr(name, content)
    return path


def special(name: str, kind: int, content: bytes = b"/etc/passwd") -> tuple[zipfile.ZipInfo, bytes]:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    return entry, content


def holds(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def refused(tmp_path: Path, archive: Path, said: str, **options: Any) -> None:
    """The archive is refused, and nothing is left of the try."""
    before = set(tmp_path.rglob("*"))
    with pytest.raises(AssetError, match=said):
        unpack(archive, tmp_path / "out" / "target", **options)
    assert {path for path in set(tmp_path.rglob("*")) - before if path != tmp_path / "out"} == set()


def test_everything_is_unpacked_or_what_is_chosen(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", folders=("top", "top/deep", "top/bare"))
    members = unpack(archive, tmp_path / "all")
    assert holds(tmp_path / "all") == FILES
    assert [(member.name, member.size) for member in members] == [(name, len(c)) for name, c in FILES.items()]
    unpack(archive, tmp_path / "some", chosen=lambda name: name.endswith(".bin"))
    assert set(holds(tmp_path / "some")) == {"top/deep/b.bin"}
    assert stat.S_IMODE((tmp_path / "all").stat().st_mode) == stat.S_IMODE((tmp_path / "all" / "top").stat().st_mode)
    refused(tmp_path, archive, "none of the files that are expected", chosen=lambda name: False)


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    files = {**FILES, "__MACOSX/top/._a.txt": b"x", "top/.DS_Store": b"x", "__MACOSX/top/._Icon\r": b"x"}
    unpack(write_zip(tmp_path / "a.zip", files), tmp_path / "all")
    assert holds(tmp_path / "all") == FILES


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../evil", "climbs out"),
        ("top/../../evil", "climbs out"),
        ("/evil", "absolute path"),
        ("//host/evil", "absolute path"),
        ("top\\..\\evil", "backslash"),
        ("\\evil", "backslash"),
        ("C:/evil", "colon"),
        ("c:evil", "colon"),
        ("top/a.txt:stream", "colon"),
        ("top//evil", "spell differently"),
        ("./evil", "spell differently"),
        ("top/evil.", "spell differently"),
        ("top /evil", "spell differently"),
        ("top/ev\til", "control character"),
        ("top/" + "x" * 300, "'top/x+[.]{3}' has a name of more than 255 bytes"),
        ("top/" + "\N{SNOWMAN}" * 100, "more than 255 bytes"),
        ("d/" * 3000 + "evil", "has a path of more than 1024 bytes"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str, said: str) -> None:
    archive = write_zip(tmp_path / "a.zip", {**FILES, name: b"evil"})
    refused(tmp_path, archive, said)
    refused(tmp_path, write_zip(tmp_path / "b.zip", FILES, folders=(name,)), said)


def test_a_name_behind_a_nul_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"top/aXevil": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"top/aXevil", b"top/a\0evil"))
    refused(tmp_path, archive, "control character")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (stat.S_IFLNK, "is a link"),
        (stat.S_IFIFO, "no regular file"),
        (stat.S_IFCHR, "no regular file"),
        (stat.S_IFDIR, "no regular file"),
    ],
)
def test_links_and_other_special_files_are_refused(tmp_path: Path, kind: int, said: str) -> None:
    archive = write_zip(tmp_path / "a.zip")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(*special("top/evil", kind))
    refused(tmp_path, archive, said)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("top/a", "top/a", "two members 'top/a'"),
        ("top/a", "top/A", "'top/a' and 'top/A' are the same on some"),
        ("top/a", "TOP/b", "'top' and 'TOP' are the same on some"),
        ("top/\u00e9", "top/e\u0301", "are the same on some"),
        ("top/a", "top/a/b", "both a file and a folder"),
        ("top/a/b", "top/a", "both a file and a folder"),
        ("top/stra\u00dfe", "top/STRASSE", "are the same on some"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_meet_are_refused(tmp_path: Path, first: str, second: str, said: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(first, b"1")
        archive.writestr(second, b"2")
    refused(tmp_path, tmp_path / "a.zip", said)


def patched(archive: Path, offset_local: int, offset_central: int, value: int) -> Path:
    """The same archive of one member with a 16-bit field of both its headers changed."""
    content = bytearray(archive.read_bytes())
    for start, offset in ((b"PK\3\4", offset_local), (b"PK\1\2", offset_central)):
        struct.pack_into("<H", content, content.index(start) + offset, value)
    archive.write_bytes(content)
    return archive


def test_encrypted_and_unknown_packing_is_refused(tmp_path: Path) -> None:
    archive = patched(write_zip(tmp_path / "a.zip", {"a": b"x"}), 6, 8, 0x1)
    refused(tmp_path, archive, "'a' is encrypted")
    archive = patched(write_zip(tmp_path / "b.zip", {"a": b"x"}), 8, 10, 9)
    refused(tmp_path, archive, "method 9, which Python cannot unpack")


def test_too_much_is_refused_with_the_reason(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip")
    refused(tmp_path, archive, r"would unpack to 0\.0 GB; at most", limits=Limits(bytes=2000))
    refused(tmp_path, archive, "names 3 members, more than the 2", limits=Limits(members=2))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        for number in range(7):
            bomb.writestr(f"zeros{number}", bytes(10 << 20))
    refused(tmp_path, tmp_path / "bomb.zip", r"would grow from 0\.1 MB to 73\.4 MB.*refused as a bomb")


def test_a_full_disk_is_named_before_anything_is_written(tmp_path: Path, monkeypatch) -> None:
    class Usage:
        free = 10

    monkeypatch.setattr("sdbench.assets.archives.shutil.disk_usage", lambda path: Usage)
    refused(tmp_path, write_zip(tmp_path / "a.zip"), "make room and retry")


def test_a_size_that_is_not_kept_is_noticed(tmp_path: Path) -> None:
    """A member that holds more than its headers say: nothing beyond is written, and the archive is damaged."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", bytes(5000))
    content = bytearray(archive.read_bytes())
    for start, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", content, content.index(start) + offset, 100)
    archive.write_bytes(content)
    refused(tmp_path, archive, "cannot be read as a zip archive")


def test_damage_is_noticed_and_nothing_stays(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a", b"first")
        opened.writestr("b", b"second")
    whole = archive.read_bytes()
    archive.write_bytes(whole.replace(b"second", b"s?cond"))
    refused(tmp_path, archive, "cannot be read as a zip archive.*fetch it again")
    archive.write_bytes(whole[:-30])
    refused(tmp_path, archive, "cannot be read as a zip archive")
    archive.write_bytes(b"no archive")
    with pytest.raises(AssetError, match="cannot be read as a zip archive"):
        list_members(archive)


def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    archive = write_zip(tmp_path / "a.zip")
    monkeypatch.setattr("sdbench.assets.archives._copy_member", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "out" / "target")
    assert list((tmp_path / "out").iterdir()) == []


def zip_asset(*patterns: str) -> Asset:
    return Asset(
        name="toy",
        group="toys",
        source=Url(kind="url", url="http://127.0.0.1:9/toy.zip", how="direct"),
        filename="toy.zip",
        format="zip",
        license="none",
        citation="none",
        note="a toy",
        unpacked=patterns,
    )


def store_of(tmp_path: Path, *patterns: str) -> AssetStore:
    return AssetStore(tmp_path / "cache", Manifest(schema=1, assets=(zip_asset(*patterns),)), offline=True, quiet=True)


@pytest.fixture
def calls(monkeypatch) -> list[Path]:
    """The archives that were unpacked, in order."""
    from sdbench.assets import archives

    done: list[Path] = []

    def counted(archive: Path, *given: object, **options: object) -> object:
        done.append(archive)
        return unpack(archive, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(archives, "unpack", counted)
    return done


def test_the_store_unpacks_once_and_notices_damage(tmp_path: Path, calls: list[Path]) -> None:
    with pytest.raises(AssetError, match="offline, and not in"):
        store_of(tmp_path).unpacked("toy")
    archive = store_of(tmp_path).add("toy", write_zip(tmp_path / "own.zip"))
    store = store_of(tmp_path)
    folder = store.unpacked("toy")
    assert holds(folder) == FILES
    assert store.unpacked("toy") == store_of(tmp_path).unpacked("toy") == folder
    assert len(calls) == 1
    for spoil in (
        lambda: (folder / "top/deep/b.bin").write_bytes(bytes(2048)),
        (folder / "top/a.txt").unlink,
        lambda: (folder / "top/a.txt").write_bytes(b"longer"),
        lambda: folder.with_name("toy.json").write_text("{}"),
        folder.with_name("toy.json").unlink,
    ):
        before = len(calls)
        spoil()
        assert holds(store_of(tmp_path).unpacked("toy")) == FILES
        assert len(calls) == before + 1
    archive.unlink()
    assert store_of(tmp_path).unpacked("toy") == folder, "while the folder is whole, the archive is not needed"
    (folder / "top/a.txt").unlink()
    with pytest.raises(AssetError, match="offline, and not in"):
        store_of(tmp_path).unpacked("toy")


def test_another_archive_or_other_patterns_are_unpacked_anew(tmp_path: Path, calls: list[Path]) -> None:
    store_of(tmp_path).add("toy", write_zip(tmp_path / "own.zip"))
    folder = store_of(tmp_path).unpacked("toy")
    assert set(holds(store_of(tmp_path, "*deep/*").unpacked("toy"))) == {"top/deep/b.bin"}
    assert holds(store_of(tmp_path).unpacked("toy")) == FILES
    (tmp_path / "cache" / "lock.json").unlink()
    store_of(tmp_path).add("toy", write_zip(tmp_path / "new.zip", {"other": b"new"}))
    assert store_of(tmp_path).sha256("toy") == sha256_of(tmp_path / "new.zip")
    assert holds(store_of(tmp_path).unpacked("toy")) == {"other": b"new"}
    assert len(calls) == 4
    assert sorted(path.name for path in folder.parent.iterdir()) == ["toy", "toy.json"]


def test_an_unsafe_archive_leaves_the_folder_that_was_there(tmp_path: Path) -> None:
    store_of(tmp_path).add("toy", write_zip(tmp_path / "own.zip"))
    folder = store_of(tmp_path).unpacked("toy")
    (tmp_path / "cache" / "lock.json").unlink()
    store_of(tmp_path).add("toy", write_zip(tmp_path / "evil.zip", {"../evil": b"x"}))
    with pytest.raises(AssetError, match="climbs out"):
        store_of(tmp_path).unpacked("toy")
    assert holds(folder) == FILES


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    store_of(tmp_path).add("toy", write_zip(tmp_path / "own.zip"))
    left = tmp_path / "cache" / "unpacked" / ".toy.abc"
    (left / "whole").mkdir(parents=True)
    folder = store_of(tmp_path).unpacked("toy")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["toy", "toy.json"]
    with store_of(tmp_path).workspace("work") as first:
        (first / "half").write_bytes(b"x")
        assert list(first.parent.iterdir()) == [first]
    assert not first.exists()
    (first.parent / "left").mkdir()
    with store_of(tmp_path).workspace("work") as second:
        assert list(second.parent.iterdir()) == [second]
