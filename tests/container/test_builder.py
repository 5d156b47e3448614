"""BuildKit's reports, messages of protocol buffers, become lines."""

from __future__ import annotations

import base64
import io
import json
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from sdbench.container.builder import Build, BuildError, build_with_buildkit, has_buildkit

BUILD = Build("docker/Dockerfile", "sdbench:x", {"BASE": "b"}, {"l": "1"}, "none")


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A message of protocol buffers."""
    whole = b""
    for number, content in fields:
        if isinstance(content, bytes):
            whole += integer(number << 3 | 2) + integer(len(content)) + content
        else:
            whole += integer(number << 3) + integer(content)
    return whole


def integer(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + integer(value >> 7)


def step(digest: bytes, name: str, *more: tuple[int, int | bytes]) -> bytes:
    return message((1, message((1, digest), (2, b"input"), (3, name.encode()), *more)))


def words(digest: bytes, said: bytes) -> bytes:
    return message((3, message((1, digest), (2, message((1, 1_700_000_000))), (3, 1), (4, said))))


STARTED, DONE = (5, message((1, 1_700_000_000), (2, 500))), (6, message((1, 1_700_000_001)))


def client(lines: list[dict[str, Any]], status: int = 200, **version: object) -> docker.DockerClient:
    content = [json.dumps(line).encode() for line in lines]
    sent: dict[str, Any] = {}

    def post(url: str, **options: Any) -> SimpleNamespace:
        sent.update(options, url=url)
        answer = {"message": "no such builder"}
        return SimpleNamespace(status_code=status, json=lambda: answer, iter_lines=lambda: iter(content), reason="")

    api = SimpleNamespace(post=post, base_url="http://x", api_version="1.41", sent=sent)
    return cast("docker.DockerClient", SimpleNamespace(api=api, version=lambda: version))


def trace(report: bytes) -> dict[str, Any]:
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(report).decode()}


def test_steps_and_words_are_lines() -> None:
    long = "[stage-1 2/3] RUN " + "x" * 200
    found = client(
        [
            trace(step(b"i", "[internal] load remote build context", STARTED)),
            trace(step(b"a", "[stage-1 1/3] FROM base", STARTED, DONE, (4, 1)) + step(b"b", long)),
            trace(step(b"b", long, STARTED)),
            trace(words(b"b", b"Collecting torch\n  Downl") + words(b"b", "oading \u00e9".encode()[:-1])),
            trace(words(b"b", "\u00e9".encode()[-1:] + b"\nlast")),
            trace(step(b"b", long, STARTED, DONE)),
            {"id": "moby.image.id", "aux": {"ID": "sha256:1"}},
        ]
    )
    assert list(build_with_buildkit(found, io.BytesIO(b"tar"), BUILD)) == [
        "Step [stage-1 1/3] FROM base (found)",
        f"Step {long}",
        "Collecting torch",
        "  Downloading \u00e9",
        "last",
    ]
    sent = cast("Any", found).api.sent
    assert sent["url"] == "http://x/v1.41/build"
    assert sent["params"]["version"] == "2"
    assert sent["params"]["networkmode"] == "none"
    assert json.loads(sent["params"]["buildargs"]) == {"BASE": "b"}
    assert sent["timeout"] is None


def test_a_step_that_fails_and_an_engine_that_refuses() -> None:
    failing = client([{"errorDetail": {}, "error": "exit code: 1"}])
    with pytest.raises(BuildError, match="exit code: 1"):
        list(build_with_buildkit(failing, io.BytesIO(), BUILD))
    with pytest.raises(docker.errors.DockerException, match="no such builder"):
        list(build_with_buildkit(client([], status=400), io.BytesIO(), BUILD))


def test_who_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)
    new = client([], ApiVersion="1.41", Os="linux", Components=[{"Name": "Engine"}])
    assert has_buildkit(new, None)
    assert has_buildkit(new, "host")
    assert not has_buildkit(new, "mine"), "BuildKit knows no networks of users"
    assert not has_buildkit(client([], ApiVersion="1.40", Os="linux"), None)
    assert not has_buildkit(client([], ApiVersion="1.41", Os="linux", Components=[{"Name": "Podman Engine"}]), None)
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    assert not has_buildkit(new, None)
