"""A server of downloads on loopback that does what the publishers' servers do on a bad day."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

SLOW, DROPPED, WEB_PAGE = "slow start", "dropped connection", "web page in place of the file"
FAULTS = (WEB_PAGE, DROPPED, SLOW)

REDIRECT = "redirect"
_REDIRECTING = "www.dropbox.com"
_BLOCK = 1 << 20
_PAUSE = 2.0
"""Seconds before the first byte of a slow start."""

_PAGE = b"<!DOCTYPE html><html><body>Too many people asked for this file today.</body></html>"


@dataclass
class Answered:
    """What was answered to one request: which file, by which fault, from which byte on, and whether all of it."""

    file: str
    fault: str
    start: int = 0
    whole: bool = False


@dataclass
class Offers:
    """What a server offers.

    Attributes:
        files: host and path of a published address -> the file.
        faults: the same -> what befalls the requests to come, one each.
        answered: every answer so far.
    """

    files: dict[str, Path] = field(default_factory=dict)
    faults: dict[str, deque[str]] = field(default_factory=dict)
    answered: list[Answered] = field(default_factory=list)

    def spread(self, addresses: Iterable[str]) -> None:
        """Let each kind of fault befall one of the addresses once; where there are fewer, several befall one."""
        listed = list(addresses)
        for number, fault in enumerate(FAULTS):
            self.faults.setdefault(listed[number % len(listed)], deque()).append(fault)

    def survived(self) -> dict[str, str]:
        """Fault -> what came after it for the same file."""
        found: dict[str, str] = {}
        for number, answer in enumerate(self.answered):
            if not answer.fault:
                continue
            if answer.fault in (SLOW, REDIRECT):
                after = [answer] if answer.whole else []
            else:
                after = [later for later in self.answered[number + 1 :] if later.file == answer.file and later.whole]
            if not after:
                said = "NOT survived"
            elif answer.fault == DROPPED:
                said = f"went on at byte {after[0].start}" if after[0].start else "began anew"
            else:
                said = "the file came" + ("" if answer.fault in (SLOW, REDIRECT) else " at the next call")
            if found.get(answer.fault, "").startswith("NOT"):
                continue
            found[answer.fault] = said
        return found


def address_of(url: str) -> str:
    """Host and path of a published address, without what is asked of it."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path}"


def _handler(offers: Offers) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = urlsplit(self.path).path.lstrip("/")
            if asked.startswith(_REDIRECTING):  # Dropbox sends a program to where the file lies
                self.send_response(302)
                self.send_header("Location", f"/content{self.path}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            redirected = asked.startswith("content/")
            asked = asked.removeprefix("content/")
            file = offers.files.get(asked)
            if file is None:
                self.send_error(404)
                return
            queue = offers.faults.get(asked)
            answer = Answered(asked, queue.popleft() if queue else REDIRECT if redirected else "")
            offers.answered.append(answer)
            self._send(file, answer)

        def _send(self, file: Path, answer: Answered) -> None:
            if answer.fault == WEB_PAGE:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(_PAGE)))
                self.end_headers()
                self.wfile.write(_PAGE)
                return
            if answer.fault == SLOW:
                time.sleep(_PAUSE)
            size = file.stat().st_size
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            answer.start = int(found[1]) if found and int(found[1]) < size else 0
            self.send_response(206 if answer.start else 200)
            if answer.start:
                self.send_header("Content-Range", f"bytes {answer.start}-{size - 1}/{size}")
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Disposition", f'attachment; filename="{file.name}"')
            self.send_header("Content-Length", str(size - answer.start))
            self.send_header("ETag", f'"{size:x}-{file.name}"')
            self.end_headers()
            end = size // 2 if answer.fault == DROPPED else size
            with file.open("rb") as content, contextlib.suppress(ConnectionError):
                content.seek(answer.start)
                left = end - answer.start
                while left > 0 and (block := content.read(min(_BLOCK, left))):
                    self.wfile.write(block)
                    left -= len(block)
                answer.whole = end == size
            if answer.fault == DROPPED:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing: what was answered is kept."""

    return Handler


@contextlib.contextmanager
def serving(offers: Offers) -> Iterator[str]:
    """A server of `offers` on a free port of loopback; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(offers))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
