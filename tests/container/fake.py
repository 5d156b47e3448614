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
        return SimpleNamespace(id=self._engine.present[name], labels=self._engine.labels.get(name, {}))


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
        calls: what was asked for, in order.
        created: how the last container was made.
    """

    def __init__(self, **present: str) -> None:
        self.present = dict(present)
        self.labels: dict[str, dict[str, str]] = {}
        self.calls: list[str] = []
        self.created: dict[str, Any] = {}
        self.build_arguments: dict[str, Any] = {}
        self.steps: list[dict[str, Any] | Exception] = [{"stream": "Step 1/1 : FROM base"}]
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
            pull=self._pull,
            remove_container=self._remove,
            containers=self._list,
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

    def _list(self, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert all
        assert filters == {"label": "sdbench.owner"}
        return self.left_over

    def _stop(self, identity: str, timeout: int) -> None:
        self.calls.append(f"stop {identity} {timeout}")

    def _create(self, image: str, **options: Any) -> FakeContainer:
        self.calls.append("create")
        self.created = {"image": image, **options}
        return FakeContainer(self)

    def _build(self, **options: Any) -> Iterator[dict[str, Any]]:
        self.calls.append("build")
        self.build_arguments = options
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step
        if not any(isinstance(step, dict) and "error" in step for step in self.steps):
            self.present[options["tag"]] = "sha256:new"
            self.labels[options["tag"]] = options["labels"]

    def _pull(self, repository: str, tag: str, **_: object) -> Iterator[dict[str, Any]]:
        self.calls.append(f"pull {repository}:{tag}")
        yield from self.pull_steps
        if not any("error" in step for step in self.pull_steps):
            self.present[f"{repository}:{tag}"] = "sha256:pulled"

    def _remove(self, name: str, force: bool) -> None:
        self.calls.append("remove")
