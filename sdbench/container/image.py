"""An image for a source state: found in the engine, or built there."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import docker
import requests

from sdbench import __version__
from sdbench.base.environment import git_revision
from sdbench.base.errors import SdbenchError
from sdbench.container.engine import HOST_WORKS, EngineError, explained, is_disk_full, said_by
from sdbench.container.source import DOCKERFILE, Source

SOURCE_LABEL = "sdbench.source"
BASE_LABEL = "sdbench.base"

_LAST_LINES = 30
"""So many lines of what a failed build said are shown."""


@dataclass(frozen=True)
class Image:
    """An image in the engine.

    Attributes:
        name: its tag.
        id: its content's digest, as the engine names it.
        built: whether it was made just now.
    """

    name: str
    id: str
    built: bool


def default_base(source_root_dockerfile: str) -> str:
    """The base image that a Dockerfile names where none is given."""
    found = re.search(r"^ARG BASE=(\S+)$", source_root_dockerfile, re.MULTILINE)
    assert found is not None
    return found.group(1)


def image_for(client: docker.DockerClient, source: Source, proxies: Mapping[str, str], network: str | None) -> Image:
    """The image of exactly this source state, built where the engine has none.

    An image whose base was replaced under the same name since is built again.

    Args:
        client: the engine.
        source: what it is made from; its argument "BASE" names the base image.
        proxies: build arguments that say how to reach the network, and change nothing of what is built.
        network: the network of the build, where the engine's default will not do.

    Raises:
        EngineError: it could not be built; the sentence says why.
    """
    base = _base(client, source.arguments["BASE"])
    try:
        present = client.images.get(source.tag)
    except docker.errors.ImageNotFound:
        pass
    else:
        if base is None or present.labels.get(BASE_LABEL) == base:
            return Image(source.tag, str(present.id), built=False)
        _say(f"{source.arguments['BASE']} is not what {source.tag} was built from any more; building it again")
    if base is None:
        base = _pull(client, source.arguments["BASE"])
    _say(f"building {source.tag} from {source.arguments['BASE']}; this is done once for each state of the source")
    labels = {SOURCE_LABEL: source.digest, BASE_LABEL: base}
    arguments = {**proxies, **source.arguments, **_described(source)}
    with source.context() as context:
        try:
            steps = client.api.build(
                fileobj=context,
                custom_context=True,
                dockerfile=DOCKERFILE,
                tag=source.tag,
                buildargs=arguments,
                labels=labels,
                network_mode=network,
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(steps)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise explained(error, f"building {source.tag}") from None
    return Image(source.tag, str(client.images.get(source.tag).id), built=True)


def _base(client: docker.DockerClient, name: str) -> str | None:
    """The id of the base image, where the engine has it."""
    try:
        return str(client.images.get(name).id)
    except docker.errors.ImageNotFound:
        return None
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise explained(error, f"looking for {name}") from None


def _pull(client: docker.DockerClient, name: str) -> str:
    _say(f"pulling the base image {name}")
    repository, tag = docker.utils.parse_repository_tag(name)
    try:
        for step in client.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
            if "error" in step:
                raise docker.errors.DockerException(step["error"])
        return str(client.images.get(name).id)
    except (docker.errors.DockerException, requests.RequestException) as error:
        failure = explained(error, f"pulling {name}")
        if is_disk_full(failure):
            raise failure from None
        raise EngineError(
            f"the base image {name} is not here and cannot be pulled ({said_by(error)}); check the engine's network "
            f"and proxy, or name with --base an image that the engine has; {HOST_WORKS}"
        ) from None


def _described(source: Source) -> dict[str, str]:
    """What the labels say; the same source state may have several revisions, and the first that is built is named."""
    pins = (source.root / "constraints.txt").read_text(encoding="utf-8")
    torch = re.search(r"^torch==(\S+)", pins, re.MULTILINE)
    return {
        "REVISION": git_revision(source.root),
        "VERSION": __version__,
        "TORCH": torch.group(1) if torch else "unknown",
    }


def _follow(steps: Iterable[dict[str, Any]]) -> None:
    """Show the steps of a build, and keep all that was said: it is needed when the build fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        for step in steps:
            said = str(step.get("stream", ""))
            log.write(said)
            if said.startswith("Step "):
                _say(said.strip())
            if "error" in step:
                log.seek(0)
                lines = [line for line in log.read().splitlines() if line.strip()]
                raise _failure(str(step["error"]), lines)


def _failure(error: str, lines: list[str]) -> SdbenchError:
    full = [line.strip() for line in lines if is_disk_full(line)]
    if full:
        error = f"{error}: {full[-1]}"
    else:
        print("\n".join(lines[-_LAST_LINES:]), file=sys.stderr)
    return explained(RuntimeError(error), "building the image")


def _say(words: str) -> None:
    print(f"sdbench: {words}", file=sys.stderr, flush=True)
