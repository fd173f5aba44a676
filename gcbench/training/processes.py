"""The processes that train together: who they are, what they agree on, and how all of them end with one sentence."""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor

from gcbench.core.errors import Stopped, UserError, tell_launcher
from gcbench.core.shared_batch import EveryProcess

T = TypeVar("T")

PATIENCE = timedelta(hours=3)
"""How long the others wait for what one does alone: reading images, a preview, a save."""

BUCKET = 2**25
"""Bytes of gradients that are summed over processes at once."""


class Processes:
    """Those that a launcher (torchrun, accelerate launch) started, or this one alone."""

    def __init__(self, *, cpu: bool):
        self._begun = not dist.is_available() or not dist.is_initialized()
        state = PartialState(cpu=cpu, timeout=PATIENCE)
        self.count, self.rank, self.device = state.num_processes, state.process_index, state.device
        self.first = self.rank == 0

    def end(self) -> None:
        """Close what was opened here: threads of an open group may abort a process that ends."""
        if self.count > 1 and self._begun and dist.is_initialized():
            dist.destroy_process_group()
            PartialState._reset_state()

    def told(self, value: T) -> list[T]:
        """Each process's value, in their order."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def together(self, act: Callable[[], T]) -> T:
        """What `act` gives. UserError, in one process: as it is; in any of several: all end."""
        if self.count == 1:
            return act()
        out, fault = None, None
        try:
            out = act()
        except UserError as error:
            fault = str(error)
        if faults := [text for text in self.told(fault) if text is not None]:
            self.stop(UserError(faults[0]))
        return out  # type: ignore[return-value]

    def known_to_all(self, act: Callable[[], T]) -> T:
        """What `act` gives, where a mistake that one process finds all find at the same moment."""
        try:
            return act()
        except EveryProcess as error:
            self.stop(UserError(str(error)))

    def stop(self, error: UserError | Stopped) -> NoReturn:
        """End all processes with what all of them know; the first says it before one of them is gone."""
        if self.count == 1:
            raise error
        if self.first:
            hint = "; the same command with --resume continues it" if isinstance(error, Stopped) else ""
            print(f"gcbench: {error}{hint}", file=sys.stderr, flush=True)
        dist.barrier()
        tell_launcher(str(error))
        raise SystemExit(128 + error.signal if isinstance(error, Stopped) else 2)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """The first process's values to all."""
        if self.count > 1:
            for bucket in buckets([tensor.detach() for tensor in tensors]):
                flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                dist.broadcast(flat, 0)
                spread(flat, bucket)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """The sums over processes, in place."""
        if self.count > 1:
            for bucket in buckets(tensors):
                flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
                dist.all_reduce(flat)
                spread(flat, bucket)


def buckets(tensors: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """The tensors in their order, those of one type beside each other together, up to `BUCKET` bytes."""
    out: list[Tensor] = []
    size = 0
    for tensor in tensors:
        more = tensor.numel() * tensor.element_size()
        if out and (size + more > BUCKET or tensor.dtype != out[0].dtype):
            yield out
            out, size = [], 0
        out.append(tensor)
        size += more
    if out:
        yield out


def spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """What `flat` holds of the tensors one after the other, back into them."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(list(tensors), [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])
