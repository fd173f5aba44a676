"""Signals that ask a training to stop: the step at hand is finished and saved first."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from gcbench.core.errors import Stopped

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stop:
    """A context. Inside it the first signal is kept in `signal` for the loop to see; a second one stops at once.
    Signals that the process was told to ignore it still ignores.

    launched: a launcher passes on to its processes what stops itself, and Ctrl-C in a terminal reaches both: a process
    then has the one press twice, and waits through the second.
    """

    def __init__(self, *, launched: bool = False) -> None:
        self.signal = 0
        self._left = 1 if launched else 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # others cannot handle signals
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if not self.signal:
            self.signal = number
        elif self._left:
            self._left -= 1
        else:
            raise Stopped(number)
