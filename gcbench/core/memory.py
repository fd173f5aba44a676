"""The memory that this process took, on any system."""

import sys


def peak_memory() -> float:
    """Bytes that this process took at most so far: its peak resident set (Windows: working set)."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset)
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
