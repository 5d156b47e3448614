"""An image for a source state: found in the engine, or built there."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import docker
import requests

from sdbench import __version__
from sdbench.base.environment import git_revision
from sdbench.container.base import base_digest, base_id, pull_base
from sdbench.container.builder import Build, BuildError, build_classic, build_with_buildkit, has_buildkit
from sdbench.container.engine import EngineError, explained, is_disk_full, say
from sdbench.container.source import DOCKERFILE, Source

SOURCE_LABEL = "sdbench.source"
BASE_LABEL = "sdbench.base"
STAGE_LABEL = "sdbench.stage"
BASE_NAME_LABEL = "org.opencontainers.image.base.name"
BASE_DIGEST_LABEL = "org.opencontainers.image.base.digest"

_LAST_LINES = 30
"""So many lines of what a failed build said are shown."""

_STEP = re.compile(r"(?:\[\d+/\d+\] )?(?:Step|STEP) ")
_SHOWN = re.compile(r"Collecting |\s*Downloading |Installing collected|Successfully installed|no hashes ")
"""Lines of a build that say how far it is."""

_SECONDS = 5.0
"""Between two lines about one download."""

_MOUNT_LINE = re.compile(r"^# (--mount=\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Image:
    """An image in the engine.

    Attributes:
        name: its tag.
        id: its content's digest, as the engine names it.
        built: whether it was made just now.
        base: the name of the image that it was made from.
        base_digest: the digest under which a registry has that, or which local image it is.
    """

    name: str
    id: str
    built: bool
    base: str = "unknown"
    base_digest: str = "unknown"


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
    base = source.arguments["BASE"]
    identity = base_id(client, base)
    try:
        present = client.images.get(source.tag)
    except docker.errors.ImageNotFound:
        pass
    else:
        if identity is None or present.labels.get(BASE_LABEL) == identity:
            return _image(client, source.tag, built=False)
        say(f"{base} is not what {source.tag} was built from any more; building it again")
    if identity is None:
        identity = pull_base(client, base)
    labels = {SOURCE_LABEL: source.digest, BASE_LABEL: identity, BASE_DIGEST_LABEL: base_digest(client, base, identity)}
    build = Build(DOCKERFILE, source.tag, {**proxies, **source.arguments, **_described(source)}, labels, network)
    try:
        _build(client, source, build)
    except KeyboardInterrupt:
        say("the build is stopped; the steps that were done are found again")
        raise
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise explained(error, f"building {source.tag}") from None
    return _image(client, source.tag, built=True)


def _image(client: docker.DockerClient, name: str, built: bool) -> Image:
    found = client.images.get(name)
    told = [str(found.labels.get(label, "unknown")) for label in (BASE_NAME_LABEL, BASE_DIGEST_LABEL)]
    return Image(name, str(found.id), built, *told)


def _build(client: docker.DockerClient, source: Source, build: Build) -> None:
    buildkit = has_buildkit(client, build.network)
    builder = "BuildKit, which keeps pip's downloads" if buildkit else "the classic builder"
    say(
        f"building {build.tag} from {build.arguments['BASE']} with {builder}; this is done once for each state of the "
        "source"
    )
    if buildkit:
        text = (source.root / DOCKERFILE).read_text(encoding="utf-8")
        with source.context({DOCKERFILE: with_mounts(text).encode()}) as context:
            _follow(build_with_buildkit(client, context, build))
    else:
        with source.context() as context:
            _follow(build_classic(client, context, build))


def with_mounts(dockerfile: str) -> str:
    """The Dockerfile with its mounts, which the classic builder does not know, behind the next RUN each."""
    parts = _MOUNT_LINE.split(dockerfile)
    for place in range(1, len(parts), 2):
        parts[place + 1] = parts[place + 1].replace("\nRUN ", f"\nRUN {parts[place]} ", 1)
        parts[place] = ""
    return "".join(parts)


def _described(source: Source) -> dict[str, str]:
    """What the labels say; the same source state may have several revisions, and the first that is built is named."""
    pins = (source.root / "constraints.txt").read_text(encoding="utf-8")
    torch = re.search(r"^torch==(\S+)", pins, re.MULTILINE)
    revision = git_revision(source.root)
    if source.untracked and not revision.endswith("+changes"):
        revision += "+changes"
    return {"REVISION": revision, "VERSION": __version__, "TORCH": torch.group(1) if torch else "unknown"}


def _follow(lines: Iterable[str]) -> None:
    """Show how far a build is, and keep all that was said: it is needed when the build fails."""
    said = 0.0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        try:
            for line in lines:
                log.write(line + "\n")
                if progress := re.fullmatch(r"Progress (\d+) of (\d+)", line):
                    done, whole = (int(number) / 1e6 for number in progress.groups())
                    if whole > 0 and (said == 0 or time.monotonic() - said >= _SECONDS):
                        said = time.monotonic()
                        say(f"    {done:.0f} of {whole:.0f} MB")
                elif _STEP.match(line) or _SHOWN.match(line):
                    said = time.monotonic()
                    say(line.rstrip() if _STEP.match(line) else f"  {line.strip()}")
        except BuildError as error:
            log.seek(0)
            raise _failure(str(error), [line for line in log.read().splitlines() if line.strip()]) from None


def _failure(error: str, lines: list[str]) -> EngineError:
    full = [line.strip() for line in lines if is_disk_full(line)]
    if full:
        error = f"{error}: {full[-1]}"
    else:
        print("\n".join(lines[-_LAST_LINES:]), file=sys.stderr)
    return explained(RuntimeError(error), "building the image")
