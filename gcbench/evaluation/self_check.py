"""`--self-check`: what the evaluators say of the dataset's own real images, before they measure anybody else's.

A segmenter that errs on real images, or a wrong resize, shows here first: its mIoU on real pairs should be the one
that is published for it, the ceiling of Semantic Recall near 1 and far above its floor, and the FID between two halves
of the real images near 0.
"""

import numpy as np

from gcbench.core.contracts import Dataset, Size
from gcbench.core.record import SelfCheck
from gcbench.core.registry import registry
from gcbench.core.score import Score
from gcbench.evaluation.feature_cache import ReferenceFeatures
from gcbench.evaluation.scoring import BATCH, EvaluatorSet, Scoring, Tick, batches, measure_real, real_samples
from gcbench.statistics.intervals import cluster_bootstrap_mean


def checked_metrics(evaluator_set: EvaluatorSet) -> list[str]:
    """Every installed metric that reads an evaluator, and reads none but those that are here."""
    roles = {name: metric.roles for name, metric in registry("metrics").working().items()}
    return [name for name, wanted in roles.items() if wanted and set(wanted) <= evaluator_set.by_role.keys()]


def self_check(
    dataset: Dataset, split: str, size: Size, evaluator_set: EvaluatorSet, tick: Tick = lambda count: None
) -> SelfCheck:
    """Every evaluator on every real pair of the split.

    real: with their own captions and layouts (for distances: one half of the groups against the other half).
    permuted: captions and layouts permuted among all images. An attribute classifier's `attribute-accuracy` stands in
    real too.
    """
    n = len(dataset.ids(split))
    scoring = Scoring(dataset, checked_metrics(evaluator_set), evaluator_set)
    bounds = measure_real(scoring, dataset, split, size, range(n), tick)
    real = dict(bounds.ceiling)
    if "attributes" in evaluator_set.by_role:
        real["attribute-accuracy"] = attribute_accuracy(dataset, split, size, evaluator_set)
    return SelfCheck(n=n, real=real, permuted=bounds.floor)


def attribute_accuracy(dataset: Dataset, split: str, size: Size, evaluator_set: EvaluatorSet) -> Score:
    """The share of (image, attribute) pairs that the classifier gets right at 0.5, against the dataset's own labels.

    Attributes that the classifier does not know (a probability of NaN) do not count. Detail: the accuracy of each
    attribute, and how often an image has it.
    """
    right, labels = [], []
    with ReferenceFeatures(dataset, split, size, {"attributes": evaluator_set.by_role["attributes"]}) as kept:
        for start, places in batches(range(len(dataset.ids(split))), BATCH):
            seen = kept.features(places, real_samples(dataset, split, places, size, start))["attributes"]
            assert seen.probabilities is not None
            found = seen.probabilities.numpy()  # [B,A]
            true = np.stack([np.asarray(dataset.attribute_labels(split, place), bool) for place in places])  # [B,A]
            labels.append(true)
            right.append(np.where(np.isnan(found), np.nan, (found > 0.5) == true))
    hits = np.concatenate(right)  # [n,A], NaN where the classifier does not know the attribute
    known = ~np.isnan(hits).all(axis=0)  # [A]
    mean = cluster_bootstrap_mean(hits[:, known].mean(axis=1), dataset.groups(split), seed=0)
    names = [name for name, knows in zip(dataset.attributes, known, strict=True) if knows]
    shares = np.concatenate(labels)[:, known].mean(axis=0)
    return Score(
        **mean._asdict(),
        n=len(hits),
        detail={
            "per_attribute": dict(zip(names, hits[:, known].mean(axis=0).tolist(), strict=True)),
            "share": dict(zip(names, shares.tolist(), strict=True)),
        },
    )
