"""What a person sees while a command works: lines and progress bars, on standard error."""

import os
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gcbench.core.names import plain


class Lasting(Console):
    """Where standard error is gone, a run continues without it: its results are files."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


console = Lasting(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    try:
        console.print(plain(text), markup=False)
    except OSError:  # full, or a terminal that was closed
        console.on_broken_pipe()


class Bar:
    """A progress bar of `total` units, of which `done` were done before; a line at every tenth where nobody watches."""

    def __init__(self, label: str, total: int, done: float = 0):
        self.label, self.total, self.done, self.note = label, total, float(done), ""
        self.start = self.done
        self.live = console.is_terminal
        self.began = time.perf_counter()
        self._tenth = int(10 * self.done // max(total, 1))
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=not self.live,
        )
        self._task = self._progress.add_task(plain(label), total=total, completed=int(self.done), note="")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, steps: float = 1) -> None:
        self._show(self.done + steps)

    def set(self, done: int, note: str | None = None) -> None:
        """Units done, counted one by one; a resumed work begins in the middle."""
        if self.done == 0:
            self.start = done - 1
        self._show(done, note)

    def _show(self, done: float, note: str | None = None) -> None:
        self.done = round(done, 6)
        self.note = self.note if note is None else note
        self._progress.update(self._task, completed=self.done, note=self.note)
        tenth = int(10 * self.done // max(self.total, 1))
        if not self.live and tenth > self._tenth:
            self._tenth = tenth
            spent = time.perf_counter() - self.began
            left = spent / max(self.done - self.start, 1) * (self.total - self.done)
            say(f"{self.label}: {self.done:.0f}/{self.total}, {spent:.0f} s, {left:.0f} s left {self.note}".rstrip())
