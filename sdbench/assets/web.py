"""One file from the web: with progress, taken up again where it was cut, tried again when the way fails."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sdbench.base.errors import MissingAssetError
from sdbench.base.files import is_web_page, write_text

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new try; a try that brought something starts again at the first."""

_TIMEOUT = (15, 60)
_CHUNK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_BY_HAND = "open it in a browser, then: sdbench fetch NAME --from FILE"
_PAGE = f"answered with a web page instead of the file; run the same command again later, or {_BY_HAND}"


class _Cut(Exception):  # noqa: N818 - not an error of the caller's
    """The way failed; another try may help."""


@dataclass(frozen=True)
class _Offer:
    """What a server said of the file when its download began; a part is only continued with the same offer."""

    url: str
    total: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """What the server recognises the same content by, for If-Range; None where it gave nothing reliable."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified


class _Part:
    """A part of a file on disk with the offer it belongs to: what pooch writes into.

    Every response passes `examine` before a byte of its body is written, which decides where writing begins.
    """

    def __init__(self, path: Path, url: str, progress: Progress) -> None:
        self.path, self.url = path, url
        self._beside = path.with_name(f"{path.name}.json")
        self._progress = progress
        self._task = progress.add_task(f"fetching {path.name}", total=None)
        self._file: IO[bytes] | None = None
        self.offer = self._remembered()
        if self.offer is None:
            self.discard()

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def is_complete(self) -> bool:
        return self.offer is not None and self.offer.total is not None and self.size == self.offer.total

    def request_headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "sdbench"}
        if self.size and self.offer is not None and self.offer.validator is not None:
            headers["Range"] = f"bytes={self.size}-"
            headers["If-Range"] = self.offer.validator
        return headers

    def examine(self, response: requests.Response, **_: Any) -> None:
        """Look at the head of a response; hooked into requests."""
        if response.is_redirect or response.status_code not in (200, 206, 416):
            return  # requests follows the first, pooch raises for the others
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            response.close()
            raise MissingAssetError(f"{self.url} {_PAGE}")
        if _total(response) is None and response.headers.get("Transfer-Encoding", "").lower() != "chunked":
            response.close()
            raise MissingAssetError(
                f"the server does not say how large {self.url} is, so that a cut would not be noticed; {_BY_HAND}"
            )
        offer = _Offer(self.url, _total(response), response.headers.get("ETag"), response.headers.get("Last-Modified"))
        continues = response.status_code == 206 and self._continues(response, offer)
        if response.status_code != 200 and not continues:
            response.close()
            self.discard()
            raise _Cut("the server would not go on where the last try ended; starting again from the beginning")
        if not continues:
            # Also a server that does not know ranges, or has another file by now: it sends all from the beginning.
            self.discard()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._beside, json.dumps(asdict(offer)))
            self.offer = offer
        self._file = self.path.open("ab")
        self._progress.update(self._task, total=offer.total, completed=self.size)

    def write(self, content: bytes) -> None:
        assert self._file is not None
        self._file.write(content)
        self._progress.update(self._task, advance=len(content))

    def flush(self) -> None:
        assert self._file is not None
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        self.close()
        for path in (self.path, self._beside):
            path.unlink(missing_ok=True)
        self.offer = None

    def _continues(self, response: requests.Response, offer: _Offer) -> bool:
        start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if self.offer is None or start is None or int(start[1]) != self.size:
            return False
        # A partial answer may leave out the date of the last change, but not the ETag (RFC 9110, section 15.3.7).
        same_date = offer.modified in (None, self.offer.modified)
        return (offer.total, offer.etag) == (self.offer.total, self.offer.etag) and same_date

    def _remembered(self) -> _Offer | None:
        try:
            offer = _Offer(**json.loads(self._beside.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return offer if offer.url == self.url and offer.validator is not None else None


def _total(response: requests.Response) -> int | None:
    """The size of the whole file, as far as the response tells."""
    if response.status_code == 206:
        found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
        return int(found[1]) if found else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def fetch_url(url: str, path: Path, quiet: bool = False) -> None:
    """Download `url` to `path`; what an earlier call left there is continued if the server still has the same file.

    A record of what the server offered lies beside it; it belongs to the file until `forget` removes it.

    Raises:
        AssetError: the file cannot be had: the sentence says why and what to do. What came so far stays.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not sys.stderr.isatty()) as progress:
        part = _Part(path, url, progress)
        failures = 0
        try:
            while not part.is_complete:
                before = part.size
                try:
                    _try_once(part)
                    break
                except _Cut as cut:
                    part.close()
                    failures = 1 if part.size > before else failures + 1
                    if failures > len(PAUSES):
                        raise MissingAssetError(
                            f"{url} could not be fetched: {cut}; {part.size / 1e6:.1f} MB are kept, check the network "
                            "and run the same command again to go on"
                        ) from None
                    time.sleep(PAUSES[failures - 1])
        finally:
            part.close()
        if is_web_page(path):
            part.discard()
            raise MissingAssetError(f"{url} {_PAGE}")


def forget(path: Path) -> None:
    """Remove what `fetch_url` left at `path`."""
    for left in (path, path.with_name(f"{path.name}.json")):
        left.unlink(missing_ok=True)


def _try_once(part: _Part) -> None:
    downloader = pooch.HTTPDownloader(
        chunk_size=_CHUNK, timeout=_TIMEOUT, headers=part.request_headers(), hooks={"response": part.examine}
    )
    try:
        downloader(part.url, part, None)
    except requests.HTTPError as error:
        status, reason = (error.response.status_code, error.response.reason) if error.response is not None else (0, "")
        if status in _PASSING:
            raise _Cut(f"the server answered {status} {reason}") from None
        raise MissingAssetError(_refusal(part.url, status, reason)) from None
    except requests.exceptions.SSLError as error:
        raise MissingAssetError(
            f"the certificate of {part.url} was not accepted ({error}); check this machine's clock and its proxy"
        ) from None
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _Cut(f"the connection failed ({type(error).__name__})") from None
    except requests.RequestException as error:
        raise MissingAssetError(f"{part.url} could not be fetched ({error}); check the address and the proxy") from None
    part.close()
    total = part.offer.total if part.offer else None
    if total is not None and part.size != total:
        if part.size > total:
            part.discard()
        raise _Cut(f"the connection ended before all {total} bytes had come")


def _refusal(url: str, status: int, reason: str) -> str:
    if status in (404, 410):
        return (
            f"the server has no file at {url} any more ({status} {reason}); if you have it: "
            "sdbench fetch NAME --from FILE"
        )
    if status in (401, 403, 407):
        return f"the server refused {url} ({status} {reason}): it wants a login or a licence accepted; {_BY_HAND}"
    return f"the server answered {status} {reason} for {url}; {_BY_HAND}"
