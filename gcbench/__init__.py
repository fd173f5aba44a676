"""gcbench: measure text-to-image generators that must obey what a text says about a scene."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gcbench.commands.downstream import downstream
    from gcbench.commands.evaluate import evaluate
    from gcbench.commands.merge import merge
    from gcbench.commands.regress import regress
    from gcbench.commands.report import report
    from gcbench.commands.sample import sample
    from gcbench.commands.sweep import sweep
    from gcbench.commands.train import train
    from gcbench.core import __version__
    from gcbench.core.record import load_record
    from gcbench.evaluation.tensor_metric import metric
    from gcbench.reports.comparison import compare

_API = {
    "__version__": "gcbench.core",
    "compare": "gcbench.reports.comparison",
    "downstream": "gcbench.commands.downstream",
    "evaluate": "gcbench.commands.evaluate",
    "load_record": "gcbench.core.record",
    "merge": "gcbench.commands.merge",
    "metric": "gcbench.evaluation.tensor_metric",
    "regress": "gcbench.commands.regress",
    "report": "gcbench.commands.report",
    "sample": "gcbench.commands.sample",
    "sweep": "gcbench.commands.sweep",
    "train": "gcbench.commands.train",
}
__all__ = [
    "__version__",
    "compare",
    "downstream",
    "evaluate",
    "load_record",
    "merge",
    "metric",
    "regress",
    "report",
    "sample",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    """Load the Python API on first use, so that `import gcbench` stays free of torch."""
    if name in _API:
        return getattr(import_module(_API[name]), name)
    raise AttributeError(f"module 'gcbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
