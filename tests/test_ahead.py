"""Working ahead in a thread: order, bounds, errors and the end."""

from __future__ import annotations

import threading
import time

import pytest

from sdbench.ahead import ahead


def test_items_come_in_order_and_no_more_than_asked_are_made_ahead() -> None:
    made: list[int] = []

    def items():
        for i in range(20):
            made.append(i)
            yield i

    with ahead(items(), 3) as coming:
        taken = []
        for item in coming:
            taken.append(item)
            time.sleep(0.01)
            assert len(made) <= len(taken) + 5, "3 wait, one is being put, one is taken"
    assert taken == list(range(20))


def test_making_and_taking_overlap() -> None:
    def slow():
        for i in range(8):
            time.sleep(0.05)
            yield i

    started = time.perf_counter()
    with ahead(slow(), 2) as coming:
        for _ in coming:
            time.sleep(0.05)
    assert time.perf_counter() - started < 0.05 * 16 * 0.85


def test_an_error_comes_where_its_item_would_have() -> None:
    def failing():
        yield 1
        raise ValueError("no second")

    with ahead(failing(), 2) as coming:
        assert next(coming) == 1
        with pytest.raises(ValueError, match="no second"):
            next(coming)


def test_the_thread_ends_with_the_block() -> None:
    closed = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    before = threading.active_count()

    def interrupted() -> None:
        with ahead(endless(), 2) as coming:
            next(coming)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert closed.is_set()
    assert threading.active_count() == before
