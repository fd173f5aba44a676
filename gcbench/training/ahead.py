"""The batches of the coming steps, made by a thread while the network works on this one's."""

import threading
from collections.abc import Callable
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

DEPTH = 2
"""Batches that wait to be used."""


class Ahead(Generic[T]):
    """A context in which `next()` gives make(start), make(start + 1), ... up to make(stop - 1), made beforehand.
    What `make` raises, `next()` raises in its place."""

    def __init__(self, make: Callable[[int], T], start: int, stop: int):
        self._queue: Queue[tuple[T | None, BaseException | None]] = Queue(DEPTH)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(make, start, stop), daemon=True)

    def _work(self, make: Callable[[int], T], start: int, stop: int) -> None:
        for step in range(start, stop):
            if self._ended.is_set():
                return
            try:
                item: tuple[Any, BaseException | None] = make(step), None
            except BaseException as error:
                item = None, error
            self._queue.put(item)
            if item[1] is not None:
                return

    def next(self) -> T:
        item, error = self._queue.get()
        if error is not None:
            raise error
        return item  # type: ignore[return-value]

    def __enter__(self) -> "Ahead[T]":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except Empty:
                continue
        self._thread.join()
