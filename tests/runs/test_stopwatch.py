"""Seconds a stage: each counts its own time, also while items are made lazily."""

from collections.abc import Iterator

import pytest

from gcbench.runs.stopwatch import Stopwatch


def test_each_stage_counts_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("gcbench.runs.stopwatch.time.perf_counter", lambda: now[0])
    stages = Stopwatch()

    def items() -> Iterator[int]:
        for i in range(3):
            now[0] += 1
            yield i
        now[0] += 5

    for _ in stages.each("read", items()):
        with stages("evaluator"):
            now[0] += 10
        now[0] += 100
    assert stages.seconds == {"read": 8, "evaluator": 30}


def test_an_error_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("gcbench.runs.stopwatch.time.perf_counter", lambda: now[0])
    stages = Stopwatch()

    def work() -> None:
        with stages("read"):
            now[0] += 2.00049
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert stages.rounded() == {"read": 2.0}
