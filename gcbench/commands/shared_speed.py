"""What several processes gain in a sweep, timed in one run beside one process: rows of `gcbench speed --scale`."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gcbench.core.errors import UserError
from gcbench.runs.stopwatch import Timed

LOOK = 2.0
"""Seconds between looks at the memory: each takes some 20 ms a process from those that are timed."""


class Took(NamedTuple):
    """seconds: of the whole. first: until the first row was written. gib: of all its processes at once, at most; what
    they share counts once."""

    seconds: float
    first: float
    gib: float


def scale_rows(options: Sequence[str] = ()) -> list[Timed]:
    """The default sweep on two cores, which is two processes of a thread, beside one process of one thread and of two.
    options: of `gcbench sweep`, for another sweep."""
    alone = timed_sweep([*options, "--jobs", "1"], threads=1)
    threads = timed_sweep([*options, "--jobs", "1"], threads=2)
    shared = timed_sweep(options, threads=2)
    single, threaded = "one process of one thread", "one process of two threads"
    return [
        Timed("default sweep, 2 processes of a thread", shared.seconds, "s", single, alone.seconds / shared.seconds),
        Timed("  the same", shared.seconds, "s", threaded, threads.seconds / shared.seconds),
        Timed("  to its first row", shared.first, "s", threaded, threads.first / shared.first),
        Timed("  peak memory, all processes", shared.gib, "GiB", threaded, threads.gib / shared.gib),
    ]


def timed_sweep(options: Sequence[str], threads: int | None = None) -> Took:
    """`gcbench sweep` in a process and folder of its own, with no features kept from before.
    UserError: it failed; its last words."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "run" / "record.json"
        command = [sys.executable, "-m", "gcbench", "sweep", "--out", str(record.parent), *options]
        environment = {**os.environ, "GCBENCH_CACHE": "off"}
        environment |= {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        began, first, peak, looked = time.perf_counter(), None, 0, 0.0
        with open(Path(folder) / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
            while process.poll() is None:
                if first is None and record.exists():
                    first = time.perf_counter() - began
                if time.perf_counter() - looked > LOOK:
                    peak, looked = max(peak, memory_of(process.pid)), time.perf_counter()
                time.sleep(0.2)
        took = time.perf_counter() - began
        if process.returncode or first is None:
            raise UserError(f"gcbench sweep failed: {(Path(folder) / 'log').read_text('utf-8', 'replace')[-300:]}")
    return Took(took, first, peak / 2**30)


def memory_of(process: int) -> int:
    """Bytes of a process and all that it started, each page counted once; 0 where the system does not tell."""
    place = Path("/proc") / str(process)
    try:
        lines = (place / "smaps_rollup").read_text("ascii").splitlines()
        children = (place / "task" / str(process) / "children").read_text("ascii").split()
    except OSError:
        return 0
    own = next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return own + sum(memory_of(int(child)) for child in children)
