"""`--self-check`: what the evaluators say of the dataset's own real images, before they measure anybody else's.

A segmenter that errs on real images, or a wrong resize, shows here first: its mIoU on real pairs should be the one
that is published for it, the ceiling of Semantic Recall near 1 and far above its floor, and the FID between two halves
of the real images near 0.
"""

import numpy as np

from gcbench.core.errors import UserError
from gcbench.core.record import SelfCheck
from gcbench.core.reference import Reference
from gcbench.core.registry import registry
from gcbench.core.score import Score
from gcbench.evaluation.feature_cache import ReferenceFeatures
from gcbench.evaluation.scoring import EvaluatorSet, Scoring, Tick, batches, measure_real
from gcbench.statistics.intervals import cluster_bootstrap_mean


def checked_metrics(evaluators: EvaluatorSet) -> list[str]:
    """Every installed metric that reads an evaluator, and reads none but those that are here."""
    known = registry("metrics").working().items()
    roles = {name: metric.roles_where(evaluators.named) for name, metric in known}
    return [name for name, needed in roles.items() if needed and set(needed) <= evaluators.by_role.keys()]


def self_check(reference: Reference, evaluators: EvaluatorSet, tick: Tick = lambda count: None) -> SelfCheck:
    """Every evaluator on every real pair of the split.

    real: with their own captions and layouts (for distances: one half of the groups against the other half).
    permuted: captions and layouts permuted among all images. An attribute classifier's `attribute-accuracy` stands in
    real too.
    """
    n = len(reference)
    scoring = Scoring(reference.dataset, checked_metrics(evaluators), evaluators)
    bounds = measure_real(scoring, reference, range(n), tick)
    real = dict(bounds.ceiling)
    if "attributes" in evaluators.by_role:
        real["attribute-accuracy"] = attribute_accuracy(reference, evaluators)
    return SelfCheck(n=n, real=real, permuted=bounds.floor)


def attribute_accuracy(reference: Reference, evaluators: EvaluatorSet) -> Score:
    """The share of (image, attribute) pairs that the classifier gets right at 0.5, against the dataset's own labels.

    Attributes that the classifier does not know (a probability of NaN) do not count. Detail: the accuracy of each
    attribute, and how often an image has it.
    """
    dataset, split = reference.dataset, reference.split
    right, labels = [], []
    with ReferenceFeatures(reference, {"attributes": evaluators.by_role["attributes"]}) as kept:
        for places in batches(len(reference)):
            seen = kept.features(places, reference.samples(places, places.start))["attributes"]
            if seen.probabilities is None:
                raise UserError("the evaluator of attributes gives no probabilities; choose another with --evaluator")
            probabilities = seen.probabilities.numpy()  # [B,A]
            true = np.stack([np.asarray(dataset.attribute_labels(split, place), bool) for place in places])  # [B,A]
            labels.append(true)
            right.append(np.where(np.isnan(probabilities), np.nan, (probabilities > 0.5) == true))
    hits = np.concatenate(right)  # [n,A], NaN where the classifier does not know the attribute
    known = ~np.isnan(hits).all(axis=0)  # [A]
    mean = cluster_bootstrap_mean(hits[:, known].mean(axis=1), reference.groups, seed=0)
    names = [name for name, knows in zip(dataset.attributes, known, strict=True) if knows]
    shares = np.concatenate(labels)[:, known].mean(axis=0)
    columns = {"per_attribute": hits[:, known].mean(axis=0), "share": shares}
    detail = {column: dict(zip(names, values.tolist(), strict=True)) for column, values in columns.items()}
    return Score(**mean._asdict(), n=len(hits), detail=detail)
