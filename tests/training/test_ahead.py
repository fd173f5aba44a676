"""Batches made ahead by a thread: in order, with what went wrong in its place, and no more than wanted."""

import threading
import time

import pytest

from gcbench.training.ahead import DEPTH, Ahead


def test_order_and_end() -> None:
    with Ahead(lambda step: step * step, 3, 9) as ahead:
        assert [ahead.next() for _ in range(6)] == [9, 16, 25, 36, 49, 64]


def test_they_are_made_by_another_thread_and_not_too_many() -> None:
    made: list[int] = []
    with Ahead(lambda step: made.append(threading.get_ident()), 0, 1000) as ahead:
        ahead.next()
        until = time.monotonic() + 300
        while len(made) < DEPTH + 2 and time.monotonic() < until:
            time.sleep(0.001)
    assert set(made) != {threading.get_ident()}
    assert DEPTH + 1 <= len(made) <= DEPTH + 4  # used, waiting, in hand; and while it ends


def test_an_error_comes_in_its_place() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("no such pair")
        return step

    with Ahead(make, 0, 5) as ahead:
        assert [ahead.next(), ahead.next()] == [0, 1]
        with pytest.raises(ValueError, match="no such pair"):
            ahead.next()


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    with Ahead(lambda step: step, 0, 10**9) as ahead:
        assert ahead.next() == 0
    assert threading.active_count() == before
