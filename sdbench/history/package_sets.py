"""Sets of package versions: what pip makes of constraints, and which packages of two sets have to change together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sdbench.base.errors import InputError
from sdbench.history.record import Run

NEWEST = "newest"
"""Names the newest versions that the requirements admit."""

_NOT_PACKAGES = ("not installed", "none", "unknown")


@dataclass(frozen=True)
class Package:
    """One package of a set.

    Attributes:
        version: which it is.
        url: of the file that it is installed from.
        requires: its requirements, in pip's words.
    """

    version: str
    url: str
    requires: tuple[str, ...] = ()


PackageSet = Mapping[str, Package]
"""Name of a package -> which one."""


def constraints_of_run(run: Run) -> str:
    """The packages that a run of a history recorded, as lines of a file of constraints."""
    packages = run.environment.get("packages") or {}
    pinned = {canonicalize_name(name): str(version) for name, version in packages.items()}
    lines = [f"{name}=={version}" for name, version in sorted(pinned.items()) if version not in _NOT_PACKAGES]
    return "\n".join(line for line in lines if not line.startswith("sdbench==")) + "\n"


def set_of_report(content: str) -> dict[str, Package]:
    """The set that pip's report of an installation tells of, without this package itself.

    Raises:
        InputError: it is not such a report.
    """
    try:
        installed: list[dict[str, Any]] = json.loads(content)["install"]
        found = {
            str(canonicalize_name(each["metadata"]["name"])): Package(
                str(each["metadata"]["version"]),
                _url(each["download_info"]),
                tuple(each["metadata"].get("requires_dist", ())),
            )
            for each in installed
        }
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"pip's report of what it would install cannot be read ({error}); see pip --version") from None
    found.pop("sdbench", None)
    return dict(sorted(found.items()))


def _url(told: Mapping[str, Any]) -> str:
    digest = told.get("archive_info", {}).get("hashes", {}).get("sha256")
    return f"{told['url']}#sha256={digest}" if digest else str(told["url"])


def differences(good: PackageSet, bad: PackageSet) -> dict[str, str]:
    """Package -> its versions in two sets that differ in it: "1.0 -> 2.0"."""
    versions = {name: [_version(each, name) for each in (good, bad)] for name in sorted({*good, *bad})}
    return {name: f"{one} -> {other}" for name, (one, other) in versions.items() if one != other}


def _version(packages: PackageSet, name: str) -> str:
    return packages[name].version if name in packages else "none"


def mixed(good: PackageSet, bad: PackageSet, changed: frozenset[str]) -> dict[str, Package]:
    """The good set with some packages as the bad one has them."""
    both = {name: (bad if name in changed else good).get(name) for name in sorted({*good, *bad})}
    return {name: package for name, package in both.items() if package is not None}


def taken_along(good: PackageSet, bad: PackageSet) -> dict[str, set[str]]:
    """Package that changes -> others that have to change with it, as the requirements of both versions say."""
    changing = differences(good, bad).keys()
    takes: dict[str, set[str]] = {name: set() for name in changing}
    for name in sorted({*good, *bad}):
        for other, requirement in _requirements(bad.get(name)):
            if name in changing and other in changing and not _fits(requirement, good.get(other)):
                takes[name].add(other)  # the new one does not go with the other's old version
        for other, requirement in _requirements(good.get(name)):
            if name in changing and other in changing and not _fits(requirement, bad.get(other)):
                takes[other].add(name)  # the old one does not go with the other's new version
    return takes


def _requirements(package: Package | None) -> list[tuple[str, Requirement]]:
    found = []
    for text in package.requires if package is not None else ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # of a package too old to be understood: pip leaves it out too
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found.append((str(canonicalize_name(requirement.name)), requirement))
    return found


def _fits(requirement: Requirement, package: Package | None) -> bool:
    return package is not None and requirement.specifier.contains(package.version, prereleases=True)


def read_constraints(path: Path) -> str:
    """The content of a file of constraints.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is no file of constraints ({getattr(error, 'strerror', None) or error}) and no run of the "
            f"history; expected name==version a line, the first characters of a run, or {NEWEST}"
        ) from None
