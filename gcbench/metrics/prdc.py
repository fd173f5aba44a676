"""Precision, recall, density and coverage: do the images lie among the real ones, and all of these among them?"""

from math import inf
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from gcbench.core.contracts import Metric, Task
from gcbench.core.samples import Features, Samples
from gcbench.core.score import Score
from gcbench.metrics.pooled import PooledMetric
from gcbench.statistics.blocks import Blocks, Ordered
from gcbench.statistics.intervals import cluster_bootstrap_mean, jackknife
from gcbench.statistics.neighbours import Neighbourhoods, neighbourhoods


class PRDC(PooledMetric):
    """Precision, and beside it recall, density and coverage, on pooled Inception features of the images.

    With x_i the n samples, y_j the m real images, and B_k(z) the closed ball about z that reaches to the k-th nearest
    other image of z's own set:

        precision = mean_i 1[some j: x_i ∈ B(y_j)]      density  = mean_i (1/k) #{j: x_i ∈ B(y_j)}
        recall    = mean_j 1[some i: y_j ∈ B(x_i)]      coverage = mean_j 1[some i: x_i ∈ B(y_j)]

    k is `k` = 3 in precision and recall, `k_density` = 5 in density and coverage, as in their sources. All but density
    are shares, in [0,1]; density is 1 where both sets come from one distribution, and may be above. The balls are
    closed: of two copies of one set precision, recall and coverage are 1. (The sources' code differs: that of `prdc`
    takes open balls, which are empty where many images are the same. Without ties both agree.)

    Bias: precision and recall rise with the size of the set whose balls are drawn, coverage with n: compare at equal n
    and with the same reference. Intervals, the reference fixed: precision and density are means over the samples,
    bootstrapped over groups; recall and coverage are means over the real images, so they take the block jackknife
    over the samples. Sources: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative
    Models" (with VGG features); Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models".
    """

    roles = ("inception",)
    direction = "higher"
    unit = "share of images"
    title = "PRDC: precision"
    summary = "Precision of the images among the real ones, with recall, density and coverage, on Inception features"
    range = (0.0, inf)
    thresholds: ClassVar[Mapping[str, float]] = {"k": 3, "k_density": 5}
    reference: Blocks

    def __init__(self, task: Task):
        super().__init__(task)
        self._found: Neighbourhoods | None = None  # of the samples so far

    def update(self, samples: Samples, features: Mapping[str, Features]) -> None:
        super().update(samples, features)
        self._found = None

    def merge(self, other: Metric) -> None:
        super().merge(other)
        self._found = None

    def score(self) -> Score:
        made = self._samples.in_order()
        if missing := self._too_few():
            return Score.skipped(missing, n=len(made))
        found = self._measured(made)
        score = _mean(found.precise, made)
        score.also = {
            "recall": _set_score(found.recall, found.recall_without, len(made)),
            "density": _mean(found.density, made),
            "coverage": _set_score(found.coverage, found.coverage_without, len(made)),
        }
        sizes = {"n": len(made), "n_reference": len(self.reference), "d": made.shape[1]}
        score.detail = {"sizes": {name: float(size) for name, size in sizes.items()}}
        return score

    def per_sample(self) -> Mapping[str, Mapping[str, float | None]]:
        """`prdc` (precision, 0 or 1) and `density`; recall and coverage are no means over samples."""
        if self._too_few():
            return {}
        made = self._samples.in_order()
        found = self._measured(made)
        columns = {"prdc": found.precise.astype(np.float64), "density": found.density}
        return {name: dict(zip(made.ids, values.tolist(), strict=True)) for name, values in columns.items()}

    def _too_few(self) -> str | None:
        k, k_density = self.thresholds["k"], self.thresholds["k_density"]
        if len(self._samples) <= k:
            return f"needs more than {k:.0f} images, so that each has {k:.0f} neighbours"
        if len(self.reference) <= max(k, k_density):
            return f"needs more than {max(k, k_density):.0f} images in the reference"
        return None

    def _measured(self, made: Ordered) -> Neighbourhoods:
        if self._found is None:
            k, k_density = int(self.thresholds["k"]), int(self.thresholds["k_density"])
            self._found = neighbourhoods(self.reference.in_order(), made, k, k_density)
        return self._found


def _mean(values: np.ndarray, made: Ordered) -> Score:
    """The mean over samples of values [n]."""
    mean = cluster_bootstrap_mean(values, made.groups, seed=0)
    return Score(value=mean.value, standard_error=mean.standard_error, interval=mean.interval, n=len(values))


def _set_score(value: float, without: list[float], n: int) -> Score:
    jack = jackknife(value, without)
    return Score(
        value=value,
        standard_error=jack.standard_error,
        interval=jack.interval,
        n=n,
        detail={"left_out": list(jack.left_out)},
    )
