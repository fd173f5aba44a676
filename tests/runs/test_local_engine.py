"""Stages as processes: what runs at once, with how many threads, what is left out, and what a failure says."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from gcbench.runs import local_engine
from gcbench.runs.local_engine import reason_of, run_local
from gcbench.runs.suite_stages import Stage


def stage(name: str, *needs: str, command: tuple[str, ...] = ("--version",), fault: str | None = None) -> Stage:
    return Stage("sweep", name, command, "m", tuple(f"sweep {need}" for need in needs), fault=fault)


def test_processes_are_run_and_a_failure_is_told_with_its_last_line(tmp_path: Path) -> None:
    told: dict[str, str | None] = {}
    stages = [
        stage("good"),
        stage("bad", command=("list", "nothing")),
        stage("heir", "bad"),
        stage("after", "good"),
        stage("faulty", fault="no such model"),
    ]
    run_local(stages, tmp_path, 2, lambda one, reason: told.update({one.name: reason}))
    assert told["good"] is None
    assert told["after"] is None
    assert told["heir"] == "the sweep of bad was not made"
    assert told["faulty"] == "no such model"
    assert "nothing" in str(told["bad"])
    assert not str(told["bad"]).startswith("gcbench: ")
    assert str(told["bad"]) in (tmp_path / "sweep-bad.log").read_text()
    assert not (tmp_path / "sweep-heir.log").exists()


@pytest.mark.parametrize(("jobs", "threads"), [(1, None), (2, "4"), (3, "2"), (16, "1")])
def test_at_most_so_many_at_once_with_their_share_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, threads: str | None
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    changed, most, at_once, seen = threading.Condition(), 0, 0, []

    def run(one: Stage, logs: Path, environment: dict[str, str], *rest: Any) -> None:
        nonlocal most, at_once
        with changed:
            at_once += 1
            most = max(most, at_once)
            seen.append(environment["OMP_NUM_THREADS"])
            changed.notify_all()
            assert changed.wait_for(lambda: most >= min(jobs, 4), 300)  # the others have begun
            at_once -= 1

    monkeypatch.setattr(local_engine, "run_stage", run)
    order: list[str] = []
    stages = [*(stage(f"first{i}") for i in range(4)), stage("last", *(f"first{i}" for i in range(4)))]
    run_local(stages, tmp_path, jobs, lambda one, reason: order.append(one.name))
    assert most == min(jobs, 4)
    assert order[-1] == "last"
    assert set(seen) == {threads or "8"}


def test_interrupted_it_ends_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that sleeps; another's end interrupts, and the sleeper does not outlive it."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    version = stage("quick").line
    monkeypatch.setattr(Stage, "line", property(lambda one: sleeper if one.name == "sleeper" else version))
    processes: list[Any] = []
    popen = local_engine.subprocess.Popen

    def start(*arguments: Any, **options: Any) -> Any:
        processes.append(popen(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(local_engine.subprocess, "Popen", start)

    def ended(one: Stage, reason: str | None) -> None:
        if one.name == "quick":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_local([stage("sleeper"), stage("quick")], tmp_path, 2, ended)
    assert len(processes) == 2
    assert all(process.poll() is not None for process in processes)


def test_what_is_said_of_an_end() -> None:
    assert reason_of(0, ["gcbench: a warning"]) is None
    assert reason_of(2, ["a line\n", "gcbench: --n 1: at least 2\n", "\n"]) == "--n 1: at least 2"
    assert reason_of(-9, ["step 3\n"]) == "step 3 (ended by signal 9)"
    assert reason_of(1, []) == "it said nothing"
