"""`--self-check`: what the evaluators say of the dataset's own real pictures, before they judge anybody else's.

A segmenter that errs on real pictures, or a wrong resize, shows here first: its mIoU on real pairs should be the one
that is published for it, the ceiling of Semantic Recall near 1 and far above its floor, and the FID between two halves
of the real pictures near 0.
"""

from gcbench.bench.judging import Judges, Scoring, Tick, measure_real
from gcbench.core.contracts import Dataset, Size
from gcbench.core.record import SelfCheck
from gcbench.core.registry import registry


def checked_metrics(judges: Judges) -> list[str]:
    """Every installed metric that reads an evaluator, and reads none but those that are here."""
    roles = {name: registry("metrics")[name].roles for name in registry("metrics")}
    return [name for name, wanted in roles.items() if wanted and set(wanted) <= judges.evaluators.keys()]


def self_check(dataset: Dataset, split: str, size: Size, judges: Judges, tick: Tick = lambda count: None) -> SelfCheck:
    """Every evaluator on every real pair of the split.

    real: with their own captions and layouts (for distances: one half of the groups against the other half).
    permuted: captions and layouts permuted among all pictures.
    """
    n = len(dataset.ids(split))
    scoring = Scoring(dataset, checked_metrics(judges), judges)
    bounds = measure_real(scoring, dataset, split, size, range(n), tick)
    return SelfCheck(n=n, real=bounds.ceiling, permuted=bounds.floor)
