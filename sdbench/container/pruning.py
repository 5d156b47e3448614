"""Images of older states: how many are kept, and which go."""

from __future__ import annotations

import re
from collections.abc import Iterable

import docker
import requests

from sdbench.container.engine import said_by, say
from sdbench.container.image import SOURCE_LABEL, STAGE_LABEL, Image

KEPT = 3
"""So many images are kept where nothing is said: those of the last states share all layers but their own code."""


def prune_images(client: docker.DockerClient, current: Image, keep: int) -> None:
    """Remove images of older states: all but the newest `keep`, the current one and those that a container has.

    Only names that this package gave go; an image with another name keeps that. What layers the classic builder's
    next build starts from are those of the images that are left.
    """
    try:
        used = {str(container["ImageID"]) for container in client.api.containers(all=True)}
        for filters in ({"label": SOURCE_LABEL}, {"label": STAGE_LABEL, "dangling": True}):
            found = client.images.list(filters=filters)
            found.sort(key=lambda image: str(image.attrs.get("Created", "")), reverse=True)
            kept = {current.id, *used, *(str(image.id) for image in found[:keep])}
            for image in found:
                names = [tag for tag in image.tags if re.fullmatch(r"(?:localhost/)?sdbench:[0-9a-f]{16}", tag)]
                if image.id not in kept and (names or not image.tags):
                    _remove(client, names or [str(image.id)], f"the newest {keep} are kept (--keep-images)")
    except (docker.errors.DockerException, requests.RequestException) as error:
        say(f"images of older states are left as they are: {said_by(error)}")


def _remove(client: docker.DockerClient, names: Iterable[str], why: str) -> None:
    for name in names:
        try:
            client.images.remove(name)
        except docker.errors.ImageNotFound:
            continue  # another run was faster
        except docker.errors.APIError as error:
            say(f"the image {name} of an older state is left: {said_by(error)}")
        else:
            say(f"removed the image {name} of an older state: {why}")
