"""Whether the network may be used: asked by whatever could reach for it."""

import os


def offline() -> bool:
    """Whether `GCBENCH_OFFLINE` forbids the network."""
    return os.environ.get("GCBENCH_OFFLINE", "") not in ("", "0")
