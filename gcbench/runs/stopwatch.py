"""Seconds a stage of a command took."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Timed(NamedTuple):
    """value and unit of one figure; `against` names what `ratio` compares it with, in the same run."""

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None


class Stopwatch:
    """Seconds by stage, summed over all the times it was entered."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def each(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items; making each counts to the stage."""
        source = iter(items)
        while True:
            with self(stage):
                first = list(islice(source, 1))
            if not first:
                return
            yield first[0]

    def rounded(self) -> dict[str, float]:
        return {stage: round(seconds, 3) for stage, seconds in self.seconds.items()}
