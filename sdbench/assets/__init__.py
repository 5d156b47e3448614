"""Fetch, verify, cache: everything that comes from outside enters here."""

from sdbench.assets.manifest import Asset, DistributionMember, LocalFile, Manifest, packaged_manifest
from sdbench.assets.store import AssetStore, cache_folder, is_offline

__all__ = [
    "Asset",
    "AssetStore",
    "DistributionMember",
    "LocalFile",
    "Manifest",
    "cache_folder",
    "is_offline",
    "packaged_manifest",
]
