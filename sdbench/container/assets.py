"""What a run needs from outside, fetched on this machine before the container, which has no network, starts."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import docker
import requests
from docker.types import Mount

from sdbench.assets.store import AssetStore
from sdbench.base.errors import AssetError
from sdbench.container.engine import explained, run_briefly
from sdbench.container.image import Image
from sdbench.container.run import Job, settings

_PLAN = "/plan"


def bring_assets(client: docker.DockerClient, image: Image, job: Job, store: AssetStore, root: Path) -> None:
    """See that what the selected cases need is in the cache, fetching what a program can.

    What cannot be fetched is said; the report then says which cases did not run for it. Which cases are selected only
    pytest knows: it is asked, in a container, where something that they may need is not there.

    Raises:
        AssetError: something is missing and the network is not allowed.
    """
    if job.data is None and all(store.is_present(name) for name in store.manifest.group("packaged")):
        return
    missing = [name for name in _selected(client, image, job, root) if not store.is_present(name)]
    reachable = [name for name in missing if not store.why_by_hand(name)]
    if store.offline:
        store.fetch(reachable)  # says what is missing, and how to get it
    for name in reachable:
        try:
            store.fetch([name])
        except AssetError as error:
            print(f"sdbench: {error}", file=sys.stderr)


def _selected(client: docker.DockerClient, image: Image, job: Job, root: Path) -> Sequence[str]:
    """Names of the assets that the selected cases need; none where pytest cannot tell, since the run will say why."""
    with tempfile.TemporaryDirectory(prefix="sdbench-plan-") as folder:
        arguments = [*job.arguments, "--collect-only", "-qq", "--list-assets", f"{_PLAN}/assets.json"]
        options = settings(client, image, replace(job, arguments=arguments, device="cpu"), root)
        options["mounts"].append(Mount(_PLAN, folder, type="bind"))
        try:
            run_briefly(client, image.id, **options)
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise explained(error, "asking which cases are selected") from None
        plan = Path(folder) / "assets.json"
        names: list[str] = json.loads(plan.read_text(encoding="utf-8")) if plan.is_file() else []
        return names
