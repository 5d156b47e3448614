"""Work ahead: the next items are made in a background thread while the present one is used."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


@contextlib.contextmanager
def ahead(items: Iterable[Item], depth: int) -> Iterator[Iterator[Item]]:
    """Iterate over `items` in a thread of its own, at most `depth` of them ahead of who takes them.

    An error in the thread is raised where its item would have come. When the block ends, however it ends, the thread
    is told to stop and waited for: it finishes the item that it is at.
    """
    made: queue.Queue[tuple[str, Item | BaseException | None]] = queue.Queue(depth)
    stopping = threading.Event()

    def put(kind: str, content: Item | BaseException | None) -> bool:
        while not stopping.is_set():
            with contextlib.suppress(queue.Full):
                made.put((kind, content), timeout=0.1)
                return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not put("item", item):
                    return
        except BaseException as error:
            put("error", error)
        else:
            put("end", None)
        finally:
            if isinstance(items, Generator):
                items.close()

    def take() -> Iterator[Item]:
        while True:
            kind, content = made.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(content, BaseException)
                raise content
            yield content  # type: ignore[misc]

    thread = threading.Thread(target=make, name="sdbench-ahead", daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stopping.set()
        thread.join()
