"""Fetch, verify, cache: everything that comes from outside enters here."""

from sdbench.assets.lock import LockFile, Seen
from sdbench.assets.manifest import Asset, DistributionMember, LocalFile, Manifest, Url, packaged_manifest
from sdbench.assets.store import AssetStore, cache_folder, is_offline

__all__ = [
    "Asset",
    "AssetStore",
    "DistributionMember",
    "LocalFile",
    "LockFile",
    "Manifest",
    "Seen",
    "Url",
    "cache_folder",
    "is_offline",
    "packaged_manifest",
]
