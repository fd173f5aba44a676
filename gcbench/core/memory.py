"""The memory of this process: what it took, on any system, and what it keeps."""

import ctypes
import platform
import sys
from typing import Final

MAPPED_ALONE: Final = 2**28
"""Bytes from which on glibc maps a block for itself, and gives it back when it is freed."""
FREED_KEPT: Final = 2**30
"""Bytes of freed memory at the end of the heap that glibc keeps."""


def peak_memory() -> float:
    """Bytes that this process took at most so far: its peak resident set (Windows: working set)."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset)
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def keep_freed_memory() -> None:
    """Let the allocator use freed blocks of up to `MAPPED_ALONE` bytes again, where it is glibc's; nothing elsewhere.

    By itself glibc gives each tensor of some megabytes back to the system, which then clears the pages of the next one.
    No number changes.
    """
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, MAPPED_ALONE)  # M_MMAP_THRESHOLD
        mallopt(-1, FREED_KEPT)  # M_TRIM_THRESHOLD
