"""gcbench: measure text-to-image generators that must obey what a text says about a scene."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_API = {
    "compare": "gcbench.reports.comparison",
    "evaluate": "gcbench.commands.evaluate",
    "metric": "gcbench.evaluation.tensor_metric",
    "regress": "gcbench.commands.regress",
    "sweep": "gcbench.commands.sweep",
}
__all__ = [*_API]


def __getattr__(name: str) -> Any:
    """Load the Python API on first use, so that `import gcbench` stays free of torch."""
    if name in _API:
        return getattr(import_module(_API[name]), name)
    raise AttributeError(f"module 'gcbench' has no attribute {name!r}")
