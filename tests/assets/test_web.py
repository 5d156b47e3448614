"""Fetching from the web: against a server on this machine that does everything that servers do."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sdbench.assets import Asset, AssetStore, Manifest, Url
from sdbench.assets.lock import today
from sdbench.assets.web import fetch_url
from sdbench.base.errors import AssetError, InputError
from sdbench.cli import main

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server answers, and what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    conditions: bool = True  # whether it looks at If-Range
    length: bool = True
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)  # after how many bytes to hang up, one for each answer
    statuses: list[int] = field(default_factory=list)  # answered first, one for each request
    page: str | None = None
    page_type: str = "text/html; charset=utf-8"
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def asset(self, name: str = "toy", **changes: Any) -> Asset:
        source = Url(kind="url", **{"url": f"{self.url}/weights.bin", "how": "direct", **changes})
        return Asset(
            name=name,
            group="toys",
            source=source,
            filename="weights.bin",
            format="bytes",
            license="MIT",
            citation="none",
            note="a toy",
        )


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.asked.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/weights.bin")
            self.end_headers()
            return
        if site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        body, start, status, kind = site.content, 0, 200, "application/octet-stream"
        if site.page is not None:
            body, kind = site.page.encode(), site.page_type
        wanted = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, site.etag, site.modified) or not site.conditions
        if wanted and site.ranges and same:
            start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
            if start >= len(body):
                self.send_error(416)
                return
        cut = site.cuts.pop(0) if site.cuts else None  # before the client can know of this answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.modified and status == 200:
            self.send_header("Last-Modified", site.modified)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if site.length:
            self.send_header("Content-Length", str(len(body) - start))
        if site.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        self.end_headers()
        self.wfile.write(body[start:] if cut is None else body[start : start + cut])

    def log_message(self, *given: Any) -> None:
        pass


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SDBENCH_LOCK", raising=False)
    monkeypatch.delenv("SDBENCH_OFFLINE", raising=False)
    monkeypatch.setattr("sdbench.assets.web.PAUSES", (0.0, 0.0))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    found = Site(url=f"http://127.0.0.1:{server.server_address[1]}")
    server.site = found  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def store_of(tmp_path: Path, *assets: Asset, **options: Any) -> AssetStore:
    return AssetStore(tmp_path / "cache", Manifest(schema=1, assets=assets), quiet=True, **options)


def left_behind(cache: Path) -> list[str]:
    """Files in the cache that are neither assets nor records nor locks."""
    found = [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return [path.name for path in found if path.parent.parent.name != "assets" and path.name != "lock.json"]


def test_the_first_download_records_what_came(tmp_path: Path, site: Site) -> None:
    store = store_of(tmp_path, site.asset())
    path = store.path("toy")
    assert path.read_bytes() == CONTENT
    recorded = json.loads((tmp_path / "cache" / "lock.json").read_text())["assets"]["toy"]
    assert recorded == {
        "url": f"{site.url}/weights.bin",
        "sha256": DIGEST,
        "bytes": len(CONTENT),
        "first_seen": str(today()),
        "by": "download",
    }
    assert store.hashes(["toy"]) == {"toy": f"{DIGEST} (hash first seen on {today()})"}
    assert left_behind(store.folder) == []
    store_of(tmp_path, site.asset(), offline=True).path("toy")
    assert len(site.asked) == 1, "the second time nothing is fetched"


def test_a_hash_that_was_not_seen_yet_is_not_known(tmp_path: Path, site: Site) -> None:
    with pytest.raises(AssetError, match="the hash of toy is not known before it is there: sdbench fetch toy"):
        store_of(tmp_path, site.asset()).hashes(["toy"])


def test_a_cut_download_goes_on_where_it_ended(tmp_path: Path, site: Site) -> None:
    site.cuts = [300_000, 400_000]
    assert store_of(tmp_path, site.asset()).path("toy").read_bytes() == CONTENT
    assert [asked.get("range") is None for asked in site.asked] == [True, False, False]
    starts = [int(asked["range"].removeprefix("bytes=").rstrip("-")) for asked in site.asked[1:]]
    assert 200_000 < starts[0] <= 300_000 < starts[1] <= 700_000


def test_a_later_run_goes_on_too(tmp_path: Path, site: Site) -> None:
    site.cuts = [500_000, 0, 0, 0, 0]
    with pytest.raises(AssetError, match=r"could not be fetched: the connection .* 0\.[45] MB are kept.*same command"):
        store_of(tmp_path, site.asset()).path("toy")
    site.cuts, before = [], len(site.asked)
    assert store_of(tmp_path, site.asset()).path("toy").read_bytes() == CONTENT
    assert int(site.asked[before]["range"].removeprefix("bytes=").rstrip("-")) > 400_000
    assert left_behind(tmp_path / "cache") == []


@pytest.mark.parametrize("changes", [{"ranges": False}, {"etag": None}])
def test_a_server_that_cannot_go_on_sends_all_again(tmp_path: Path, site: Site, changes: dict) -> None:
    for name, value in changes.items():
        setattr(site, name, value)
    site.cuts = [300_000]
    assert store_of(tmp_path, site.asset()).path("toy").read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_without_an_etag_the_date_of_the_last_change_will_do(tmp_path: Path, site: Site) -> None:
    site.etag, site.modified = None, "Sat, 01 Jan 2022 00:00:00 GMT"
    site.cuts = [300_000]
    assert store_of(tmp_path, site.asset()).path("toy").read_bytes() == CONTENT
    assert [asked.get("if-range") for asked in site.asked] == [None, site.modified]


@pytest.mark.parametrize("conditions", [True, False])
def test_parts_of_two_files_are_never_put_together(tmp_path: Path, site: Site, conditions: bool) -> None:
    site.conditions = conditions
    site.cuts = [300_000, 0, 0, 0, 0]
    with pytest.raises(AssetError):
        store_of(tmp_path, site.asset()).path("toy")
    site.content, site.etag, site.cuts = CONTENT[::-1], '"two"', []
    assert store_of(tmp_path, site.asset()).path("toy").read_bytes() == CONTENT[::-1]


def test_where_a_cut_would_not_be_noticed_nothing_is_taken(tmp_path: Path, site: Site) -> None:
    site.length = False
    with pytest.raises(AssetError, match=r"does not say how large .* is, so that a cut would not be noticed"):
        store_of(tmp_path, site.asset()).path("toy")
    site.chunked, site.ranges, site.cuts = True, False, [300_000]
    assert store_of(tmp_path, site.asset()).path("toy").read_bytes() == CONTENT
    assert len(site.asked) == 3


def test_what_is_not_the_locked_file_is_refused(tmp_path: Path, site: Site) -> None:
    lock = tmp_path / "project" / "sdbench.lock.json"
    store_of(tmp_path / "first", site.asset(), lock=lock).path("toy")
    before = lock.read_text()
    site.content = CONTENT[:-1] + b"?"
    store = store_of(tmp_path / "second", site.asset(), lock=lock)
    with pytest.raises(AssetError, match=rf"not the toy that was first seen on {today()}.*expected {DIGEST}.*delete"):
        store.path("toy")
    assert not store.is_present("toy")
    assert left_behind(store.folder) == []
    assert lock.read_text() == before
    site.content = CONTENT
    lock.chmod(0o444)
    assert store.path("toy").read_bytes() == CONTENT


def test_the_variable_names_the_lock_file(tmp_path: Path, site: Site, monkeypatch) -> None:
    monkeypatch.setenv("SDBENCH_LOCK", str(tmp_path / "mine.json"))
    store_of(tmp_path, site.asset()).path("toy")
    assert json.loads((tmp_path / "mine.json").read_text())["assets"]["toy"]["sha256"] == DIGEST
    (tmp_path / "mine.json").unlink()
    assert store_of(tmp_path, site.asset(), offline=True).is_present("toy")
    assert (tmp_path / "mine.json").is_file(), "a new lock file learns from the cache"
    (tmp_path / "mine.json").write_text("{}]")
    with pytest.raises(AssetError, match=r"mine\.json is not a lock file of sdbench"):
        store_of(tmp_path, site.asset()).path("toy")


def test_another_file_in_the_cache_gives_way_to_the_locked_one(tmp_path: Path, site: Site, capsys) -> None:
    store_of(tmp_path, site.asset()).path("toy")
    site.content, site.etag = CONTENT[::-1], '"two"'
    lock = tmp_path / "project.json"
    store_of(tmp_path / "other", site.asset(), lock=lock).path("toy")
    assert store_of(tmp_path, site.asset(), lock=lock).path("toy").read_bytes() == CONTENT[::-1]
    assert "is not the file that" in capsys.readouterr().err


def test_a_file_that_decayed_is_fetched_again(tmp_path: Path, site: Site, capsys) -> None:
    path = store_of(tmp_path, site.asset()).path("toy")
    path.write_bytes(CONTENT[:-1] + b"?")
    assert store_of(tmp_path, site.asset()).path("toy").read_bytes() == CONTENT
    assert "was damaged and has been deleted" in capsys.readouterr().err
    (tmp_path / "cache" / "lock.json").unlink()
    store_of(tmp_path, site.asset()).path("toy")
    assert len(site.asked) == 3, "a file without a record is not believed"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, r"the server has no file at .*weights\.bin any more \(404.*--from FILE"),
        (403, r"refused .* \(403.*login or a licence.*open it in a browser"),
        (451, r"the server answered 451"),
    ],
)
def test_refusals_are_said_at_once(tmp_path: Path, site: Site, status: int, said: str) -> None:
    site.statuses = [status]
    with pytest.raises(AssetError, match=said):
        store_of(tmp_path, site.asset()).path("toy")
    assert len(site.asked) == 1


def test_passing_troubles_are_tried_again(tmp_path: Path, site: Site) -> None:
    site.statuses = [503, 429]
    assert store_of(tmp_path, site.asset()).path("toy").read_bytes() == CONTENT
    site.statuses = [503] * 9
    with pytest.raises(AssetError, match=r"could not be fetched: the server answered 503.*same command again"):
        store_of(tmp_path / "again", site.asset()).path("toy")


def test_redirects_are_followed(tmp_path: Path, site: Site) -> None:
    moved = site.asset(url=f"{site.url}/moved")
    assert store_of(tmp_path, moved).path("toy").read_bytes() == CONTENT
    assert [asked["path"] for asked in site.asked] == ["/moved", "/weights.bin"]


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_is_not_taken_for_the_file(tmp_path: Path, site: Site, kind: str) -> None:
    site.page, site.page_type = "\n<!DOCTYPE html><title>Sign in</title>", kind
    store = store_of(tmp_path, site.asset())
    with pytest.raises(
        AssetError, match=r"web page instead of the file; run .* later, or open it .* fetch toy --from FILE"
    ):
        store.path("toy")
    assert store.seen("toy") is None
    assert left_behind(store.folder) == []


def test_a_server_out_of_reach_is_named(tmp_path: Path, site: Site) -> None:
    nowhere = site.asset(url="http://127.0.0.1:9/weights.bin")  # nothing listens on the discard port
    with pytest.raises(AssetError, match=r"http://127\.0\.0\.1:9/weights\.bin could not be fetched.*check the network"):
        store_of(tmp_path, nowhere).path("toy")


def test_what_only_a_person_can_get_is_said(tmp_path: Path, site: Site) -> None:
    browser, never = site.asset("by_browser", how="browser"), site.asset("never", url=None, how="never published")
    store = store_of(tmp_path, browser, never)
    with pytest.raises(AssetError, match=r"by_browser: open http.* in a browser .*--from FILE"):
        store.path("by_browser")
    with pytest.raises(AssetError, match=r"never: never published; only its authors"):
        store.path("never")
    assert site.asked == []
    with pytest.raises(ValueError, match="what was published has a url"):
        site.asset(url=None)


def test_a_file_fetched_by_hand_is_recorded_and_held_to(tmp_path: Path, site: Site) -> None:
    store = store_of(tmp_path, site.asset(how="browser"), offline=True)
    own = tmp_path / "own.bin"
    own.write_bytes(CONTENT)
    assert store.add("toy", own).read_bytes() == CONTENT
    seen = store.seen("toy")
    assert seen is not None
    assert (seen.by, seen.sha256) == ("hand", DIGEST)
    assert store.path("toy").name == "weights.bin"
    own.write_bytes(CONTENT + b"more")
    with pytest.raises(AssetError, match=r"own\.bin is not the toy that was first seen on"):
        store.add("toy", own)
    for content, said in ((b"<html>", "is a web page, not weights.bin"), (b"", "is empty, not weights.bin")):
        own.write_bytes(content)
        with pytest.raises(AssetError, match=said):
            store.add("toy", own)
    with pytest.raises(InputError, match=r"is not a file; expected weights\.bin$"):
        store.add("toy", tmp_path / "nowhere")


def test_a_group_brings_what_it_can(tmp_path: Path, site: Site, monkeypatch, capsys) -> None:
    assets = (
        site.asset("gone", url=f"{site.url}/gone"),
        site.asset("toy"),
        site.asset("by_browser", how="browser"),
        site.asset("never", url=None, how="never published"),
    )
    site.statuses = [404]
    monkeypatch.setenv("SDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sdbench.assets.store.packaged_manifest", lambda: Manifest(schema=1, assets=assets))
    assert main(["fetch", "toys"]) == 1
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == f"toy: {tmp_path / 'cache' / 'assets' / 'toy' / 'weights.bin'}"
    assert lines[1].startswith("by_browser: not here: open http")
    assert lines[2].startswith("never: not here: never published")
    assert lines[3].startswith("gone: not here: the server has no file")
    assert "gone could not be fetched" in said.err
    assert main(["fetch", "toys"]) == 0
    assert main(["list", "assets"]) == 0
    assert "1.0 MB" in capsys.readouterr().out
    own = tmp_path / "own.bin"
    own.write_bytes(CONTENT)
    assert main(["fetch", "by_browser", "--from", str(own)]) == 0


def test_interrupted_downloads_keep_their_part(tmp_path: Path, site: Site, monkeypatch) -> None:
    from sdbench.assets import web

    def interrupted(part: Any, content: bytes) -> None:
        part._file.write(content)
        if part._file.tell() > 300_000:
            raise KeyboardInterrupt

    store = store_of(tmp_path, site.asset())
    with monkeypatch.context() as patch:
        patch.setattr(web._Part, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.path("toy")
    assert store.path("toy").read_bytes() == CONTENT
    assert int(site.asked[1]["range"].removeprefix("bytes=").rstrip("-")) > 300_000


# Processes that fetch at once import this module: what takes seconds to import is imported where it is needed.


def _fetch_in_process(cache: Path, wanted: str, results: Any) -> None:
    store = AssetStore(cache, Manifest.model_validate_json(wanted), quiet=True)
    results.put(store.path("toy").read_bytes() == CONTENT)


@pytest.mark.slow
def test_two_processes_download_once(tmp_path: Path, site: Site) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    manifest = Manifest(schema=1, assets=(site.asset(),)).model_dump_json(by_alias=True)
    workers = [
        context.Process(target=_fetch_in_process, args=(tmp_path / "cache", manifest, results)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [results.get(timeout=5) for _ in workers] == [True, True]
    assert len(site.asked) == 1


def test_weights_that_came_damaged_are_said_to_be_in_the_lock(tmp_path: Path, site: Site) -> None:
    from sdbench.zoo import load

    asset = site.asset("x3d_xs_kinetics400")
    store = store_of(tmp_path, asset)
    with pytest.raises(AssetError, match=rf"is not a whole pickle.*first seen on {today()}.*record in .*lock\.json"):
        load("x3d_xs", store=store)


def test_weights_from_the_web_are_loaded(tmp_path: Path, site: Site) -> None:
    import torch

    from sdbench.networks import build
    from sdbench.zoo import load

    state = build("x3d_xs").state_dict()
    torch.save({"model_state": state}, tmp_path / "x3d_xs.pyth")
    site.content = (tmp_path / "x3d_xs.pyth").read_bytes()
    store = store_of(tmp_path, site.asset("x3d_xs_kinetics400"))
    loaded = load("x3d_xs", store=store).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    never = store_of(tmp_path, site.asset("fast_r50_8x8_ssv2", url=None, how="never published"))
    with pytest.raises(AssetError, match="fast_r50_8x8_ssv2: never published"):
        load("fast_r50_8x8", store=never, trained_on="ssv2")


def test_progress_is_drawn_on_stderr_and_not_among_the_answers(tmp_path: Path, site: Site, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch_url(f"{site.url}/weights.bin", tmp_path / "weights.bin")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "fetching weights.bin" in printed.err
