"""An engine that does what a test says, for what a real one would rarely do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import docker
import requests


class FakeImages:
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    def get(self, name: str) -> SimpleNamespace:
        if name not in self._engine.present:
            raise docker.errors.ImageNotFound(f"No such image: {name}")
        return self._found(name)

    def list(self, filters: dict[str, Any]) -> list[SimpleNamespace]:
        names = self._engine.labels if not filters.get("dangling") else ()
        return [self._found(name) for name in names if filters["label"] in self._engine.labels[name]]

    def remove(self, name: str) -> None:
        self._engine.calls.append(f"remove image {name}")
        del self._engine.present[name], self._engine.labels[name]

    def _found(self, name: str) -> SimpleNamespace:
        engine = self._engine
        attributes = {"RepoDigests": engine.digests.get(name), "Created": engine.created_at.get(name, "9")}
        return SimpleNamespace(
            id=engine.present[name], labels=engine.labels.get(name, {}), tags=[name], attrs=attributes
        )


class FakeContainer:
    """Says one line, then ends; or, where it is to be stopped, when it is sent a signal."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._ended = threading.Event()
        self.attrs: dict[str, Any] = {"State": {}}

    def attach(self, **_: object) -> Iterator[tuple[bytes | None, bytes | None]]:
        yield b"caf\xc3", None  # a character in two parts
        yield b"\xa9\n", b"complaint\n"
        if self._engine.endless:
            self._engine.started.set()
            self._ended.wait(30)
            yield b"report written\n", None

    def attach_socket(self, params: dict[str, int]) -> SimpleNamespace:
        assert params == {"stdin": 1, "stream": 1}
        return SimpleNamespace(close=lambda: None)

    def start(self) -> None:
        self._engine.calls.append("start")
        if self._engine.start_error is not None:
            raise self._engine.start_error
        self._engine.on_start(self._engine.created)
        if self._engine.gone:
            raise requests.ConnectionError("('Connection aborted.', FileNotFoundError(2, 'No such file'))")

    def kill(self, signal: str) -> None:
        self._engine.calls.append(f"kill {signal}")
        self._ended.set()

    def wait(self) -> dict[str, int]:
        return {"StatusCode": self._engine.status}

    def logs(self) -> bytes:
        return self._engine.said

    def reload(self) -> None:
        self.attrs = {
            "State": {
                "StartedAt": "2026-01-01T00:00:01.5Z",
                "FinishedAt": "2026-01-01T00:00:03.123456789Z",
                "OOMKilled": self._engine.out_of_memory,
            }
        }


class FakeEngine:
    """Stands for `docker.DockerClient`.

    Attributes:
        present: names of images -> their ids.
        labels: names of images -> their labels.
        digests: names of images -> what registries call them.
        created_at: names of images -> when they were made; others were made last.
        used: ids of images that containers have.
        said: what a container has said when it ends.
        calls: what was asked for, in order.
        created: how the last container was made.
    """

    def __init__(self, **present: str) -> None:
        self.present = dict(present)
        self.labels: dict[str, dict[str, str]] = {}
        self.digests: dict[str, list[str]] = {}
        self.created_at: dict[str, str] = {}
        self.used: list[str] = []
        self.said = b""
        self.calls: list[str] = []
        self.created: dict[str, Any] = {}
        self.build_arguments: dict[str, Any] = {}
        self.steps: list[dict[str, Any] | BaseException] = [{"stream": "Step 1/1 : FROM base"}]
        self.pull_steps: list[dict[str, Any]] = []
        self.start_error: Exception | None = None
        self.on_start: Callable[[dict[str, Any]], object] = lambda _created: None
        self.status = 0
        self.endless = False
        self.started = threading.Event()
        self.out_of_memory = False
        self.security: list[str] = []
        self.images = FakeImages(self)
        self.containers = SimpleNamespace(create=self._create)
        self.left_over: list[dict[str, Any]] = []
        self.gone = False
        self.api = SimpleNamespace(
            build=self._build,
            containers=self._list,
            inspect_distribution=self._distribution,
            pull=self._pull,
            remove_container=self._remove,
            stop=self._stop,
        )

    @property
    def client(self) -> docker.DockerClient:
        """This engine, as what it stands for."""
        return cast("docker.DockerClient", self)

    def info(self) -> dict[str, Any]:
        return {
            "MemTotal": 10 * 2**30,
            "ServerVersion": "1.2",
            "SecurityOptions": self.security,
            "InitBinary": "docker-init",
        }

    def ping(self) -> bool:
        if self.gone:
            raise requests.ConnectionError("('Connection aborted.', FileNotFoundError(2, 'No such file'))")
        return True

    def _list(self, all: bool, filters: dict[str, str] | None = None) -> list[dict[str, Any]]:
        assert all
        if filters is None:
            return [{"ImageID": identity} for identity in self.used]
        assert filters == {"label": "sdbench.owner"}
        return self.left_over

    def _stop(self, identity: str, timeout: int) -> None:
        self.calls.append(f"stop {identity} {timeout}")

    def version(self) -> dict[str, Any]:
        return {"ApiVersion": "1.40", "Os": "linux"}  # with the classic builder only

    def _distribution(self, name: str) -> dict[str, Any]:
        self.calls.append(f"ask registry {name}")
        return {"Descriptor": {"digest": f"sha256:{'d' * 64}"}}

    def _create(self, image: str, **options: Any) -> FakeContainer:
        self.calls.append("create")
        self.created = {"image": image, **options}
        return FakeContainer(self)

    def _build(self, **options: Any) -> Iterator[dict[str, Any]]:
        self.calls.append("build")
        self.build_arguments = options
        for step in self.steps:
            if isinstance(step, BaseException):
                raise step
            yield step
        if not any(isinstance(step, dict) and "error" in step for step in self.steps):
            self.present[options["tag"]] = "sha256:new"
            self.labels[options["tag"]] = options["labels"]

    def _pull(self, repository: str, tag: str, **_: object) -> Iterator[dict[str, Any]]:
        self.calls.append(f"pull {repository}:{tag}")
        yield from self.pull_steps
        if not any("error" in step for step in self.pull_steps):
            digest = tag.startswith("sha256:")
            self.present[f"{repository}:3.11-slim@{tag}" if digest else f"{repository}:{tag}"] = "sha256:pulled"

    def _remove(self, name: str, force: bool) -> None:
        self.calls.append("remove")
