"""Stages as processes of this machine, a few at a time. What is ready is started in the order of the plan."""

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from gcbench.core.files import write_text
from gcbench.runs.progress import say
from gcbench.runs.suite_stages import Stage

THREADS = "OMP_NUM_THREADS"
Ended = Callable[[Stage, str | None], None]
"""Is told of each stage that has ended: why it was not made, or None."""


def run_local(stages: Sequence[Stage], logs: Path, jobs: int, ended: Ended) -> None:
    """Run the stages, at most `jobs` at once, each after those that it needs; what needs one that failed is not run.

    What a stage says is shown line by line and kept in `logs`. Interrupted, it ends its processes, and waits for them.
    """
    left, done, failed = list(stages), set[str](), set[str]()
    running: dict[Future[str | None], Stage] = {}
    processes: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while left or running:
                for stage in [stage for stage in left if failed.intersection(stage.needs) or stage.fault]:
                    left.remove(stage)
                    failed.add(stage.key)
                    lost = [need for need in stage.needs if need in failed]
                    reason = stage.fault or f"{' and '.join(map(_spoken, lost))} was not made"
                    say(f"{stage.key}: {reason}")
                    ended(stage, reason)
                for stage in [stage for stage in left if done.issuperset(stage.needs)][: jobs - len(running)]:
                    left.remove(stage)
                    number = len(stages) - len(left)
                    say(f"Stage {number} of {len(stages)}: {stage.key}")
                    label = f"{stage.key}: " if jobs > 1 else ""
                    running[pool.submit(run_stage, stage, logs, shared(jobs), label, processes)] = stage
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    stage, fault = running.pop(future), future.result()
                    (done if fault is None else failed).add(stage.key)
                    ended(stage, fault)
        except BaseException:
            for process in processes:
                if process.poll() is None:
                    process.terminate()
            raise


def _spoken(key: str) -> str:
    kind, _, name = key.partition(" ")
    return f"the {'training' if kind == 'train' else kind} of {name}"


def shared(jobs: int) -> dict[str, str]:
    """The environment of one of `jobs` processes: each has its share of the threads."""
    if jobs == 1:
        return dict(os.environ)
    given = os.environ.get(THREADS, "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = int(given) if given.isdecimal() else cores
    return {**os.environ, THREADS: str(max(1, threads // jobs))}


def run_stage(
    stage: Stage, logs: Path, environment: dict[str, str], label: str, processes: list[subprocess.Popen[str]]
) -> str | None:
    """Run one stage; returns why it was not made, or None. label: before each line that is shown."""
    lines: list[str] = []
    process = subprocess.Popen(
        stage.line,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    processes.append(process)
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        say(label + line.rstrip("\n"))
    code = process.wait()
    write_text(logs / f"{stage.key.replace(' ', '-').replace('/', 'of')}.log", "".join(lines))
    return reason_of(code, lines)


def reason_of(code: int, lines: Sequence[str]) -> str | None:
    """What a command that ended with `code` said last; None if all went well."""
    if code == 0:
        return None
    printed = [line.strip() for line in lines if line.strip()]
    last = printed[-1].removeprefix("gcbench: ") if printed else "it said nothing"
    return f"{last} (ended by signal {-code})" if code < 0 else last
