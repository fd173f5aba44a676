"""Processes that a command starts on its own machine to share its run: the same command line, with `--shard any`.

They end with the process that started them, whatever became of it.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from gcbench.core.errors import UserError
from gcbench.runs.progress import say

STARTED_BY: Final = "GCBENCH_STARTED_BY"
"""The variable that tells a helper the id of the process that started it."""


class Helpers:
    """A context in which `count` helpers work. command: what stands after `gcbench`. threads: of each."""

    def __init__(self, command: Sequence[str], count: int, threads: int):
        self.command, self.count, self.threads = list(command), count, threads
        self._processes: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def __enter__(self) -> "Helpers":
        variables = {**os.environ, "OMP_NUM_THREADS": str(self.threads), STARTED_BY: str(os.getpid())}
        for _ in range(self.count):
            output = tempfile.TemporaryFile()
            line = [sys.executable, "-m", "gcbench", *self.command]
            started = subprocess.Popen(line, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            self._processes.append((started, output))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _ in self._processes:
            if process.poll() is None and error is not None:
                process.terminate()
        for process, output in self._processes:
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            output.close()
        self._processes = []

    def keep(self, count: int) -> None:
        """End those beyond `count`; nothing is lost, for the others do their shards."""
        for process, output in self._processes[count:]:
            process.terminate()
            process.wait()
            output.close()
        del self._processes[count:]
        self.count = min(self.count, count)

    @property
    def working(self) -> bool:
        """Whether any is still at work. UserError: one failed, with its own message."""
        for process, output in list(self._processes):
            code = process.poll()
            if code is None:
                continue
            self._processes.remove((process, output))
            output.seek(0)
            text = output.read().decode("utf-8", "replace").strip()
            output.close()
            if code < 0:
                say(f"A process that shared this run was killed (signal {-code}); the others do its shards.")
            elif code:
                raise UserError(text.splitlines()[-1].removeprefix("gcbench: ") if text else f"a process ended {code}")
        return bool(self._processes)


def left_alone() -> bool:
    """Whether the process that started this helper is gone."""
    starter = os.environ.get(STARTED_BY)
    return starter is not None and str(os.getppid()) != starter


def arguments(options: Mapping[str, Any]) -> list[str]:
    """The options of a command's function, as its command line has them."""
    flags = {"settings": "--set", "evaluators": "--evaluator"}
    line = []
    for name, value in options.items():
        flag = flags.get(name, "--" + name.replace("_", "-"))
        if value is None or value is False:
            continue
        if value is True:
            line.append(flag)
        elif name == "n":
            line += ["-n", str(value)]
        elif isinstance(value, Mapping):
            line += [f"{flag}={key}={json.dumps(setting)}" for key, setting in value.items()]
        elif name in flags:
            line += [f"{flag}={setting}" for setting in value]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            line.append(f"{flag}={('x' if name == 'size' else ',').join(map(str, value))}")
        else:
            line.append(f"{flag}={value}")
    return line


def fitting(most: int, taken: float) -> int:
    """How many processes of `taken` bytes fit into half of the memory that is free now, at most `most`; 1 where that is
    not known."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return 1
    return max(1, min(most, int(free / 2 / max(taken, 1))))
