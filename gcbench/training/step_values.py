"""What the steps of a training say: losses, and whether a signal came, read from the device once a step.

All of a step is one float64 vector, summed over the processes. On a CPU it is read at once. On a GPU it is copied while
the next step is under way, and read one step late, so that the host never waits for a step that it has just begun.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gcbench.training.processes import Processes
from gcbench.training.step import Value
from gcbench.training.stop import SIGNALS


class StepValues(NamedTuple):
    """step: 0, 1, ...; rate: of its first phase. losses: of its phases, in order; values: name and mean over the batch
    of all that is logged. signal: that some process was sent, or 0."""

    step: int
    rate: float
    losses: list[float]
    values: list[tuple[str, float]]
    signal: int


class _Underway(NamedTuple):
    step: int
    rate: float
    values: Sequence[Value]
    numbers: Tensor
    event: torch.cuda.Event | None


class Reader:
    """Reads steps in their order."""

    def __init__(self, processes: Processes):
        self.processes = processes
        self._underway: _Underway | None = None

    def put(self, step: int, rate: float, values: Sequence[Value], signal: int) -> StepValues | None:
        """Take a step's values. Returns those that can be read without waiting: this step's, or on a GPU the last's."""
        before = self._read() if self._underway else None
        device = self.processes.device
        asked = torch.tensor([float(signal == number) for number in SIGNALS], dtype=torch.float64)
        if device.type == "cuda":
            asked = asked.pin_memory().to(device, non_blocking=True)
        numbers = torch.cat((asked, torch.stack([value.share for value in values]))) if values else asked
        self.processes.add([numbers])
        event = None
        if device.type == "cuda":
            numbers = torch.empty_like(numbers, device="cpu", pin_memory=True).copy_(numbers, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._underway = _Underway(step, rate, values, numbers, event)
        return before if event else self._read()

    def rest(self) -> StepValues | None:
        """The last step's, if they were not read yet; waits for it."""
        return self._read() if self._underway else None

    def _read(self) -> StepValues:
        step, rate, values, numbers, event = self._underway  # type: ignore[misc]
        self._underway = None
        if event is not None:
            event.synchronize()
        floats = numbers.tolist()
        signal = next((number for number, asked in zip(SIGNALS, floats, strict=False) if asked), 0)
        means = list(zip(values, floats[len(SIGNALS) :], strict=True))
        losses = [mean for value, mean in means if value.loss]
        return StepValues(step, rate, losses, [(value.name, mean) for value, mean in means], signal)
