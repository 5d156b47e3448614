"""The base image: its name, its digest, and how it comes into the engine."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import docker
import requests
from docker.utils import parse_repository_tag

from sdbench.base.errors import InputError
from sdbench.container.engine import HOST_WORKS, EngineError, explained, is_disk_full, said_by, say

_BASE_LINE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)

_SECONDS = 5.0
"""Between two lines about one pull."""


def default_base(source_root_dockerfile: str) -> str:
    """The base image that a Dockerfile names where none is given."""
    found = _BASE_LINE.search(source_root_dockerfile)
    assert found is not None
    return found.group(1)


def base_id(client: docker.DockerClient, name: str) -> str | None:
    """The id of the base image, where the engine has it."""
    try:
        return str(client.images.get(name).id)
    except docker.errors.ImageNotFound:
        return None
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise explained(error, f"looking for {name}") from None


def base_digest(client: docker.DockerClient, name: str, identity: str) -> str:
    """The digest under which a registry has the base, as the engine noted it when it was pulled."""
    if "@" in name:
        return name.partition("@")[2]
    repository = parse_repository_tag(name)[0].rpartition("/")[2]
    known = [told.partition("@") for told in client.images.get(name).attrs.get("RepoDigests") or ()]
    # localhost/ is what Podman puts before the names of images that come from no registry.
    known = [told for told in known if not told[0].startswith("localhost/")]
    found = [digest for place, _, digest in known if place.rpartition("/")[2] == repository]
    return found[0] if found else f"none: the local image {identity}"


def pull_base(client: docker.DockerClient, name: str) -> str:
    """Pull the base image into the engine; its id.

    Raises:
        EngineError: it cannot be had.
    """
    say(f"pulling the base image {name}")
    repository, tag = parse_repository_tag(name)
    if tag and tag.startswith("sha256:"):
        repository = parse_repository_tag(repository)[0]
    progress = _Pull()
    try:
        for step in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if "error" in step:
                raise docker.errors.DockerException(step["error"])
            progress.note(step)
        return str(client.images.get(name).id)
    except (docker.errors.DockerException, requests.RequestException) as error:
        failure = explained(error, f"pulling {name}")
        if is_disk_full(failure):
            raise failure from None
        raise EngineError(
            f"the base image {name} is not here and cannot be pulled ({said_by(error)}); check the engine's network "
            f"and proxy, or name with --base an image that the engine has; {HOST_WORKS}"
        ) from None


class _Pull:
    """Says every few seconds how much of an image has come."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._said = time.monotonic()

    def note(self, step: Mapping[str, object]) -> None:
        detail = step.get("progressDetail")
        if step.get("status") == "Downloading" and isinstance(detail, dict) and detail.get("total"):
            self._layers[str(step.get("id"))] = (int(detail["current"]), int(detail["total"]))
        elif step.get("status") == "Download complete" and (layer := self._layers.get(str(step.get("id")))):
            self._layers[str(step.get("id"))] = (layer[1], layer[1])
        if self._layers and time.monotonic() - self._said >= _SECONDS:
            self._said = time.monotonic()
            done, whole = (sum(numbers) / 1e6 for numbers in zip(*self._layers.values(), strict=True))
            say(f"  pulled {done:.0f} of {whole:.0f} MB")


def pin_base(client: docker.DockerClient, dockerfile: Path, name: str | None) -> str:
    """Write the base with the digest that its registry gives for it now into the Dockerfile; returns both.

    Args:
        client: the engine, which asks the registry.
        dockerfile: changed in place.
        name: the base, with a tag; None for the one that is there.

    Raises:
        EngineError: the registry does not answer, or does not know it.
    """
    text = dockerfile.read_text(encoding="utf-8")
    wanted = (name or default_base(text)).partition("@")[0]
    if ":" not in wanted.rpartition("/")[2]:
        raise InputError(f"{wanted} names no release; expected a name with a tag, as python:3.11-slim-bookworm")
    try:
        found = client.api.inspect_distribution(wanted)  # type: ignore[no-untyped-call]
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise explained(error, f"asking the registry for the digest of {wanted}") from None
    pinned = f"{wanted}@{found['Descriptor']['digest']}"
    dockerfile.write_text(_BASE_LINE.sub(f"ARG BASE={pinned}", text), encoding="utf-8")
    return pinned
