"""Contracts that everything else is written against. Imports nothing else of gcbench."""

from typing import Any

__version__: str


def __getattr__(name: str) -> Any:
    """`__version__` is that of the installed package, which the build took from git's tag. It is read when it is asked
    for: that takes 30 ms."""
    if name != "__version__":
        raise AttributeError(f"module 'gcbench.core' has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("gcbench")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
