"""Arrays that the processes of one machine have in common: one file, mapped into the memory of each."""

import math
import os
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from gcbench.core.errors import UserError
from gcbench.core.files import open_regular
from gcbench.training.processes import Processes

if os.name == "posix":
    import fcntl

PREFIX = "gcbench-pairs-"

Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype]]
"""Name -> shape and type."""


class SharedArrays:
    """Zeros to be filled by the processes of a machine together, each its `rows`; `ready` lets all read.

    The file lies in the system's folder for temporary ones (TMPDIR), and loses its name when it is filled: however they
    end then, it is gone with the last of them. What a kill before that left, the next training removes. UserError:
    there is no room for it.
    """

    def __init__(self, processes: Processes, shapes: Shapes):
        self.processes = processes
        hosts = processes.told(socket.gethostname())
        mine = [rank for rank, host in enumerate(hosts) if host == hosts[processes.rank]]
        self.place, self.count, self._leads = mine.index(processes.rank), len(mine), processes.rank == mine[0]
        self._handle: int | None = None
        size = sum(math.prod(shape) * kind.itemsize for shape, kind in shapes.values())
        path = processes.together(lambda: self._made(size) if self._leads else None)
        self.path = Path(str(processes.told(path)[mine[0]]))
        self.arrays = processes.together(lambda: self._mapped(shapes))

    def rows(self, n: int) -> range:
        """Of n rows, those that this process fills."""
        return range(self.place, n, self.count)

    def ready(self) -> None:
        """Wait until all processes have filled their rows; the arrays change no more, and the file's name goes."""
        for array in self.arrays.values():
            array.flags.writeable = False
        self.processes.told(None)
        if self._leads:
            self.path.unlink(missing_ok=True)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _made(self, size: int) -> str:
        """A file of `size` bytes, locked until it is unnamed. What killed processes left is removed."""
        folder = Path(tempfile.gettempdir())
        for left in folder.glob(f"{PREFIX}*"):
            with suppress(OSError), open_regular(left) as stream:
                if os.name == "posix":
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    left.unlink()
        try:
            self._handle, path = tempfile.mkstemp(prefix=PREFIX)
            if os.name == "posix":
                fcntl.flock(self._handle, fcntl.LOCK_EX)
                os.posix_fallocate(self._handle, 0, max(size, 1))
            else:
                os.truncate(self._handle, max(size, 1))
        except OSError as error:
            if self._handle is not None:
                os.close(self._handle)
                Path(path).unlink(missing_ok=True)
            raise UserError(
                f"{folder} has no room for the {size / 2**30:.1f} GiB of images that the processes share"
                f" ({error.strerror}); set TMPDIR to a folder that has"
            ) from error
        return path

    def _mapped(self, shapes: Shapes) -> dict[str, Any]:
        try:
            memory = np.memmap(self.path, np.uint8, "r+")
        except OSError as error:
            raise UserError(
                f"cannot open {self.path} ({error.strerror}); give all processes the same TMPDIR"
            ) from error
        out, begin = {}, 0
        for name, (shape, kind) in shapes.items():
            end = begin + math.prod(shape) * kind.itemsize
            out[name] = np.asarray(memory[begin:end]).view(kind).reshape(shape)
            begin = end
        return out
