"""Fetching, verifying, caching: against an index that lies in a folder."""

from __future__ import annotations

import importlib.util
import io
import multiprocessing
import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sdbench.assets import Asset, AssetStore, DistributionMember, LocalFile, Manifest, distribution, packaged_manifest
from sdbench.base.errors import AssetError, InputError
from sdbench.base.files import atomic_path, extract_member, sha256_of

CONTENT = b"weights " * 100


def make_wheel(folder: Path) -> Path:
    path = folder / "toy_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("toy_weights/data.bin", CONTENT)
        wheel.writestr("toy_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
        wheel.writestr("toy_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("toy_weights-1.0.dist-info/RECORD", "")
    return path


def make_sdist(folder: Path, marker: Path) -> Path:
    """A source distribution whose setup.py leaves a mark if anyone runs it."""
    path = folder / "toy_source-1.0.tar.gz"
    files = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: toy-source\nVersion: 1.0\n",
        "setup.py": f"open({str(marker)!r}, 'w').write('ran')\nimport setuptools; setuptools.setup()\n".encode(),
        "toy_source/data.bin": CONTENT,
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"toy_source-1.0/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def asset(archive: Path, name: str, member: str, **changes: object) -> Asset:
    source = DistributionMember(
        kind="distribution",
        distribution=archive.name.split("-")[0],
        version="1.0",
        archive="wheel" if archive.suffix == ".whl" else "sdist",
        archive_sha256=str(changes.pop("archive_sha256", sha256_of(archive))),
        archive_bytes=archive.stat().st_size,
        member=member,
    )
    digest = __import__("hashlib").sha256(CONTENT).hexdigest()
    fields = {"sha256": digest, "bytes": len(CONTENT), **changes}
    return Asset(
        name=name,
        source=source,
        filename="data.bin",
        format="bytes",
        license="MIT",
        citation="none",
        note="toy",
        **fields,
    )


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index of two toy distributions, as the user's pip configuration would name it."""
    folder = tmp_path / "index"
    folder.mkdir()
    make_wheel(folder)
    make_sdist(folder, tmp_path / "setup-ran")
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def store_of(tmp_path: Path, *assets: Asset, **options: Any) -> AssetStore:
    return AssetStore(tmp_path / "cache", Manifest(schema=1, assets=assets), quiet=True, **options)


def wheel_asset(index: Path, **changes: object) -> Asset:
    return asset(index / "toy_weights-1.0-py3-none-any.whl", "toy", "toy_weights/data.bin", **changes)


def left_behind(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix not in (".lock", ".bin")]


def test_a_member_of_a_wheel_is_fetched_verified_and_kept(tmp_path: Path, index: Path) -> None:
    store = store_of(tmp_path, wheel_asset(index))
    path = store.path("toy")
    assert path.read_bytes() == CONTENT
    assert left_behind(store.folder) == []
    (index / "toy_weights-1.0-py3-none-any.whl").unlink()
    assert store.path("toy") == path, "the second time nothing is fetched"


def test_a_source_distribution_is_fetched_without_running_it(tmp_path: Path, index: Path) -> None:
    source = asset(index / "toy_source-1.0.tar.gz", "toy", "toy_source-1.0/toy_source/data.bin")
    assert store_of(tmp_path, source).path("toy").read_bytes() == CONTENT
    assert not (tmp_path / "setup-ran").exists()


def test_no_import_hook_is_asked_for_pip(tmp_path: Path, index: Path, monkeypatch) -> None:
    asked: list[str] = []

    class Hook:
        """As that of setuptools, which gives distutils up where pip is asked for."""

        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            asked.append(name)

    monkeypatch.setattr("sys.meta_path", [Hook(), *sys.meta_path])
    importlib.util.find_spec("antigravity")
    assert asked == ["antigravity"], "the hook is in its place"
    store_of(tmp_path, wheel_asset(index)).path("toy")
    assert "pip" not in asked, "torch.compile fails from then on, before Python 3.12"


def test_what_pip_removes_while_its_bytes_are_counted_ends_nothing(tmp_path: Path, monkeypatch) -> None:
    for name in ("gone", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_bytes(b"1234")
    scandir = os.scandir

    def list_late(path: Any) -> Any:
        if Path(str(path)).name == "gone":
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", list_late)
    assert distribution._bytes_below(tmp_path) == 4


def test_two_assets_of_one_archive_cost_one_download(tmp_path: Path, index: Path, monkeypatch) -> None:
    first = wheel_asset(index)
    second = first.model_copy(update={"name": "again"})
    store = store_of(tmp_path, first, second)
    calls: list[tuple[object, ...]] = []

    def download(*given: object) -> Path:
        calls.append(given)
        return index / "toy_weights-1.0-py3-none-any.whl"

    monkeypatch.setattr("sdbench.assets.store.download", download)
    store.fetch(["toy", "again"])
    assert len(calls) == 1


def test_a_damaged_archive_is_deleted_named_and_to_be_retried(tmp_path: Path, index: Path) -> None:
    whole = wheel_asset(index)
    archive = index / "toy_weights-1.0-py3-none-any.whl"
    archive.write_bytes(archive.read_bytes()[:-1] + b"?")
    store = store_of(tmp_path, whole)
    with pytest.raises(AssetError, match=r"toy_weights==1.0 .* is damaged.*deleted.*retry"):
        store.path("toy")
    assert [path for path in store.folder.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_member_that_is_not_the_asset_is_refused(tmp_path: Path, index: Path) -> None:
    store = store_of(tmp_path, wheel_asset(index, sha256="0" * 64))
    with pytest.raises(AssetError, match="is not toy: SHA-256"):
        store.path("toy")
    assert not store.is_present("toy")


def test_a_file_that_decayed_in_the_cache_is_fetched_again(tmp_path: Path, index: Path, capsys) -> None:
    path = store_of(tmp_path, wheel_asset(index)).path("toy")
    path.write_bytes(CONTENT[:-1] + b"?")
    assert store_of(tmp_path, wheel_asset(index)).path("toy").read_bytes() == CONTENT
    assert "was damaged and has been deleted" in capsys.readouterr().err


def test_without_a_network_the_error_says_so(tmp_path: Path, index: Path, monkeypatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nothing listens on the discard port
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(AssetError, match=r"could not be reached to fetch toy_weights==1.0.*check the network"):
        store_of(tmp_path, wheel_asset(index)).path("toy")


def test_a_distribution_that_the_index_lacks_is_named(tmp_path: Path, index: Path) -> None:
    wanted = wheel_asset(index)
    (index / "toy_weights-1.0-py3-none-any.whl").unlink()
    with pytest.raises(AssetError, match=r"pip could not fetch toy_weights==1.0.*No matching distribution"):
        store_of(tmp_path, wanted).path("toy")


def test_offline_names_everything_that_is_missing(tmp_path: Path, index: Path, monkeypatch) -> None:
    monkeypatch.setenv("SDBENCH_OFFLINE", "1")
    first = wheel_asset(index)
    store = AssetStore(
        tmp_path / "cache", Manifest(schema=1, assets=(first, first.model_copy(update={"name": "other"})))
    )
    with pytest.raises(AssetError, match=r"offline.*toy \(.*other \(.*sdbench fetch toy other"):
        store.fetch(["toy", "other"])


def test_a_cache_folder_that_cannot_be_used_is_named(tmp_path: Path, index: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(AssetError, match=r"the cache folder .*cache cannot be used.*SDBENCH_CACHE"):
        store_of(tmp_path, wheel_asset(index)).path("toy")


def test_the_variable_moves_the_cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "elsewhere"))
    assert AssetStore().folder == tmp_path / "elsewhere"


def test_an_interrupted_fetch_leaves_nothing_half_done(tmp_path: Path, index: Path, monkeypatch) -> None:
    store = store_of(tmp_path, wheel_asset(index))

    def interrupted(*given: object) -> None:
        given[2].write_bytes(CONTENT[:10])  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("sdbench.assets.store.extract_member", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.path("toy")
    assert [path for path in store.folder.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    assert store.path("toy").read_bytes() == CONTENT


# Processes that fetch at once import this module: what takes seconds to import is imported where it is needed.


def _fetch_in_process(cache: Path, wanted: str, results: object) -> None:
    store = AssetStore(cache, Manifest.model_validate_json(wanted), quiet=True)
    results.put(store.path("toy").read_bytes() == CONTENT)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_two_processes_fetch_without_getting_in_each_others_way(tmp_path: Path, index: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    manifest = Manifest(schema=1, assets=(wheel_asset(index),)).model_dump_json(by_alias=True)
    workers = [
        context.Process(target=_fetch_in_process, args=(tmp_path / "cache", manifest, results)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [results.get(timeout=5) for _ in workers] == [True, True]


def test_a_local_file_or_archive_takes_the_place_of_a_download(tmp_path: Path, index: Path) -> None:
    own = tmp_path / "brought.bin"
    own.write_bytes(CONTENT)
    store = store_of(tmp_path, wheel_asset(index), offline=True)
    assert store.add("toy", own).read_bytes() == CONTENT
    store_of(tmp_path / "second", wheel_asset(index), offline=True).add(
        "toy", index / "toy_weights-1.0-py3-none-any.whl"
    )
    own.write_bytes(b"something else")
    with pytest.raises(AssetError, match="is not toy: its SHA-256 is"):
        store.add("toy", own)
    with pytest.raises(InputError, match="is not a file"):
        store.add("toy", tmp_path / "nowhere")


def test_what_only_the_user_can_bring_is_said_with_how(tmp_path: Path) -> None:
    by_hand = Asset(
        name="toy",
        source=LocalFile(kind="file", how_to_get="register at http://example.org and download data.bin"),
        filename="data.bin",
        sha256="0" * 64,
        bytes=1,
        format="bytes",
        license="none",
        citation="none",
        note="toy",
    )
    with pytest.raises(AssetError, match=r"toy: register at http://example.org.*sdbench fetch NAME --from FILE"):
        store_of(tmp_path, by_hand).path("toy")


def test_unknown_assets_and_climbing_members_are_refused(tmp_path: Path, index: Path) -> None:
    with pytest.raises(InputError, match="did you mean toy"):
        store_of(tmp_path, wheel_asset(index)).path("toi")
    with pytest.raises(ValueError, match="climbs out"):
        asset(index / "toy_source-1.0.tar.gz", "toy", "../data.bin")


def test_extraction_takes_regular_files_of_the_right_size_only(tmp_path: Path) -> None:
    archive = tmp_path / "links.tar"
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        large = tarfile.TarInfo("large")
        large.size = 100
        tar.addfile(large, io.BytesIO(bytes(100)))
    for member, said in (("link", "no file|not a regular"), ("folder", "not a regular"), ("large", "larger than")):
        with pytest.raises(AssetError, match=said):
            extract_member(archive, member, tmp_path / "out", 50)
    (tmp_path / "no.tar").write_bytes(b"no archive")
    with pytest.raises(AssetError, match="cannot be read as a zip or tar"):
        extract_member(tmp_path / "no.tar", "x", tmp_path / "out", 50)


def test_atomic_writing_keeps_the_old_file_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
    assert target.read_text() == "old"


def test_the_packaged_manifest_is_complete() -> None:
    from sdbench.zoo import models

    manifest = packaged_manifest()
    assert set(manifest.group("packaged")) == {
        "i3d_inception_kinetics400",
        "transnetv2",
        "styles26",
        "clip_bikes",
        "clip_carphone_pristine",
        "clip_bigbuckbunny",
    }
    for entry in manifest.assets:
        assert entry.license
        assert entry.citation
    assert manifest.groups == ("packaged", "action", "vos")
    weights = {known.asset for known in models()}
    assert weights <= set(manifest.names)
    assert set(manifest.group("action")) <= weights
