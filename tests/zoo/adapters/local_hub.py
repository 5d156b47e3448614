"""A hub on this machine that holds small checkpoints: it answers what the hub's client asks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers what the hub's client asks of it, for the repositories in `folders`."""

    folders: dict[str, Path]
    gated: set[str]
    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._describe("/".join(parts[2:4]), parts[4:])
        else:
            self._send_file("/".join(parts[:2]), "/".join(parts[4:]))

    def _describe(self, name: str, rest: list[str]) -> None:
        if name not in self.folders:
            self._refuse(404, "RepoNotFound")
        elif rest[1:2] and rest[1] not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif rest[:1] == ["tree"]:
            files = sorted(self.folders[name].iterdir())
            self._send(
                json.dumps(
                    [
                        {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _digest(file)}
                        for file in files
                    ]
                ).encode()
            )
        else:
            self._send(json.dumps({"id": name, "modelId": name, "sha": COMMIT, "siblings": []}).encode())

    def _send_file(self, name: str, file: str) -> None:
        if name in self.gated:
            self._refuse(403, "GatedRepo")
        elif name not in self.folders or not (path := self.folders[name] / file).is_file():
            self._refuse(404, "EntryNotFound")
        else:
            self._send(path.read_bytes(), {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": COMMIT})

    def _send(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """Meanwhile the hub's client asks a server of this machine, and keeps what it fetches in `tmp_path`."""
    answers = type("Answers", (Hub,), {"folders": {}, "gated": set(), "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    point_to(f"http://127.0.0.1:{server.server_address[1]}", tmp_path, monkeypatch)
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def point_to(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client asks `address`."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
