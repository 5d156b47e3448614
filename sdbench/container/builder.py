"""Builds: BuildKit where the engine has it, else the classic builder, both as one stream of lines."""

from __future__ import annotations

import base64
import codecs
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import docker

_OLDEST_API = (1, 41)
"""Of an engine whose BuildKit takes a context without a session, and mounts without a frontend of its own."""

_NETWORKS = (None, "default", "host", "none")
"""Those that BuildKit knows."""


@dataclass(frozen=True)
class Build:
    """What an engine is asked to build.

    Attributes:
        dockerfile: its path in the context.
        tag: the image's name.
        arguments: build arguments.
        labels: of the image.
        network: of the build's steps; None for the engine's default.
    """

    dockerfile: str
    tag: str
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    network: str | None = None


def has_buildkit(client: docker.DockerClient, network: str | None) -> bool:
    """Whether the engine builds with BuildKit: Docker 20.10 or newer, unless `DOCKER_BUILDKIT=0` is set."""
    if os.environ.get("DOCKER_BUILDKIT") == "0" or network not in _NETWORKS:
        return False
    version = client.version()
    names = {str(part.get("Name")) for part in version.get("Components") or ()}
    api = tuple(int(part) for part in str(version.get("ApiVersion", "0")).split(".") if part.isdigit())
    return version.get("Os") == "linux" and api >= _OLDEST_API and not any("Podman" in name for name in names)


def build_classic(client: docker.DockerClient, context: IO[bytes], build: Build) -> Iterator[str]:
    """Build with the classic builder; yields what it says, line by line.

    Raises:
        BuildError: a step failed.
    """
    steps = client.api.build(
        fileobj=context,
        custom_context=True,
        dockerfile=build.dockerfile,
        tag=build.tag,
        buildargs=dict(build.arguments),
        labels=dict(build.labels),
        network_mode=build.network,
        rm=True,
        forcerm=True,
        decode=True,
    )
    rest = ""
    for step in steps:
        *lines, rest = (rest + str(step.get("stream", ""))).split("\n")
        yield from lines
        _raise_failure(step)
    yield rest


def build_with_buildkit(client: docker.DockerClient, context: IO[bytes], build: Build) -> Iterator[str]:
    """Build with the BuildKit of the engine; yields what it says, line by line.

    Raises:
        BuildError: a step failed.
        docker.errors.DockerException: the engine refused.
    """
    api: Any = client.api
    response = api.post(
        f"{api.base_url}/v{api.api_version}/build",
        params={
            "version": "2",
            "dockerfile": build.dockerfile,
            "t": build.tag,
            "buildargs": json.dumps(dict(build.arguments)),
            "labels": json.dumps(dict(build.labels)),
            **({"networkmode": build.network} if build.network else {}),
        },
        data=context,
        headers={"Content-Type": "application/tar"},
        stream=True,
        timeout=None,
    )
    if response.status_code >= 400:
        raise docker.errors.DockerException(response.json().get("message", response.reason))
    trace = _Trace()
    for line in response.iter_lines():
        step = json.loads(line)
        if step.get("id") == "moby.buildkit.trace":
            yield from trace.lines(base64.b64decode(step["aux"]))
        _raise_failure(step)


class BuildError(Exception):
    """A step of a build failed; the message is the builder's."""


def _raise_failure(step: Mapping[str, Any]) -> None:
    if "error" in step:
        raise BuildError(str(step["error"]))


class _Trace:
    """BuildKit's reports, messages of protocol buffers, as lines: each step once, and what its command prints."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._rest: dict[bytes, str] = {}
        self._decoders: dict[bytes, codecs.IncrementalDecoder] = {}

    def lines(self, report: bytes) -> Iterator[str]:
        for number, content in _fields(report):
            if not isinstance(content, bytes):
                continue
            field = dict(_fields(content))
            if number == 1:  # a step: 1 is its digest, 3 its name, 4 whether it was found, 6 when it was done
                yield from self._step(field)
            elif number == 3:  # words of a step's command: 1 is the step's digest, 4 the words
                yield from self._words(_bytes(field, 1), _bytes(field, 4))

    def _step(self, field: Mapping[int, int | bytes]) -> Iterator[str]:
        digest, name = _bytes(field, 1), _bytes(field, 3).decode(errors="replace")
        if 6 in field and self._rest.get(digest):
            yield self._rest.pop(digest)
        if name.startswith("[") and not name.startswith("[internal]") and 5 in field and digest not in self._seen:
            self._seen.add(digest)
            yield f"Step {name}{' (found)' if field.get(4) else ''}"

    def _words(self, digest: bytes, words: bytes) -> Iterator[str]:
        decoder = self._decoders.setdefault(digest, codecs.getincrementaldecoder("utf-8")("replace"))
        *lines, self._rest[digest] = (self._rest.get(digest, "") + decoder.decode(words)).split("\n")
        yield from lines


def _bytes(field: Mapping[int, int | bytes], number: int) -> bytes:
    value = field.get(number, b"")
    return value if isinstance(value, bytes) else b""


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and contents of the fields of a message of protocol buffers."""
    place = 0
    while place < len(message):
        key, place = _integer(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _integer(message, place)
            yield number, value
            continue
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, place = _integer(message, place)
        yield number, message[place : place + length]
        place += length


def _integer(message: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and the place behind it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
